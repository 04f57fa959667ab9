import { JobchartError } from '../model/error.ts'
import { claimableTasks, type Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Changeset, Claim, ClaimDecision, Claimed, JobWrite, Route, Write, WrittenRow } from '../port/storage.ts'
import { isClaimable } from './job-columns.ts'
import type { JobTable } from './job-table.ts'
import type { JobTrees } from './job-trees.ts'
import type { LimitKeys } from './limit-keys.ts'
import type { ReadyPlace, ReadyTasks } from './ready-tasks.ts'
import type { TypePauses } from './type-pauses.ts'

/** The parts of the storage that a claim uses. */
export interface ClaimParts {
  readonly jobs: JobTable
  readonly ready: ReadyTasks
  readonly keys: LimitKeys
  readonly trees: JobTrees
  readonly paused: TypePauses
  /** Writes one changeset. Returns `undefined` if the changeset was refused; then none of its writes was made. */
  readonly write: (writes: readonly Write[]) => readonly WrittenRow[] | undefined
}

/**
 * If some of the found tasks could not be claimed, the next search asks for at least this many tasks beyond the room.
 */
const SPARE = 8
/** How many tasks of each queue the first search reads. Each further search reads this many times as many. */
const OF_QUEUE = 8

type Taken = Extract<ClaimDecision, { kind: 'claim' }>

/** A new job whose task is claimed as the job's row is written. */
export interface ClaimedNew {
  /** The job as claimed: this is the record to write. */
  readonly job: Job
  readonly invocation: number
  readonly executor: string
  /** The events of the claim. */
  readonly events: JobWrite['events']
}

/**
 * Claims ready tasks, in order, after the changesets of the commit are written (S9, S10, S19, S20, S44).
 *
 * The common case is faster: if no task is ready when the commit begins, and there is room for all tasks that its
 * changesets add, then the order of the claims does not matter. A new job is then written once, as claimed.
 */
export class ClaimWriter {
  readonly id: string
  readonly claimed: Claimed[] = []
  readonly #claim: Claim
  readonly #parts: ClaimParts
  readonly #room: Map<string, number>
  readonly #routes: readonly Route[]
  /** How many of the tasks that the changesets add are not claimed yet. `undefined`: this is not the common case. */
  #added: number | undefined
  #isStopped = false
  /** The decisions on new jobs that could not be written as claimed. They are not decided again. */
  readonly #decided = new Map<Job, ClaimDecision>()
  /** Tasks that this claim has already tried and that may still be ready. Each task is tried only once. */
  readonly #asked = new Set<string>()
  /** Queues from which this claim takes no more tasks. Their tasks need not be in `#asked`: no search finds them. */
  readonly #closed = new Set<string>()

  constructor(claim: Claim, parts: ClaimParts) {
    this.id = claim.id
    this.#claim = claim
    this.#parts = parts
    this.#room = new Map(claim.room)
    this.#routes = parts.paused.open(claim.routes)
  }

