import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sqliteStorage } from 'jobchart/sqlite'
import type { StorageUnderTest } from 'jobchart/testing'

/** An empty SQLite storage, whose folder is removed after its test. */
export function sqliteInNewFolder(): StorageUnderTest {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-'))
  const file = join(folder, 'jobs.db')
  return {
    storage: sqliteStorage(file),
    damage: (jobId) => {
      const database = new DatabaseSync(file)
      database.prepare("UPDATE jobs SET body = '{' WHERE id = ?").run(jobId)
      database.close()
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}
