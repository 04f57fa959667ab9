import { memoryStorage } from 'jobchart'
import { storageConformance } from 'jobchart/testing'
import { describe, test } from 'vitest'
import { sqliteInNewFolder } from './sqlite-in-new-folder.ts'

describe('memory', () => {
  storageConformance(() => ({ storage: memoryStorage() }), { test })
})

describe('sqlite', () => {
  storageConformance(sqliteInNewFolder, { test })
})
