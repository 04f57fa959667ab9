import { expect, expectTypeOf, test } from 'vitest'
import { createActor, fromPromise, toPromise } from 'xstate'
import { z } from 'zod'
import { parseTask, promiseSettings, type TaskContext, task, taskSettings } from '../../src/model/task.ts'

test('without options a task is restarted after a loss, tried once, and given five seconds to stop', () => {
  expect(parseTask({}, () => 1)).toMatchObject({
    executor: 'default',
    recovery: 'restart',
    retry: { limit: 0, baseMs: 1_000, capMs: 3_600_000 },
    killGraceMs: 5_000,
    takesJobInput: false,
    input: undefined,
    output: undefined,
  })
})

test('the options of a task are read once', () => {
  const schema = z.string()
  const options = { executor: 'gpu', recovery: 'fail', killGrace: '1m', retry: { limit: 2 }, input: schema } as const
  const settings = taskSettings(task(options, () => 1))
  expect(settings).toMatchObject({ executor: 'gpu', recovery: 'fail', killGraceMs: 60_000, retry: { limit: 2 } })
  expect(settings?.input).toBe(schema)
})

test("a kill grace of 'never' waits without end, and one of 0 not at all", () => {
  expect(parseTask({ killGrace: 'never' }, () => 1).killGraceMs).toBeNull()
  expect(parseTask({ killGrace: 0 }, () => 1).killGraceMs).toBe(0)
})

test.each([
  ['recovery', { recovery: 'perhaps' }, /^recovery should be 'restart', 'fail' or 'await'; found "perhaps"$/],
  ['killGrace', { killGrace: 'forever' }, /^killGrace should be a duration/],
  ['retry.limit', { retry: { limit: -1 } }, /^retry\.limit should be/],
  ['retry.backoff', { retry: { backoff: '-1s' } }, /^retry\.backoff should be/],
])('a %s that cannot work is refused when the task is made', (_, options, message) => {
  // A caller in JavaScript may pass these.
  expect(() => task(options as never, () => 1)).toThrow(
    expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringMatching(message) }),
  )
})

test('only logic made by task() has settings', () => {
  expect(taskSettings(fromPromise(async () => 1))).toBeUndefined()
  expect(taskSettings({})).toBeUndefined()
})

test('the code gets its arguments, and its result or thrown error is the end', async () => {
  const settings = parseTask({}, ({ input }) => ({ seen: input }))
  expect(await settings.run(contextWith('in'))).toEqual({ seen: 'in' })
})

test('in a plain actor a task runs as promise logic: progress and lines go nowhere, steps simply run', async () => {
  const logic = task(
    { input: z.object({ path: z.string() }) },
    async ({ input, attempt, progress, log, step, job }) => {
      progress({ completed: 1, total: 2 })
      log('begun')
      const keys = [await step('read', ({ key }) => key), await step('write', ({ key }) => key)]
      return { path: input.path, attempt, keys, id: job.id }
    },
  )
  const actor = createActor(logic, { input: { path: 'a.zip' } }).start()
  const expected = { path: 'a.zip', attempt: 1, keys: ['actor:read', 'actor:write'], id: 'actor' }
  expect(await toPromise(actor)).toEqual(expected)
})

test('in a plain actor events that a task sends go nowhere, and its inbox stays empty', async () => {
  const logic = task({}, async ({ send, inbox }) => {
    await send({ type: 'MORE' })
    const heard: unknown[] = []
    for await (const message of inbox) heard.push(message)
    return heard
  })
  expect(await toPromise(createActor(logic).start())).toEqual([])
})

test('in a plain actor a task fails as a promise does, even if its code is not async', async () => {
  const logic = task({}, () => {
    throw new RangeError('too far')
  })
  const actor = createActor(logic)
  actor.subscribe({ error: () => {} })
  actor.start()
  await expect(toPromise(actor)).rejects.toThrow('too far')
})

test('in a plain actor a task hears of its stop by its signal', async () => {
  let heard: AbortSignal | undefined
  const logic = task({}, async ({ signal }) => {
    heard = signal
    await new Promise(() => {})
  })
  const actor = createActor(logic).start()
  actor.stop()
  expect(heard?.aborted).toBe(true)
})

test('promise logic that is not a task runs by its creator, with a context without effect', async () => {
  const settings = promiseSettings(async ({ input, signal, self, system, emit }) => {
    emit({ type: 'heard by nobody' })
    return { input, signal: signal instanceof AbortSignal, self: typeof self, system: typeof system }
  })
  expect(await settings.run(contextWith(5))).toEqual({ input: 5, signal: true, self: 'object', system: 'object' })
  expect(settings).toMatchObject({ recovery: 'restart', retry: { limit: 0 }, killGraceMs: 5_000 })
})

test('the code of a task is typed by its schema, and is unknown without one', () => {
  task({ input: z.object({ rows: z.coerce.number() }) }, ({ input }) => {
    expectTypeOf(input).toEqualTypeOf<{ rows: number }>()
  })
  task({}, ({ input, step }) => {
    expectTypeOf(input).toBeUnknown()
    expectTypeOf(step('read', async () => 5)).resolves.toBeNumber()
  })
})

function contextWith(input: unknown): TaskContext {
  return {
    input,
    signal: new AbortController().signal,
    draining: new AbortController().signal,
    attempt: 1,
    job: { id: 'j1', type: 'plain', trigger: 'manual' },
    idempotencyKey: 'j1:1',
    progress: () => {},
    log: () => {},
    item: async () => {},
    step: async (name, run) => await run({ key: name, signal: new AbortController().signal }),
    send: async () => false,
    inbox: (async function* () {})(),
  }
}
