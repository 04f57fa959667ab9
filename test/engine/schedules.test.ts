import { type CreateEngineOptions, defineJob, type Json, type PipelineHistoryEntry, type Session } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise, setup } from 'xstate'
import { Bench, codeOf, errorOf, type Host, Work } from './bench.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** For tests that pass days. */
const RARELY = { poll: '10m', sweep: '10m', heartbeat: '10m' } as const

const nightly = defineJob({ type: 'nightly', execute: async () => 'done' })
const deploy = defineJob({
  type: 'deploy',
  startsPipelines: true,
  retry: { limit: 0 },
  execute: async ({ input }) => {
    if (input === 'broken') throw new Error('broken')
    return 'done'
  },
})

/** The due times for which there are runs, oldest first. */
async function runTimes(session: Session, pipeline: string): Promise<readonly (string | undefined)[]> {
  const { items } = await session.list({ pipeline, order: 'oldest', limit: 100 })
  return items.map(({ startAt }) => startAt)
}

function skippedIn(history: readonly PipelineHistoryEntry[]) {
  return history.flatMap((event) => (event.type === 'run.skipped' ? [event] : []))
}

async function skips(session: Session, pipeline: string) {
  const history = skippedIn(await session.pipelines.history(pipeline))
  return history.map(({ reason, dueAt, through }) =>
    through === undefined ? [reason, dueAt] : [reason, dueAt, through],
  )
}

/** The full hours after the start of the bench's clock. */
function hours(...numbers: readonly number[]): readonly string[] {
  return numbers.map((number) => new Date(Date.UTC(2026, 0, 1, number)).toISOString())
}

/** Ends the host as an app does, and starts it again after a time. */
async function down(bench: Bench, host: Host, ms: number, options: Partial<CreateEngineOptions> = {}): Promise<Host> {
  const stopped = host.engine.stop()
  await bench.clock.advance(0)
  await stopped
  await bench.clock.advance(ms)
  return await bench.start({ jobs: [nightly], ...RARELY, ...options })
}

