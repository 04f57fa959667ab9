import { type AnyJobType, defineJob, type LifecycleOptions, type Migrated, type MigratingJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

type Options = Partial<LifecycleOptions<'order', undefined, undefined, { readonly [command: string]: z.ZodObject }>>

const commands = { approve: z.object({}), cancel: z.object({}) }

function first(work = new Work(), seconds = 24): AnyJobType {
  const lifecycle = createMachine({
    id: 'order',
    initial: 'waiting',
    on: { cancel: '.cancelled' },
    states: {
      waiting: { on: { approve: 'shipping' }, after: { [seconds * 1_000]: 'expired' } },
      shipping: { invoke: { src: 'ship', onDone: 'shipped' } },
      shipped: { type: 'final' },
      expired: { type: 'final', tags: 'failure' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  } as never).provide({ actors: { ship: task({}, work.execute) } } as never)
  return defineJob({ type: 'order', lifecycle, commands })
}

function second(work = new Work(), options: Options = {}): AnyJobType {
  const lifecycle = createMachine({
    id: 'order',
    initial: 'review',
    on: { withdraw: '.cancelled' },
    states: {
      review: { on: { accept: 'dispatch' }, after: { patience: 'expired' } },
      dispatch: { invoke: { src: 'ship', onDone: 'shipped' } },
      shipped: { type: 'final' },
      expired: { type: 'final', tags: 'failure' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  }).provide({ actors: { ship: task({}, work.execute) }, delays: { patience: 7_000 } } as never)
  const accepts = { accept: z.object({}), withdraw: z.object({}) }
  return defineJob({
    type: 'order',
    version: '2',
    lifecycle,
    commands: accepts,
    cancel: 'withdraw',
    ...options,
  } as never)
}

const renamed: { readonly [state: string]: string } = { waiting: 'review', shipping: 'dispatch' }

// Goes to the same state under its new name, with its old deadline.
function migrate({ state, timers }: MigratingJob): Migrated {
  const id = 'xstate.after.patience.order.review'
  return { state: renamed[String(state)], timers: timers.map(({ dueAt }) => ({ id, event: { type: id }, dueAt })) }
}

test('a job of a version that the engine does not know waits for an engine that does', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const two = await bench.start({ jobs: [second()] })
  await bench.clock.advance(60_000)
  expect(await two.ada.get(id)).toMatchObject({ version: '1', status: 'waiting' })
  expect(await codeOf(two.ada.cancel(id))).toBe('UNKNOWN_TYPE')
  await two.engine.stop()
  const three = await bench.start({ jobs: [first()] })
  await bench.clock.settle()
  expect(await three.ada.get(id)).toMatchObject({ status: 'expired' })
})

test('a job of a previous version continues under it, beside jobs of the new one', async () => {
  const bench = new Bench()
  const work = new Work()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const order = second(work, { previous: [first(work)] })
  const { ada } = await bench.start({ jobs: [order] })
  await ada.submit(order, undefined)
  expect(await codeOf(ada.send(id, { type: 'accept' }))).toBe('INVALID_INPUT')
  await ada.send(id, { type: 'approve' })
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.list()).items.map(({ version, status }) => [version, status])).toEqual([
    ['2', 'review'],
    ['1', 'shipped'],
  ])
})

test('a migrated job takes the commands of the new version, and its history records the migration', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const work = new Work()
  const { ada } = await bench.start({ jobs: [second(work, { previous: [first()], migrate })] })
  expect(await ada.get(id)).toMatchObject({ version: '1', status: 'waiting' })
  expect(await codeOf(ada.send(id, { type: 'approve' }))).toBe('INVALID_INPUT')
  expect(await ada.send(id, { type: 'accept' })).toMatchObject({ version: '2', status: 'dispatch' })
  work.run().finish()
  await bench.clock.settle()
  const history = await ada.history(id)
  expect(history.map(({ from, to, reason }) => [from, to, reason])).toEqual([
    [undefined, 'waiting', undefined],
    ['waiting', 'review', 'moved to version 2'],
    ['review', 'dispatch', undefined],
    ['dispatch', 'shipped', undefined],
  ])
})

test('a timer whose delay was renamed by the new version keeps its time, even right after a restart', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  await bench.clock.advance(23_999)
  const { ada } = await bench.start({ jobs: [second(new Work(), { previous: [first()], migrate })] })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ phase: 'active' })
  await bench.clock.advance(2_000)
  // Migrated when its timer fell due, not before; the timer fires in the state's new version.
  expect(await ada.get(id)).toMatchObject({ version: '2', status: 'expired' })
})

test('a job is migrated through one version after the other when it is touched', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const middle = second(new Work(), { previous: [first()], migrate })
  const last = second(new Work(), { version: '3', previous: [middle], migrate: () => ({ state: 'review' }) })
  const { ada } = await bench.start({ jobs: [last] })
  expect(await ada.send(id, { type: 'withdraw' })).toMatchObject({ version: '3', status: 'cancelled' })
})

test('work that was available under the old version runs with the code of the new one', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()], work: false })
  const { id } = await one.ada.submit(first(), undefined)
  await one.ada.send(id, { type: 'approve' })
  await one.engine.stop()
  const [old, now] = [new Work(), new Work()]
  const { ada } = await bench.start({ jobs: [second(now, { previous: [first(old)], migrate })] })
  await bench.clock.advance(1_100)
  expect([old.runs.length, now.runs.length]).toEqual([0, 1])
  now.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ version: '2', status: 'shipped' })
})

