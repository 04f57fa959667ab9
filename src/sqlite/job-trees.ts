import type { Job } from '../model/job.ts'
import { type JobTable, PLACE } from './job-table.ts'
import type { Prepare, Row, Statement } from './statement.ts'

/** Reads jobs with their trees: those above a job, and below the topmost those that are still held as tasks (S32). */
export class JobTrees {
  readonly #jobs: JobTable
  readonly #children: Statement

  constructor(prepare: Prepare, jobs: JobTable) {
    this.#jobs = jobs
    this.#children = prepare(`SELECT child FROM tasks WHERE n = ? AND child IS NOT NULL`)
  }

  /** The rows of jobs and of their trees as they stand now; each is decoded when it is asked for. */
  read(ids: readonly string[]): (id: string) => Job | undefined {
    const rows = new Map<string, Row>()
    for (const id of ids) if (this.#put(id, rows) !== undefined) this.#readTree(id, rows)
    return this.#decoding(rows)
  }

  /** The tree of a job that may not be stored yet, read when it is asked for: inside a transaction. */
  of(job: Job): (id: string) => Job | undefined {
    let read: ((id: string) => Job | undefined) | undefined
    return (id) => {
      if (id === job.id) return job
      // Most jobs are alone in their tree.
      if (job.parentId === undefined && job.tasks.every(({ child }) => child === undefined)) return undefined
      read ??= this.#readAround(job)
      return read(id)
    }
  }

  #readAround(job: Job): (id: string) => Job | undefined {
    const rows = new Map<string, Row>()
    const near = [
      ...(job.parentId === undefined ? [] : [job.parentId]),
      ...job.tasks.flatMap(({ child }) => child ?? []),
    ]
    for (const id of near) if (this.#put(id, rows) !== undefined) this.#readTree(id, rows)
    return this.#decoding(rows)
  }

  #decoding(rows: ReadonlyMap<string, Row>): (id: string) => Job | undefined {
    const decoded = new Map<string, Job>()
    return (id) => {
      const row = rows.get(id)
      if (row === undefined) return undefined
      const job = decoded.get(id) ?? this.#jobs.job(row)
      decoded.set(id, job)
      return job
    }
  }

  #readTree(id: string, rows: Map<string, Row>): void {
    let top = id
    for (let parent = parentOf(rows.get(id)); parent !== undefined; parent = parentOf(rows.get(top))) {
      // Its tree was read with another job of it.
      if (rows.has(parent)) return
      if (this.#put(parent, rows) === undefined) break
      top = parent
    }
    const seen = new Set([top])
    // What is added while it is walked over is walked over too.
    for (const each of seen) {
      const row = this.#put(each, rows)
      if (row !== undefined) for (const child of this.#childrenOf(row)) seen.add(child)
    }
  }

  #put(id: string, rows: Map<string, Row>): Row | undefined {
    const known = rows.get(id)
    if (known !== undefined) return known
    const row = this.#jobs.rowById(id)
    if (row !== undefined) rows.set(id, row)
    return row
  }

  #childrenOf(row: Row): readonly string[] {
    const child = row[PLACE.child]
    const first = child === null ? [] : [String(child)]
    if (row[PLACE.further] === null) return first
    return [...first, ...this.#children.all(Number(row[PLACE.n])).map(([each]) => String(each))]
  }
}

function parentOf(row: Row | undefined): string | undefined {
  const parent = row?.[PLACE.parent]
  return typeof parent === 'string' ? parent : undefined
}
