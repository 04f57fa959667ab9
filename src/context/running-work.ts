/** The tasks that an executor runs now. */
export class RunningWork<Run> {
  readonly #max: number
  readonly #runs = new Set<Run>()

  constructor(max: number) {
    this.#max = max
  }

  /** How many more tasks the executor takes now. */
  get room(): number {
    return this.#max - this.#runs.size
  }

  /** What `during` was given as `run`, for each task that runs now. */
  get all(): readonly Run[] {
    return [...this.#runs]
  }

  /**
   * Runs a task: calls `end`, and lists `run` as running until the promise that `end` returns has settled. Returns the
   * result of that promise.
   */
  async during<End>(run: Run, end: () => Promise<End>): Promise<End> {
    this.#runs.add(run)
    try {
      return await end()
    } finally {
      this.#runs.delete(run)
    }
  }
}
