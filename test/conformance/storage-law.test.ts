import { memoryStorage } from 'jobchart'
import { describe, test } from 'vitest'
import { sqliteInNewFolder } from './sqlite-in-new-folder.ts'
import { storageLaw } from './storage-law.ts'

// storage-law.long.test.ts tries many more sequences.

describe('random commits on two connections give the same results as a naive storage', () => {
  test('memory', async () => {
    await storageLaw(() => ({ storage: memoryStorage() }), { runs: 300 })
  })

  test('sqlite', async () => {
    await storageLaw(sqliteInNewFolder, { runs: 15 })
  })
})
