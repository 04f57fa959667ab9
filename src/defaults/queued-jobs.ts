import { isQueued, type Job } from '../model/job.ts'

/** The jobs that have not begun, by tenant and type. */
export class QueuedJobs {
  readonly #ids = new Map<string, Set<string>>()

  /** Takes the job into account, if it is queued. */
  add(job: Job): void {
    if (!isQueued(job)) return
    const key = queueKey(job)
    this.#ids.set(key, (this.#ids.get(key) ?? new Set()).add(job.id))
  }

  /** Forgets what it knew of the job. */
  remove(job: Job): void {
    const key = queueKey(job)
    const ids = this.#ids.get(key)
    ids?.delete(job.id)
    if (ids?.size === 0) this.#ids.delete(key)
  }

  /** How many are queued of the job's tenant and type. */
  beside(job: Job): number {
    return this.#ids.get(queueKey(job))?.size ?? 0
  }
}

function queueKey({ tenant, type }: Job): string {
  return JSON.stringify([tenant, type])
}