  /**
   * Finds out whether new jobs can be claimed as they are written. Call it before the changesets are written.
   *
   * Not with limits or queues: a changeset may free a place under a key, so that older tasks can be claimed; and the
   * tasks of a queue go to agents in turn.
   */
  begin(changesets: readonly Changeset[]): void {
    const routes = this.#routes
    if (routes.some(({ limits, queues }) => limits !== undefined || queues !== undefined)) return
    const added = addedTasks(changesets)
    if (added === 0 || routes.some(({ executor }) => (this.#room.get(executor) ?? 0) < added)) return
    if (!this.#parts.ready.isEmpty) {
      const room = new Map([...this.#room.keys()].map((executor) => [executor, 1]))
      const search = { at: this.#claim.at, room, ofQueue: 1, more: 0, closed: this.#closed }
      if (this.#parts.ready.first(routes, search).length > 0) return
    }
    this.#added = added
  }

  /** Claims the task of a new job before the job is written. `undefined`: the job must be written as it is. */
  claimNew(job: Job): ClaimedNew | undefined {
    const [task, ...others] = job.tasks
    if (this.#added === undefined || this.#isStopped || task === undefined || others.length > 0) return undefined
    const { executor, availableAt, limitKey, queue, invocation } = task
    if (limitKey !== undefined || queue !== undefined || availableAt > this.#claim.at) return undefined
    if (!isClaimable(job, task) || !this.#hasRoute(job, executor)) return undefined
    const decision = this.#ask(job, task)
    const [write, ...further] = decision.kind === 'claim' ? decision.writes : []
    if (write?.op === 'update' && further.length === 0 && claimableTasks(write.job).length === 0) {
      return { job: write.job, invocation, executor, events: write.events }
    }
    this.#isStopped ||= decision.kind === 'stop'
    this.#decided.set(job, decision)
    return undefined
  }

  #hasRoute({ type, version }: Job, executor: string): boolean {
    return this.#routes.some((each) => each.executor === executor && each.type === type && each.version === version)
  }

  /** Records that a new job was written as claimed. */
  tookNew({ job, invocation, executor }: ClaimedNew, rows: readonly WrittenRow[]): void {
    if (this.#added !== undefined) this.#added--
    this.#room.set(executor, (this.#room.get(executor) ?? 0) - 1)
    this.claimed.push({ job, invocation, rows })
  }

  /** Picks and claims ready tasks as long as there is room. */
  finish(): void {
    if (this.#added === 0) return
    const { at } = this.#claim
    const routes = this.#routes
    // The first search asks for as many tasks as there is room for. Some of them may not be claimable, so each further
    // search asks for more.
    let [spare, ofQueue] = [0, OF_QUEUE]
    while (!this.#isStopped && this.#hasRoom()) {
      const search = { at, room: this.#room, ofQueue, more: this.#asked.size + spare, closed: this.#closed }
      const places = this.#parts.ready.first(routes, search)
      if (places.every((place) => this.#isAsked(place))) return
      this.#claimFirst(places, spare)
      spare = 2 * this.#asked.size + SPARE
      ofQueue *= OF_QUEUE
    }
  }

  #claimFirst(places: readonly ReadyPlace[], spare: number): void {
    const read = new Map<number, Job | undefined>()
    let left = 0
    for (const place of places) {
      if (this.#isStopped || left > spare) return
      if (!this.#isOpen(place)) continue
      const isDone = this.#isAsked(place) || (this.#hasKeyRoom(place) && this.#claimOne(place, read))
      if (!isDone && this.#isOpen(place)) left++
      if (place.isCut === true && this.#isOpen(place)) return
    }
  }

  #isOpen({ executor, queue }: ReadyPlace): boolean {
    return (this.#room.get(executor) ?? 0) > 0 && !this.#closed.has(queue)
  }

  #isAsked({ n, invocation }: ReadyPlace): boolean {
    return this.#asked.size > 0 && this.#asked.has(keyOf(n, invocation))
  }

  #hasRoom(): boolean {
    for (const room of this.#room.values()) if (room > 0) return true
    return false
  }

  // Tasks that were claimed since the search may have filled the key, even tasks of another route.
  #hasKeyRoom({ limit }: ReadyPlace): boolean {
    return limit === undefined || this.#parts.keys.running(limit.key) < limit.concurrency
  }

  // Returns `false` if the task cannot be claimed. The task then stays ready, and does not block later ones.
  #claimOne(place: ReadyPlace, read: Map<number, Job | undefined>): boolean {
    const { n, invocation, executor } = place
    const { jobs, write } = this.#parts
    if (!read.has(n)) read.set(n, jobs.readableByNumber(n))
    const job = read.get(n)
    const task = job?.tasks.find((each) => each.invocation === invocation)
    const decision = job === undefined || task === undefined ? undefined : this.#decide(job, task, place)
    const rows = decision === undefined ? undefined : write(decision.writes)
    if (decision === undefined || rows === undefined) {
      if (this.#isOpen(place)) this.#asked.add(keyOf(n, invocation))
      return false
    }
    const written = writtenJob(decision.writes, job)
    // The other writes may have changed jobs that were read before.
    if (decision.writes.length > 1) read.clear()
    read.set(n, written)
    return this.#took(written, n, invocation, executor, rows)
  }

  #decide(job: Job, task: Task, { queue }: ReadyPlace): Taken | undefined {
    const decision = this.#ask(job, task)
    if (decision.kind === 'claim') return decision
    if (decision.kind === 'close') this.#closed.add(queue)
    if (decision.kind === 'stop') this.#isStopped = true
    return undefined
  }

  // If a record in the job's tree cannot be decoded, the task is skipped, so that other tasks are still claimed (S23).
  #ask(job: Job, task: Task): ClaimDecision {
    const known = this.#decided.get(job)
    if (known !== undefined) return known
    try {
      return this.#claim.decide({ job, task, tree: this.#parts.trees.of(job) })
    } catch (error) {
      if (error instanceof JobchartError && error.code === 'JOB_UNREADABLE') return { kind: 'leave' }
      throw error
    }
  }

  // Records the claim. Returns `false` if the decision changed the job but left the task ready.
  #took(job: Job, n: number, invocation: number, executor: string, rows: readonly WrittenRow[]): boolean {
    this.#room.set(executor, (this.#room.get(executor) ?? 0) - 1)
    this.claimed.push({ job, invocation, rows })
    const isReady = job.tasks.some((task) => task.invocation === invocation && task.status === 'available')
    if (isReady) this.#asked.add(keyOf(n, invocation))
    return !isReady
  }
}

/**
 * How many claimable tasks the jobs have that the changesets write; of a changed job, also those that it had before. If
 * a new job is written twice, infinitely many: it must not be claimed between its writes.
 */
function addedTasks(changesets: readonly Changeset[]): number {
  const inserted = new Set<string>()
  let count = 0
  for (const { writes } of changesets) {
    for (const write of writes) {
      if (write.op === 'insert' || write.op === 'update') count += claimableTasks(write.job).length
      if (write.op === 'insert') inserted.add(write.job.id)
      else if (inserted.has(jobIdOf(write))) return Number.POSITIVE_INFINITY
    }
  }
  return count
}

function jobIdOf(write: Write): string {
  if (write.op === 'update') return write.job.id
  return 'jobId' in write ? write.jobId : ''
}

function keyOf(n: number, invocation: number): string {
  return `${n}/${invocation}`
}

function writtenJob(writes: readonly Write[], job: Job | undefined): Job {
  for (const write of writes) if (write.op === 'update' && write.job.id === job?.id) return write.job
  if (job === undefined)
    throw new Error('the decision on a claim contains no job; it should update the job of the claimed task')
  return job
}
