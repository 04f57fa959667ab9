import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStorage } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { storageConformance } from 'jobchart/testing'
import { describe, test } from 'vitest'

describe('memory', () => {
  storageConformance(() => ({ storage: memoryStorage() }), { test })
})

describe('sqlite', () => {
  storageConformance(
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'jobchart-'))
      return {
        storage: sqliteStorage(join(folder, 'jobs.db')),
        dispose: () => rmSync(folder, { recursive: true, force: true }),
      }
    },
    { test },
  )
})
