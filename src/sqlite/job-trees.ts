import type { Job } from '../model/job.ts'
import { type JobTable, PLACE } from './job-table.ts'
import type { Row } from './statement.ts'

/** All rows of a job, as they were at one moment. */
interface StoredJob {
  readonly row: Row
  readonly parts: readonly Row[]
}

/**
 * Reads jobs with their trees. The tree of a job contains its parents up to the top job, and from the top job down
 * every child job that is still a task of its parent (S32).
 */
export class JobTrees {
  readonly #jobs: JobTable

  constructor(jobs: JobTable) {
    this.#jobs = jobs
  }

  /**
   * Reads the jobs with these ids, and their trees. Returns a function from id to job, which decodes a job at its first
   * use.
   */
  read(ids: readonly string[]): (id: string) => Job | undefined {
    const stored = new Map<string, StoredJob>()
    for (const id of ids) if (this.#put(id, stored) !== undefined) this.#readTree(id, stored)
    return this.#decoding(stored)
  }

  /**
   * The tree of a job whose latest record may not be stored yet. Rows are read when needed, so use the result only
   * inside the transaction.
   */
  of(job: Job): (id: string) => Job | undefined {
    let read: ((id: string) => Job | undefined) | undefined
    return (id) => {
      if (id === job.id) return job
      read ??= this.read(relativesOf(job))
      return read(id)
    }
  }

  #decoding(stored: ReadonlyMap<string, StoredJob>): (id: string) => Job | undefined {
    const decoded = new Map<string, Job>()
    return (id) => {
      const known = decoded.get(id)
      const found = stored.get(id)
      if (known !== undefined || found === undefined) return known
      const job = this.#jobs.job(found.row, found.parts)
      decoded.set(id, job)
      return job
    }
  }

  #readTree(id: string, stored: Map<string, StoredJob>): void {
    let top = id
    for (let parent = parentOf(stored.get(id)); parent !== undefined; parent = parentOf(stored.get(top))) {
      // The tree was already read for another of the requested ids.
      if (stored.has(parent)) return
      if (this.#put(parent, stored) === undefined) break
      top = parent
    }
    const seen = new Set([top])
    // The loop also visits entries added during it.
    for (const each of seen) {
      const found = this.#put(each, stored)
      if (found !== undefined) for (const child of this.#childrenOf(found)) seen.add(child)
    }
  }

  #put(id: string, stored: Map<string, StoredJob>): StoredJob | undefined {
    const known = stored.get(id)
    if (known !== undefined) return known
    const row = this.#jobs.rowById(id)
    if (row === undefined) return undefined
    const found = { row, parts: this.#jobs.partsOf(row) }
    stored.set(id, found)
    return found
  }

  #childrenOf({ row, parts }: StoredJob): readonly string[] {
    const child = row[PLACE.child]
    return [...(child === null ? [] : [String(child)]), ...this.#jobs.tasks.childrenIn(parts)]
  }
}

function relativesOf({ parentId, tasks }: Job): readonly string[] {
  return [...(parentId === undefined ? [] : [parentId]), ...tasks.flatMap(({ child }) => child ?? [])]
}

function parentOf(stored: StoredJob | undefined): string | undefined {
  const parent = stored?.row[PLACE.parent]
  return typeof parent === 'string' ? parent : undefined
}
