import fc from 'fast-check'
import { type CatchUp, defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { shareOf } from '../share.ts'
import { Bench, type Host } from './bench.ts'

const MINUTE = 60_000
const START = Date.UTC(2026, 0, 1)
/** A time that is later than this was missed. */
const LATE = MINUTE
const RARELY = { poll: '1h', sweep: '1h', heartbeat: '1h' } as const

const type = defineJob({ type: 'quick', execute: async () => 1 })

/** What happens to a pipeline, its engines and their clock. */
const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('pass' as const), minutes: fc.integer({ min: 1, max: 300 }) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('down' as const), minutes: fc.integer({ min: 1, max: 300 }) }) },
  fc.record({ op: fc.constant('pause' as const) }),
  fc.record({ op: fc.constant('resume' as const) }),
  fc.record({ op: fc.constant('second' as const) }),
  fc.record({ op: fc.constant('jump' as const), minutes: fc.integer({ min: -200, max: 200 }) }),
  fc.record({ op: fc.constant('define' as const), priority: fc.integer({ min: 0, max: 2 }) }),
)
type Happening = typeof happening extends fc.Arbitrary<infer Each> ? Each : never

const schedules = fc.oneof(
  fc.record({ every: fc.integer({ min: 7, max: 90 }).map((minutes) => minutes * MINUTE) }),
  fc.constantFrom({ cron: '*/20 * * * *' }, { cron: '5 * * * *' }, { cron: '0 3,4 * * *' }),
)
const catchUps = fc.constantFrom<CatchUp>('skip', 'one', { max: 2 }, { max: 5 })

/** The due times from one to another, both included. */
type DueTimes = (from: number, until: number) => readonly number[]

/**
 * The schedule as its guide describes it: which due times have a run. It knows only when engines looked.
 */
class Model {
  readonly #times: DueTimes
  readonly #catchUp: CatchUp
  readonly runs: number[] = []
  isPaused = false
  /** All due times before this are done with. */
  #doneBefore = 0

  constructor(times: DueTimes, catchUp: CatchUp) {
    this.#times = times
    this.#catchUp = catchUp
  }

  /** An engine looks at this time. */
  look(now: number): void {
    const due = this.#times(this.#doneBefore, now)
    this.#doneBefore = Math.max(this.#doneBefore, now + 1)
    if (!this.isPaused) this.runs.push(...this.#kept(due, now))
  }

  #kept(due: readonly number[], now: number): readonly number[] {
    if (this.#catchUp === 'skip') return due.slice(-1).filter((at) => now - at <= LATE)
    return due.slice(-(this.#catchUp === 'one' ? 1 : this.#catchUp.max))
  }
}

/** Every time at which an engine that runs looks: each due time, as the alarm rings, and the start. */
class Life {
  readonly #bench = new Bench()
  readonly #model: Model
  readonly #times: DueTimes
  #hosts: Host[] = []

  constructor(times: DueTimes, catchUp: CatchUp) {
    this.#times = times
    this.#model = new Model(times, catchUp)
  }

  async begin(options: { schedule: object; catchUp: CatchUp }): Promise<void> {
    this.#hosts = [await this.#start()]
    await this.#define(options, 0)
    await this.#pass(0)
  }

  async #start(): Promise<Host> {
    const host = await this.#bench.start({ jobs: [type], ...RARELY })
    this.#model.look(this.#bench.clock.now())
    return host
  }

  get #ada() {
    const [host] = this.#hosts
    if (host === undefined) throw new Error('no engine runs')
    return host.ada
  }

  async #define({ schedule, catchUp }: { schedule: object; catchUp: CatchUp }, priority: number): Promise<void> {
    const whole = { ...schedule, catchUp } as { every: number; catchUp: CatchUp }
    await this.#ada.pipelines.define({ id: 'p', job: type, schedule: whole, priority, overlap: 'queue' })
  }

  async #pass(ms: number): Promise<void> {
    const from = this.#bench.clock.now()
    await this.#bench.clock.advance(ms)
    for (const at of this.#times(from, from + ms)) this.#model.look(at)
    this.#model.look(from + ms)
  }

  async happen(each: Happening, options: { schedule: object; catchUp: CatchUp }): Promise<void> {
    switch (each.op) {
      case 'pass':
        return await this.#pass(each.minutes * MINUTE)
      case 'down': {
        for (const { crash } of this.#hosts) await crash()
        await this.#bench.clock.advance(each.minutes * MINUTE)
        this.#hosts = [await this.#start()]
        return await this.#pass(0)
      }
      case 'second':
        if (this.#hosts.length < 3) this.#hosts.push(await this.#start())
        return
      case 'pause':
        await this.#ada.pipelines.pause('p', 'wait')
        this.#model.isPaused = true
        return
      case 'resume':
        await this.#ada.pipelines.resume('p')
        this.#model.look(this.#bench.clock.now())
        this.#model.isPaused = false
        return
      case 'jump':
        this.#bench.clock.jump(each.minutes * MINUTE)
        // The engines look again at their next sweep, an hour later at most. So they are started anew.
        return await this.happen({ op: 'down', minutes: 1 }, options)
      case 'define':
        return await this.#define(options, each.priority)
    }
  }

  async check(): Promise<void> {
    const rows = await (await this.#bench.probe()).find({ scopes: [{}] }, { limit: 10_000, order: 'oldest' })
    const runs = rows.jobs.map(({ startAt = 0 }) => startAt)
    expect(runs.length).toBe(new Set(runs).size)
    const text = (times: readonly number[]) => times.toSorted((a, b) => a - b).map((at) => (at - START) / MINUTE)
    expect(text(runs)).toEqual(text(this.#model.runs))
    await this.#bench.end()
  }
}

function dueTimesOf(schedule: { readonly every?: number; readonly cron?: string }): DueTimes {
  const isDue = (at: number) => {
    const minutes = (at - START) / MINUTE
    if (schedule.every !== undefined) return minutes >= 0 && minutes % (schedule.every / MINUTE) === 0
    if (schedule.cron === '*/20 * * * *') return minutes % 20 === 0
    if (schedule.cron === '5 * * * *') return minutes % 60 === 5
    return [180, 240].includes(minutes % 1_440)
  }
  return (from, until) => {
    const found: number[] = []
    const first = Math.max(Math.ceil(from / MINUTE) * MINUTE, schedule.every === undefined ? START + 1 : START)
    for (let at = Math.ceil(first / MINUTE) * MINUTE; at <= until; at += MINUTE) if (isDue(at)) found.push(at)
    return found
  }
}

test('under random downtimes, pauses, clocks and engines, each due time has the runs that catchUp says, and never two', async () => {
  const lives = fc.array(happening, { size: 'max', maxLength: 25 })
  await fc.assert(
    fc.asyncProperty(lives, schedules, catchUps, async (happenings, schedule, catchUp) => {
      const life = new Life(dueTimesOf(schedule), catchUp)
      await life.begin({ schedule, catchUp })
      for (const each of happenings) await life.happen(each, { schedule, catchUp })
      await life.check()
    }),
    { numRuns: shareOf(300) },
  )
})