describe('a schedule', () => {
  test('starts a run at each due time, as the owner', async () => {
    const bench = new Bench()
    const { ada, bob } = await bench.start({ jobs: [nightly], ...RARELY })
    const view = await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h' } })
    expect(view.nextAt).toBe(view.createdAt)
    await bench.clock.advance(3 * HOUR)
    const { items } = await ada.list({ pipeline: 'n', order: 'oldest' })
    expect(items.map(({ trigger, createdBy, status }) => [trigger, createdBy, status])).toEqual(
      Array.from({ length: 4 }, () => ['schedule', 'ada', 'completed']),
    )
    expect((await bob.list({ pipeline: 'n' })).items).toEqual([])
  })

  test('has one run for each due time, with two engines on one storage', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 */6 * * *' } })
    await ada.pipelines.define({ id: 'm', job: nightly, schedule: { every: '5h', from: Date.UTC(2026, 0, 1, 1) } })
    await bench.clock.advance(2 * DAY)
    expect(await runTimes(ada, 'n')).toEqual(hours(6, 12, 18, 24, 30, 36, 42, 48))
    expect(await runTimes(ada, 'm')).toEqual(hours(1, 6, 11, 16, 21, 26, 31, 36, 41, 46))
  })

  test('tells its code for which time it is due, and the other runs that they have none', async () => {
    const bench = new Bench()
    const seen: unknown[] = []
    const seeing = defineJob({
      type: 'seeing',
      execute: ({ job: { trigger, startAt } }) => void seen.push([trigger, startAt]),
    })
    const { ada } = await bench.start({ jobs: [seeing], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: seeing, schedule: { cron: '0 * * * *' } })
    await ada.pipelines.run('n')
    await bench.clock.advance(HOUR)
    expect(seen).toEqual([
      ['manual', undefined],
      ['schedule', ...hours(1)],
    ])
  })

  test('with a time zone keeps the local time when the clocks change', async () => {
    const bench = new Bench()
    await bench.clock.advance(Date.UTC(2026, 2, 27, 12) - Date.UTC(2026, 0, 1))
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    const schedule = { cron: '30 2 * * *', timeZone: 'Europe/Paris' }
    await ada.pipelines.define({ id: 'n', job: nightly, schedule })
    await bench.clock.advance(3 * DAY)
    // On the 29th, 2:30 does not exist: the clocks go from 2 to 3.
    expect(await runTimes(ada, 'n')).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ])
    expect(await ada.pipelines.preview(schedule, { count: 2, after: '2026-10-24T12:00:00Z' })).toEqual([
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ])
  })

  test('a time that does not exist, of a gap that ends on the next day, is due at the end of the gap', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly] })
    const schedule = { cron: '30 23 * * *', timeZone: 'America/Nuuk' }
    expect(await ada.pipelines.preview(schedule, { count: 3, after: '2026-03-28T02:00:00Z' })).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
      '2026-03-31T00:30:00.000Z',
    ])
  })

  test.each([
    ['each year', '30 23 28 3 *', ['2025-03-29T01:30', '2026-03-29T01:00', '2027-03-29T00:30']],
    ['each Saturday in March', '30 23 * 3 6', ['2026-03-15T01:30', '2026-03-22T01:30', '2026-03-29T01:00']],
  ])('such a time is not left out of a pattern that is due %s', async (_, cron, wanted) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly] })
    const after = `${wanted[0]?.slice(0, 10)}T00:00:00Z`
    const found = await ada.pipelines.preview({ cron, timeZone: 'America/Nuuk' }, { count: 3, after })
    expect(found).toEqual(wanted.map((time) => `${time}:00.000Z`))
  })

  test('with `at` runs once, and never if the time has passed', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    const once = await ada.pipelines.define({ id: 'once', job: nightly, schedule: { at: '2026-01-02T00:00:00Z' } })
    expect(once.nextAt).toBe('2026-01-02T00:00:00.000Z')
    const past = await ada.pipelines.define({ id: 'past', job: nightly, schedule: { at: '2025-01-02T00:00:00Z' } })
    expect(past.nextAt).toBeUndefined()
    await bench.clock.advance(3 * DAY)
    expect(await runTimes(ada, 'once')).toEqual(['2026-01-02T00:00:00.000Z'])
    expect(await runTimes(ada, 'past')).toEqual([])
    expect((await ada.pipelines.get('once')).nextAt).toBeUndefined()
  })

  test('a preview begins now if it names no time, and has no more times than the schedule', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    const [now, first] = hours(0, 1)
    expect(await ada.pipelines.preview({ every: '1h' }, { count: 2 })).toEqual([now, first])
    expect(await ada.pipelines.preview({ at: first ?? '' })).toEqual([first])
    expect(await ada.pipelines.preview({ at: first ?? '' }, { after: first ?? '' })).toEqual([])
    const never = await errorOf(ada.pipelines.preview({ cron: '0 0 30 2 *' }))
    expect(never).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('schedule') })
  })

  test('with `at` that falls into a pause is not due after it', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { at: hours(1)[0] ?? '' } })
    await ada.pipelines.pause('n', 'holidays')
    await bench.clock.advance(2 * HOUR)
    await ada.pipelines.resume('n')
    await bench.clock.advance(HOUR)
    expect(await ada.count()).toBe(0)
    expect((await ada.pipelines.get('n')).nextAt).toBe(undefined)
    expect(await skips(ada, 'n')).toEqual([['paused', hours(1)[0]]])
  })

  test('of a pipeline of the engine’s own session starts runs of the engine', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs: [nightly], ...RARELY })
    await engine.system.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h' } })
    await bench.clock.advance(HOUR)
    const { items } = await engine.system.list({ pipeline: 'n' })
    expect(items.map(({ trigger, status }) => [trigger, status])).toEqual([
      ['schedule', 'completed'],
      ['schedule', 'completed'],
    ])
  })

  test('that is disabled is never due, and when enabled goes on from then', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    const define = (enabled: boolean) =>
      ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *', enabled } })
    expect((await define(false)).nextAt).toBeUndefined()
    await bench.clock.advance(3 * HOUR + MINUTE)
    await define(true)
    await bench.clock.advance(2 * HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(4, 5))
  })

  test('six fields begin with seconds', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly] })
    const schedule = { cron: '0 0 9-17 * * MON-FRI', fields: 6 } as const
    expect(await ada.pipelines.preview(schedule, { count: 3, after: '2026-01-02T16:00:00Z' })).toEqual([
      '2026-01-02T17:00:00.000Z',
      '2026-01-05T09:00:00.000Z',
      '2026-01-05T10:00:00.000Z',
    ])
  })

  test('a wrong schedule is refused, and the error says what was expected', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly] })
    const refused = async (schedule: unknown) => {
      const call = ada.pipelines.define({ id: 'n', job: nightly, schedule: schedule as { at: string } })
      return (await errorOf(call)).message
    }
    expect(await refused({ cron: '0 0 2 * * *' })).toMatch(
      /should have 5 fields; .* has 6; for 6 fields, say fields: 6/,
    )
    expect(await refused({ cron: '0 2 * *' })).toMatch(/should have 5 fields/)
    expect(await refused({ cron: '0 25 * * *' })).toMatch(/is not a valid pattern/)
    expect(await refused({ cron: '0 0 30 2 *' })).toMatch(/is never due/)
    expect(await refused({ cron: '0 2 * * *', timeZone: 'Europe/Pari' })).toMatch(
      /timeZone should be a name of the IANA/,
    )
    expect(await refused({ cron: '* * * * *', timeZone: '' })).toMatch(/timeZone should be a name of the IANA/)
    expect(await refused({ every: '10ms' })).toMatch(/at least '1s'/)
    expect(await refused({ every: '1h', cron: '0 2 * * *' })).toMatch(/should have exactly one of cron, every and at/)
    expect(await refused({ at: '2027-01-01' })).toMatch(/offset/)
    expect(await refused({ cron: '0 2 * * *', catchUp: { max: 0 } })).toMatch(/catchUp.max: .*>=1/)
    expect(await codeOf(ada.pipelines.get('n'))).toBe('PIPELINE_NOT_FOUND')
  })
})

