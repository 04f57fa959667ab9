import { memoryStorage } from 'jobchart'
import { describe, test } from 'vitest'
import { shareOf } from '../share.ts'
import { sqliteInNewFolder } from './sqlite-in-new-folder.ts'
import { storageLaw } from './storage-law.ts'

describe('random commits on two connections give the same results as a naive storage', () => {
  test('memory', async () => {
    await storageLaw(() => ({ storage: memoryStorage() }), { runs: shareOf(30_000) })
  }, 600_000)

  test('sqlite', async () => {
    await storageLaw(sqliteInNewFolder, { runs: shareOf(10_000) })
  }, 1_800_000)
})
