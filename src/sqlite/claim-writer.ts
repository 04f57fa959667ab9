import { isUnreadable } from '../model/error.ts'
import { claimableTasks, holdsSlot, holdsUniqueKey, type Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Changeset, Claim, ClaimDecision, Claimed, JobWrite, Route, Write, WrittenRow } from '../port/storage.ts'
import type { JobTable } from './job-table.ts'
import type { JobTrees } from './job-trees.ts'
import type { LimitKeys } from './limit-keys.ts'
import { inOrder, type ReadyPlace, type ReadyTasks, type TaskPlace } from './ready-tasks.ts'
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
  /** Writes the events of a claim whose job is written already. */
  readonly append: (n: number, events: JobWrite['events']) => WrittenRow
}

/**
 * If some of the found tasks could not be claimed, the next search asks for at least this many tasks beyond the room.
 */
const SPARE = 8
/** How many tasks of each queue the first search reads. Each further search reads this many times as many. */
const OF_QUEUE = 8

type Taken = Extract<ClaimDecision, { kind: 'claim' }>

type JobUpdate = Extract<Write, { op: 'update' }>

/** A task that was claimed as its new job was written. The events of the claim are not written yet. */
interface ClaimedNew extends TaskPlace {
  readonly write: JobUpdate
}

/**
 * Claims ready tasks, in order, after the changesets of the commit are written (S9, S10, S19, S20, S44).
 *
 * The common case is faster: if all ready tasks are those of new jobs, in claim order, and there is room for all, then
 * each new job is claimed before its row is written. The row is then written once. The events of the claims come last,
 * as always.
 */
export class ClaimWriter {
  readonly claimed: Claimed[] = []
  readonly #claim: Claim
  readonly #parts: ClaimParts
  readonly #room: Map<string, number>
  readonly #routes: readonly Route[]
  /** The new jobs that can be claimed as they are written. */
  #new = NO_JOBS
  /** The tasks that were claimed so, in claim order. */
  readonly #claimedNew: ClaimedNew[] = []
  /** How many of these have their events written. */
  #told = 0
  /** The decisions on new jobs that could not be written as claimed, by job id. They are not decided again. */
  readonly #decided = new Map<string, { readonly revision: number; readonly decision: ClaimDecision }>()
  #isStopped = false
  /** Tasks that this claim has already tried and that may still be ready. Each task is tried only once. */
  readonly #asked = new Set<string>()
  /** Queues from which this claim takes no more tasks. Their tasks need not be in `#asked`: no search finds them. */
  readonly #closed = new Set<string>()

  constructor(claim: Claim, parts: ClaimParts) {
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
    const added = newInOrder(changesets, (job) => this.#readyTasks(job))
    if (added.size === 0 || routes.some(({ executor }) => (this.#room.get(executor) ?? 0) < added.size)) return
    if (!this.#parts.ready.isEmpty) {
      const room = new Map([...this.#room.keys()].map((executor) => [executor, 1]))
      const search = { at: this.#claim.at, room, ofQueue: 1, more: 0, closed: this.#closed }
      if (this.#parts.ready.first(routes, search).length > 0) return
    }
    this.#new = added
  }

  #readyTasks(job: Job): readonly Task[] {
    const { type, version } = job
    return claimableTasks(job).filter(({ executor, availableAt }) => {
      if (availableAt > this.#claim.at) return false
      return this.#routes.some((each) => each.executor === executor && each.type === type && each.version === version)
    })
  }

  /**
   * Claims the task of a new job before the job is written. Returns the write whose job is to be stored instead.
   * `undefined`: the job must be written as it is.
   */
  claimNew(job: Job): JobUpdate | undefined {
    const [task] = job.tasks
    if (task === undefined || !this.#new.has(job)) return undefined
    const decision = this.#ask(job, task)
    const [write, ...others] = decision.kind === 'claim' ? decision.writes : []
    if (write?.op === 'update' && others.length === 0 && isPlain(job, write)) return write
    // The decision is carried out when the task's turn comes. It may say that no task behind it is claimed.
    this.#decided.set(job.id, { revision: job.revision, decision })
    if (decision.kind === 'stop' || decision.kind === 'close') this.#new = NO_JOBS
    return undefined
  }

  /** Records that a new job was written as claimed. */
  tookNew(n: number, { tasks: [task], priority }: Job, write: JobUpdate): void {
    if (task === undefined) return
    const { executor, invocation, availableAt: readyAt } = task
    this.#room.set(executor, (this.#room.get(executor) ?? 0) - 1)
    this.#claimedNew.push({ n, invocation, priority, readyAt, write })
  }

  /** Picks and claims ready tasks as long as there is room. */
  finish(): void {
    if (this.#new.size === 0 || this.#claimedNew.length < this.#new.size) this.#claimReady()
    this.#tellNew()
  }

  // Writes the events of the claims of new jobs; with a place, only of those that come before it.
  #tellNew(place?: TaskPlace): void {
    for (;;) {
      const next = this.#claimedNew[this.#told]
      if (next === undefined || (place !== undefined && inOrder(next, place) > 0)) return
      const { n, invocation, write } = next
      this.#told++
      this.claimed.push({ job: write.job, invocation, rows: [this.#parts.append(n, write.events)] })
    }
  }

  #claimReady(): void {
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
    this.#tellNew(place)
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
    const known = this.#decided.get(job.id)
    if (known?.revision === job.revision) return known.decision
    try {
      return this.#claim.decide({ job, task, tree: this.#parts.trees.of(job) })
    } catch (error) {
      if (isUnreadable(error)) return { kind: 'leave' }
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
 * The new jobs with the ready tasks of a commit. Empty if there are ready tasks of other jobs, if the changesets store
 * the jobs in another order than that of the claims, or if a later write could tell a claimed job from one that is not.
 */
function newInOrder(changesets: readonly Changeset[], readyTasks: (job: Job) => readonly Task[]): ReadonlySet<Job> {
  const inserted = new Set<string>()
  const found = new Set<Job>()
  let last: TaskPlace | undefined
  for (const { writes } of changesets) {
    for (const write of writes) {
      if (inserted.has(jobIdOf(write))) return NO_JOBS
      if (write.op === 'insert') {
        if (write.queuedMax !== undefined) return NO_JOBS
        inserted.add(write.job.id)
      }
      const [task, ...others] = write.op === 'insert' || write.op === 'update' ? readyTasks(write.job) : []
      if (task === undefined) continue
      if (write.op !== 'insert' || writes.length > 1 || others.length > 0 || !isSimple(write.job)) return NO_JOBS
      const { invocation, availableAt: readyAt } = task
      const place = { priority: write.job.priority, readyAt, n: inserted.size, invocation }
      if (last !== undefined && inOrder(last, place) > 0) return NO_JOBS
      last = place
      found.add(write.job)
    }
  }
  return found
}

const NO_JOBS: ReadonlySet<Job> = new Set()

/** Whether the job has one task, which has no limit key and no queue, and no relatives. */
function isSimple({ tasks: [task, ...others], parentId }: Job): boolean {
  const isAlone = others.length === 0 && parentId === undefined
  return isAlone && task?.limitKey === undefined && task?.queue === undefined
}

// Whether a job is stored with the same effect as it is and then updated, or as updated.
function isPlain(before: Job, { job, limits = [] }: JobUpdate): boolean {
  if (limits.length > 0 || claimableTasks(job).length > 0) return false
  return holdsUniqueKey(job) === holdsUniqueKey(before) && holdsSlot(job) === holdsSlot(before)
}

function jobIdOf(write: Write): string {
  if (write.op === 'insert' || write.op === 'update') return write.job.id
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