describe('due times that were missed', () => {
  const missed = async (catchUp: 'skip' | 'one' | { readonly max: number }, downMs = 5 * HOUR + 30 * MINUTE) => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *', catchUp } })
    await bench.clock.advance(HOUR)
    const { ada } = await down(bench, first, downMs)
    await bench.clock.advance(HOUR)
    return { runs: await runTimes(ada, 'n'), skipped: await skips(ada, 'n') }
  }

  test('are not made up for with `skip`, and the history says so', async () => {
    const { runs, skipped } = await missed('skip')
    expect(runs).toEqual(hours(1, 7))
    expect(skipped).toEqual([['missed', ...hours(2, 6)]])
  })

  test('have one run, for the latest, with `one`', async () => {
    const { runs, skipped } = await missed('one')
    expect(runs).toEqual(hours(1, 6, 7))
    expect(skipped).toEqual([['missed', ...hours(2, 5)]])
  })

  test('have the latest runs, oldest first, with `max`', async () => {
    const { runs, skipped } = await missed({ max: 3 })
    expect(runs).toEqual(hours(1, 4, 5, 6, 7))
    expect(skipped).toEqual([['missed', ...hours(2, 3)]])
    const all = await missed({ max: 10 })
    expect(all).toEqual({ runs: hours(1, 2, 3, 4, 5, 6, 7), skipped: [] })
  })

  test('one missed time is told by itself', async () => {
    expect(await missed('skip', HOUR + 30 * MINUTE)).toEqual({ runs: hours(1, 3), skipped: [['missed', ...hours(2)]] })
    expect((await missed('one', HOUR + 30 * MINUTE)).runs).toEqual(hours(1, 2, 3))
  })

  test('a time within the last minute counts as on time', async () => {
    const { runs, skipped } = await missed('skip', 2 * HOUR + MINUTE / 2)
    expect(runs).toEqual(hours(1, 3, 4))
    expect(skipped).toEqual([['missed', ...hours(2)]])
  })

  test('runs that make up for them wait for the slot', async () => {
    const bench = new Bench()
    const work = new Work()
    const slow = defineJob({ type: 'nightly', execute: work.execute })
    const first = await bench.start({ jobs: [slow], ...RARELY })
    const schedule = { cron: '0 * * * *', catchUp: { max: 2 } } as const
    await first.ada.pipelines.define({ id: 'n', job: slow, schedule })
    const { ada } = await down(bench, first, 3 * HOUR + 30 * MINUTE, { jobs: [slow] })
    expect((await ada.list({ pipeline: 'n', order: 'oldest' })).items.map(({ phase }) => phase)).toEqual([
      'active',
      'waiting',
    ])
    const { items } = await ada.list({ pipeline: 'n', phase: 'waiting' })
    expect((await ada.explain(items[0]?.id ?? '')).map(({ kind }) => kind)).toContain('slot')
    work.run().finish()
    await bench.clock.advance(0)
    expect(work.runs).toHaveLength(2)
    work.run().finish()
  })

  test('wait for the slot too if the latest of them is within the last minute', async () => {
    const bench = new Bench()
    const work = new Work()
    const slow = defineJob({ type: 'nightly', execute: work.execute })
    const first = await bench.start({ jobs: [slow], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: slow, schedule: { cron: '0 * * * *', catchUp: { max: 3 } } })
    await first.ada.pipelines.define({ id: 'often', job: slow, schedule: { every: '10s' } })
    await bench.clock.advance(10_000)
    // The run of "often" is lost with its process, and holds the slot when the next engine starts.
    const { ada } = await down(bench, first, 3 * HOUR + 5_000, { jobs: [slow] })
    expect([await runTimes(ada, 'n'), await skips(ada, 'n')]).toEqual([hours(1, 2, 3), []])
    expect((await ada.list({ pipeline: 'often' })).items.map(({ phase }) => phase)).toEqual(['waiting', 'active'])
    for (const { finish } of work.runs) finish()
  })

  test('of `at` are made up for with `one`, and not with `skip`', async () => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    const at = '2026-01-01T01:00:00Z'
    await first.ada.pipelines.define({ id: 'one', job: nightly, schedule: { at } })
    await first.ada.pipelines.define({ id: 'skip', job: nightly, schedule: { at, catchUp: 'skip' } })
    const { ada } = await down(bench, first, 2 * HOUR)
    expect(await runTimes(ada, 'one')).toEqual(hours(1))
    expect([await runTimes(ada, 'skip'), await skips(ada, 'skip')]).toEqual([[], [['missed', ...hours(1)]]])
  })
})

describe('a pause', () => {
  test('skips each due time, and no run makes up for them when it ends', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *', catchUp: { max: 100 } } })
    await ada.pipelines.pause('n', 'the source is down')
    await bench.clock.advance(3 * HOUR + MINUTE)
    await ada.pipelines.resume('n')
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(4))
    expect(await skips(ada, 'n')).toEqual(hours(1, 2, 3).map((at) => ['paused', at]))
  })

  test('of which no engine saw the due times, is followed by no run for them either', async () => {
    const bench = new Bench()
    const other = defineJob({ type: 'other', execute: async () => 1 })
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *', catchUp: { max: 100 } } })
    await first.ada.pipelines.pause('n', 'the source is down')
    // An engine that does not know the type resumes the pipeline.
    const second = await down(bench, first, 3 * HOUR + MINUTE, { jobs: [other] })
    const resumed = await second.ada.pipelines.resume('n')
    expect(resumed.nextAt).toBe(hours(4)[0])
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(4))
    expect(await skips(ada, 'n')).toEqual([['paused', ...hours(1, 3)]])
  })

  test('over the time of `at`, of which no engine saw that, is followed by no run and no due time', async () => {
    const bench = new Bench()
    const other = defineJob({ type: 'other', execute: async () => 1 })
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, schedule: { at: hours(1)[0] ?? '' } })
    await first.ada.pipelines.pause('n', 'the source is down')
    const second = await down(bench, first, 3 * HOUR, { jobs: [other] })
    expect((await second.ada.pipelines.resume('n')).nextAt).toBeUndefined()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual([])
    expect(await skips(ada, 'n')).toEqual([['paused', ...hours(1)]])
  })

  test('of a pipeline that was down meanwhile is told once', async () => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *' } })
    await first.ada.pipelines.pause('n', 'holiday')
    const { ada } = await down(bench, first, 10 * DAY + MINUTE)
    await ada.pipelines.resume('n')
    expect(await runTimes(ada, 'n')).toEqual([])
    expect(await skips(ada, 'n')).toEqual([['paused', ...hours(1, 240)]])
  })
})

