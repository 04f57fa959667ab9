import { JobchartError } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Claim, ClaimDecision, Claimed, Write, WrittenRow } from '../port/storage.ts'
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

/** Claims ready tasks, in order, after the changesets of the commit are written (S9, S10, S19, S20, S44). */
export class ClaimWriter {
  readonly claimed: Claimed[] = []
  readonly #claim: Claim
  readonly #parts: ClaimParts
  readonly #room: Map<string, number>
  #isStopped = false
  /** Tasks that this claim has already tried and that may still be ready. Each task is tried only once. */
  readonly #asked = new Set<string>()
  /** Queues from which this claim takes no more tasks. Their tasks need not be in `#asked`: no search finds them. */
  readonly #closed = new Set<string>()

  constructor(claim: Claim, parts: ClaimParts) {
    this.#claim = claim
    this.#parts = parts
    this.#room = new Map(claim.room)
  }

  /** Picks and claims ready tasks as long as there is room. */
  finish(): void {
    const { at } = this.#claim
    const routes = this.#parts.paused.open(this.#claim.routes)
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

function keyOf(n: number, invocation: number): string {
  return `${n}/${invocation}`
}

function writtenJob(writes: readonly Write[], job: Job | undefined): Job {
  for (const write of writes) if (write.op === 'update' && write.job.id === job?.id) return write.job
  if (job === undefined)
    throw new Error('the decision on a claim contains no job; it should update the job of the claimed task')
  return job
}
