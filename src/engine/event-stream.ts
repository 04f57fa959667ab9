import { JobchartError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import { canonicalText } from '../model/storable.ts'
import { isoTime } from '../model/time.ts'
import type { Principal, Scope, Target } from '../port/policy.ts'
import { authorizeMany, grantOfEvent, reach, searchable } from './authorization.ts'
import type { Core } from './core.ts'
import type { Follower, TailRow } from './log-tail.ts'
import { type ShownEvent, shownEvents } from './shown-event.ts'

/**
 * What was told before may not be all, or not what may be seen now: the rights of who follows have changed, or the storage
 * is an older one. Load again what is shown, and go on.
 */
export interface ResetEvent {
  readonly type: 'reset'
  /** Where the stream goes on: what follows has higher numbers. */
  readonly sequence: number
  /** ISO 8601. */
  readonly at: string
}

/** What `events` gives. */
export type SessionEvent = ShownEvent | ResetEvent

/** Nothing is sent under rights that were asked for longer ago. */
const RIGHTS_MS_MAX = 5_000
const ROWS_AT_ONCE = 500
/** Numbers of the log that one read walks over at most, so that a search for the few that may be seen blocks nothing. */
const NUMBERS_AT_ONCE = 5_000

/** What is followed. */
export interface Wanted {
  readonly after: number
  readonly job?: string | undefined
  readonly type?: string | undefined
  readonly pipeline?: string | undefined
  readonly createdBy?: string | undefined
  readonly labels: { readonly [name: string]: string }
}

/** What the one who follows may see, as it was asked for. */
interface Rights {
  readonly who: Principal
  /** Absent for the events of one job, which its own right allows. */
  readonly scopes?: readonly Scope[]
  readonly askedAt: number
}

/**
 * The log as one person follows it, from a place of the reader's own.
 *
 * ```
 *  rights ─▶ rows after the place ─▶ covered by a scope ─▶ shown by the policy ─▶ the reader
 *    ▲        (tail, or storage)                                                    │
 *    └───────────── asked again where they are 5 s old, before anything is sent ◀──┘
 * ```
 *
 * It holds one batch of rows at most, however slow the reader is.
 */
export class EventStream {
  readonly #core: Core
  readonly #who: () => Principal
  readonly #wanted: Wanted
  readonly #signal: AbortSignal
  readonly #follower: Follower
  #position: number

  constructor(core: Core, who: () => Principal, wanted: Wanted, signal: AbortSignal) {
    this.#core = core
    this.#who = who
    this.#wanted = wanted
    this.#signal = signal
    this.#position = wanted.after
    this.#follower = core.tail.follow()
  }

  /** Runs until the signal is aborted, or the one job that was asked for is deleted. */
  async *run(): AsyncGenerator<SessionEvent> {
    const wake = () => this.#follower.wake()
    this.#signal.addEventListener('abort', wake)
    try {
      yield* this.#follow()
    } catch (error) {
      // Whoever has given up waits for nothing, and is told of nothing.
      if (!this.#signal.aborted) throw error
    } finally {
      this.#signal.removeEventListener('abort', wake)
      this.#follower.leave()
    }
  }

  async *#follow(): AsyncGenerator<SessionEvent> {
    let rights = await this.#ask()
    if (await this.#isAhead()) yield this.#reset()
    while (!this.#isOver()) {
      if (this.#isOld(rights)) {
        const before = rights
        rights = await this.#ask()
        if (isOther(before, rights)) yield this.#reset()
        continue
      }
      const batch = await this.#next(rights)
      if (batch === undefined) await this.#wait(rights)
      else if (yield* this.#tell(batch, rights)) return
    }
  }

  /** Tells what may be told of a batch, as long as the rights hold; true: nothing can follow it. */
  async *#tell({ rows, through }: Batch, rights: Rights): AsyncGenerator<SessionEvent, boolean> {
    for (const row of latest(rows)) {
      for (const event of await this.#shown(row, rights)) {
        // The policy, or the reader, may have taken its time.
        if (this.#isOver() || this.#isOld(rights)) return false
        this.#position = event.sequence
        yield event
        if (event.type === 'job.deleted' && event.jobId === this.#wanted.job) return true
      }
      if (this.#isOver() || this.#isOld(rights)) return false
      this.#position = row.end
    }
    this.#position = through
    return false
  }

  // A storage that was put back to an older state knows no such number yet, and would not reach the reader for long.
  async #isAhead(): Promise<boolean> {
    if (this.#position <= this.#core.tail.sequence) return false
    const last = await this.#core.storage.lastSequence()
    if (this.#position <= last) return false
    this.#position = last
    return true
  }

  #reset(): ResetEvent {
    return { type: 'reset', sequence: this.#position, at: isoTime(this.#core.clock.now()) }
  }

  /** @throws {JobchartError} `ENGINE_STOPPED` */
  #isOver(): boolean {
    if (this.#signal.aborted) return true
    if (!this.#core.stopped.aborted) return false
    throw new JobchartError('ENGINE_STOPPED', 'the engine was stopped; follow on after the last sequence elsewhere')
  }

  #isOld({ askedAt }: Rights): boolean {
    return this.#core.clock.elapsed() - askedAt >= RIGHTS_MS_MAX
  }

  /** @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND` */
  async #ask(): Promise<Rights> {
    const core = this.#core
    const who = this.#who()
    const askedAt = core.clock.elapsed()
    const { job, after, ...narrow } = this.#wanted
    if (job !== undefined) {
      await reach(core, who, job, () => ({ action: 'events', signal: this.#signal }))
      return { who, askedAt }
    }
    const scopes = await authorizeMany(core, who, 'events', this.#signal)
    return { who, askedAt, scopes: narrowed(scopes, narrow) }
  }

  /** The next rows; undefined: there are none yet. */
  async #next({ scopes }: Rights): Promise<Batch | undefined> {
    const { storage, tail } = this.#core
    const after = this.#position
    const rows = tail.after(after)
    if (rows?.length === 0) return undefined
    if (rows !== undefined) return { rows, through: rows.at(-1)?.end ?? after }
    const { job } = this.#wanted
    const through = job === undefined ? Math.min(tail.sequence, after + NUMBERS_AT_ONCE) : tail.sequence
    const where = job === undefined ? { scopes: scopes ?? [] } : { jobId: job }
    const found = await storage.events({ after, limit: ROWS_AT_ONCE, through, ...where })
    const read = found.map(({ sequence, unit, ...row }) => ({ row, sequence, end: sequence + row.events.length - 1 }))
    const last = read.at(-1)?.end ?? after
    return { rows: read, through: read.length < ROWS_AT_ONCE ? Math.max(through, last) : last }
  }

  async #shown({ row, sequence }: TailRow, { who, scopes }: Rights): Promise<readonly ShownEvent[]> {
    const isMeant = scopes === undefined ? row.jobId === this.#wanted.job : scopes.some((scope) => covers(scope, row))
    if (!isMeant) return []
    const grant = await grantOfEvent(this.#core, who, targetOf(row), this.#signal)
    if (grant === undefined) return []
    const events = shownEvents(row, sequence, grant)
    return sequence > this.#position ? events : events.filter((event) => event.sequence > this.#position)
  }

  async #wait({ askedAt }: Rights): Promise<void> {
    const { clock } = this.#core
    const restMs = Math.max(0, askedAt + RIGHTS_MS_MAX - clock.elapsed())
    const cancel = clock.timer(restMs, () => this.#follower.wake())
    await this.#follower.wait()
    cancel()
  }
}

/** Rows of the log, and the number up to which nothing else is for who follows. */
interface Batch {
  readonly rows: readonly TailRow[]
  readonly through: number
}

/** Without progress that is overtaken in the same batch: of a job's reports in a row, the last. */
function latest(rows: readonly TailRow[]): readonly TailRow[] {
  if (!rows.some(({ row }) => isProgress(row))) return rows
  const overtaken = new Set<string>()
  const kept = [...rows].reverse().filter(({ row }) => {
    if (!isProgress(row)) overtaken.delete(row.jobId)
    else if (overtaken.has(row.jobId)) return false
    else overtaken.add(row.jobId)
    return true
  })
  return kept.reverse()
}

function isProgress({ events: [first] }: EventRow): boolean {
  return first?.type === 'job.progress'
}

/** The scopes within what is asked for; none where the two exclude each other, or where to find would be to tell. */
function narrowed(scopes: readonly Scope[], { labels, ...fields }: Omit<Wanted, 'after' | 'job'>): readonly Scope[] {
  const asked = Object.entries(fields).filter(([, value]) => value !== undefined)
  const names = asked.map(([field]) => field)
  const open = searchable(scopes, Object.keys(labels).length === 0 ? names : [...names, 'labels'])
  return open.flatMap((scope) => {
    const all = { ...scope.labels, ...labels }
    const isApart =
      asked.some(([field, value]) => (scope[field as keyof typeof fields] ?? value) !== value) ||
      Object.entries(scope.labels ?? {}).some(([name, value]) => all[name] !== value)
    return isApart ? [] : [{ ...scope, ...Object.fromEntries(asked), labels: all }]
  })
}

function covers({ tenant, createdBy, type, pipeline, labels }: Scope, row: EventRow): boolean {
  if (tenant !== undefined && tenant !== row.tenant) return false
  if (createdBy !== undefined && createdBy !== row.createdBy) return false
  if (type !== undefined && type !== row.jobType) return false
  if (pipeline !== undefined && pipeline !== row.pipeline) return false
  for (const name in labels) if (!Object.hasOwn(row.labels, name) || row.labels[name] !== labels[name]) return false
  return true
}

function targetOf({ jobId, jobType: type, tenant, createdBy, pipeline, labels }: EventRow): Target {
  return { jobId, tenant, type, createdBy, labels, ...(pipeline === undefined ? {} : { pipeline }) }
}

function isOther(before: Rights, after: Rights): boolean {
  return canonicalText(before.scopes) !== canonicalText(after.scopes)
}
