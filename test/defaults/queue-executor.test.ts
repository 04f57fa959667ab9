import { queueExecutor, type TaskChannel, type TaskEnd, type Work } from 'jobchart'
import { expect, test } from 'vitest'

// This executor makes no reports, so the channel is unused.
const noChannel = {} as TaskChannel

/** Work that ends when the test says so. */
function openWork(started: string[], name: string) {
  let finish: (end: TaskEnd) => void = () => {}
  const ended = new Promise<TaskEnd>((resolve) => {
    finish = resolve
  })
  const run = () => {
    started.push(name)
    return ended
  }
  const work: Work = {
    job: { id: name, type: 'w', trigger: 'manual' },
    ...{ task: 'execute', function: undefined, version: undefined, input: undefined, attempt: 1, token: 1 },
    ...{ idempotencyKey: name, reported: undefined, recordedSteps: async () => new Map(), deadlineAt: undefined },
    ...{ killGraceMs: 5_000, signal: new AbortController().signal, killSignal: new AbortController().signal },
    ...{ draining: new AbortController().signal, batch: undefined },
    ...{ channel: noChannel, program: () => undefined },
    run,
  }
  return { work, finish }
}

test('E1 room counts the free places, and falls as soon as tasks are given', async () => {
  const executor = queueExecutor({ concurrency: 2 })
  const started: string[] = []
  const a = openWork(started, 'a')
  const b = openWork(started, 'b')
  expect(executor.room()).toBe(2)
  const first = executor.start(a.work)
  expect(executor.room()).toBe(1)
  const second = executor.start(b.work)
  expect(executor.room()).toBe(0)
  a.finish({ ok: true, output: 1 })
  expect(await first).toEqual({ ok: true, output: 1 })
  expect(executor.room()).toBe(1)
  b.finish({ ok: false, error: 'b' })
  expect(await second).toEqual({ ok: false, error: 'b' })
  expect(executor.room()).toBe(2)
})

test('E2 tasks beyond the places wait for one, and each runs once', async () => {
  const executor = queueExecutor({ concurrency: 1 })
  const started: string[] = []
  const a = openWork(started, 'a')
  const b = openWork(started, 'b')
  const both = [executor.start(a.work), executor.start(b.work)]
  expect(executor.room()).toBeLessThan(1)
  await Promise.resolve()
  expect(started).toEqual(['a'])
  a.finish({ ok: true })
  await both[0]
  b.finish({ ok: true })
  await both[1]
  expect(started).toEqual(['a', 'b'])
})

test('E4 close resolves when no task runs any more', async () => {
  const executor = queueExecutor()
  await executor.close()
  const { work, finish } = openWork([], 'a')
  void executor.start(work)
  let isClosed = false
  const closed = executor.close().then(() => {
    isClosed = true
  })
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  expect(isClosed).toBe(false)
  finish({ ok: true })
  await closed
})

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('a concurrency of %d is refused', (concurrency) => {
  expect(() => queueExecutor({ concurrency })).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
})
