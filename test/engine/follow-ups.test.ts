import { defineJob, type EndedJob, type FollowUp } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

/** Retries a failed job, this many times. */
const twice = ({ outcome, retries }: EndedJob): readonly FollowUp[] =>
  outcome === 'failure' && retries < 2 ? [{ kind: 'retry' }] : []

async function started(followUp: (job: EndedJob) => readonly FollowUp[] | undefined) {
  const bench = new Bench()
  const work = new Work()
  const after = defineJob({ type: 'after', input: z.object({ of: z.string() }), execute: work.execute })
  const type = defineJob({ type: 'first', execute: work.execute, followUp })
  const host = await bench.start({ jobs: [type, after] })
  return { bench, work, type, after, jobs: [type, after], ...host }
}

/** The lines of a job's log about follow-ups that were not made. */
async function failures(bench: Bench, id: string) {
  const events = (await bench.log(id)).flatMap((row) => row.events)
  return events.flatMap((event) => (event.type === 'job.followUpFailed' ? [[event.kind, event.error.code]] : []))
}

describe('another try', () => {
  test('is a new job, linked to the failed one, with its creator, input, labels and priority', async () => {
    const { ada, admin, bench, type, work } = await started(twice)
    const labels = { team: 'data' }
    const first = await ada.submit(type, { n: 1 }, { labels, priority: 3 })
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    const second = (await ada.list()).items.find(({ retries }) => retries === 1)
    expect(second).toMatchObject({
      retryOf: first.id,
      retries: 1,
      trigger: 'retry',
      createdBy: 'ada',
      input: { n: 1 },
      labels,
      priority: 3,
      status: 'running',
    })
    for (const _ of [1, 2, 3]) {
      work.run().fail(new Error('no'))
      await bench.clock.settle()
    }
    const all = (await admin.list()).items
    expect(all.map(({ retries = 0, outcome }) => [retries, outcome]).sort()).toEqual([
      [0, 'failure'],
      [1, 'failure'],
      [2, 'failure'],
    ])
  })

  test('is committed with the end that it follows', async () => {
    const { ada, bench, type, work } = await started(twice)
    const { id } = await ada.submit(type, 1)
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    const rows = await bench.log()
    const written = new Map(rows.map(({ changeset }) => [changeset, [] as string[]]))
    for (const { changeset, jobId } of rows) written.get(changeset)?.push(jobId)
    const retried = (await ada.list()).items.find(({ retries }) => retries === 1)
    expect([...written.values()].map((ids) => [...new Set(ids)])).toContainEqual([id, retried?.id])
  })

  test('in a pipeline keeps its slot: no other run slips in between', async () => {
    const { ada, bench, type, work } = await started(twice)
    const first = await ada.submit(type, 1, { pipeline: 'p' })
    work.run().fail(new Error('no'))
    const slots: unknown[] = []
    // Another submit is tried at every moment.
    for (let turn = 0; turn < 20; turn++) {
      slots.push(await codeOf(ada.submit(type, 2, { pipeline: 'p' })))
    }
    await bench.clock.settle()
    expect(new Set(slots)).toEqual(new Set(['ALREADY_RUNNING']))
    expect((await ada.list({ pipeline: 'p' })).items).toContainEqual(
      expect.objectContaining({ retryOf: first.id, status: 'running' }),
    )
  })

  test('in a pipeline waits behind the runs that already wait', async () => {
    const { ada, bench, type, work } = await started(twice)
    await ada.submit(type, 'first', { pipeline: 'p' })
    await ada.submit(type, 'queued', { pipeline: 'p', overlap: 'queue' })
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    expect(work.run().context.input).toBe('queued')
    work.run().finish()
    await bench.clock.settle()
    expect(work.runs.map(({ context }) => context.input)).toEqual(['first', 'queued', 'first'])
  })

  test('in a pipeline takes the slot even if a run begins to wait while it is decided', async () => {
    const { ada, bench, type, jobs, work, faults } = await started(twice)
    const other = await bench.start({ jobs, work: false })
    await ada.submit(type, 'first', { pipeline: 'p' })
    const answer = Promise.withResolvers<void>()
    // The end is read once for itself, and once more for its follow-ups.
    faults.plan('load', Promise.resolve(), answer.promise)
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    expect(faults.calls('load')).toBe(2)
    await other.ada.submit(type, 'late', { pipeline: 'p', startAt: bench.clock.now() + 1, overlap: 'queue' })
    await bench.clock.advance(1)
    answer.resolve()
    await bench.clock.settle()
    expect(work.runs.map(({ context }) => context.input)).toEqual(['first', 'first'])
    work.run().finish()
    await bench.clock.settle()
    expect(work.run().context.input).toBe('late')
  })

  test('may be delayed, and a restart does not change its time', async () => {
    const { ada, bench, type, work, crash, jobs } = await started(({ outcome, retries }) =>
      outcome === 'failure' && retries < 1 ? [{ kind: 'retry', delay: '10s', input: 'other', priority: 7 }] : undefined,
    )
    await ada.submit(type, 1)
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    await crash()
    await bench.clock.advance(3_000)
    const next = await bench.start({ jobs })
    await bench.clock.advance(6_999)
    expect(work.runs).toHaveLength(1)
    await bench.clock.advance(1)
    expect(work.runs).toHaveLength(2)
    expect((await next.ada.list()).items).toContainEqual(
      expect.objectContaining({ input: 'other', priority: 7, retries: 1 }),
    )
  })

  test('I27 is not made for a cancelled job, and the log says so', async () => {
    const { ada, bench, type, work } = await started(() => [{ kind: 'retry' }])
    const { id } = await ada.submit(type, 1)
    expect(await ada.cancel(id)).toMatchObject({ outcome: 'cancelled' })
    work.run().finish()
    await bench.clock.settle()
    expect((await ada.list()).items).toHaveLength(1)
    expect(await failures(bench, id)).toEqual([['retry', 'INVALID_STATE']])
  })

  test('made by hand counts as one too', async () => {
    const { ada, bench, type, work } = await started(() => [])
    const { id } = await ada.submit(type, 1)
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.retry(id)).toMatchObject({ retryOf: id, retries: 1 })
  })
})

