import { unitRandom } from '../context/unit-random.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import { backoffMs } from '../model/retry.ts'
import type { Clock } from '../port/clock.ts'

/** How long an answer may take, in milliseconds, unless the call itself asks the engine to wait. */
export const ANSWER_MS_MAX = 30_000

/** The delays between two tries of a call. */
const RETRY = { limit: Number.POSITIVE_INFINITY, baseMs: 200, capMs: 30_000 }

/** How an agent makes one call. */
export interface CallRules {
  /** Ends the call, and the tries after it. */
  readonly signal: AbortSignal
  /** After how many milliseconds without an answer a call has failed. Default {@link ANSWER_MS_MAX}. */
  readonly limitMs?: number
  /** Ends the pause between two tries at once, when it is aborted. */
  readonly hurry?: AbortSignal
  /** Whether to try again after this error. Default {@link mayPass}. */
  readonly mayRepeat?: (error: unknown) => boolean
}

/** Makes the calls of an agent to its engine. A call that fails because the engine is away is tried again. */
export class Calls {
  readonly #clock: Clock
  readonly #noted: (error: unknown) => void

  /** @param noted  called with each error after which a call is tried again, and with `undefined` after each answer. */
  constructor(clock: Clock, noted: (error: unknown) => void) {
    this.#clock = clock
    this.#noted = noted
  }

  /** Makes a call until it is answered. Rejects with the engine's refusal, or with the reason of the signal. */
  async untilAnswered<Answer>(call: (signal: AbortSignal) => Promise<Answer>, rules: CallRules): Promise<Answer> {
    const { signal, hurry = signal, mayRepeat = mayPass } = rules
    for (let tries = 1; ; tries++) {
      try {
        return await this.once(call, rules)
      } catch (error) {
        if (signal.aborted || !mayRepeat(error)) throw error
      }
      await this.pause(this.delayMs(tries), signal, hurry)
      signal.throwIfAborted()
    }
  }

  /** Makes a call once. Rejects also if no answer comes. */
  async once<Answer>(call: (signal: AbortSignal) => Promise<Answer>, rules: CallRules): Promise<Answer> {
    const { signal, limitMs = ANSWER_MS_MAX } = rules
    signal.throwIfAborted()
    const abort = new AbortController()
    const aborted = () => abort.abort(signal.reason)
    signal.addEventListener('abort', aborted)
    const cancel = this.#clock.timer(limitMs, () => abort.abort(new Error('the engine did not answer')))
    try {
      const answer = await orAborted(call(abort.signal), abort.signal)
      this.#noted(undefined)
      return answer
    } catch (error) {
      if (!signal.aborted) this.#noted(error)
      throw error
    } finally {
      cancel()
      signal.removeEventListener('abort', aborted)
    }
  }

  /** The delay before a call is tried again: it doubles with each try, and has full jitter. */
  delayMs(tries: number, capMs: number = RETRY.capMs): number {
    return backoffMs({ ...RETRY, capMs }, tries, unitRandom(this.#clock))
  }

  /** Resolves after `ms`, or when one of the signals is aborted. */
  pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
    return new Promise((resume) => {
      if (ms <= 0 || signals.some(({ aborted }) => aborted)) return resume()
      const end = () => {
        cancel()
        for (const signal of signals) signal.removeEventListener('abort', end)
        resume()
      }
      const cancel = this.#clock.timer(ms, end)
      for (const signal of signals) signal.addEventListener('abort', end)
    })
  }

  /** Waits for `run`, and aborts the signal that it receives after `ms`. */
  async within(ms: number, run: (over: AbortSignal) => Promise<void>): Promise<void> {
    const { timer, patience = timer } = this.#clock
    const over = new AbortController()
    if (ms <= 0) over.abort()
    const cancel = patience(ms, () => over.abort())
    try {
      await run(over.signal)
    } finally {
      cancel()
    }
  }
}

// Some transports cannot end a call, so the agent goes on without its answer.
async function orAborted<Answer>(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  const { promise, reject } = Promise.withResolvers<never>()
  const aborted = () => reject(signal.reason)
  signal.addEventListener('abort', aborted)
  try {
    return await Promise.race([answer, promise])
  } finally {
    signal.removeEventListener('abort', aborted)
  }
}

/** Whether an error says that nothing was written, so that every call may be repeated. */
export function isUnwritten(error: unknown): boolean {
  return hasCode(error, 'STORAGE_UNAVAILABLE', 'ENGINE_STOPPED')
}

/**
 * Whether the same call may succeed later: the engine could not be reached, or it could not write. Any other typed
 * error is a refusal, which would come again.
 */
export function mayPass(error: unknown): boolean {
  return !(error instanceof JobchartError) || isUnwritten(error) || error.code === 'OUTCOME_UNKNOWN'
}
