import { heldKeys, type Job } from '../model/job.ts'
import type { KeyLimit } from '../port/storage.ts'
import type { Names } from './names.ts'
import type { Prepare, Statement } from './statement.ts'

/**
 * Selects the running tasks of a key, in `jobs` or in `tasks`. The column `token` is set exactly while a task is
 * claimed or stopping.
 */
const RUNNING = 'token IS NOT NULL AND limit_key = ?'

/** Counts the tasks that are claimed or stopping under each limit key, over all connections. */
export class LimitKeys {
  readonly #names: Names
  readonly #running: Statement
  readonly #elsewhere: Statement

  constructor(prepare: Prepare, names: Names) {
    this.#names = names
    this.#running = prepare(`
      SELECT (SELECT count(*) FROM jobs WHERE ${RUNNING}) + (SELECT count(*) FROM tasks WHERE ${RUNNING})`)
    this.#elsewhere = prepare(`
      SELECT (SELECT count(*) FROM jobs WHERE ${RUNNING} AND id <> ?)
        + (SELECT count(*) FROM tasks WHERE ${RUNNING} AND n IS NOT (SELECT n FROM jobs WHERE id = ?))`)
  }

  /** How many tasks are claimed or stopping under a key. */
  running(key: string): number {
    const code = this.#names.knownCode(key)
    return code === undefined ? 0 : Number(this.#running.get(code, code)?.[0])
  }

  /** Whether writing the job would exceed one of the limits. */
  areOver(limits: readonly KeyLimit[], job: Job): boolean {
    return limits.some(({ key, concurrency }) => {
      const own = heldKeys(job).filter((each) => each.key === key).length
      return own + this.#runningElsewhere(key, job.id) > concurrency
    })
  }

  #runningElsewhere(key: string, id: string): number {
    const code = this.#names.knownCode(key)
    return code === undefined ? 0 : Number(this.#elsewhere.get(code, id, code, id)?.[0])
  }
}