describe('other jobs', () => {
  test('a follow-up of an unknown type is not made: the log says so, and the end is written', async () => {
    const unknown = defineJob({ type: 'nowhere', execute: () => {} })
    const { ada, bench, type, work } = await started(() => [{ kind: 'submit', job: unknown }])
    const { id } = await ada.submit(type, 1)
    work.run().finish('x')
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ outcome: 'success' })
    expect(await failures(bench, id)).toEqual([['submit', 'UNKNOWN_TYPE']])
  })

  test('follow-ups run one after the other, and each gets the output of the one before', async () => {
    const bench = new Bench()
    const work = new Work()
    const after = defineJob({ type: 'after', input: z.object({ of: z.number() }), execute: work.execute })
    const first = defineJob({
      type: 'first',
      execute: work.execute,
      followUp: ({ output, outcome }) =>
        outcome === 'success' ? [{ kind: 'submit', job: after, input: { of: output }, pipeline: 'p' }] : [],
    })
    const { ada } = await bench.start({ jobs: [first, after] })
    await ada.submit(first, 1)
    work.run().finish(42)
    await bench.clock.advance(1)
    const [job] = (await ada.list({ type: 'after' })).items
    expect(job).toMatchObject({
      type: 'after',
      input: { of: 42 },
      trigger: 'dependency',
      createdBy: 'ada',
      pipeline: 'p',
    })
    expect(job).toMatchObject({ status: 'running' })
    const failed = await ada.submit(first, 1)
    work.run().finish('no number')
    await bench.clock.settle()
    expect(await failures(bench, failed.id)).toEqual([['submit', 'INVALID_INPUT']])
  })
})