describe('a clock that changes', () => {
  test('I33 no time is due twice when it is set back, and due times go on after', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *' } })
    await bench.clock.advance(3 * HOUR)
    bench.clock.jump(-2 * HOUR)
    await bench.clock.advance(4 * HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(1, 2, 3, 4, 5))
  })

  test('that is set forward misses times as a downtime does', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *' } })
    await bench.clock.advance(HOUR)
    bench.clock.jump(10 * HOUR + 30 * MINUTE)
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(1, 11, 12))
  })

  test('an owed run does not wait for a clock that was set back', async () => {
    const bench = new Bench()
    const work = new Work()
    const source = defineJob({ type: 'source', execute: work.execute })
    const first = await bench.start({ jobs: [source], ...RARELY })
    await first.ada.pipelines.define({ id: 'a', job: source })
    const writer = await bench.start({ jobs: [nightly], ...RARELY })
    await writer.ada.pipelines.define({ id: 'b', job: nightly, dependsOn: [{ pipeline: 'a' }] })
    await first.ada.pipelines.run('a')
    await writer.engine.stop()
    work.run().finish()
    await bench.clock.advance(0)
    bench.clock.jump(-DAY)
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    expect((await ada.list({ pipeline: 'b' })).items).toHaveLength(1)
  })
})

describe('a definition', () => {
  test('with the same times keeps the next due time; with other times it is calculated again', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h' } })
    await bench.clock.advance(90 * MINUTE)
    const again = await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h', catchUp: 'skip' } })
    expect(again.nextAt).toBe(hours(2)[0])
    const other = await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 0 * * *' } })
    expect(other.nextAt).toBe(hours(24)[0])
    const none = await ada.pipelines.define({ id: 'n', job: nightly })
    expect([none.schedule, none.nextAt]).toEqual([undefined, undefined])
  })

  test('that changes nothing but what is done about missed times, repeats no run', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h' } })
    await bench.clock.advance(0)
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h', catchUp: 'skip' } })
    await bench.clock.advance(0)
    expect(await runTimes(ada, 'n')).toEqual(hours(0))
  })

  test('of a deleted pipeline: its runs stay, and nothing is due any more', async () => {
    const bench = new Bench()
    const { ada, admin } = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    const schedule = { cron: '0 * * * *' }
    await ada.pipelines.define({ id: 'n', job: nightly, schedule, dependsOn: [{ job: deploy }] })
    await bench.clock.advance(HOUR)
    await ada.pipelines.delete('n')
    await admin.submit(deploy)
    await bench.clock.advance(DAY)
    expect(await runTimes(ada, 'n')).toEqual(hours(1))
    expect(await codeOf(ada.pipelines.history('n'))).toBe('PIPELINE_NOT_FOUND')
    await ada.pipelines.define({ id: 'n', job: nightly, schedule })
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(1, 26))
    expect((await ada.pipelines.history('n')).map(({ type }) => type)).toEqual([
      'pipeline.defined',
      'pipeline.deleted',
      'pipeline.defined',
    ])
  })
})

