/**
 * Prunes ended jobs, log lines and rows of the event log that the retention of the engine, or of the job's type, no
 * longer keeps.
 */
import { withVersions } from '../model/definition.ts'
import type { Retention } from '../model/retention.ts'
import type { Pruned, PruneQuery, PruneType } from '../port/storage.ts'
import type { Core } from './core.ts'
import { turn } from './pause.ts'

/** What a call of `prune` has removed. */
export interface PrunedCounts {
  /** How many jobs were removed, including child jobs. */
  readonly jobs: number
  /** How many rows of the event log were removed. A row has the events of one change of a job. */
  readonly events: number
  /** How many log lines were removed, including those of removed jobs. */
  readonly lines: number
}

/** About how many rows one commit removes. */
const ROWS_AT_ONCE = 200
/** How long one sweep prunes, in milliseconds, so that the next sweep is not late. */
const SWEEP_MS_MAX = 200
/** How long an engine waits between two passes, in milliseconds. */
const REST_MS = 60_000
/** How many unreadable jobs are remembered, so that each is logged once. */
const LOGGED_MAX = 1_000

/**
 * Prunes in passes. A pass goes over all stored data once, in small commits: some at each sweep. After a pass, the
 * engine waits for a while.
 */
export class Pruning {
  #after: string | undefined
  #restsUntil = Number.NEGATIVE_INFINITY
  readonly #logged = new Set<string>()

  /** Called by each sweep. Goes on with the pass, or begins the next one. */
  async run(core: Core): Promise<void> {
    if (core.health.isDegraded || core.clock.elapsed() < this.#restsUntil) return
    const until = core.clock.elapsed() + SWEEP_MS_MAX
    while (core.clock.elapsed() <= until && !core.stopped.aborted) {
      const pruned = await this.#piece(core, this.#after)
      this.#after = pruned?.after
      if (this.#after === undefined) {
        this.#restsUntil = core.clock.elapsed() + REST_MS
        return
      }
      await turn(core)
    }
  }

  /** Does a whole pass at once, besides the pass of the sweeps. */
  async all(core: Core, signal: AbortSignal | undefined): Promise<PrunedCounts> {
    let [jobs, events, lines] = [0, 0, 0]
    for (let after: string | undefined, isMore = true; isMore; isMore = after !== undefined) {
      signal?.throwIfAborted()
      const pruned = await this.#piece(core, after)
      jobs += pruned?.jobs ?? 0
      events += pruned?.events ?? 0
      lines += pruned?.lines ?? 0
      after = pruned?.after
      await turn(core)
    }
    return { jobs, events, lines }
  }

  async #piece(core: Core, after: string | undefined): Promise<Pruned | undefined> {
    const query = queryOf(core)
    if (query === undefined) return undefined
    const pruned = await core.storage.prune(after === undefined ? query : { ...query, after })
    for (const jobId of pruned.unreadable) this.#log(core, jobId)
    return pruned
  }

  #log(core: Core, jobId: string): void {
    if (this.#logged.has(jobId)) return
    if (this.#logged.size < LOGGED_MAX) this.#logged.add(jobId)
    core.logger.warn({ jobId }, 'a job is kept beyond its retention, because its record cannot be read')
  }
}

/** What is to be pruned now. `undefined`: nothing, since everything is kept. */
function queryOf({ settings: { retention }, types, clock }: Core): PruneQuery | undefined {
  const now = clock.now()
  const rules = types.newest().flatMap((type): readonly PruneType[] => {
    // A type's own fields replace those of the engine. Child jobs are removed with their top job; their log lines may
    // be removed before.
    const own: Retention = { ...retention, ...type.retention }
    const rule = ruleOf(own, now)
    return [...withVersions(type)].map((each) => {
      if (each.type === type.type) return { type: each.type, ...rule }
      const { linesBefore } = rule
      return { type: each.type, endedBefore: {}, ...(linesBefore === undefined ? {} : { linesBefore }) }
    })
  })
  const kept = new Map(rules.map((rule) => [rule.type, rule]))
  const asked = [...kept.values()].filter(({ endedBefore, max, linesBefore }) => {
    return Object.keys(endedBefore).length > 0 || max !== undefined || linesBefore !== undefined
  })
  const { events, progress } = retention
  if (asked.length === 0 && !isTime(events) && !isTime(progress)) return undefined
  return {
    types: asked,
    limit: ROWS_AT_ONCE,
    ...(isTime(events) ? { eventsBefore: now - events } : {}),
    ...(isTime(progress) ? { progressBefore: now - progress } : {}),
  }
}

function ruleOf({ jobs = {}, max, logs }: Retention, now: number): Omit<PruneType, 'type'> {
  const times = Object.entries(jobs).filter((each): each is [string, number] => isTime(each[1]))
  return {
    endedBefore: Object.fromEntries(times.map(([outcome, ms]) => [outcome, now - ms])),
    ...(isTime(max) ? { max } : {}),
    ...(isTime(logs) ? { linesBefore: now - logs } : {}),
  }
}

function isTime(value: number | null | undefined): value is number {
  return typeof value === 'number'
}
