import type { ItemContext } from '../model/batch.ts'
import { JobchartError } from '../model/error.ts'
import type { Clock } from '../port/clock.ts'
import type { Candidate } from './batch-items.ts'
import type { Member } from './live-set.ts'
import type { ContextWork } from './task-context.ts'

/** How long the code of an item may go on after its timeout, in milliseconds. Then it is abandoned. */
const GRACE_MS = 5_000

/** What the contexts of all items of a batch share. */
export type ItemWork = Pick<ContextWork, 'job' | 'idempotencyKey' | 'draining'> & {
  readonly log: (text: string) => void
}

/** One attempt of an item. */
export class RunningItem implements Member {
  readonly candidate: Candidate
  readonly context: ItemContext
  place = -1
  /** True: the attempt has ended, or was abandoned. Its code no longer counts. */
  isOver = false
  /** Present: the attempt took too long. */
  late: JobchartError | undefined
  /** Created when the code first asks for its signal, because most code never does. */
  #abort: AbortController | undefined
  #aborted: { readonly reason: unknown } | undefined
  #cancel: (() => void) | undefined

  constructor(candidate: Candidate, work: ItemWork) {
    this.candidate = candidate
    this.context = new Scope(this, candidate, work)
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#aborted !== undefined) this.#abort.abort(this.#aborted.reason)
    }
    return this.#abort.signal
  }

  abort(reason: unknown): void {
    if (this.#aborted !== undefined) return
    this.#aborted = { reason }
    this.#abort?.abort(reason)
  }

  /** Limits the time of the attempt. `abandoned` is called if the code has not ended when its grace is over. */
  limit(clock: Clock, timeoutMs: number, abandoned: () => void): void {
    this.#cancel = clock.timer(timeoutMs, () => {
      this.late = new JobchartError('TIMEOUT', `the item took longer than ${timeoutMs} ms`)
      this.abort(this.late)
      this.#cancel = clock.timer(GRACE_MS, abandoned)
    })
  }

  /** Called when the attempt has ended. */
  end(): void {
    this.isOver = true
    this.#cancel?.()
  }
}

/** The context of an item. What most code never reads is computed when it is read. */
class Scope implements ItemContext {
  readonly item: unknown
  readonly key: string
  readonly index: number
  readonly attempt: number
  readonly #run: RunningItem
  readonly #work: ItemWork

  constructor(run: RunningItem, { item, key, index, attempts }: Candidate, work: ItemWork) {
    this.item = item
    this.key = key
    this.index = index
    this.attempt = attempts
    this.#run = run
    this.#work = work
  }

  get signal(): AbortSignal {
    return this.#run.signal
  }

  get draining(): AbortSignal {
    return this.#work.draining
  }

  get job() {
    return this.#work.job
  }

  get idempotencyKey(): string {
    return `${this.#work.idempotencyKey}:${this.index}`
  }

  get log() {
    return this.#work.log
  }
}
