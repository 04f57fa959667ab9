import { heldKeys, type Job } from '../model/job.ts'
import type { KeyLimit } from '../port/storage.ts'

/** How many tasks are held or stopping under each limit key. */
export class HeldKeys {
  readonly #counts = new Map<string, number>()

  add(job: Job): void {
    for (const { key } of heldKeys(job)) this.#counts.set(key, this.count(key) + 1)
  }

  remove(job: Job): void {
    for (const { key } of heldKeys(job)) {
      const rest = this.count(key) - 1
      if (rest > 0) this.#counts.set(key, rest)
      else this.#counts.delete(key)
    }
  }

  /** So many more tasks of the key may be held. */
  room({ key, concurrency }: KeyLimit): number {
    return concurrency - this.count(key)
  }

  /** With the job as it is to be written, more tasks of the key would count than may. */
  isOver({ key, concurrency }: KeyLimit, before: Job | undefined, after: Job): boolean {
    const own = (job: Job) => heldKeys(job).filter((each) => each.key === key).length
    return this.count(key) - (before === undefined ? 0 : own(before)) + own(after) > concurrency
  }

  /** How many tasks count under the key. */
  count(key: string): number {
    return this.#counts.get(key) ?? 0
  }
}
