import { isQueued, type Job, type Outcome, type Phase } from '../model/job.ts'
import type { Prepare, Row } from './statement.ts'

/**
 * A kind of jobs: all jobs that agree in type, status and the other fields below. Lists and counts select jobs by kind.
 */
export interface Kind {
  readonly code: number
  readonly type: string
  readonly status: string
  readonly phase: Phase
  readonly outcome?: Outcome
  /** Whether the jobs are child jobs. */
  readonly isChild: boolean
  /** Whether the jobs count against their type's `limits.queued`. */
  readonly isQueued: boolean
  readonly isDeleted: boolean
}

const PHASES: readonly Phase[] = ['settled', 'waiting', 'indeterminate', 'active']
const OUTCOMES: readonly Outcome[] = ['success', 'failure', 'cancelled']
const COLUMNS = 'type, status, phase, outcome, child, queued, deleted'

/**
 * The kinds of jobs in a file. Each type and status has only a few kinds. So one index with the code of the kind serves
 * lists by type, phase, status and outcome: each list reads a few ranges of it.
 *
 * Each connection caches all kinds. If a transaction that added a kind rolls back, the cache is cleared.
 */
export class Kinds {
  readonly #find
  readonly #add
  readonly #newer
  readonly #byCode = new Map<number, Kind>()
  /** The codes of kinds, by type, then by status, then by a number that encodes the other fields. */
  readonly #codes = new Map<string, Map<string, number[]>>()
  #last = 0
  #hasAdded = false

  constructor(prepare: Prepare) {
    const all = COLUMNS.split(', ')
    this.#find = prepare(`SELECT code FROM kinds WHERE ${all.map((column) => `${column} = ?`).join(' AND ')}`)
    this.#add = prepare(`INSERT INTO kinds (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`)
    this.#newer = prepare(`SELECT code, ${COLUMNS} FROM kinds WHERE code > ? ORDER BY code`)
  }

  /** The code of a job's kind. A new kind is added to the table, so call this only inside a transaction that writes. */
  codeOf(job: Job): number {
    const rest = restOf(job)
    const known = this.#codes.get(job.type)?.get(job.status)?.[rest]
    if (known !== undefined) return known
    const values = [
      job.type,
      job.status,
      job.phase,
      job.outcome ?? '',
      job.parentId === undefined ? 0 : 1,
      isQueued(job) ? 1 : 0,
      job.deletedAt === undefined ? 0 : 1,
    ]
    const found = this.#find.get(...values)?.[0]
    this.#hasAdded ||= found === undefined
    const code = Number(found ?? this.#add.run(...values).lastInsertRowid)
    this.#remember(kindOf([code, ...values]), rest)
    return code
  }

  /**
   * The kind with this code.
   *
   * @throws {Error} there is no such kind: the row with this code is broken.
   */
  get(code: unknown): Kind {
    const known = this.#byCode.get(code as number)
    if (known !== undefined) return known
    this.#readNewer()
    const found = this.#byCode.get(code as number)
    if (found === undefined) throw new Error(`no kind has the code ${String(code)}`)
    return found
  }

  /** All kinds. */
  all(): Iterable<Kind> {
    this.#readNewer()
    return this.#byCode.values()
  }

  /** Call this after the writes were committed. */
  keep(): void {
    this.#hasAdded = false
  }

  /**
   * Call this when kinds added since the last `keep` may be rolled back. The cache is then cleared, and kinds are read
   * again.
   */
  forget(): void {
    if (!this.#hasAdded) return
    this.#byCode.clear()
    this.#codes.clear()
    this.#last = 0
    this.#hasAdded = false
  }

  #readNewer(): void {
    for (const row of this.#newer.all(this.#last)) {
      const kind = kindOf(row)
      this.#remember(kind, numberOf(kind.phase, kind.outcome, kind.isChild, kind.isQueued, kind.isDeleted))
      this.#last = kind.code
    }
  }

  #remember(kind: Kind, rest: number): void {
    this.#byCode.set(kind.code, kind)
    const byStatus = this.#codes.get(kind.type) ?? new Map<string, number[]>()
    this.#codes.set(kind.type, byStatus)
    const codes = byStatus.get(kind.status) ?? []
    byStatus.set(kind.status, codes)
    codes[rest] = kind.code
  }
}

function restOf(job: Job): number {
  const { phase, outcome, parentId, deletedAt } = job
  return numberOf(phase, outcome, parentId !== undefined, isQueued(job), deletedAt !== undefined)
}

function numberOf(
  phase: Phase,
  outcome: Outcome | undefined,
  isChild: boolean,
  isQueuedOne: boolean,
  isDeleted: boolean,
): number {
  const flags = (isChild ? 1 : 0) | (isQueuedOne ? 2 : 0) | (isDeleted ? 4 : 0)
  const ending = outcome === undefined ? 0 : OUTCOMES.indexOf(outcome) + 1
  return PHASES.indexOf(phase) | (ending << 2) | (flags << 4)
}

function kindOf([code, type, status, phase, outcome, child, queued, deleted]: Row): Kind {
  return {
    code: Number(code),
    type: String(type),
    status: String(status),
    phase: phase as Phase,
    ...(outcome === '' ? {} : { outcome: outcome as Outcome }),
    isChild: child === 1,
    isQueued: queued === 1,
    isDeleted: deleted === 1,
  }
}