describe('the overlap rule', () => {
  const slow = (work: Work) => defineJob({ type: 'slow', execute: work.obedient })

  test('of schedules is by default `skip`: no job, and an event that names the blocker', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = slow(work)
    const { ada } = await bench.start({ jobs: [type], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: type, schedule: { cron: '0 * * * *' } })
    const blocker = await ada.pipelines.run('n')
    await bench.clock.advance(2 * HOUR)
    expect((await ada.list({ pipeline: 'n' })).items.map(({ id }) => id)).toEqual([blocker.id])
    const found = skippedIn(await ada.pipelines.history('n'))
    expect(found.map(({ reason, trigger, dueAt, blocker: by }) => [reason, trigger, dueAt, by])).toEqual(
      hours(1, 2).map((at) => ['running', 'schedule', at, blocker.id]),
    )
    work.run().finish()
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual([undefined, ...hours(3)])
    work.run().finish()
  })

  test.each(['reject', 'queue', 'replace'] as const)('of schedules can be `%s`', async (rule) => {
    const bench = new Bench()
    const work = new Work()
    const type = slow(work)
    const { ada } = await bench.start({ jobs: [type], ...RARELY })
    const schedule = { cron: '0 * * * *' }
    await ada.pipelines.define({ id: 'n', job: type, schedule, overlap: { schedule: rule } })
    const first = await ada.pipelines.run('n')
    await bench.clock.advance(HOUR)
    const { items } = await ada.list({ pipeline: 'n', order: 'oldest' })
    const wanted = {
      reject: [['active', undefined]],
      queue: [
        ['active', undefined],
        ['waiting', undefined],
      ],
      replace: [
        ['settled', 'cancelled'],
        ['active', undefined],
      ],
    }
    expect(items.map(({ phase, outcome }) => [phase, outcome])).toEqual(wanted[rule])
    expect((await skips(ada, 'n')).map(([reason]) => reason)).toEqual(rule === 'reject' ? ['running'] : [])
    // Manual runs keep their own rule.
    expect(await codeOf(ada.pipelines.run('n'))).toBe('ALREADY_RUNNING')
    expect(first.trigger).toBe('manual')
    for (const { finish } of work.runs) finish()
  })

  test('`replace` skips the run if the owner may not cancel the running one', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = slow(work)
    const { ada, admin } = await bench.start({ jobs: [type], ...RARELY })
    const schedule = { cron: '0 * * * *' }
    await ada.pipelines.define({ id: 'n', job: type, schedule, overlap: { schedule: 'replace' } })
    await admin.pipelines.run('n')
    await bench.clock.advance(2 * HOUR + MINUTE)
    expect(await skips(ada, 'n')).toEqual(hours(1, 2).map((at) => ['running', at]))
    work.run().finish()
    await bench.clock.advance(HOUR)
    expect((await ada.list({ pipeline: 'n' })).items).toHaveLength(1)
    work.run().finish()
  })

  test('of dependencies is by default `queue`, and can be `skip`', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = slow(work)
    const { ada } = await bench.start({ jobs: [type, deploy], ...RARELY })
    await ada.pipelines.define({ id: 'q', job: type, dependsOn: [{ job: deploy }] })
    await ada.pipelines.define({ id: 's', job: type, dependsOn: [{ job: deploy }], overlap: { dependency: 'skip' } })
    for (const input of [1, 2]) {
      await ada.submit(deploy, input)
      await bench.clock.advance(0)
    }
    const phases = async (pipeline: string) =>
      (await ada.list({ pipeline, order: 'oldest' })).items.map(({ phase }) => phase)
    expect([await phases('q'), await phases('s')]).toEqual([['active', 'waiting'], ['active']])
    expect(skippedIn(await ada.pipelines.history('s')).map(({ reason, trigger }) => [reason, trigger])).toEqual([
      ['running', 'dependency'],
    ])
    for (let index = 0; index < 3; index++) {
      work.run(index).finish()
      await bench.clock.advance(0)
    }
  })

  test('holds for follow-ups into the pipeline, too', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = slow(work)
    const starter = defineJob({
      type: 'starter',
      execute: () => 1,
      followUp: () => [
        { kind: 'run', pipeline: 'skipping' },
        { kind: 'submit', job: type, pipeline: 'rejecting' },
        { kind: 'run', pipeline: 'replacing' },
      ],
    })
    const { ada } = await bench.start({ jobs: [type, starter], ...RARELY })
    const rules = { skipping: 'skip', rejecting: 'reject', replacing: 'replace' } as const
    for (const [id, dependency] of Object.entries(rules)) {
      await ada.pipelines.define({ id, job: type, overlap: { dependency } })
    }
    const starts = async () => {
      await ada.submit(starter)
      await bench.clock.advance(10 * MINUTE)
      return await Promise.all(
        Object.keys(rules).map(async (pipeline) => {
          return (await ada.list({ pipeline, order: 'oldest' })).items.map(({ phase }) => phase)
        }),
      )
    }
    // With a free slot, each creates a run.
    expect(await starts()).toEqual([['active'], ['active'], ['active']])
    expect(await starts()).toEqual([['active'], ['active'], ['active', 'waiting']])
    for (const pipeline of ['skipping', 'rejecting']) {
      const [holder] = (await ada.list({ pipeline })).items
      const found = skippedIn(await ada.pipelines.history(pipeline))
      expect(found.map(({ reason, trigger, blocker }) => [reason, trigger, blocker])).toEqual([
        ['running', 'dependency', holder?.id],
      ])
    }
    for (let index = 0; index < 4; index++) {
      work.run(index).finish()
      await bench.clock.advance(0)
    }
  })

  test('a retry by follow-up is skipped if another run is next and the rule is `skip`', async () => {
    const bench = new Bench()
    const work = new Work()
    const failing = defineJob({
      type: 'failing',
      retry: { limit: 0 },
      execute: work.execute,
      followUp: ({ outcome, retries }) => (outcome === 'failure' && retries < 2 ? [{ kind: 'retry' }] : []),
    })
    const { ada } = await bench.start({ jobs: [failing], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: failing, overlap: { manual: 'queue', retry: 'skip' } })
    await ada.pipelines.run('n')
    work.run().fail(new Error('first'))
    await bench.clock.advance(0)
    // Nothing else waits, so the retry holds the slot.
    const [retry] = (await ada.list({ pipeline: 'n' })).items
    expect([retry?.trigger, retry?.phase]).toEqual(['retry', 'active'])
    const waiting = await ada.pipelines.run('n')
    work.run().fail(new Error('second'))
    await bench.clock.advance(0)
    expect((await ada.get(waiting.id)).phase).toBe('active')
    expect((await ada.list({ pipeline: 'n' })).items).toHaveLength(3)
    const found = skippedIn(await ada.pipelines.history('n'))
    expect(found.map(({ reason, trigger, blocker }) => [reason, trigger, blocker])).toEqual([
      ['running', 'retry', waiting.id],
    ])
    work.run().finish()
  })
})

