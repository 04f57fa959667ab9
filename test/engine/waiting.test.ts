import { defineJob, task } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

const nightly = { pipeline: 'nightly' } as const
const queued = { ...nightly, overlap: 'queue' } as const
const replacing = { ...nightly, overlap: 'replace' } as const

/** One job type, whose runs end when the test says so. */
async function running(options: { readonly work?: boolean } = {}) {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'run', execute: work.execute })
  return { bench, work, type, ...(await bench.start({ jobs: [type], ...options })) }
}

describe('a start in the future', () => {
  test('I34 keeps a job waiting until then, and not a moment longer', async () => {
    const { ada, bench, type, work } = await running()
    const startAt = bench.clock.now() + 30_250
    const job = await ada.submit(type, 1, { startAt })
    expect(job).toMatchObject({ phase: 'waiting', status: 'waiting', startAt: new Date(startAt).toISOString() })
    expect(job).not.toHaveProperty('admittedAt')
    await bench.clock.advance(30_249)
    expect(work.runs).toHaveLength(0)
    await bench.clock.advance(1)
    expect(work.runs).toHaveLength(1)
    expect(await ada.get(job.id)).toMatchObject({ phase: 'active', status: 'running', admittedAt: job.startAt })
  })

  test('of a more urgent job does not delay a job whose time has come', async () => {
    const { ada, bench, type, work } = await running()
    const now = bench.clock.now()
    await ada.submit(type, 'urgent', { ...nightly, priority: 9, startAt: now + 1_900 })
    await ada.submit(type, 'due', { ...nightly, startAt: now + 1_500 })
    await bench.clock.advance(1_550)
    expect(work.runs.map(({ context }) => context.input)).toEqual(['due'])
  })

  test('I34 is exact to the millisecond after a restart as well', async () => {
    const { ada, bench, type, work, crash } = await running()
    const startAt = bench.clock.now() + 5_123
    await ada.submit(type, 1, { startAt })
    await crash()
    await bench.start({ jobs: [type] })
    await bench.clock.advance(startAt - bench.clock.now() - 1)
    expect(work.runs).toHaveLength(0)
    await bench.clock.advance(1)
    expect(work.runs).toHaveLength(1)
  })

  test('may be given as milliseconds, as ISO 8601 or as a Date; a past time starts at once, and an invalid one is refused', async () => {
    const { ada, bench, type } = await running()
    const at = bench.clock.now() + 5_000
    for (const startAt of [at, new Date(at).toISOString(), new Date(at)]) {
      expect(await ada.submit(type, 1, { startAt })).toMatchObject({ phase: 'waiting' })
    }
    expect(await ada.submit(type, 1, { startAt: at - 9_000 })).toMatchObject({ phase: 'active' })
    for (const startAt of ['tomorrow', Number.NaN, -1, new Date(Number.NaN)]) {
      expect(await codeOf(ada.submit(type, 1, { startAt }))).toBe('INVALID_INPUT')
    }
  })

  test('survives a restart: jobs that fell due meanwhile start at once', async () => {
    const { ada, bench, type, work, crash } = await running()
    const { id } = await ada.submit(type, 1, { startAt: bench.clock.now() + 60_000 })
    await crash()
    await bench.clock.advance(90_000)
    const next = await bench.start({ jobs: [type] })
    await bench.clock.settle()
    expect(work.runs).toHaveLength(1)
    expect(await next.ada.get(id)).toMatchObject({ status: 'running' })
  })

  test('lets the job take commands while it waits, and be cancelled without having run', async () => {
    const { ada, bench, type, work } = await running()
    const { id } = await ada.submit(type, 1, { startAt: bench.clock.now() + 60_000 })
    expect((await ada.list({ phase: 'waiting' })).items).toMatchObject([{ id }])
    expect(await ada.cancel(id)).toMatchObject({ phase: 'settled', outcome: 'cancelled' })
    await bench.clock.advance(70_000)
    expect(work.runs).toHaveLength(0)
  })

  test('delays timers and child jobs, which count and begin from the admission', async () => {
    const bench = new Bench()
    const work = new Work()
    const child = createMachine({ initial: 'on', states: { on: { on: { HELLO: 'greeted' } }, greeted: {} } })
    const parent = createMachine({
      initial: 'on',
      states: {
        on: {
          entry: sendTo('child', { type: 'HELLO' }),
          invoke: [{ id: 'child', src: 'child' }, { src: 'work' }],
          after: { 10000: 'late' },
        },
        late: { type: 'final' },
      },
    }).provide({ actors: { child, work: task({}, work.execute) } } as never)
    const type = defineJob({ type: 'parent', lifecycle: parent })
    const { ada, engine } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined, { startAt: bench.clock.now() + 60_000 })
    const children = async () => (await engine.system.list({ type: 'parent/child' })).items
    await bench.clock.advance(59_999)
    expect([await children(), work.runs.length]).toEqual([[], 0])
    await bench.clock.advance(1)
    expect(await children()).toMatchObject([{ status: 'greeted', parentId: id }])
    await bench.clock.advance(9_999)
    expect(await ada.get(id)).toMatchObject({ status: 'on' })
    await bench.clock.advance(1)
    expect(await ada.get(id)).toMatchObject({ status: 'late' })
    expect(await children()).toMatchObject([{ status: 'stopped' }])
  })
})