describe('pipelines', () => {
  async function provisioning() {
    const bench = new Bench()
    const work = new Work()
    const run = defineJob({ type: 'run', execute: work.execute })
    const config = defineJob({
      type: 'config',
      execute: work.execute,
      followUp: ({ input, outcome }) => [
        outcome === 'success'
          ? { kind: 'resume', pipeline: String(input) }
          : { kind: 'pause', pipeline: String(input), reason: 'its configuration failed' },
      ],
    })
    const upstream = defineJob({
      type: 'upstream',
      execute: work.execute,
      followUp: ({ outcome }) => (outcome === 'success' ? [{ kind: 'run', pipeline: 'p', labels: { by: 'up' } }] : []),
    })
    const jobs = [run, config, upstream]
    const principal = (id: string) => (id === 'ada' ? 'admin' : 'editor')
    const host = await bench.start({ jobs, principal })
    await host.bob.pipelines.define({ id: 'p', job: run, input: 'stored', priority: 2 })
    return { bench, work, run, config, upstream, jobs, principal, ...host }
  }

  test('a dependent pipeline runs when its dependency ends, as a run of its owner', async () => {
    const { ada, bob, bench, work, upstream } = await provisioning()
    await ada.submit(upstream, 1)
    work.run().finish()
    await bench.clock.advance(1)
    const [run] = (await bob.list()).items
    expect(run).toMatchObject({
      pipeline: 'p',
      trigger: 'dependency',
      createdBy: 'bob',
      input: 'stored',
      priority: 2,
      labels: { by: 'up' },
      status: 'running',
    })
  })

  test('one end pauses several pipelines, and what it names later sees what it named before', async () => {
    const bench = new Bench()
    const run = defineJob({ type: 'run', execute: () => 1 })
    const last = defineJob({
      type: 'last',
      execute: () => 1,
      followUp: () => [
        { kind: 'pause', pipeline: 'p', reason: 'closed' },
        { kind: 'pause', pipeline: 'q', reason: 'closed' },
        { kind: 'resume', pipeline: 'q' },
        { kind: 'run', pipeline: 'p' },
        { kind: 'submit', job: run, pipeline: 'p' },
        { kind: 'run', pipeline: 'q' },
      ],
    })
    const { ada, engine } = await bench.start({ jobs: [run, last] })
    for (const id of ['p', 'q']) await ada.pipelines.define({ id, job: run })
    const { id } = await ada.submit(last)
    await engine.idle()
    expect(await ada.pipelines.get('p')).toMatchObject({ paused: 'closed', pausedBy: 'followUp' })
    expect(await ada.pipelines.get('q')).not.toHaveProperty('paused')
    expect((await ada.list({ type: 'run' })).items.map(({ pipeline }) => pipeline)).toEqual(['q'])
    const failures = (await bench.log(id)).flatMap(({ events }) => events)
    expect(failures.filter(({ type }) => type === 'job.followUpFailed')).toMatchObject([
      { kind: 'run', error: { code: 'INVALID_STATE' } },
      { kind: 'submit', error: { code: 'INVALID_STATE' } },
    ])
  })

  test('a run that ends while its pipeline is paused is not retried', async () => {
    const bench = new Bench()
    const work = new Work()
    const run = defineJob({ type: 'run', execute: work.execute, followUp: () => [{ kind: 'retry' }] })
    const { ada } = await bench.start({ jobs: [run] })
    await ada.pipelines.define({ id: 'p', job: run })
    const { id } = await ada.pipelines.run('p')
    await ada.pipelines.pause('p', 'the source is down')
    work.run().fail(new Error('no source'))
    await bench.clock.settle()
    expect((await ada.list()).items.map((job) => job.id)).toEqual([id])
    const failures = (await bench.log(id)).flatMap(({ events }) => events)
    expect(failures.at(-1)).toMatchObject({
      type: 'job.followUpFailed',
      kind: 'retry',
      error: { code: 'INVALID_STATE' },
    })
  })

  test('a delayed run waits for its time while its pipeline runs, although the rule is `skip`', async () => {
    const bench = new Bench()
    const work = new Work()
    const run = defineJob({ type: 'run', execute: work.execute })
    const last = defineJob({
      type: 'last',
      execute: () => 1,
      followUp: () => [
        { kind: 'run', pipeline: 'p', delay: '10s' },
        { kind: 'run', pipeline: 'p' },
      ],
    })
    const { ada } = await bench.start({ jobs: [run, last] })
    await ada.pipelines.define({ id: 'p', job: run, overlap: { dependency: 'skip' } })
    const { id } = await ada.pipelines.run('p')
    await ada.submit(last)
    await bench.clock.settle()
    const startAt = new Date(bench.clock.now() + 10_000).toISOString()
    const runs = async () => (await ada.list({ pipeline: 'p', order: 'oldest' })).items
    expect(await runs()).toMatchObject([{ id }, { phase: 'waiting', startAt }])
    const history = await ada.pipelines.history('p')
    expect(history.filter(({ type }) => type === 'run.skipped')).toHaveLength(1)
    work.run().finish()
    await bench.clock.advance(10_000)
    expect((await runs()).map(({ status }) => status)).toEqual(['completed', 'running'])
  })

  test('a status that the pipeline has already is no event, and another one is', async () => {
    const bench = new Bench()
    const run = defineJob({ type: 'run', execute: () => 1 })
    const last = defineJob({
      type: 'last',
      input: z.enum(['ready', 'failed']),
      execute: () => 1,
      followUp: ({ input }) => [{ kind: 'status', pipeline: 'p', status: input === 'ready' ? 'ready' : 'failed' }],
    })
    const { ada, engine } = await bench.start({ jobs: [run, last] })
    await ada.pipelines.define({ id: 'p', job: run })
    for (const status of ['ready', 'failed', 'failed', 'ready'] as const) {
      await ada.submit(last, status)
      await engine.idle()
      expect((await ada.pipelines.get('p')).status).toBe(status)
    }
    const changes = (await ada.pipelines.history('p')).flatMap((event) =>
      event.type === 'pipeline.statusChanged' ? [[event.from, event.to]] : [],
    )
    expect(changes.sort()).toEqual([
      ['failed', 'ready'],
      ['ready', 'failed'],
    ])
  })

  test('a dependent run waits while its pipeline runs, and is not lost', async () => {
    const { ada, bob, bench, work, upstream, jobs, principal, crash } = await provisioning()
    await ada.submit(upstream, 1)
    await bob.pipelines.run('p')
    work.run(0).finish()
    await bench.clock.settle()
    await crash()
    const next = await bench.start({ jobs, principal })
    await bench.clock.settle()
    expect((await next.bob.list({ phase: 'waiting' })).items).toMatchObject([{ trigger: 'dependency' }])
    work.run().finish()
    await bench.clock.settle()
    expect((await next.bob.list({ phase: 'waiting' })).items).toEqual([])
    expect(work.run().context.input).toBe('stored')
  })

  test('a provisioning job pauses a pipeline and resumes it in the commit of its own end', async () => {
    const { bob, bench, work, config } = await provisioning()
    await bob.submit(config, 'p')
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    expect(await bob.pipelines.get('p')).toMatchObject({ paused: 'its configuration failed', pausedBy: 'followUp' })
    expect(await codeOf(bob.pipelines.run('p'))).toBe('INVALID_STATE')
    await bob.submit(config, 'p')
    work.run().finish()
    await bench.clock.settle()
    expect(await bob.pipelines.get('p')).not.toHaveProperty('paused')
    expect(await bob.pipelines.get('p')).not.toHaveProperty('pausedBy')
    expect(await bob.pipelines.run('p')).toMatchObject({ status: 'running' })
  })

  test('a follow-up neither lifts nor changes the pause of a person', async () => {
    const { bob, bench, work, config } = await provisioning()
    const paused = await bob.pipelines.pause('p', 'it rains')
    expect(paused).toMatchObject({ paused: 'it rains', pausedBy: 'person' })
    const failed = await bob.submit(config, 'p')
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    expect(await bob.pipelines.get('p')).toEqual(paused)
    const done = await bob.submit(config, 'p')
    work.run().finish()
    await bench.clock.settle()
    expect(await bob.pipelines.get('p')).toEqual(paused)
    expect([await failures(bench, failed.id), await failures(bench, done.id)]).toEqual([
      [],
      [['resume', 'INVALID_STATE']],
    ])
    await bob.pipelines.resume('p')
    expect(await bob.pipelines.get('p')).not.toHaveProperty('pausedBy')
  })

  test('a pause that a person takes over from a job belongs to that person', async () => {
    const { bob, bench, work, config } = await provisioning()
    await bob.submit(config, 'p')
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    const reason = 'its configuration failed'
    expect(await bob.pipelines.pause('p', reason)).toMatchObject({ paused: reason, pausedBy: 'person' })
    await bob.submit(config, 'p')
    work.run().finish()
    await bench.clock.settle()
    expect(await bob.pipelines.get('p')).toMatchObject({ paused: reason, pausedBy: 'person' })
  })

  test('a paused or missing pipeline is not run, and the end is written', async () => {
    const { ada, bob, bench, work, upstream } = await provisioning()
    await bob.pipelines.pause('p', 'x')
    const first = await ada.submit(upstream, 1)
    work.run().finish()
    await bench.clock.settle()
    await bob.pipelines.delete('p')
    const second = await ada.submit(upstream, 1)
    work.run().finish()
    await bench.clock.settle()
    expect(await failures(bench, first.id)).toEqual([['run', 'INVALID_STATE']])
    expect(await failures(bench, second.id)).toEqual([['run', 'PIPELINE_NOT_FOUND']])
    expect((await bob.list()).items).toEqual([])
  })

  test('an unreadable pipeline delays the end, and is run with it', async () => {
    const { ada, bob, bench, work, upstream, faults } = await provisioning()
    const { id } = await ada.submit(upstream, 1)
    faults.plan('pipeline', 'refused', 'unsent')
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'running' })
    await bench.clock.advance(2_000)
    expect(await ada.get(id)).toMatchObject({ outcome: 'success' })
    expect((await bob.list()).items).toMatchObject([{ pipeline: 'p', trigger: 'dependency' }])
  })

  test('a pipeline that changes while an end is written is read again', async () => {
    const { ada, bob, bench, work, upstream, jobs, principal, faults } = await provisioning()
    const other = await bench.start({ jobs, principal })
    await ada.submit(upstream, 1)
    let isRead = () => {}
    faults.plan('pipeline', new Promise((resolve) => (isRead = resolve)))
    work.run().finish()
    await bench.clock.settle()
    await other.bob.pipelines.pause('p', 'meanwhile')
    isRead()
    await bench.clock.settle()
    expect((await bob.list()).items).toEqual([])
    expect((await ada.list()).items).toMatchObject([{ outcome: 'success' }])
  })
})

