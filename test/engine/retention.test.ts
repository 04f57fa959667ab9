import { defineJob, type JobRetention, type RetentionOptions, task } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, textsOf, Work } from './bench.ts'

const MINUTE = 60_000
const NONE = { jobs: 0, events: 0, lines: 0 }

async function running(retention: RetentionOptions, ofType?: JobRetention, sweep = '1s') {
  const bench = new Bench()
  bench.isPruned = true
  const work = new Work()
  const type = defineJob({ type: 'run', execute: work.execute, ...(ofType === undefined ? {} : { retention: ofType }) })
  return { bench, work, type, ...(await bench.start({ jobs: [type], retention, sweep })) }
}

type Running = Awaited<ReturnType<typeof running>>

async function ended({ ada, work, type, bench }: Running, outcome = 'success'): Promise<string> {
  const { id } = await ada.submit(type, outcome)
  work.run().context.log('a line')
  if (outcome === 'success') work.run().finish()
  else if (outcome === 'failure') work.run().fail(new Error('broken'))
  else {
    await ada.cancel(id)
    work.run().finish()
  }
  await bench.clock.settle()
  return id
}

async function isThere({ ada }: Running, id: string): Promise<boolean> {
  return (await codeOf(ada.get(id))) === 'ok'
}

describe('retention', () => {
  test('without it, nothing is pruned', async () => {
    const host = await running({})
    const id = await ended(host)
    await host.bench.clock.advance(60 * MINUTE)
    expect(await host.engine.prune()).toEqual(NONE)
    expect(await isThere(host, id)).toBe(true)
  })

  test('an engine prunes by itself what ended longer ago than its outcome is kept', async () => {
    const host = await running({ jobs: { success: '10m', cancelled: '20m', failure: null } })
    const ids = [await ended(host), await ended(host, 'cancelled'), await ended(host, 'failure')]
    const there = () => Promise.all(ids.map((id) => isThere(host, id)))
    await host.bench.clock.advance(9 * MINUTE)
    expect(await there()).toEqual([true, true, true])
    await host.bench.clock.advance(3 * MINUTE)
    expect(await there()).toEqual([false, true, true])
    await host.bench.clock.advance(10 * MINUTE)
    expect(await there()).toEqual([false, false, true])
  })

  test('the log lines of child jobs are pruned by the rule of their parent, while their jobs are kept', async () => {
    const bench = new Bench()
    const work = new Work()
    const child = createMachine({
      initial: 'on',
      states: { on: { invoke: { src: 'work', onDone: 'off' } }, off: { type: 'final' } },
    }).provide({ actors: { work: task({}, work.execute) } })
    const lifecycle = createMachine({
      initial: 'on',
      states: { on: { invoke: { id: 'part', src: child, onDone: 'off' } }, off: { type: 'final' } },
    })
    const type = defineJob({ type: 'parent', lifecycle, retention: { logs: '10m' } })
    const { ada, engine } = await bench.start({ jobs: [type], sweep: '1h' })
    bench.isPruned = true
    const parent = await ada.submit(type)
    await bench.clock.settle()
    const { context, finish } = work.run()
    context.log('a line')
    finish()
    await bench.clock.settle()
    const [row] = (await ada.list({ parentId: parent.id })).items
    expect(await textsOf(ada.logs(row?.id ?? ''))).toEqual(['a line'])
    await bench.clock.advance(11 * MINUTE)
    expect(await engine.prune()).toEqual({ ...NONE, lines: 1 })
    expect(await textsOf(ada.logs(row?.id ?? ''))).toEqual([])
    expect((await ada.get(parent.id)).outcome).toBe('success')
  })

  test('prune says how much it has removed, and writes no event', async () => {
    const host = await running({ jobs: { success: '10m' } }, undefined, '1h')
    for (let n = 0; n < 3; n++) await ended(host)
    await host.bench.clock.advance(5 * MINUTE)
    const kept = await ended(host)
    const rows = (await host.bench.log()).length
    await host.bench.clock.advance(301_000)
    expect(await host.engine.prune()).toEqual({ ...NONE, jobs: 3, lines: 3 })
    expect(await host.engine.prune()).toEqual(NONE)
    expect((await host.bench.log()).length).toBe(rows)
    expect((await host.ada.list()).items.map(({ id }) => id)).toEqual([kept])
  })

  test('what a job type says replaces what the engine says, field by field', async () => {
    const host = await running({ jobs: { success: 0 }, logs: 0 }, { jobs: { failure: 0 }, max: 1 })
    const ids = [await ended(host), await ended(host, 'failure'), await ended(host), await ended(host)]
    await host.bench.clock.advance(1)
    expect(await host.engine.prune()).toEqual({ ...NONE, jobs: 3, lines: 4 })
    expect(await Promise.all(ids.map((id) => isThere(host, id)))).toEqual([false, false, false, true])
    expect(
      await host.ada
        .logs(ids[3] ?? '')
        [Symbol.asyncIterator]()
        .next(),
    ).toMatchObject({ done: true })
  })

  test('a job that has not ended is kept, however old it is', async () => {
    const host = await running({ jobs: { success: 0, failure: 0, cancelled: 0 }, max: 0, logs: 0, events: 0 })
    const { id } = await host.ada.submit(host.type, 1)
    host.work.run().context.log('a line')
    await host.ada.submit(host.type, 2, { startAt: host.bench.clock.now() + 3_600_000 })
    await host.bench.clock.advance(30 * MINUTE)
    expect(await host.engine.prune()).toEqual(NONE)
    expect(await isThere(host, id)).toBe(true)
    await host.ada.cancel(id)
    // Its code has not stopped yet.
    await host.bench.clock.advance(1)
    expect(await host.engine.prune()).toEqual(NONE)
    host.work.run().finish()
    await host.bench.clock.advance(1)
    expect(await host.engine.prune()).toMatchObject({ jobs: 1 })
  })

  test('the key of a pruned job is free, a pruned job is not retried, and its retry keeps its steps', async () => {
    const bench = new Bench()
    bench.isPruned = true
    let calls = 0
    const type = defineJob({
      type: 'steps',
      execute: async ({ step }) => {
        const made = await step('make', () => ++calls)
        if (calls < 9 && made === 1) throw new Error('not yet')
        return made
      },
    })
    const { ada, engine } = await bench.start({ jobs: [type], retention: { jobs: { failure: '1m' } } })
    const first = await ada.submit(type, undefined, { idempotencyKey: 'k' })
    await ada.result(first.id)
    const again = await ada.retry(first.id)
    await ada.result(again.id)
    await bench.clock.advance(2 * MINUTE)
    await engine.prune()
    expect(await codeOf(ada.retry(first.id))).toBe('JOB_NOT_FOUND')
    expect(calls).toBe(1)
    expect((await ada.submit(type, undefined, { idempotencyKey: 'k' })).id).not.toBe(first.id)
  })

  test('events of pruned jobs go when they are old too, and the others stay', async () => {
    const host = await running({ jobs: { success: '10m' }, events: '20m' })
    const gone = await ended(host)
    const kept = await ended(host, 'failure')
    await host.bench.clock.advance(15 * MINUTE)
    expect((await host.bench.log(gone)).length).toBeGreaterThan(0)
    await host.bench.clock.advance(10 * MINUTE)
    expect(await host.bench.log(gone)).toEqual([])
    expect((await host.bench.log(kept)).length).toBeGreaterThan(0)
  })

  test('progress of a running job goes when it is old, and the job still shows it', async () => {
    const host = await running({ progress: '1m' })
    const { id } = await host.ada.submit(host.type, 1)
    host.work.run().context.progress(5)
    await host.bench.clock.advance(1_000)
    const types = async () => (await host.bench.log(id)).flatMap(({ events }) => events.map(({ type }) => type))
    expect(await types()).toContain('job.progress')
    await host.bench.clock.advance(3 * MINUTE)
    expect(await types()).not.toContain('job.progress')
    expect(await host.ada.get(id)).toMatchObject({ progress: { completed: 5 } })
  })

  test('child jobs go with their top job', async () => {
    const bench = new Bench()
    bench.isPruned = true
    const work = new Work()
    const child = createMachine({
      initial: 'on',
      states: { on: { invoke: { src: 'work', onDone: 'off' } }, off: { type: 'final' } },
    }).provide({ actors: { work: task({}, work.execute) } })
    const lifecycle = createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: 'child', onDone: 'next' } },
        next: { after: { 600000: 'off' } },
        off: { type: 'final' },
      },
    }).provide({ actors: { child } } as never)
    const parent = defineJob({ type: 'parent', lifecycle })
    const { ada, engine } = await bench.start({ jobs: [parent], retention: { jobs: { success: '5m' } } })
    const { id } = await ada.submit(parent, undefined)
    work.run().finish()
    await bench.clock.advance(9 * MINUTE)
    expect((await ada.list({ parentId: id })).items).toHaveLength(1)
    await bench.clock.advance(10 * MINUTE)
    expect(await codeOf(ada.get(id))).toBe('JOB_NOT_FOUND')
    expect((await engine.system.list({ type: 'parent/child' })).items).toEqual([])
  })

  test('two engines prune at once, and each job goes once', async () => {
    const host = await running({ jobs: { success: 0 } })
    const other = await host.bench.start({ jobs: [host.type], retention: { jobs: { success: 0 } } })
    for (let n = 0; n < 20; n++) await ended(host)
    await host.bench.clock.advance(1)
    const pruned = await Promise.all([host.engine.prune(), other.engine.prune()])
    expect(pruned.reduce((sum, { jobs }) => sum + jobs, 0)).toBe(20)
  })

  test('jobs of types that the engine does not know are kept', async () => {
    const host = await running({})
    const other = await host.bench.start({ jobs: [], retention: { jobs: { success: 0 }, max: 0 } })
    const id = await ended(host)
    await host.bench.clock.advance(1)
    expect(await other.engine.prune()).toEqual(NONE)
    expect(await isThere(host, id)).toBe(true)
  })

  test('a storage that fails to prune does not hold up the other duties', async () => {
    const host = await running({ jobs: { success: 0 } })
    await ended(host)
    host.faults.plan('prune', 'refused')
    const late = await host.ada.submit(host.type, 1, { startAt: host.bench.clock.now() + 30_000 })
    await host.bench.clock.advance(40_000)
    expect(await host.ada.get(late.id)).toMatchObject({ status: 'running' })
    await host.bench.clock.advance(2 * MINUTE)
    expect(await host.ada.count()).toBe(1)
  })

  test('prune stops between two commits when its signal is aborted', async () => {
    const { engine } = await running({ jobs: { success: 0 } })
    expect(await engine.prune({ signal: AbortSignal.abort(new Error('enough')) }).catch(String)).toBe('Error: enough')
  })
})