test('an overlap without a pipeline is refused, and the error says to name one', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  for (const overlap of ['reject', 'queue', 'replace'] as const) {
    const error = await errorOf(ada.submit(type, 1, { overlap }))
    expect([error.code, error.issues?.[0]?.path]).toEqual(['INVALID_INPUT', ['overlap']])
    expect(error.message).toContain("name the pipeline too, e.g. pipeline: 'nightly'")
  }
  const [outcome] = await ada.submitMany([{ type, overlap: 'queue' }])
  expect(outcome?.error).toMatchObject({ code: 'INVALID_INPUT' })
  expect((await ada.list()).items).toEqual([])
})

describe('overlap: queue', () => {
  test('I14 runs wait for their turn, by priority and then by age, and start as the slot is freed', async () => {
    const { ada, bench, type, work } = await running()
    const first = await ada.submit(type, 0, queued)
    const ids = [first.id]
    for (const priority of [0, 5, 0]) ids.push((await ada.submit(type, ids.length, { ...queued, priority })).id)
    expect((await ada.list({ phase: 'waiting' })).items).toHaveLength(3)
    const order: unknown[] = []
    for (let n = 0; n < 4; n++) {
      expect(work.runs).toHaveLength(n + 1)
      order.push(work.run().context.input)
      work.run().finish()
      await bench.clock.settle()
    }
    expect(order).toEqual([0, 2, 1, 3])
    expect((await ada.list({ phase: 'settled' })).items).toHaveLength(4)
  })

  test('the next run is admitted in the changeset that frees the slot', async () => {
    const { ada, bench, type, work } = await running()
    const { id } = await ada.submit(type, 0, queued)
    const next = await ada.submit(type, 1, queued)
    work.run().finish()
    await bench.clock.settle()
    const rows = (await bench.log()).filter(({ events }) => events.some(({ type: of }) => of === 'job.admitted'))
    const ended = (await bench.log(id)).at(-1)
    expect(rows).toMatchObject([{ jobId: next.id, changeset: ended?.changeset }])
    expect(rows[0]?.events[0]).toMatchObject({ by: { id: 'engine' } })
  })

  test('a submit that does not queue is refused while others wait, and one that queues waits behind them', async () => {
    const { ada, bench, type, work } = await running()
    await ada.submit(type, 0, queued)
    await ada.submit(type, 1, queued)
    expect(await codeOf(ada.submit(type, 9, nightly))).toBe('ALREADY_RUNNING')
    await ada.submit(type, 2, queued)
    work.run().finish()
    await bench.clock.settle()
    expect(work.run().context.input).toBe(1)
  })

  test('I39 a cancelled run that still stops holds the slot, and the next run waits for that', async () => {
    const { ada, bench, type, work } = await running()
    const { id } = await ada.submit(type, 0, queued)
    const next = await ada.submit(type, 1, queued)
    await ada.cancel(id)
    await bench.clock.settle()
    expect(await ada.get(next.id)).toMatchObject({ phase: 'waiting' })
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(next.id)).toMatchObject({ phase: 'active' })
  })

  test('a run whose turn came while no engine ran is admitted at the next start', async () => {
    const { ada, bench, type, work, crash } = await running()
    await ada.submit(type, 0, queued)
    const next = await ada.submit(type, 1, { ...queued, startAt: bench.clock.now() + 60_000 })
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(next.id)).toMatchObject({ phase: 'waiting' })
    await crash()
    await bench.clock.advance(60_000)
    const two = await bench.start({ jobs: [type] })
    await bench.clock.settle()
    expect(await two.ada.get(next.id)).toMatchObject({ status: 'running' })
  })

  test('two engines on one storage let one run in at a time', async () => {
    const { ada, bench, type, work } = await running()
    const two = await bench.start({ jobs: [type] })
    for (let n = 0; n < 6; n++) await (n % 2 === 0 ? ada : two.ada).submit(type, n, queued)
    for (let n = 0; n < 6; n++) {
      await bench.clock.advance(1_100)
      expect(work.runs).toHaveLength(n + 1)
      work.run().finish()
      await bench.clock.settle()
    }
  })

  test('the idempotency key of a waiting run gives that run', async () => {
    const { ada, type } = await running()
    await ada.submit(type, 0, queued)
    const first = await ada.submit(type, 1, { ...queued, idempotencyKey: 'k' })
    expect(await ada.submit(type, 1, { ...queued, idempotencyKey: 'k' })).toMatchObject({ id: first.id })
    expect(await codeOf(ada.submit(type, 2, { ...queued, idempotencyKey: 'k' }))).toBe('INVALID_INPUT')
  })
})

