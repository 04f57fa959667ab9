import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import { grantOfAnswer } from '../authorization.ts'
import type { Core } from '../core.ts'
import { EventStream, type SessionEvent } from '../event-stream.ts'
import { eventOptionsSchema } from '../options.ts'
import { parseWith } from '../parse.ts'
import type { CallOptions } from '../session.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'

/** What `events` takes; each field but `after` narrows. */
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

/** {@inheritDoc Session.events} */
export function events(
  core: () => Core,
  who: () => Principal,
  { signal, ...options }: EventOptions = {},
): AsyncIterableIterator<SessionEvent> {
  const ended = new AbortController()
  const end = () => ended.abort()
  let from: { readonly core: Core; readonly sequence: number } | { readonly error: unknown }
  try {
    // At once: what is committed between the call and the first look is not missed.
    const now = core()
    from = { core: now, sequence: now.tail.sequence }
  } catch (error) {
    from = { error }
  }
  const stream = (async function* () {
    if ('error' in from) throw from.error
    const given = await parseWith(eventOptionsSchema, options, 'options')
    if (signal?.aborted === true) return
    signal?.addEventListener('abort', end, { once: true })
    try {
      yield* new EventStream(from.core, who, { after: from.sequence, ...given }, ended.signal).run()
    } finally {
      signal?.removeEventListener('abort', end)
    }
  })()
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next: () => stream.next(),
    // One that waits for an event ends too.
    return: () => {
      end()
      return stream.return(undefined)
    },
  }
}
