import { defineJob, type JobchartError, type StepContext, type StepRun, type TaskContext, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

/** Code in steps: `a`, then `b`; then it waits for the test. */
class Stepwise {
  readonly ran: string[] = []
  readonly keys: string[] = []
  readonly work = new Work()

  readonly execute = async (context: TaskContext) => {
    const a = await this.step(context, 'a', { rows: 1 })
    const b = await this.step(context, 'b', undefined)
    await this.work.execute(context)
    return { a, b: b ?? 'nothing' }
  }

  step<Result>({ step, attempt }: TaskContext, name: string, result: Result): Promise<Result> {
    const run = ({ key }: StepContext) => {
      this.ran.push(`${name} in attempt ${attempt}`)
      this.keys.push(key)
      return result
    }
    // The compiler can check a step's result only where its type is known.
    return step(name, run as StepRun<Result>)
  }
}

test('I22 a recorded step is not run again by a retry', async () => {
  const bench = new Bench()
  const code = new Stepwise()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: code.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  code.work.run().fail(new Error('again'))
  await bench.clock.advance(1_000)
  code.work.run(1).finish()
  await bench.clock.settle()
  expect(code.ran).toEqual(['a in attempt 1', 'b in attempt 1'])
  expect((await ada.get(id)).output).toEqual({ a: { rows: 1 }, b: 'nothing' })
})

test('I22 a recorded step is not run again after a crash, and its key is the same', async () => {
  const bench = new Bench()
  const code = new Stepwise()
  const type = defineJob({ type: 'w', execute: code.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.settle()
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await bench.clock.settle()
  code.work.run(1).finish()
  await bench.clock.settle()
  expect((await two.ada.get(id)).output).toEqual({ a: { rows: 1 }, b: 'nothing' })
  expect(code.ran).toEqual(['a in attempt 1', 'b in attempt 1'])
})

test('I22 a step that crashes before it is recorded runs again under the same key', async () => {
  const bench = new Bench()
  const code = new Stepwise()
  const inside = new Work()
  const type = defineJob({
    type: 'w',
    execute: async (context) => {
      await context.step('a', async ({ key }) => {
        code.keys.push(key)
        return await inside.execute(context)
      })
      return 'done'
    },
  })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.settle()
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await bench.clock.settle()
  inside.run().finish(2)
  await bench.clock.settle()
  expect((await two.ada.get(id)).status).toBe('completed')
  expect(code.keys).toHaveLength(2)
  expect(new Set(code.keys).size).toBe(1)
})

test('every step of every job has its own key', async () => {
  const bench = new Bench()
  const code = new Stepwise()
  const type = defineJob({ type: 'w', execute: code.execute })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await ada.submit(type, 1)
  await bench.clock.settle()
  expect(new Set(code.keys).size).toBe(4)
})

test('using a name twice in one attempt is refused, also when both run at once', async () => {
  const bench = new Bench()
  let ran = 0
  const codes: string[] = []
  const type = defineJob({
    type: 'w',
    execute: async ({ step }) => {
      const both = await Promise.all([codeOf(step('a', () => ++ran)), codeOf(step('a', () => ++ran))])
      codes.push(...both, await codeOf(step('a', () => ++ran)))
    },
  })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await engine.idle()
  expect([codes, ran]).toEqual([['ok', 'INVALID_INPUT', 'INVALID_INPUT'], 1])
})

test.each([
  ['empty', ''],
  ['of 201 characters', 'n'.repeat(201)],
  ['a number', 7],
])('an invalid name is refused before the step runs: %s', async (_, name) => {
  const bench = new Bench()
  let ran = 0
  const type = defineJob({ type: 'w', execute: async ({ step }) => await codeOf(step(name as string, () => ++ran)) })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await engine.idle()
  expect([(await ada.get(id)).output, ran]).toEqual(['INVALID_INPUT', 0])
})

test('names like __proto__ are names like others', async () => {
  const bench = new Bench()
  const names = ['__proto__', 'constructor', 'toString', ' ', '💥']
  const given: unknown[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: async ({ step, attempt }) => {
      for (const name of names) given.push(await step(name, () => attempt))
      throw new Error('again')
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect(given).toEqual(Array.from({ length: 10 }, () => 1))
})

test('a step that fails records nothing, and runs again in the next attempt', async () => {
  const bench = new Bench()
  const ran: number[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: async ({ step, attempt }) =>
      await step('a', () => {
        ran.push(attempt)
        if (attempt === 1) throw new Error('again')
        return 'fine'
      }),
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect([ran, (await ada.get(id)).output]).toEqual([[1, 2], 'fine'])
})

test('a result that cannot be stored is refused with its path, and not recorded', async () => {
  const bench = new Bench()
  const type = defineJob({
    type: 'w',
    // With types this would not compile.
    execute: async ({ step }): Promise<unknown> => await step('load', (): unknown => ({ rows: [new Map()] })),
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  const { error } = await ada.get(id)
  expect(error?.code).toBe('NOT_STORABLE')
  expect(error?.message).toContain('result of step "load".rows.0')
})

test('a step that ends while its task is stopping is recorded', async () => {
  const bench = new Bench()
  const inside = new Work()
  const type = defineJob({ type: 'w', execute: (context) => context.step('a', () => inside.execute(context)) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  await ada.cancel(id)
  inside.run().finish('in time')
  await bench.clock.settle()
  expect(await (await bench.probe()).steps(id, 'execute', 1)).toEqual(new Map([['a', 'in time']]))
})

test('I16 a step that ends after the task was lost is STALE_CLAIM, and records nothing', async () => {
  const bench = new Bench()
  const inside = new Work()
  const errors: JobchartError[] = []
  const type = defineJob({
    type: 'w',
    killGrace: 0,
    execute: async (context) => {
      await context.step('a', () => inside.execute(context)).catch((error: JobchartError) => errors.push(error))
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  await ada.cancel(id)
  await bench.clock.advance(30_000)
  inside.run().finish('late')
  await bench.clock.settle()
  expect(errors.map(({ code }) => code)).toEqual(['STALE_CLAIM'])
  const probe = await bench.probe()
  expect((await probe.steps(id, 'execute', 1)).size).toBe(0)
})

test('a step started after its code has returned is STALE_CLAIM, and does not run', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  work.run().finish()
  await bench.clock.settle()
  let hasRun = false
  const late = work.run().context.step('late', () => {
    hasRun = true
  })
  expect([await codeOf(late), hasRun]).toEqual(['STALE_CLAIM', false])
})

test('a new invocation starts without the steps of the one before', async () => {
  const bench = new Bench()
  const code = new Stepwise()
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'resting' }, on: { again: { target: 'working', reenter: true } } },
      resting: { on: { again: 'working' } },
    },
  })
  const type = defineJob({
    type: 'm',
    lifecycle: machine.provide({ actors: { work: task({}, code.execute) } }),
    commands: { again: z.object({}) },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  // The first invocation ends by itself. The second is left while it runs, so the third waits until its code returns.
  code.work.run().finish()
  await bench.clock.settle()
  await ada.send(id, { type: 'again' })
  await bench.clock.settle()
  await ada.send(id, { type: 'again' })
  await bench.clock.settle()
  expect(code.ran).toHaveLength(4)
  code.work.run().finish()
  await bench.clock.settle()
  expect(code.ran).toEqual(Array.from({ length: 3 }, () => ['a in attempt 1', 'b in attempt 1']).flat())
  expect(new Set(code.keys).size).toBe(6)
  const probe = await bench.probe()
  const invoke = (await bench.row(id)).tasks[0]?.id ?? ''
  const left = await Promise.all([1, 2, 3].map(async (ordinal) => (await probe.steps(id, invoke, ordinal)).size))
  expect(left).toEqual([2, 2, 2])
})
