import { JobchartError } from '../model/error.ts'
import type { Work } from '../port/executor.ts'

/** The tasks that an executor runs now: at most `max`, and none twice under the same token. */
export class RunningWork<Run> {
  readonly #max: number
  readonly #runs = new Map<string, Run>()

  constructor(max: number) {
    this.#max = max
  }

  /** How many more tasks the executor takes now. */
  get room(): number {
    return this.#max - this.#runs.size
  }

  /** For each task that runs now: the `run` that `during` was given. */
  get all(): readonly Run[] {
    return [...this.#runs.values()]
  }

  /**
   * Calls `end`, and lists `run` until its promise has settled. Returns the result of that promise.
   *
   * @throws {JobchartError} `STALE_CLAIM` the work runs already.
   */
  async during<End>({ job, token }: Work, run: Run, end: () => Promise<End>): Promise<End> {
    const key = `${job.id}/${token}`
    if (this.#runs.has(key)) throw new JobchartError('STALE_CLAIM', `this work of job "${job.id}" runs already`)
    this.#runs.set(key, run)
    try {
      return await end()
    } finally {
      this.#runs.delete(key)
    }
  }
}
