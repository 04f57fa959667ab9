import { isPromiseLike } from '../context/soon.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import { canonicalText } from '../model/storable.ts'
import { isoTime } from '../model/time.ts'
import type { Principal, Scope } from '../port/policy.ts'
import type { StoredEvents } from '../port/storage.ts'
import { authorizeMany, maskOfEvent, reach, searchedBy } from './authorization.ts'
import type { Core } from './core.ts'
import { emittedIn, type Follower, type TailRow, withoutInputs } from './log-tail.ts'
import { type ShownEvent, shownEvents } from './shown-event.ts'

/**
 * Tells the reader that earlier events may be missing, or may no longer be visible to the reader. Either the reader's
 * rights have changed, or the storage was restored from a backup. Reload what you show, and go on reading.
 */
export interface ResetEvent {
  readonly type: 'reset'
  /** Where the stream continues: later events have higher numbers. */
  readonly sequence: number
  /** ISO 8601. */
  readonly at: string
}

/** What `events` yields. */
export type SessionEvent = ShownEvent | ResetEvent

/** The longest time that rights are used without asking the policy again, in milliseconds. */
const RIGHTS_MS_MAX = 5_000
/** The number of rows of the first read. Few, because each row may contain a large emitted event. */
const ROWS_AT_FIRST = 100
const ROWS_AT_ONCE = 500
/** The most characters of emitted events kept from one read. The rest is read again later. */
const EMITTED_AT_ONCE = 2_000_000
/** The most log numbers that one read scans, so that searching for few visible rows does not block. */
const NUMBERS_AT_ONCE = 5_000

/** Which events the stream should contain. */
export interface Wanted {
  readonly after: number
  readonly job?: string | undefined
  readonly type?: string | undefined
  readonly pipeline?: string | undefined
  readonly createdBy?: string | undefined
  readonly assignee?: string | undefined
  readonly labels: { readonly [name: string]: string }
}

/** The reader's rights, from the last answer of the policy. */
interface Rights {
  readonly who: Principal
  /** Absent if the stream follows one job: then the policy is asked about that job instead. */
  readonly scopes?: readonly Scope[]
  readonly askedAt: number
}

/**
 * The event log as one reader follows it, from the reader's own position.
 *
 * ```
 *  rights ─▶ rows after the position ─▶ covered by a scope ─▶ shown by the policy ─▶ the reader
 *    ▲         (tail, or storage)                                                      │
 *    └────────────── asked again when they are 5 s old, before anything is sent ◀──────┘
 * ```
 *
 * It holds at most one batch of rows, even for a slow reader. Thousands of readers may follow one engine. So passing an
 * event from the tail to a reader creates no promise besides the one that the reader awaits.
 */
export class EventStream {
  readonly #core: Core
  readonly #who: () => Principal
  readonly #wanted: Wanted
  readonly #signal: AbortSignal
  readonly #follower: Follower
  readonly #wake = () => this.#follower.wake()
  readonly #abort = () => this.end()
  #rights: Rights | undefined
  /** Why the one job can no longer be followed, e.g. it was deleted. Thrown after all earlier events were delivered. */
  #gone: unknown
  /** The next events to deliver, in order: those of one row, or a reset. */
  #ready: readonly SessionEvent[] = []
  /** How many of `#ready` were delivered. */
  #told = 0
  /** Rows that were read, and come after those of `#ready`. */
  #rows: readonly TailRow[] = []
  /** Everything up to here was delivered, or is not visible to the reader. */
  #position: number
  /** The value of `#position` once all of `#ready` are delivered. `#through`: its value once all of `#rows` are. */
  #next: number
  #through: number
  #rowsAtOnce = ROWS_AT_FIRST
  #hasEnded = false
  #giveUp: () => void = () => {}

