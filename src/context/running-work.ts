import { JobchartError } from '../model/error.ts'
import type { Work } from '../port/executor.ts'

/** The tasks that an executor runs now: at most `max`. No task runs twice under the same token. */
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

  /** What `during` was given as `run`, for each task that runs now. */
  get all(): readonly Run[] {
    return [...this.#runs.values()]
  }

  /**
   * Runs a task: calls `end`, and lists `run` as running until the promise that `end` returns has settled. Returns the
   * result of that promise.
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
