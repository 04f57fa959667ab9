import { JobchartError } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { expect, onTestFinished, test, vi } from 'vitest'

test('a Node without SQLite gets an error that names the Node version it needs', () => {
  const found = vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
  onTestFinished(() => found.mockRestore())
  expect(() => sqliteStorage('jobs.db')).toThrow(
    /sqliteStorage needs the SQLite of Node 22\.18 or newer; this is Node \d/,
  )
  expect(() => sqliteStorage('jobs.db')).toThrow(JobchartError)
})