  constructor(core: Core, who: () => Principal, wanted: Wanted, signal: AbortSignal) {
    this.#core = core
    this.#who = who
    this.#wanted = wanted
    this.#signal = signal
    this.#position = wanted.after
    this.#next = wanted.after
    this.#through = wanted.after
    this.#follower = core.tail.follow()
    if (signal.aborted) this.end()
    else signal.addEventListener('abort', this.#abort)
  }

  /**
   * The next event. `undefined`: the stream has ended, because its signal was aborted or its one job was deleted. Wait
   * for the answer before you call it again.
   *
   * @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND`, `STORAGE_UNAVAILABLE`, `ENGINE_STOPPED`; the stream has then ended.
   */
  async next(): Promise<SessionEvent | undefined> {
    try {
      while (!this.#isOver()) {
        const event = this.take()
        if (event !== undefined) return event
        await this.#advance()
      }
    } catch (error) {
      // After an abort, errors no longer matter to the reader.
      if (!this.#hasEnded) {
        this.end()
        // If the engine's stop closed the storage during a read, say that the engine stopped.
        throw this.#core.stopped.aborted ? engineStopped() : error
      }
    }
    this.end()
    return undefined
  }

  /** Whether the policy has allowed the stream. */
  get isAllowed(): boolean {
    return this.#rights !== undefined
  }

  /** The log number up to which everything was delivered, or is not visible to the reader. */
  get position(): number {
    return this.#position
  }

  /** The next event, if it is available now and may be delivered. */
  take(): SessionEvent | undefined {
    const event = this.#ready[this.#told]
    if (event === undefined || this.#hasEnded || this.#core.stopped.aborted) return undefined
    // The policy or the reader may have been slow, so the rights may be too old.
    if (event.type !== 'reset' && this.#isOld()) return undefined
    this.#told++
    this.#position = this.#told < this.#ready.length ? event.sequence : this.#next
    if (event.type === 'job.deleted' && event.jobId === this.#wanted.job) this.end()
    return event
  }

  /** Ends the stream and frees its rows. A pending `next` gets `undefined`. */
  end(): void {
    this.#hasEnded = true
    this.#signal.removeEventListener('abort', this.#abort)
    this.#follower.wake()
    this.#follower.leave()
    this.#forget()
    this.#giveUp()
  }

  // One step towards the next event.
  async #advance(): Promise<void> {
    if (this.#isOld()) await this.#orEnd(this.#renew())
    else if (this.#rows.length > 0) await this.#show()
    else if (this.#through < this.#core.tail.sequence) await this.#read()
    else if (this.#gone !== undefined) throw this.#gone
    // The wait begins in the same synchronous step in which the tail was read, so that no row is missed in between.
    else await this.#wait()
  }

  // Waits for a step, or until the stream ends: the storage may answer late or never. Returns `undefined` if the stream
  // ended first.
  #orEnd<Answer>(step: Promise<Answer>): Promise<Answer | undefined> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined)
      step.then(resolve, reject)
    })
  }

  async #renew(): Promise<void> {
    // Rows read under the old rights are read again.
    this.#forget()
    const before = this.#rights
    this.#rights = await this.#ask()
    if (before === undefined ? await this.#isAhead() : isOther(before, this.#rights)) this.#tell([this.#reset()])
  }

  #forget(): void {
    this.#ready = []
    this.#told = 0
    this.#rows = []
    this.#next = this.#position
    this.#through = this.#position
  }

  #tell(events: readonly SessionEvent[]): void {
    this.#ready = events
    this.#told = 0
  }

  // Whether the reader's position is above the newest number of the log, as after a restore from a backup. If so, the
  // reader is moved to the end of the log: otherwise it would see no new events until the log passed its old position.
  async #isAhead(): Promise<boolean> {
    if (this.#position <= this.#core.tail.sequence) return false
    const last = await this.#core.storage.lastSequence()
    if (this.#position <= last) return false
    this.#position = last
    this.#forget()
    return true
  }

  #reset(): ResetEvent {
    return { type: 'reset', sequence: this.#position, at: isoTime(this.#core.clock.now()) }
  }

  /** Whether the stream has ended. @throws {JobchartError} `ENGINE_STOPPED` the engine has stopped. */
  #isOver(): boolean {
    if (this.#hasEnded) return true
    if (!this.#core.stopped.aborted) return false
    throw engineStopped()
  }

  #isOld(): boolean {
    return this.#rights === undefined || this.#core.clock.elapsed() - this.#rights.askedAt >= RIGHTS_MS_MAX
  }

  /** Asks the policy for the reader's current rights. @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND` */
  async #ask(): Promise<Rights> {
    const core = this.#core
    const who = this.#who()
    const askedAt = core.clock.elapsed()
    const { job, after, ...narrow } = this.#wanted
    if (job !== undefined) {
      await this.#reach(who, job)
      return { who, askedAt }
    }
    const scopes = await authorizeMany(core, who, 'events', this.#signal)
    return { who, askedAt, scopes: narrowed(who, scopes, narrow) }
  }

  // If the job was deleted meanwhile, its last events are still in the log, and are delivered first. Each row is
  // checked on its own, so nothing hidden is shown.
  async #reach(who: Principal, job: string): Promise<void> {
    try {
      await reach(this.#core, who, job, () => ({ action: 'events', signal: this.#signal }))
      this.#gone = undefined
    } catch (error) {
      const isGone = hasCode(error, 'JOB_NOT_FOUND')
      if (!isGone || this.#rights === undefined) throw error
      this.#gone = error
    }
  }

  // Reads the next rows and keeps those that the reader may see.
  async #read(): Promise<void> {
    this.#position = this.#through
    const batch = this.#kept() ?? (await this.#orEnd(this.#stored()))
    if (batch === undefined) return
    this.#rows = latest(batch.rows)
    this.#through = batch.through
  }

  #kept(): Batch | undefined {
    const { tail } = this.#core
    const rows = tail.after(this.#position)
    return rows && { rows, through: tail.sequence }
  }

  async #stored(): Promise<Batch> {
    const { storage, tail } = this.#core
    const { job } = this.#wanted
    const after = this.#position
    const through = job === undefined ? Math.min(tail.sequence, after + NUMBERS_AT_ONCE) : tail.sequence
    const where = job === undefined ? { scopes: this.#rights?.scopes ?? [] } : { jobId: job }
    const limit = this.#rowsAtOnce
    const found = await storage.events({ after, limit, through, ...where })
    const rows = firstOf(found)
    const last = rows.at(-1)?.end ?? after
    this.#rowsAtOnce = rows.length < found.length ? rows.length : Math.min(ROWS_AT_ONCE, limit * 2)
    return { rows, through: found.length < limit && rows.length === found.length ? Math.max(through, last) : last }
  }

  // Takes rows up to the first one with a visible event, and makes the events of that row ready.
  async #show(): Promise<void> {
    const { who, scopes } = this.#rights ?? {}
    if (who === undefined) return
    for (const [index, { row, sequence, end }] of this.#rows.entries()) {
      const isMeant = scopes === undefined ? row.jobId === this.#wanted.job : scopes.some((scope) => covers(scope, row))
      if (!isMeant) continue
      const answer = maskOfEvent(this.#core, who, row, this.#signal)
      const mask = isPromiseLike(answer) ? await answer : answer
      const shown = mask === undefined ? [] : shownEvents(row, sequence, mask)
      const events = sequence > this.#position ? shown : shown.filter((event) => event.sequence > this.#position)
      if (events.length > 0) {
        this.#rows = this.#rows.slice(index + 1)
        this.#next = this.#rows.length === 0 ? this.#through : end
        this.#tell(events)
        return
      }
      // The reader's position moves past this row now. So if the rights are too old, the policy is not asked about this
      // row again.
      this.#position = end
      if (this.#isOld()) return
    }
    this.#rows = []
  }

  async #wait(): Promise<void> {
    const { clock } = this.#core
    const restMs = Math.max(0, (this.#rights?.askedAt ?? 0) + RIGHTS_MS_MAX - clock.elapsed())
    const cancel = clock.timer(restMs, this.#wake)
    await this.#follower.wait()
    cancel()
  }
}

function engineStopped(): JobchartError {
  return new JobchartError(
    'ENGINE_STOPPED',
    'the engine was stopped; continue after the last sequence on another engine',
  )
}

/** Rows of the log. Up to the number `through`, there are no other rows for the reader. */
interface Batch {
  readonly rows: readonly TailRow[]
  readonly through: number
}

/** The first rows of a read, as many as fit the size limit, but at least one. */
function firstOf(found: readonly StoredEvents[]): readonly TailRow[] {
  const rows: TailRow[] = []
  let emitted = 0
  for (const { sequence, changeset, ...row } of found) {
    emitted += emittedIn(row)
    if (rows.length > 0 && emitted > EMITTED_AT_ONCE) break
    rows.push({ row: withoutInputs(row), sequence, end: sequence + row.events.length - 1 })
  }
  return rows
}

/** Drops outdated progress: of several progress rows of a job in succession, only the last stays. */
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

/**
 * Narrows the scopes to the requested fields. Leaves out a scope that covers no such job.
 *
 * @throws {JobchartError} `FORBIDDEN` a scope redacts a requested field.
 */
function narrowed(
  who: Principal,
  scopes: readonly Scope[],
  { labels, ...fields }: Omit<Wanted, 'after' | 'job'>,
): readonly Scope[] {
  const asked = Object.entries(fields).filter(([, value]) => value !== undefined)
  const names = asked.map(([field]) => field)
  const open = searchedBy(who, scopes, Object.keys(labels).length === 0 ? names : [...names, 'labels'])
  return open.flatMap((scope) => {
    const all = { ...scope.labels, ...labels }
    const isApart =
      asked.some(([field, value]) => (scope[field as keyof typeof fields] ?? value) !== value) ||
      Object.entries(scope.labels ?? {}).some(([name, value]) => all[name] !== value)
    return isApart ? [] : [{ ...scope, ...Object.fromEntries(asked), labels: all }]
  })
}

function covers({ tenant, createdBy, assignee, type, pipeline, labels }: Scope, row: EventRow): boolean {
  if ((tenant ?? row.tenant) !== row.tenant || (createdBy ?? row.createdBy) !== row.createdBy) return false
  if ((type ?? row.jobType) !== row.jobType || (pipeline ?? row.pipeline) !== row.pipeline) return false
  if ((assignee ?? row.assignee) !== row.assignee) return false
  for (const name in labels) if (!Object.hasOwn(row.labels, name) || row.labels[name] !== labels[name]) return false
  return true
}

function isOther(before: Rights, after: Rights): boolean {
  return textOf(before) !== textOf(after)
}

// Sorted, because a policy may return its scopes in any order.
function textOf({ scopes = [] }: Rights): string {
  return scopes.map(canonicalText).sort().join()
}
