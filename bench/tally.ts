/** Counts events by name. Callers can wait until a name has been counted often enough. */
export class Tally {
  readonly #counts = new Map<string, number>()
  readonly #awaited = new Map<string, { readonly count: number; readonly resolve: () => void }>()

  /** Raises the count of a name by 1. */
  add(name: string): void {
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    const awaited = this.#awaited.get(name)
    if (awaited !== undefined && count >= awaited.count) awaited.resolve()
  }

  /** Resolves when the count of a name has reached a number. Only one caller at a time may wait for a name. */
  reached(name: string, count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#awaited.set(name, { count, resolve })
    if ((this.#counts.get(name) ?? 0) >= count) resolve()
    return promise
  }
}
