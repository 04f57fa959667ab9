import type { AnyJobType } from '../../model/definition.ts'
import { JobchartError } from '../../model/error.ts'
import type { JobId } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import { authorizeMany } from '../authorization.ts'
import { type CallOptions, given, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { EventStream, type SessionEvent, type Wanted } from '../event-stream.ts'
import { eventOptionsSchema } from '../options.ts'

/**
 * The options of `events`. Each field except `after` narrows the stream. `job` cannot be combined with other filters.
 */
export interface EventOptions extends CallOptions {
  /** Begins after the event with this `sequence`; 0: from the oldest. Default: with events committed after the call. */
  readonly after?: number | undefined
  /** Only the events of this job. */
  readonly job?: JobId
  /** A job type, or its name. */
  readonly type?: AnyJobType | string
  readonly pipeline?: string
  readonly createdBy?: string
  readonly assignee?: string
  readonly labels?: { readonly [name: string]: string }
}

/** The result of `session.events`. */
export interface Events extends AsyncIterableIterator<SessionEvent> {
  /**
   * Where to continue later: pass it as `after`. All visible events up to here were delivered, or were before the
   * stream's start. Until the policy has allowed the stream, this is the option `after`, or 0 without it.
   */
  readonly sequence: number
}

/** {@inheritDoc Session.events} */
export function events(
  core: () => Core,
  who: () => Principal,
  told: (error: unknown) => unknown,
  options?: EventOptions,
): Events {
  // Start now, so that no event committed before the first `next()` is missed.
  return new FollowedEvents(begin(core, options), who, told)
}

/** An {@link EventStream} that opens at the first `next()`, and ends with the caller's signal or `return`. */
class FollowedEvents implements Events {
  readonly #from: Begun
  readonly #who: () => Principal
  readonly #told: (error: unknown) => unknown
  readonly #signal: AbortSignal | undefined
  readonly #narrow: Omit<EventOptions, 'signal'>
  readonly #ended = new AbortController()
  readonly #end = () => this.#ended.abort()
  #stream: EventStream | undefined
  #last: Promise<unknown> | undefined

  constructor(from: Begun, who: () => Principal, told: (error: unknown) => unknown) {
    const { signal, ...narrow } = 'error' in from ? {} : from.options
    this.#from = from
    this.#who = who
    this.#told = told
    this.#signal = signal
    this.#narrow = narrow
  }

  get sequence(): number {
    const stream = this.#stream
    return stream?.isAllowed === true ? stream.position : placeBefore(this.#from, this.#who, this.#narrow)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<SessionEvent>> {
    const value = this.#last === undefined ? this.#stream?.take() : undefined
    if (value !== undefined) return Promise.resolve({ value, done: false })
    // Calls of `next()` are answered one after the other.
    const look = () => this.#look()
    const looked = this.#last === undefined ? look() : this.#last.then(look, look)
    this.#last = looked
    const isOver = () => {
      if (this.#last === looked) this.#last = undefined
    }
    looked.then(isOver, isOver)
    return looked
  }

  async return(): Promise<IteratorResult<SessionEvent>> {
    this.#finish()
    // Waits until a pending `next()` has ended too. If it fails, the caller of that `next()` gets the error.
    await this.#last?.catch(() => {})
    return OVER
  }

  async #look(): Promise<IteratorResult<SessionEvent>> {
    if (this.#ended.signal.aborted) return OVER
    try {
      this.#stream ??= await this.#open()
      const value = await this.#stream.next()
      if (value !== undefined) return { value, done: false }
    } catch (error) {
      this.#finish()
      throw this.#told(error)
    }
    this.#finish()
    return OVER
  }

  async #open(): Promise<EventStream> {
    const from = this.#from
    if ('error' in from) throw from.error
    const wanted = await parseOptions(eventOptionsSchema, this.#narrow)
    refuseBesideJob(wanted)
    this.#signal?.addEventListener('abort', this.#end, { once: true })
    if (this.#signal?.aborted === true) this.#end()
    const type = wanted.type === undefined ? undefined : from.core.types.nameOf(wanted.type)
    return new EventStream(from.core, this.#who, { after: from.sequence, ...wanted, type }, this.#ended.signal)
  }

  #finish(): void {
    this.#end()
    this.#signal?.removeEventListener('abort', this.#end)
  }
}

// The newest number of the log reveals how much all users do. So it is not shown until the policy has allowed the
// stream.
function placeBefore(from: Begun, who: () => Principal, { after, job }: EventOptions): number {
  if (after !== undefined || 'error' in from) return after ?? 0
  return isAllowedAtOnce(from.core, who, job) ? from.sequence : 0
}

function isAllowedAtOnce(core: Core, who: () => Principal, job: JobId | undefined): boolean {
  if (job !== undefined) return false
  try {
    const scopes = authorizeMany(core, who(), 'events', undefined)
    if (!(scopes instanceof Promise)) return true
    scopes.catch(() => {})
  } catch {
    // The policy refused or failed. The first `next()` asks it again, and throws its error.
  }
  return false
}

// A filter beside `job` is refused. Whether the job matches would reveal a field that may be redacted, and ignoring the
// filter would show too much.
function refuseBesideJob({ job, after, labels, ...fields }: Omit<Wanted, 'after'> & { readonly after?: number }): void {
  const narrow = { ...fields, labels: Object.keys(labels).length === 0 ? undefined : labels }
  const beside = Object.entries(narrow).find(([, value]) => value !== undefined)?.[0]
  if (job === undefined || beside === undefined) return
  throw new JobchartError(
    'INVALID_INPUT',
    `options.${beside} cannot be combined with options.job; leave one of them out`,
    {
      issues: [{ message: 'does not go with job', path: [beside] }],
    },
  )
}

const OVER = { value: undefined, done: true } as const

interface Beginning {
  readonly core: Core
  readonly sequence: number
  readonly options: EventOptions
}

type Begun = Beginning | { readonly error: unknown }

function begin(core: () => Core, options: EventOptions | undefined): Begun {
  try {
    const now = core()
    return { core: now, sequence: now.tail.sequence, options: given(options) ?? {} }
  } catch (error) {
    return { error }
  }
}