describe('rights', () => {
  test('an owner who lost the right to run it gets no runs, and the history says so', async () => {
    const bench = new Bench()
    let role: string | undefined = 'editor'
    const { ada } = await bench.start({ jobs: [nightly], principal: () => role, ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, schedule: { cron: '0 * * * *' } })
    await bench.clock.advance(HOUR)
    role = undefined
    await bench.clock.advance(HOUR)
    role = 'reader'
    await bench.clock.advance(HOUR)
    role = 'editor'
    await bench.clock.advance(HOUR)
    expect(await runTimes(ada, 'n')).toEqual(hours(1, 4))
    expect(await skips(ada, 'n')).toEqual(hours(2, 3).map((at) => ['forbidden', at]))
  })

  test('a hidden blocker is not named, in the history and in streams', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'slow', execute: work.execute })
    const { ada, admin } = await bench.start({ jobs: [type], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: type, schedule: { cron: '0 * * * *' } })
    const blocker = await admin.pipelines.run('n')
    const stream = ada.events({ pipeline: 'n' })
    const seen = (async () => {
      for await (const event of stream) if (event.type === 'run.skipped') return event
      return undefined
    })()
    await bench.clock.advance(HOUR)
    const [own] = skippedIn(await ada.pipelines.history('n'))
    expect([own?.reason, own?.blocker, own?.redacted]).toEqual(['running', undefined, ['blocker']])
    expect(JSON.stringify(own)).not.toContain(blocker.id)
    expect(JSON.stringify(await seen)).not.toContain(blocker.id)
    const [all] = skippedIn(await admin.pipelines.history('n'))
    expect(all?.blocker).toBe(blocker.id)
    work.run().finish()
  })

  test('events of a hidden pipeline are not sent, and its history answers as if it did not exist', async () => {
    const bench = new Bench()
    const { ada, bob, admin } = await bench.start({ jobs: [nightly], ...RARELY })
    const streams = [ada, bob, admin].map(async (session) => {
      const seen: string[] = []
      for await (const { type } of session.events()) {
        seen.push(type)
        if (type === 'job.created') return seen
      }
      return seen
    })
    await bench.clock.advance(0)
    await ada.pipelines.define({ id: 'n', job: nightly })
    await ada.pipelines.pause('n', 'wait')
    await ada.pipelines.resume('n')
    await ada.pipelines.define({ id: 'n', job: nightly, priority: 2 })
    await ada.pipelines.delete('n')
    await Promise.all([ada.submit(nightly), bob.submit(nightly)])
    await bench.clock.advance(0)
    const events = ['defined', 'paused', 'resumed', 'changed', 'deleted'].map((name) => `pipeline.${name}`)
    expect(await Promise.all(streams)).toEqual([
      [...events, 'job.created'],
      ['job.created'],
      [...events, 'job.created'],
    ])
    await ada.pipelines.define({ id: 'm', job: nightly })
    const refused = await errorOf(bob.pipelines.history('m'))
    const absent = await errorOf(bob.pipelines.history('none'))
    expect([refused.code, refused.message.replace('"m"', '"none"')]).toEqual([absent.code, absent.message])
  })

  test('a stream of one type, pipeline or creator has the events of its pipelines', async () => {
    const bench = new Bench()
    const { admin, ada, bob } = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    const narrowed = [{ type: 'nightly' }, { pipeline: 'n' }, { createdBy: 'bob' }].map(async (narrow) => {
      const seen: string[] = []
      for await (const event of admin.events(narrow)) {
        if (event.type === 'reset') continue
        seen.push(`${event.type} ${event.pipeline}`)
        if (event.type === 'pipeline.deleted') return seen
      }
      return seen
    })
    await bench.clock.advance(0)
    await ada.pipelines.define({ id: 'n', job: nightly })
    await bob.pipelines.define({ id: 'd', job: deploy })
    await ada.pipelines.delete('n')
    await bob.pipelines.delete('d')
    await bench.clock.advance(0)
    expect(await Promise.all(narrowed)).toEqual([
      ['pipeline.defined n', 'pipeline.deleted n'],
      ['pipeline.defined n', 'pipeline.deleted n'],
      ['pipeline.defined d', 'pipeline.deleted d'],
    ])
  })

  test('a pipeline may depend only on pipelines that its owner sees', async () => {
    const bench = new Bench()
    const { ada, bob, admin } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'secret', job: nightly })
    const after = (pipeline: string) => ({ id: 'b', job: nightly, dependsOn: [{ pipeline }] })
    const refused = await errorOf(bob.pipelines.define(after('secret')))
    const absent = await errorOf(bob.pipelines.define(after('nothing')))
    expect(refused.code).toBe('PIPELINE_NOT_FOUND')
    expect(refused.message.replace('secret', 'nothing')).toBe(absent.message)
    const { dependsOn } = await admin.pipelines.define(after('secret'))
    expect(dependsOn).toEqual([{ pipeline: 'secret', outcome: 'success' }])
  })

  test('the history is read in pages, and a pipeline defined again by another owner shows only its own part', async () => {
    const bench = new Bench()
    const { ada, bob, admin } = await bench.start({ jobs: [nightly], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly })
    await ada.pipelines.pause('n', 'wait')
    await ada.pipelines.delete('n')
    await bob.pipelines.define({ id: 'n', job: nightly })
    expect((await bob.pipelines.history('n')).map(({ type }) => type)).toEqual(['pipeline.defined'])
    const all = await admin.pipelines.history('n')
    expect(all).toHaveLength(4)
    const pages = [await admin.pipelines.history('n', { limit: 2 })]
    pages.push(await admin.pipelines.history('n', { limit: 2, after: pages[0]?.at(-1)?.sequence ?? 0 }))
    expect(pages.flat()).toEqual(all)
    expect(await bob.pipelines.history('n', { limit: 1 })).toHaveLength(1)
  })

  test('a page of the history has at most `limit` events, and the next one continues within a row', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly], ...RARELY })
    const onDefine = () => [{ kind: 'status', status: 'provisioning' }] as const
    await ada.pipelines.define({ id: 'n', job: nightly, onDefine })
    const [first, ...others] = await ada.pipelines.history('n', { limit: 1 })
    expect([first?.type, others]).toEqual(['pipeline.defined', []])
    const rest = await ada.pipelines.history('n', { limit: 1, after: first?.sequence ?? 0 })
    expect(rest.map(({ type }) => type)).toEqual(['pipeline.statusChanged'])
  })
})

