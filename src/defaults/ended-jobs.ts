import type { Job } from '../model/job.ts'
import type { JobPosition } from '../port/storage.ts'
import type { Row } from './memory-row.ts'
import { pairKey } from './pair-key.ts'
import { SortedList } from './sorted-list.ts'

/** The ended jobs of one tenant and type, by (createdAt, id). */
export interface EndedList {
  readonly type: string
  readonly rows: SortedList<{ readonly job: JobPosition }, Row>
  size: number
}

/** Finds jobs for pruning: ended jobs without a parent, and the child jobs of a job. */
export class EndedJobs {
  readonly #lists = new Map<string, EndedList>()
  readonly #children = new Map<string, Set<Row>>()

  /** All lists, in the order of their first job. A list stays when it is empty. */
  get lists(): readonly EndedList[] {
    return [...this.#lists.values()]
  }

  /** The child jobs of a job. */
  childrenOf(id: string): readonly Row[] {
    return [...(this.#children.get(id) ?? [])]
  }

  /** Replaces one record of a job by another. */
  replace(row: Row, before: Job | undefined, after: Job | undefined): void {
    const { parentId } = row.job
    if (parentId !== undefined) this.#replaceChild(row, parentId, after)
    else if (isEnded(before) !== isEnded(after)) this.#replaceTop(row, isEnded(after))
  }

  #replaceTop(row: Row, is: boolean): void {
    const { tenant, type } = row.job
    const key = pairKey(tenant, type)
    const list = this.#lists.get(key) ?? { type, rows: new SortedList(byCreation), size: 0 }
    this.#lists.set(key, list)
    list.size += is ? 1 : -1
    if (is) list.rows.add(row)
    else list.rows.remove(row)
  }

  #replaceChild(row: Row, parentId: string, after: Job | undefined): void {
    const children = this.#children.get(parentId) ?? new Set<Row>()
    if (after === undefined) children.delete(row)
    else children.add(row)
    if (children.size === 0) this.#children.delete(parentId)
    else this.#children.set(parentId, children)
  }
}

/** The order of lists: by (createdAt, id). */
export function byCreation(
  { job: a }: { readonly job: JobPosition },
  { job: b }: { readonly job: JobPosition },
): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

function isEnded(job: Job | undefined): boolean {
  return job?.phase === 'settled' && job.deletedAt === undefined
}