describe('overlap: replace', () => {
  test('cancels the run that holds the slot, and starts when its work has stopped', async () => {
    const { ada, bench, type, work } = await running()
    const old = await ada.submit(type, 0, nightly)
    const next = await ada.submit(type, 1, replacing)
    expect(await ada.get(old.id)).toMatchObject({ status: 'cancelled' })
    expect(next).toMatchObject({ phase: 'waiting' })
    expect(work.runs).toHaveLength(1)
    expect(work.run().context.signal.aborted).toBe(true)
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(next.id)).toMatchObject({ status: 'running' })
  })

  test('starts at once if no work of the old run runs', async () => {
    const { ada, bench, type } = await running({ work: false })
    const old = await ada.submit(type, 0, nightly)
    const next = await ada.submit(type, 1, replacing)
    expect(next).toMatchObject({ phase: 'active' })
    expect(await ada.get(old.id)).toMatchObject({ status: 'cancelled' })
    const [row] = await bench.log(next.id)
    expect((await bench.log(old.id)).at(-1)?.changeset).toBe(row?.changeset)
  })

  test('a later replace takes the place of a waiting replace, but not of a queued run', async () => {
    const { ada, bench, type, work } = await running()
    await ada.submit(type, 0, nightly)
    const first = await ada.submit(type, 1, replacing)
    const patient = await ada.submit(type, 2, queued)
    const second = await ada.submit(type, 3, replacing)
    expect(await ada.get(first.id)).toMatchObject({ status: 'cancelled' })
    expect(await ada.get(patient.id)).toMatchObject({ phase: 'waiting' })
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(patient.id)).toMatchObject({ status: 'running' })
    expect(await ada.get(second.id)).toMatchObject({ phase: 'waiting' })
  })

  test('a later replace leaves a run alone whose start time has not come', async () => {
    const { ada, bench, type, work } = await running()
    await ada.submit(type, 0, nightly)
    const planned = await ada.submit(type, 1, { ...replacing, startAt: bench.clock.now() + 60_000 })
    const next = await ada.submit(type, 2, replacing)
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(planned.id)).toMatchObject({ phase: 'waiting' })
    work.run().finish()
    await bench.clock.advance(60_000)
    expect([(await ada.get(next.id)).status, (await ada.get(planned.id)).status]).toEqual(['completed', 'running'])
  })

  test('starts where the holder ends at once and the next in turn is one that it replaces', async () => {
    const bench = new Bench()
    const lifecycle = createMachine({
      initial: 'asking',
      states: { asking: { on: { cancel: 'gone' } }, gone: { type: 'final', tags: 'cancelled' } },
    })
    const type = defineJob({ type: 'ask', lifecycle, commands: { cancel: z.object({}) } })
    const { ada } = await bench.start({ jobs: [type] })
    const holder = await ada.submit(type, undefined, nightly)
    const waiting = await ada.submit(type, undefined, { ...replacing, startAt: bench.clock.now() + 100 })
    await bench.clock.advance(2_000)
    expect(await ada.get(waiting.id)).toMatchObject({ phase: 'waiting' })
    const { id } = await ada.submit(type, undefined, replacing)
    await bench.clock.advance(1)
    expect(await ada.get(id)).toMatchObject({ phase: 'active' })
    for (const old of [holder, waiting]) expect(await ada.get(old.id)).toMatchObject({ status: 'gone' })
  })

  test('I53 asks for the right to cancel before it checks whether the holder’s type is known', async () => {
    const { ada, bench, type } = await running({ work: false })
    const other = defineJob({ type: 'other', execute: () => 1 })
    await ada.submit(type, 0, nightly)
    const two = await bench.start({ jobs: [other], work: false })
    expect(await codeOf(two.bob.submit(other, 1, replacing))).toBe('ALREADY_RUNNING')
    expect(await codeOf(two.ada.submit(other, 1, replacing))).toBe('UNKNOWN_TYPE')
  })

  test('needs the right to cancel the holder: without it the holder stays, and a hidden one is not shown', async () => {
    const { ada, bob, admin, type } = await running()
    const { id } = await ada.submit(type, 0, nightly)
    const denied = await errorOf(admin.submit(type, 1, replacing))
    expect(denied).toMatchObject({ code: 'FORBIDDEN', jobId: id })
    const hidden = await errorOf(bob.submit(type, 1, replacing))
    expect(hidden).toMatchObject({ code: 'ALREADY_RUNNING', jobId: undefined })
    expect(await ada.get(id)).toMatchObject({ status: 'running' })
    expect((await admin.list()).items).toHaveLength(1)
  })

  test('a chart that refuses to be cancelled is not replaced', async () => {
    const bench = new Bench()
    const stubborn = createMachine({
      initial: 'soft',
      states: {
        soft: { on: { cancel: 'gone', HARDEN: 'hard' } },
        hard: {},
        gone: { type: 'final', tags: 'cancelled' },
      },
    })
    const commands = { cancel: z.object({}), HARDEN: z.object({}) }
    const type = defineJob({ type: 'stubborn', lifecycle: stubborn, commands })
    const endless = defineJob({ type: 'endless', lifecycle: createMachine({}) })
    const { ada } = await bench.start({ jobs: [type, endless] })
    const { id } = await ada.submit(type, undefined, nightly)
    await ada.send(id, { type: 'HARDEN' })
    expect(await errorOf(ada.submit(type, undefined, replacing))).toMatchObject({ code: 'INVALID_STATE', jobId: id })
    await ada.submit(endless, undefined, { pipeline: 'other' })
    expect(await codeOf(ada.submit(type, undefined, { ...replacing, pipeline: 'other' }))).toBe('INVALID_STATE')
    expect((await ada.list()).items).toHaveLength(2)
  })
})
