import type { EndedChild, Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import { isClaimable, type JobColumnsWriter, TASK_COLUMNS } from './job-columns.ts'
import { endedOf, endedRecordOf, furtherTaskOf, type TaskColumns, taskRecordOf } from './job-record.ts'
import type { Names } from './names.ts'
import type { Prepare, Row, Statement } from './statement.ts'

/** The values of the column `ended`: 0 for a task, 1 for an ended child. */
const TASK = 0
const ENDED = 1

/**
 * The column `place` sorts the rows of a list. It is the revision at which the row was inserted, times this number,
 * plus an index that rises in the order of the list. So one write may insert at most this many rows into a list.
 */
const PLACES = 2 ** 20

const VALUES = TASK_COLUMNS.map((column) => `${column} = ?`).join(', ')

/** An entry of one of a job's two lists: its tasks, and its ended children. */
interface Part {
  readonly invocation: number
}

/**
 * Stores the tasks of a job after the first, and its ended children, in one row each. If entries are removed, changed
 * or appended, only their rows are written. If the order of the list changes in another way, the whole list is written
 * anew.
 */
export class TaskRows {
  readonly #columns: JobColumnsWriter
  readonly #names: Names
  readonly #read: Statement
  readonly #insert: Statement
  readonly #update: Statement
  readonly #updateEnded: Statement
  readonly #remove: Statement
  readonly #removeAll: Statement
  readonly #removeList: Statement

  constructor(prepare: Prepare, names: Names, columns: JobColumnsWriter) {
    this.#names = names
    this.#columns = columns
    this.#read = prepare(`
      SELECT ended, invocation, holder, limit_key, child, body FROM tasks WHERE n = ? ORDER BY ended, place`)
    this.#insert = prepare(`
      INSERT INTO tasks (n, ended, invocation, place, body, ${TASK_COLUMNS.join(', ')})
      VALUES (?, ?, ?, ?, ?, ${TASK_COLUMNS.map(() => '?').join(', ')})`)
    this.#update = prepare(`UPDATE tasks SET body = ?, ${VALUES} WHERE n = ? AND ended = 0 AND invocation = ?`)
    this.#updateEnded = prepare(`UPDATE tasks SET body = ? WHERE n = ? AND ended = 1 AND invocation = ?`)
    this.#remove = prepare(`DELETE FROM tasks WHERE n = ? AND ended = ? AND invocation = ?`)
    this.#removeList = prepare(`DELETE FROM tasks WHERE n = ? AND ended = ?`)
    this.#removeAll = prepare(`DELETE FROM tasks WHERE n = ?`)
  }

  /** All rows of a job, in the order of its lists. */
  rowsOf(n: number): readonly Row[] {
    return this.#read.all(n)
  }

  /**
   * Decodes the rows, and adds their tasks and ended children to the job.
   *
   * @throws {Error} a row is broken.
   */
  addTo(
    job: { tasks: readonly Task[]; ended?: readonly EndedChild[]; readonly createdAt: number },
    rows: readonly Row[],
  ): void {
    const tasks = [...job.tasks]
    const ended: EndedChild[] = []
    for (const [list, invocation, holder, limitKey, child, body] of rows) {
      if (list === ENDED) ended.push(endedOf(Number(invocation), String(body)))
      else {
        const columns = this.columnsOf(invocation, holder, limitKey, child)
        tasks.push(furtherTaskOf(columns, job.createdAt, String(body)))
      }
    }
    job.tasks = tasks
    if (ended.length > 0) job.ended = ended
  }

  /** The ids of the child jobs that the rows contain. */
  childrenIn(rows: readonly Row[]): readonly string[] {
    return rows.flatMap(([, , , , child]) => (child === null ? [] : String(child)))
  }

  /** Decodes the columns of a task. */
  columnsOf(invocation: unknown, holder: unknown, limitKey: unknown, child: unknown): TaskColumns {
    return {
      invocation: Number(invocation),
      holder: holder === null ? undefined : this.#names.textOf(holder),
      limitKey: limitKey === null ? undefined : this.#names.textOf(limitKey),
      child: child === null ? undefined : String(child),
    }
  }

  /** Writes what differs between two records of a job. `before` is undefined for a new job. */
  write(n: number, before: Job | undefined, job: Job): void {
    const tasksBefore = before?.tasks ?? []
    if (tasksBefore.length > 1 || job.tasks.length > 1) this.#writeTasks(n, before, job)
    const endedBefore = before?.ended ?? []
    const { ended = [] } = job
    if (endedBefore.length === 0 && ended.length === 0) return
    this.#writeList(n, ENDED, endedBefore, ended, {
      insert: (child, place) =>
        this.#insert.run(n, ENDED, child.invocation, place, endedRecordOf(child), ...NO_COLUMNS),
      changed: (child, old) => child !== old,
      update: (child) => this.#updateEnded.run(endedRecordOf(child), n, child.invocation),
      revision: job.revision,
    })
  }

  /** Removes all rows of a job. */
  removeAll(n: number): void {
    this.#removeAll.run(n)
  }

  #writeTasks(n: number, before: Job | undefined, job: Job): void {
    const wasReady = (task: Task) => before !== undefined && isClaimable(before, task)
    const isMoved = before?.version !== job.version
    this.#writeList(n, TASK, before?.tasks.slice(1) ?? [], job.tasks.slice(1), {
      insert: (task, place) =>
        this.#insert.run(n, TASK, task.invocation, place, taskRecordOf(job, task), ...this.#columns.ofTask(job, task)),
      // The columns of an unchanged task also change when its job changes version, or when other changes make the task
      // claimable or no longer claimable.
      changed: (task, old) => task !== old || isMoved || wasReady(old) !== isClaimable(job, task),
      update: (task) =>
        this.#update.run(taskRecordOf(job, task), ...this.#columns.ofTask(job, task), n, task.invocation),
      revision: job.revision,
    })
  }

  #writeList<Each extends Part>(
    n: number,
    list: number,
    before: readonly Each[],
    after: readonly Each[],
    how: How<Each>,
  ) {
    const place = how.revision * PLACES
    const differing = differingParts(before, after, how)
    if (!isSameOrder(differing)) {
      this.#removeList.run(n, list)
      for (const [index, each] of after.entries()) how.insert(each, place + index)
      return
    }
    const old = new Map(differing.before.map((each) => [each.invocation, each]))
    for (const [index, each] of differing.after.entries()) {
      const known = old.get(each.invocation)
      if (known === undefined) how.insert(each, place + index)
      else if (how.changed(each, known)) how.update(each)
      old.delete(each.invocation)
    }
    for (const { invocation } of old.values()) this.#remove.run(n, list, invocation)
  }
}

const NO_COLUMNS = TASK_COLUMNS.map(() => null)

interface How<Each> {
  readonly insert: (each: Each, place: number) => void
  readonly changed: (each: Each, old: Each) => boolean
  readonly update: (each: Each) => void
  readonly revision: number
}

interface Differing<Each> {
  readonly before: readonly Each[]
  readonly after: readonly Each[]
  /** Whether this part reaches the end of the lists. */
  readonly isLast: boolean
}

// The part in which two lists differ. Unchanged entries at both ends are left out, because usually only few entries of
// a long list change.
function differingParts<Each extends Part>(
  before: readonly Each[],
  after: readonly Each[],
  { changed }: How<Each>,
): Differing<Each> {
  const stays = (old: Each | undefined, each: Each | undefined) =>
    old !== undefined && each !== undefined && old.invocation === each.invocation && !changed(each, old)
  const most = Math.min(before.length, after.length)
  let start = 0
  while (start < most && stays(before[start], after[start])) start++
  let end = 0
  while (end < most - start && stays(before[before.length - 1 - end], after[after.length - 1 - end])) end++
  const differing = (list: readonly Each[]) => list.slice(start, list.length - end)
  return { before: differing(before), after: differing(after), isLast: end === 0 }
}

// Whether rows can be written one by one: `after` must start with the old entries that remain, in their old order,
// followed by the new entries. If unchanged entries come after this part, it may contain no new entries.
function isSameOrder({ before, after, isLast }: Differing<Part>): boolean {
  const places = new Map(before.map(({ invocation }, index) => [invocation, index]))
  const placeOfNew = isLast ? before.length : Number.NEGATIVE_INFINITY
  let last = -1
  for (const { invocation } of after) {
    const place = places.get(invocation) ?? placeOfNew
    if (place < last) return false
    last = place
  }
  return true
}
