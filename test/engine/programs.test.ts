import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { expect, test } from 'vitest'
import { z } from 'zod'

const node = process.execPath

test('a program runs as a job: its output becomes the log, and its exit code decides the end', async () => {
  const count = defineJob({
    type: 'count',
    input: z.object({ to: z.number() }),
    run: { command: node, args: ({ input }) => ['-e', `for (let n = 1; n <= ${input.to}; n++) console.log(n)`] },
  })
  const engine = await createEngine({ jobs: [count], storage: memoryStorage() })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const { id } = await ada.submit(count, { to: 3 })
  const job = await ada.result(id)
  expect(job).toMatchObject({ outcome: 'success', output: { exitCode: 0 }, exitCode: 0 })
  const lines: unknown[] = []
  for await (const { text, stream } of ada.logs(id)) lines.push([text, stream])
  expect(lines).toEqual([
    ['1', 'stdout'],
    ['2', 'stdout'],
    ['3', 'stdout'],
  ])
  await engine.stop()
})

test('a program that exits with another code fails its job, with the last lines of its standard error', async () => {
  const fail = defineJob({
    type: 'fail',
    run: { command: node, args: ['-e', 'console.error("no such table"); process.exit(2)'] },
  })
  const engine = await createEngine({ jobs: [fail], storage: memoryStorage() })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const { id } = await ada.submit(fail)
  expect(await ada.result(id)).toMatchObject({
    outcome: 'failure',
    exitCode: 2,
    error: { name: 'ExitError', message: 'no such table' },
  })
  await engine.stop()
})