test('I36 a job whose migrate throws is unchanged, and delays no other', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()], work: false })
  const { id } = await one.ada.submit(first(), undefined)
  await one.ada.send(id, { type: 'approve' })
  await one.engine.stop()
  const work = new Work()
  const broken = () => {
    throw new Error('not thought of')
  }
  const order = second(work, { previous: [first()], migrate: broken })
  const { ada } = await bench.start({ jobs: [order] })
  const fresh = await ada.submit(order, undefined)
  await ada.send(fresh.id, { type: 'accept' })
  await bench.clock.advance(5_000)
  expect(work.runs).toHaveLength(1)
  expect(await errorOf(ada.send(id, { type: 'accept' }))).toMatchObject({ code: 'INVALID_DEFINITION', jobId: id })
  expect(await ada.get(id)).toMatchObject({ version: '1', status: 'shipping' })
})

test('I52 a refusal does not reveal whether a hidden job could be migrated; only its creator cancels it', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const broken = () => {
    throw new Error('not thought of')
  }
  const two = await bench.start({ jobs: [second(new Work(), { previous: [first()], migrate: broken })] })
  expect(await codeOf(two.bob.send(id, { type: 'accept' }))).toBe('JOB_NOT_FOUND')
  expect(await codeOf(two.bob.cancel(id))).toBe('JOB_NOT_FOUND')
  await two.engine.stop()
  const three = await bench.start({ jobs: [second(new Work(), { previous: [first()], migrate })] })
  // The cancel command of the version to which the job will migrate.
  expect(await codeOf(three.admin.send(id, { type: 'withdraw' }))).toBe('FORBIDDEN')
  expect(await three.ada.cancel(id)).toMatchObject({ version: '2', status: 'cancelled' })
})

test('a chart changed under the same version is refused while a job is in the old one', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  const { id } = await one.ada.submit(first(), undefined)
  await one.engine.stop()
  const refused = await errorOf(bench.start({ jobs: [first(new Work(), 48)] }))
  expect(refused).toMatchObject({ code: 'INVALID_DEFINITION' })
  expect(refused.message).toContain('"order" version "1"')
  const two = await bench.start({ jobs: [first()] })
  await two.ada.cancel(id)
  await two.engine.stop()
  const three = await bench.start({ jobs: [first(new Work(), 48)] })
  expect(await three.ada.get(id)).toMatchObject({ status: 'cancelled' })
})

test('a chart changed under the same version is refused while a living engine uses the old one', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [first()] })
  expect(await codeOf(bench.start({ jobs: [first(new Work(), 48)] }))).toBe('INVALID_DEFINITION')
  await one.crash()
  expect(await codeOf(bench.start({ jobs: [first(new Work(), 48)] }))).toBe('ok')
})

test('the code of a job type may change under the same version, because it is not part of its chart', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [defineJob({ type: 'plain', execute: () => 1 })], work: false })
  const { id } = await one.ada.submit(defineJob({ type: 'plain', execute: () => 1 }), undefined)
  await one.engine.stop()
  const { ada } = await bench.start({ jobs: [defineJob({ type: 'plain', execute: () => 2, retry: { limit: 3 } })] })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ output: 2 })
})

test('the same type may be given as previous and by itself; the same version twice is refused', async () => {
  const bench = new Bench()
  const old = first()
  const order = second(new Work(), { previous: [old] })
  expect(await codeOf(bench.start({ jobs: [order, old] }))).toBe('ok')
  expect(await codeOf(bench.start({ jobs: [order, first()] }))).toBe('INVALID_DEFINITION')
  expect(await codeOf(bench.start({ jobs: [order, order] }))).toBe('INVALID_DEFINITION')
})

test('a child of a migrated job continues under its own version, and its end reaches the parent in the new one', async () => {
  const bench = new Bench()
  const parentOf = (version: string, target: string, options: object) => {
    const child = createMachine({
      initial: 'on',
      states: { on: { on: { POKE: target } }, [target]: { type: 'final' } },
    } as never)
    const lifecycle = createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: { id: 'c', src: 'child', onDone: 'over' },
          on: { poke: { actions: sendTo('c', { type: 'POKE' }) } },
        },
        over: { type: 'final' },
      },
    }).provide({ actors: { child } } as never)
    return defineJob({ type: 'parent', version, lifecycle, commands: { poke: z.object({}) }, ...options } as never)
  }
  const old = parentOf('1', 'off', {})
  const one = await bench.start({ jobs: [old] })
  const { id } = await one.ada.submit(old, undefined)
  await one.engine.stop()
  const newer = parentOf('2', 'out', { previous: [old], migrate: ({ state }: MigratingJob) => ({ state }) })
  const { ada, engine } = await bench.start({ jobs: [newer] })
  await ada.send(`${id}`, { type: 'poke' })
  expect(await ada.get(id)).toMatchObject({ version: '2', status: 'over' })
  expect((await engine.system.list({ type: 'parent/child' })).items).toMatchObject([{ version: '1', status: 'off' }])
})
