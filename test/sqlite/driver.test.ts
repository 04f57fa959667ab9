import { JobchartError } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { expect, onTestFinished, test, vi } from 'vitest'

test('a Node without SQLite is told which one is needed', () => {
  const found = vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
  onTestFinished(() => found.mockRestore())
  expect(() => sqliteStorage('jobs.db')).toThrow(
    /sqliteStorage needs the SQLite of Node 22\.18 or newer; this is Node \d/,
  )
  expect(() => sqliteStorage('jobs.db')).toThrow(JobchartError)
})