describe('invalid follow-ups', () => {
  test.each([
    [
      'a throw',
      () => {
        throw new Error('broken')
      },
    ],
    ['no list', () => 'retry'],
    ['an unknown kind', () => [{ kind: 'explode' }]],
    ['a promise', () => Promise.resolve([])],
  ])('%s is a line in the job’s log, and the job’s end stays', async (_, followUp) => {
    const { ada, bench, type, work } = await started(followUp as () => readonly FollowUp[])
    const { id } = await ada.submit(type, 1)
    work.run().finish('done')
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ outcome: 'success', output: 'done' })
    expect(await failures(bench, id)).toHaveLength(1)
  })

  test('the valid ones of several follow-ups are made', async () => {
    const { ada, bench, type, work } = await started(({ retries }) =>
      retries > 0 ? [] : [{ kind: 'run', pipeline: 'none' }, { kind: 'retry' }, { kind: 'resume', pipeline: 'none' }],
    )
    const { id } = await ada.submit(type, 1)
    work.run().finish()
    await bench.clock.settle()
    expect(await failures(bench, id)).toEqual([
      ['run', 'PIPELINE_NOT_FOUND'],
      ['resume', 'PIPELINE_NOT_FOUND'],
    ])
    expect((await ada.list()).items).toHaveLength(2)
  })

  test('a deleted job has no follow-ups', async () => {
    const { ada, bench, type, work } = await started(() => [{ kind: 'retry' }])
    const { id } = await ada.submit(type, 1)
    await ada.delete(id)
    work.run().finish()
    await bench.clock.settle()
    expect((await ada.list()).items).toEqual([])
  })

  test('a job that ends at its start and always asks for itself is bounded', async () => {
    const bench = new Bench()
    const machine = createMachine({ initial: 'done', states: { done: { type: 'final' } } })
    const type = defineJob({ type: 'instant', lifecycle: machine, followUp: () => [{ kind: 'retry' }] })
    const { ada } = await bench.start({ jobs: [type] })
    const first = await ada.submit(type, undefined)
    await bench.clock.settle()
    expect(first).toMatchObject({ outcome: 'success' })
    const events = (await bench.log()).flatMap((row) => row.events)
    expect(events.filter((event) => event.type === 'job.followUpFailed')).toHaveLength(1)
    expect(events.filter((event) => event.type === 'job.created').length).toBeLessThan(110)
  })

  test('a job that its first claim ends gets its follow-ups too', async () => {
    const bench = new Bench()
    const work = new Work()
    const machine = createMachine({
      initial: 'on',
      states: { on: { invoke: { src: 'work' }, on: { 'task.started': 'off' } }, off: { type: 'final' } },
    })
    const type = defineJob({
      type: 'brief',
      lifecycle: machine.provide({ actors: { work: fromPromise(async () => {}) } }),
      followUp: ({ retries }) => (retries === 0 ? [{ kind: 'retry' }] : []),
    })
    const { ada } = await bench.start({ jobs: [type] })
    await ada.submit(type, undefined)
    await bench.clock.settle()
    expect((await ada.list()).items.map(({ phase, retries = 0 }) => [phase, retries]).sort()).toEqual([
      ['settled', 0],
      ['settled', 1],
    ])
    expect(work.runs).toEqual([])
  })

  test('I2 an end whose write failed is tried again, and its follow-up is made once', async () => {
    const { ada, bench, type, work, faults } = await started(twice)
    await ada.submit(type, 1)
    faults.plan('commit', 'refused', 'unsent', 'unheard')
    work.run().fail(new Error('no'))
    await bench.clock.advance(5_000)
    expect((await ada.list()).items).toHaveLength(2)
    expect(work.runs).toHaveLength(2)
  })
})
