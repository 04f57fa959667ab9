import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import type { Core } from '../core.ts'
import type { CallOptions } from '../session.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'

/** {@inheritDoc Session.result} */
export async function result(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<JobView> {
  for (let written: Job | undefined; ; ) {
    signal?.throwIfAborted()
    if (core.stopped.aborted) throw new JobchartError('ENGINE_STOPPED', 'the engine was stopped before the job ended')
    // Watched before it is read: what happens in between is not missed.
    const change = nextChange(core, id, signal)
    try {
      const known = written ?? core.dispatcher.heldHere(id)
      const { job, redacted } = await readable(core, who, id, { action: 'result', signal }, known)
      if (job.phase === 'settled') return viewOf(job, redacted)
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
