import { memoryStorage } from 'jobchart'
import { describe, test } from 'vitest'
import { sqliteInNewFolder } from './sqlite-in-new-folder.ts'
import { storageLaw } from './storage-law.ts'

// Many more sequences are tried by storage-law.long.test.ts.

describe('random commits on two connections give what a naive storage gives', () => {
  test('memory', async () => {
    await storageLaw(() => ({ storage: memoryStorage() }), { runs: 300 })
  })

  test('sqlite', async () => {
    await storageLaw(sqliteInNewFolder, { runs: 15 })
  })
})
