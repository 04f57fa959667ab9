import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type JobchartError, type Storage, systemClock } from '../../src/index.ts'
import type { StorageConnection } from '../../src/port/index.ts'
import { type SqliteOptions, sqliteStorage } from '../../src/sqlite/index.ts'

/** A folder for one test. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-sqlite-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Opens a file under the system's clock; closes it after the test. */
export async function openFile(file: string, instance = 'me', options: SqliteOptions = {}): Promise<StorageConnection> {
  const connection = await sqliteStorage(file, options).open({ clock: systemClock(), instance })
  onTestFinished(() => connection.close())
  return connection
}

/** Opens it and returns the error; opening must fail. */
export async function refusal(make: () => Storage): Promise<JobchartError> {
  try {
    const connection = await make().open({ clock: systemClock(), instance: 'refused' })
    await connection.close()
  } catch (error) {
    return error as JobchartError
  }
  throw new Error('it was opened')
}
