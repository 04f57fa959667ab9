/** Holds jobs until the test lets them continue. */
export class Gates {
  readonly #gates = new Map<string, PromiseWithResolvers<void>>()
  #isOpen = false

  /** Resolves when the job may continue. */
  opened(job: string): Promise<void> {
    if (this.#isOpen) return Promise.resolve()
    return this.#gate(job).promise
  }

  /** Lets a job continue; without an id, all that wait now or later. */
  open(job?: string): void {
    if (job === undefined) this.#isOpen = true
    const gates = job === undefined ? this.#gates.values() : [this.#gate(job)]
    for (const gate of gates) gate.resolve()
  }

  #gate(job: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(job) ?? Promise.withResolvers<void>()
    this.#gates.set(job, gate)
    return gate
  }
}
