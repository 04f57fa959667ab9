import { type Answer, whenKnown } from '../../context/soon.ts'
import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import { maskOfAnswer } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import type { FieldMask } from '../field-mask.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'

/** {@inheritDoc Session.result} */
export function result(
  core: Core,
  who: () => Principal,
  id: JobId,
  { signal }: CallOptions,
  answer: Answer<JobView>,
): void {
  new ResultWait(core, who, id, signal, answer).begin()
}

/** Waits until a job settles. After each event of the job, it reads the job again with the caller's current rights. */
class ResultWait {
  readonly #core: Core
  readonly #who: () => Principal
  readonly #id: JobId
  readonly #signal: AbortSignal | undefined
  readonly #answer: Answer<JobView>
  #unwatch = () => {}
  #isLooking = false
  /** True: another event came after the current read began. */
  #isDue = false

  constructor(core: Core, who: () => Principal, id: JobId, signal: AbortSignal | undefined, answer: Answer<JobView>) {
    this.#core = core
    this.#who = who
    this.#id = id
    this.#signal = signal
    this.#answer = answer
  }

  // Watch first, then read, so that no event between the two is missed.
  begin(): void {
    this.#unwatch = this.#core.publisher.watch(this.#id, (written) => {
      if (written !== undefined) this.#look(written)
      // Delayed by a microtask, because the engine updates its copy of the job right after this call.
      else void Promise.resolve().then(() => this.#look(undefined))
    })
    this.#signal?.addEventListener('abort', this.#giveUp, { once: true })
    this.#look(undefined)
  }

  readonly #giveUp = () => this.#look(undefined)

  #look(written: Job | undefined): void {
    if (this.#isLooking) {
      this.#isDue = true
      return
    }
    this.#isLooking = true
    try {
      this.#signal?.throwIfAborted()
      if (this.#core.stopped.aborted) throw stopped()
      const who = this.#who()
      const known = written ?? this.#core.dispatcher.held(this.#id)
      const seen = readable(this.#core, who, this.#id, { action: 'result', signal: this.#signal }, known)
      const done = whenKnown(seen, ({ job, mask }) => this.#seen(who, job, mask))
      if (done instanceof Promise) done.catch((error: unknown) => this.#failed(error))
    } catch (error) {
      this.#failed(error)
    }
  }

  #seen(who: Principal, job: Job, mask: FieldMask): void | Promise<void> {
    this.#isLooking = false
    if (job.phase === 'settled') {
      return whenKnown(maskOfAnswer(this.#core, who, job, mask), (whole) => {
        this.#end()
        this.#answer.done(viewOf(job, whole))
      })
    }
    if (this.#isDue) {
      this.#isDue = false
      this.#look(undefined)
    }
    return undefined
  }

  #failed(error: unknown): void {
    this.#end()
    this.#answer.failed(error)
  }

  // Ends the wait. `#isLooking` stays true, so that no further read begins.
  #end(): void {
    this.#isLooking = true
    this.#unwatch()
    this.#signal?.removeEventListener('abort', this.#giveUp)
  }
}

/** The error for a caller who waited for a job when the engine stopped. */
export function stopped(): JobchartError {
  return new JobchartError('ENGINE_STOPPED', 'the engine was stopped before the job ended')
}