describe('dependsOn', () => {
  test('runs a pipeline after the runs of another, and after jobs of a type, by their outcome', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await ada.pipelines.define({ id: 'a', job: deploy })
    await ada.pipelines.define({ id: 'b', job: nightly, dependsOn: [{ pipeline: 'a' }] })
    await ada.pipelines.define({ id: 'c', job: nightly, dependsOn: [{ job: deploy, outcome: 'failure' }] })
    await ada.pipelines.define({ id: 'd', job: nightly, dependsOn: [{ pipeline: 'b' }, { pipeline: 'a' }] })
    const ran = async () => {
      await bench.clock.advance(0)
      const counts = ['a', 'b', 'c', 'd'].map(async (pipeline) => (await ada.list({ pipeline })).items.length)
      return await Promise.all(counts)
    }
    await ada.pipelines.run('a')
    expect(await ran()).toEqual([1, 1, 0, 2])
    await ada.pipelines.run('a', { input: 'broken' as Json })
    expect(await ran()).toEqual([2, 1, 1, 2])
    await ada.submit(deploy)
    expect(await ran()).toEqual([2, 1, 1, 2])
    await ada.submit(deploy, 'broken')
    expect(await ran()).toEqual([2, 1, 2, 2])
    const [run] = (await ada.list({ pipeline: 'b' })).items
    expect([run?.trigger, run?.createdBy]).toEqual(['dependency', 'ada'])
  })

  test('also runs a pipeline after a run that ends as its task is claimed', async () => {
    const lifecycle = setup({ actors: { work: fromPromise(async () => null) } }).createMachine({
      initial: 'waiting',
      states: {
        waiting: { invoke: { src: 'work' }, on: { 'task.started': 'done' } },
        done: { type: 'final', tags: 'success' },
      },
    })
    const brief = defineJob({ type: 'brief', lifecycle })
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly, brief], ...RARELY })
    await ada.pipelines.define({ id: 'a', job: brief })
    await ada.pipelines.define({ id: 'b', job: nightly, dependsOn: [{ pipeline: 'a' }] })
    await ada.pipelines.run('a')
    await bench.clock.advance(MINUTE)
    expect((await ada.list({ pipeline: 'a' })).items.map(({ outcome }) => outcome)).toEqual(['success'])
    expect((await ada.list({ pipeline: 'b' })).items.map(({ trigger }) => trigger)).toEqual(['dependency'])
  })

  test('a type must say that it starts pipelines', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly] })
    const refused = await errorOf(ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: nightly }] }))
    expect([refused.code, refused.message]).toEqual(['INVALID_INPUT', expect.stringContaining('startsPipelines: true')])
  })

  test('a run is owed until an engine that knows its type starts it, also after a crash', async () => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }] })
    await first.crash()
    const second = await bench.start({ jobs: [deploy], ...RARELY })
    await second.ada.submit(deploy)
    await bench.clock.advance(DAY)
    expect((await second.ada.list({ pipeline: 'n' })).items).toEqual([])
    await second.crash()
    const { ada } = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await bench.clock.advance(MINUTE)
    expect((await ada.list({ pipeline: 'n' })).items.map(({ trigger }) => trigger)).toEqual(['dependency'])
  })

  test('a run stays owed when the pipeline is changed', async () => {
    const bench = new Bench()
    const writer = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await writer.ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }] })
    await writer.crash()
    const away = await bench.start({ jobs: [deploy], ...RARELY })
    await away.ada.submit(deploy)
    await bench.clock.advance(HOUR)
    const { ada } = await bench.start({ jobs: [nightly, deploy], work: false, ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }], priority: 5 })
    await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await bench.clock.advance(HOUR)
    expect((await ada.list({ pipeline: 'n' })).items).toMatchObject([{ trigger: 'dependency', status: 'completed' }])
  })

  test('a schedule of an unknown type stays due for an engine that knows it', async () => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [nightly], ...RARELY })
    await first.ada.pipelines.define({ id: 'n', job: nightly, schedule: { at: '2026-01-01T01:00:00Z' } })
    await first.crash()
    const { ada } = await bench.start({ jobs: [deploy], ...RARELY })
    await bench.clock.advance(2 * HOUR)
    expect(await runTimes(ada, 'n')).toEqual([])
    await bench.start({ jobs: [nightly], ...RARELY })
    expect(await runTimes(ada, 'n')).toEqual(hours(1))
  })

  test('many jobs that end at once each give a run', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly, deploy], concurrency: 100 })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }] })
    await ada.submitMany(Array.from({ length: 60 }, (_, input) => ({ type: deploy, input })))
    await bench.clock.advance(10_000)
    expect((await ada.list({ pipeline: 'n', status: 'completed', limit: 100 })).items).toHaveLength(60)
  })

  test('the follow-ups of a job are called once, however many jobs end at once', async () => {
    const bench = new Bench()
    let calls = 0
    const type = defineJob({
      type: 'deploy',
      startsPipelines: true,
      execute: async () => 1,
      followUp: () => {
        calls++
        return []
      },
    })
    const { ada } = await bench.start({ jobs: [nightly, type], concurrency: 100 })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: type }] })
    await ada.submitMany(Array.from({ length: 50 }, () => ({ type })))
    await bench.clock.advance(10_000)
    expect(calls).toBe(50)
    expect((await ada.list({ pipeline: 'n', limit: 100 })).items).toHaveLength(50)
  })

  test('while the pipeline is paused, an owed run is skipped', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly, deploy], ...RARELY })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }] })
    await ada.pipelines.pause('n', 'wait')
    await ada.submit(deploy)
    await bench.clock.advance(MINUTE)
    await ada.pipelines.resume('n')
    await bench.clock.advance(MINUTE)
    expect((await ada.list({ pipeline: 'n' })).items).toEqual([])
    expect((await skips(ada, 'n')).map(([reason]) => reason)).toEqual(['paused'])
  })

  test('a pipeline that runs after itself without end, in jobs that end at once, does not hold up the start of an engine', async () => {
    const bench = new Bench()
    const instant = defineJob({
      type: 'instant',
      lifecycle: createMachine({ initial: 'over', states: { over: { type: 'final', tags: 'success' } } }),
    })
    const first = await bench.start({ jobs: [instant, deploy], ...RARELY })
    await first.ada.pipelines.define({ id: 'a', job: instant })
    await first.ada.pipelines.define({ id: 'a', job: instant, dependsOn: [{ pipeline: 'a' }, { job: deploy }] })
    await first.crash()
    const second = await bench.start({ jobs: [deploy], ...RARELY })
    await second.ada.submit(deploy)
    await bench.clock.settle()
    await second.crash()
    const { ada } = await bench.start({ jobs: [instant, deploy], ...RARELY })
    expect(await ada.count({ pipeline: 'a' })).toBe(100)
    await ada.pipelines.pause('a', 'enough')
  })

  test('more runs than are started at once are all started', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [nightly, deploy], ...RARELY, concurrency: 100 })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ job: deploy }] })
    const away = await bench.start({ jobs: [deploy], ...RARELY, concurrency: 100 })
    await bench.clock.settle()
    await away.ada.submitMany(Array.from({ length: 250 }, () => ({ type: deploy })))
    await bench.clock.advance(HOUR)
    expect(await ada.count({ pipeline: 'n', status: 'completed' })).toBe(250)
  })

  test('a job that ends in the commit that starts it causes runs, too', async () => {
    const bench = new Bench()
    const instant = defineJob({
      type: 'instant',
      lifecycle: createMachine({ initial: 'over', states: { over: { type: 'final', tags: 'success' } } }),
    })
    const work = new Work()
    const slow = defineJob({ type: 'slow', execute: work.execute })
    const { ada } = await bench.start({ jobs: [nightly, instant, slow], ...RARELY })
    await ada.pipelines.define({ id: 'a', job: instant, overlap: 'queue' })
    await ada.pipelines.define({ id: 'n', job: nightly, dependsOn: [{ pipeline: 'a' }] })
    const holder = await ada.submit(slow, undefined, { pipeline: 'a' })
    await ada.pipelines.run('a')
    work.run().finish()
    await ada.result(holder.id)
    await bench.clock.advance(10 * MINUTE)
    // The job that held the slot was of another type, so it was no run of the pipeline.
    expect((await ada.list({ pipeline: 'n' })).items).toHaveLength(1)
  })
})

