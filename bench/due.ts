import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type AnyJobType, createEngine, defineJob, type Engine, type SubmitOptions, systemClock } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { createMachine } from 'xstate'
import type { Measured } from './measure.ts'
import { Tally } from './tally.ts'

const HOUR_MS = 3_600_000
const WARM_UP = 300

const timed = defineJob({
  type: 'timed',
  lifecycle: createMachine({
    initial: 'waiting',
    states: { waiting: { after: { [HOUR_MS]: 'over' } }, over: { type: 'final' } },
  }),
})
const begun = defineJob({ type: 'begun', lifecycle: createMachine({ initial: 'on', states: { on: {} } }) })

interface DueRow {
  readonly label: string
  readonly type: AnyJobType
  /** The event that the commit of each due job publishes. */
  readonly event: 'job.transitioned' | 'job.admitted'
  readonly isStartedLater: boolean
}

/** The ways in which jobs can fall due. */
export const DUE: { readonly [name: string]: DueRow } = {
  timers: { label: 'a timer of each', type: timed, event: 'job.transitioned', isStartedLater: false },
  starts: { label: 'the start of each (startAt)', type: begun, event: 'job.admitted', isStartedLater: true },
}

/**
 * Measures, on SQLite FULL, how many milliseconds it takes from the moment at which all jobs fall due until all are
 * committed, and the turns of the event loop meanwhile. To reach that moment, both times of the engine's clock are set
 * ahead.
 *
 * @throws {Error}  there is no way of this name.
 */
export async function due(name: string, jobs: number, folder: string): Promise<Measured> {
  const row = DUE[name]
  if (row === undefined) throw new Error(`no row "${name}"`)
  let aheadMs = 0
  const system = systemClock()
  const clock = { ...system, now: () => system.now() + aheadMs, elapsed: () => system.elapsed() + aheadMs }
  const storage = sqliteStorage(join(folder, 'jobchart.db'))
  const engine = await createEngine({ jobs: [row.type], storage, clock })
  const tally = new Tally()
  engine.on(row.event, () => tally.add('committed'))
  try {
    await store(engine, row, WARM_UP, clock.now() + HOUR_MS)
    aheadMs += 2 * HOUR_MS
    await engine.idle()
    await store(engine, row, jobs, clock.now() + HOUR_MS)
    await engine.idle()
    const turns = monitorEventLoopDelay({ resolution: 1 })
    turns.enable()
    aheadMs += 2 * HOUR_MS
    const begin = performance.now()
    // `idle` makes the engine look for due jobs at once, as its timer would.
    await Promise.all([engine.idle(), tally.reached('committed', WARM_UP + jobs)])
    const allMs = performance.now() - begin
    turns.disable()
    return { figures: { allMs, turn99Ms: turns.percentile(99) / 1e6, turnMaxMs: turns.max / 1e6 }, facts: {} }
  } finally {
    await engine.stop()
  }
}

async function store({ system }: Engine, { type, isStartedLater }: DueRow, jobs: number, startAt: number) {
  const options: SubmitOptions = isStartedLater ? { startAt } : {}
  const outcomes = await system.submitMany(Array.from({ length: jobs }, () => ({ ...options, type })))
  const failed = outcomes.find(({ error }) => error !== undefined)
  if (failed !== undefined) throw failed.error
}
