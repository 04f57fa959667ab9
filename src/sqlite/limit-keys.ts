import { heldKeys, type Job } from '../model/job.ts'
import type { KeyLimit } from '../port/storage.ts'
import type { Names } from './names.ts'
import type { Prepare, Statement } from './statement.ts'

/** `limit_key` and `token` are in the same row: a task with a token is claimed or stopping, so its key counts. */
const RUNNING = 'token IS NOT NULL AND limit_key = ?'

/** How many tasks are claimed or stopping under each limit key, over all connections. */
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

  /** How many tasks run under a key. */
  running(key: string): number {
    const code = this.#names.knownCode(key)
    return code === undefined ? 0 : Number(this.#running.get(code, code)?.[0])
  }

  /** Whether more tasks would run under one of the keys than its limit allows, once the job is written. */
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
