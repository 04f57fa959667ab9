import { takesFrom } from '../model/agent.ts'
import { claimableTasks, heldKeys, type Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import { isRunning } from '../model/task-record.ts'
import type { Claim, KeyLimit, Route } from '../port/storage.ts'
import { byDue, type Line, nextDue, type ReadyTask, type Row } from './memory-row.ts'
import { pairKey } from './pair-key.ts'
import { SortedList } from './sorted-list.ts'

/**
 * The ready tasks of one queue of a route, or those without a queue, in lines. Each pair of a limit key and a task name
 * has a line of its own. All tasks without a limit key are in one line, `free`.
 */
export interface QueueLines {
  readonly free: Line<ReadyTask>
  readonly keyed: Map<string, KeyedLine>
}

interface KeyedLine {
  readonly key: string
  readonly src: string
  readonly line: Line<ReadyTask>
}

/**
 * A line while a claim walks along it. `behind` is the entry that was handled last, and `first` the first due entry
 * after it.
 */
interface Walk extends OpenLine {
  readonly behind: ReadyTask | undefined
  readonly first: ReadyTask
}

/**
 * A line of ready tasks from which a claim may take, with the lines of its queue, the executor, and the limit of its
 * key if it has one.
 */
interface OpenLine {
  readonly line: Line<ReadyTask>
  readonly lines: QueueLines
  readonly executor: string
  readonly limit: KeyLimit | undefined
}

/** A task that a claim may take. */
export interface DueTask {
  readonly ready: ReadyTask
  /** The lines of the queue in which the task waits. */
  readonly lines: QueueLines
}

/** What a claim may still take. The claim changes it with each task that it handles. */
export interface ClaimLeft {
  /** How many more tasks each executor can take. */
  readonly room: ReadonlyMap<string, number>
  /** The queues from which the claim takes no more tasks. */
  readonly closed: ReadonlySet<QueueLines>
}

const NONE: readonly never[] = []

/** The claimable tasks, in claim order, and how many tasks run under each limit key. */
export class ReadyTasks {
  /** The lines of each route, by queue. `undefined`: tasks without a queue. */
  readonly #routes = new Map<string, Map<string | undefined, QueueLines>>()
  readonly #held = new Map<string, number>()

  /** How many tasks are claimed or stopping under a limit key. */
  heldUnder(key: string): number {
    return this.#held.get(key) ?? 0
  }

  /** Whether replacing `before` by `after` would exceed the limit of a key. */
  isOver({ key, concurrency }: KeyLimit, before: Job | undefined, after: Job): boolean {
    const own = (job: Job | undefined) =>
      job === undefined ? 0 : heldKeys(job).filter((each) => each.key === key).length
    return this.heldUnder(key) - own(before) + own(after) > concurrency
  }

  /**
   * Replaces the record `before` of a row by `after`: counts the running tasks anew, and updates the lines of ready
   * tasks.
   */
  replace(row: Row, before: Job | undefined, after: Job | undefined): void {
    if (before !== undefined) this.#hold(before, -1)
    if (after !== undefined) this.#hold(after, 1)
    const tasks = after === undefined ? NONE : claimableTasks(after)
    const known = row.ready
    if (after === undefined || tasks.length === 0) {
      for (const entry of known) entry.line.remove(entry)
      row.ready = NONE
      return
    }
    const kept = known.length === 0 ? NONE : keptOf(known, tasks, after)
    row.ready = tasks.map((task, index) => kept[index] ?? this.#add(row, after, task))
  }

  /**
   * The tasks that a claim may take, in order. Each one is found only after the caller has handled the one before.
   *
   * @param left  what the claim may still take. The caller changes it between two tasks.
   */
  *due({ routes, at }: Pick<Claim, 'routes' | 'at'>, { room, closed }: ClaimLeft): Iterable<DueTask> {
    const walks = new SortedList<Walk, Walk>((a, b) => byDue(a.first, b.first))
    const go = ({ line, lines, executor, limit }: OpenLine, behind: ReadyTask | undefined) => {
      const first = nextDue(line, at, behind)
      if (first !== undefined) walks.add({ line, lines, executor, limit, behind, first })
    }
    for (const route of routes) for (const line of this.#linesOf(route)) go(line, undefined)
    for (let walk = walks.next(); walk !== undefined; walk = walks.next()) {
      walks.remove(walk)
      if ((room.get(walk.executor) ?? 0) < 1 || closed.has(walk.lines) || this.#isFull(walk.limit)) continue
      // The caller's last claim may have changed this line.
      const isStill = nextDue(walk.line, at, walk.behind) === walk.first
      if (isStill) yield { ready: walk.first, lines: walk.lines }
      go(walk, isStill ? walk.first : walk.behind)
    }
  }

  *#linesOf(route: Route): Iterable<OpenLine> {
    const queues = this.#routes.get(routeKey(route))
    for (const [queue, lines] of queues ?? NONE) {
      if (queue !== undefined && lines.free.isEmpty && lines.keyed.size === 0) queues?.delete(queue)
      else if (takesFrom(route, queue)) yield* this.#linesIn(lines, route)
    }
  }

  *#linesIn(lines: QueueLines, { executor, limits }: Route): Iterable<OpenLine> {
    yield { line: lines.free, lines, executor, limit: undefined }
    for (const [name, { key, src, line }] of lines.keyed) {
      if (line.isEmpty) {
        lines.keyed.delete(name)
        continue
      }
      const concurrency = limits?.get(src)
      const limit = concurrency === undefined ? undefined : { key, concurrency }
      if (!this.#isFull(limit)) yield { line, lines, executor, limit }
    }
  }

  #isFull(limit: KeyLimit | undefined): boolean {
    return limit !== undefined && this.heldUnder(limit.key) >= limit.concurrency
  }

  #hold(job: Job, change: 1 | -1): void {
    for (const task of job.tasks) {
      if (task.limitKey === undefined || !isRunning(task)) continue
      const count = this.heldUnder(task.limitKey) + change
      if (count > 0) this.#held.set(task.limitKey, count)
      else this.#held.delete(task.limitKey)
    }
  }

  #add(row: Row, { type, version, priority }: Job, task: Task): ReadyTask {
    const key = routeKey({ type, version, executor: task.executor })
    const queues = this.#routes.get(key) ?? new Map<string | undefined, QueueLines>()
    const lines = queues.get(task.queue) ?? { free: newLine(), keyed: new Map<string, KeyedLine>() }
    this.#routes.set(key, queues.set(task.queue, lines))
    const line = task.limitKey === undefined ? lines.free : lineOf(lines.keyed, task.src, task.limitKey)
    const { invocation, availableAt: due } = task
    const entry: ReadyTask = { row, task, version, priority, due, n: row.n, invocation, line }
    line.add(entry)
    return entry
  }
}

/**
 * For each task, the entry that it has already, if it is still right. The other entries are removed from their lines.
 */
function keptOf(
  known: readonly ReadyTask[],
  tasks: readonly Task[],
  { version, priority }: Job,
): readonly (ReadyTask | undefined)[] {
  const others = new Map(known.map((entry) => [entry.task, entry]))
  const kept = tasks.map((task) => {
    const entry = others.get(task)
    if (entry?.version !== version || entry.priority !== priority) return undefined
    others.delete(task)
    return entry
  })
  for (const entry of others.values()) entry.line.remove(entry)
  return kept
}

function lineOf(lines: Map<string, KeyedLine>, src: string, key: string): Line<ReadyTask> {
  const name = pairKey(src, key)
  const known = lines.get(name)
  if (known !== undefined) return known.line
  const line = newLine()
  lines.set(name, { key, src, line })
  return line
}

function newLine(): Line<ReadyTask> {
  return new SortedList(byDue)
}

function routeKey({ type, version, executor }: Route): string {
  return pairKey(type, pairKey(version, executor))
}
