import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import { grantOfAnswer } from '../authorization.ts'
import { type CallOptions, given } from '../call-options.ts'
import type { Core } from '../core.ts'
import { EventStream, type SessionEvent, type Wanted } from '../event-stream.ts'
import { eventOptionsSchema } from '../options.ts'
import { parseWith } from '../parse.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'

/** What `events` takes; each field but `after` narrows. `job` stands alone: of one job, nothing else can vary. */
export interface EventOptions extends CallOptions {
  /** Begins after the event of this `sequence`; 0: with the oldest. Default: with what is committed after the call. */
  readonly after?: number
  /** The events of one job. */
  readonly job?: JobId
  readonly type?: string
  readonly pipeline?: string
  readonly createdBy?: string
  readonly labels?: { readonly [name: string]: string }
}

/** {@inheritDoc Session.result} */
export async function result(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<JobView> {
  for (let written: Job | undefined; ; ) {
    signal?.throwIfAborted()
    if (core.stopped.aborted) throw new JobchartError('ENGINE_STOPPED', 'the engine was stopped before the job ended')
    // Watched before it is read: what happens in between is not missed.
    const change = nextChange(core, id, signal)
    try {
      const known = written ?? core.dispatcher.heldHere(id)
      const { job, grant } = await readable(core, who, id, { action: 'result', signal }, known)
      if (job.phase === 'settled') return viewOf(job, await grantOfAnswer(core, who, job, grant))
      written = await change.happened
    } finally {
      change.forget()
    }
  }
}

function nextChange(core: Core, id: string, signal: AbortSignal | undefined) {
  const { promise: happened, resolve: wake } = Promise.withResolvers<Job | undefined>()
  const unwatch = core.publisher.watch(id, wake)
  const giveUp = () => wake(undefined)
  signal?.addEventListener('abort', giveUp, { once: true })
  const forget = () => {
    unwatch()
    signal?.removeEventListener('abort', giveUp)
  }
  return { happened, forget }
}

/** What `session.events` gives. */
export interface Events extends AsyncIterableIterator<SessionEvent> {
  /** Where to go on: all up to here has been told, or was before the stream began. */
  readonly sequence: number
}

/** {@inheritDoc Session.events} */
export function events(core: () => Core, who: () => Principal, options?: EventOptions): Events {
  const ended = new AbortController()
  const end = () => ended.abort()
  // At once: what is committed between the call and the first look is not missed.
  const from = begin(core, options)
  const { signal, ...narrow } = 'error' in from ? {} : from.options
  let stream: EventStream | undefined
  let last: Promise<unknown> | undefined
  const open = async () => {
    if ('error' in from) throw from.error
    const wanted = await parseWith(eventOptionsSchema, narrow, 'options')
    refuseBesideJob(wanted)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted === true) end()
    return new EventStream(from.core, who, { after: from.sequence, ...wanted }, ended.signal)
  }
  const look = async (): Promise<IteratorResult<SessionEvent>> => {
    if (ended.signal.aborted) return OVER
    try {
      stream ??= await open()
      const value = await stream.next()
      if (value !== undefined) return { value, done: false }
    } catch (error) {
      finish()
      throw error
    }
    finish()
    return OVER
  }
  const finish = () => {
    end()
    signal?.removeEventListener('abort', end)
  }
  return {
    get sequence() {
      return stream?.position ?? narrow.after ?? ('sequence' in from ? from.sequence : 0)
    },
    [Symbol.asyncIterator]() {
      return this
    },
    next: () => {
      const value = last === undefined ? stream?.take() : undefined
      if (value !== undefined) return Promise.resolve({ value, done: false })
      // Each look comes after the one before.
      const looked = last === undefined ? look() : last.then(look, look)
      last = looked
      const isOver = () => {
        if (last === looked) last = undefined
      }
      looked.then(isOver, isOver)
      return looked
    },
    return: async () => {
      finish()
      // One that waits for an event ends too.
      await last?.catch(() => {})
      return OVER
    },
  }
}

// To tell whether it fits would tell what it is, also where that is redacted; and to pass over it would show too much.
function refuseBesideJob({ job, after, labels, ...fields }: Omit<Wanted, 'after'> & { readonly after?: number }): void {
  const narrow = { ...fields, labels: Object.keys(labels).length === 0 ? undefined : labels }
  const beside = Object.entries(narrow).find(([, value]) => value !== undefined)?.[0]
  if (job === undefined || beside === undefined) return
  throw new JobchartError('INVALID_INPUT', `options.${beside} should not stand beside options.job`, {
    issues: [{ message: 'does not go with job', path: [beside] }],
  })
}

const OVER = { value: undefined, done: true } as const

interface Beginning {
  readonly core: Core
  readonly sequence: number
  readonly options: EventOptions
}

function begin(core: () => Core, options: EventOptions | undefined): Beginning | { readonly error: unknown } {
  try {
    const now = core()
    return { core: now, sequence: now.tail.sequence, options: given(options) ?? {} }
  } catch (error) {
    return { error }
  }
}