test.each([
  [{ overlap: 'wait' }, "'reject', 'queue', 'replace' or 'skip'; or an object of these by manual, schedule"],
  [{ overlap: { cron: 'skip' } }, 'key cron; the keys are manual, schedule, dependency, retry'],
  [{ schedule: { cron: '0 2 * * *', timezone: 'UTC' } }, 'key timezone; the keys are cron, timeZone, fields, catchUp'],
  [{ schedule: 5 }, 'exactly one of cron, every and at'],
  [{ schedule: { cron: '0 2 * * *', every: '1h' } }, 'exactly one of cron, every and at'],
  [{ dependsOn: ['src'] }, "an object, e.g. { pipeline: 'nightly' } or { job: deploy }"],
  [{ dependsOn: [{ pipelne: 'src' }] }, 'key pipelne; the keys are pipeline, job, outcome'],
])('an invalid option of a pipeline is refused, and the error lists what is valid: %j', async (options, message) => {
  const type = defineJob({ type: 'w', execute: () => {} })
  const { ada } = await new Bench().start({ jobs: [type] })
  const error = await errorOf(ada.pipelines.define({ id: 'p', job: type, ...(options as object) }))
  expect(error.message).toContain(message)
  expect(error.message).toMatch(/^options do not fit: /)
})
