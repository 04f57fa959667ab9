import { JobchartError } from '../model/error.ts'
import type { Work } from '../port/executor.ts'

/** What an executor runs now: at most so much, and nothing twice under one token. */
export class RunningWork<Run> {
  readonly #max: number
  readonly #runs = new Map<string, Run>()

  constructor(max: number) {
    this.#max = max
  }

  /** How much more it takes. */
  get room(): number {
    return this.#max - this.#runs.size
  }

  /** What runs. */
  get all(): readonly Run[] {
    return [...this.#runs.values()]
  }

  /**
   * Keeps `run` while `end` has not settled.
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
