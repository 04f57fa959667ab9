import { JobchartError } from '../model/error.ts'
import type { Actor, EventRow } from '../model/event.ts'
import { holdsSlot, isQueued, type Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Changeset, Claim, ClaimDecision, Claimed, JobWrite, Write, WrittenRow } from '../port/storage.ts'
import { type Ahead, aheadIn, earlier, isDue, orderOf } from './claim-ahead.ts'
import type { JobTable } from './job-table.ts'
import type { JobTrees } from './job-trees.ts'
import type { LimitKeys } from './limit-keys.ts'
import { type ClaimOrder, goesBefore, type ReadyPlace, type ReadyTasks } from './ready-tasks.ts'

/** What a claim works with. */
export interface ClaimParts {
  readonly jobs: JobTable
  readonly ready: ReadyTasks
  readonly keys: LimitKeys
  readonly trees: JobTrees
  /** Writes a changeset whole; undefined: it was refused, and left no trace. */
  readonly write: (writes: readonly Write[]) => readonly WrittenRow[] | undefined
}

/** So many more tasks are looked for at least, where some were left. */
const SPARE = 8

type Taken = Extract<ClaimDecision, { kind: 'claim' }>

/**
 * The claim of a commit (S9, S10, S19, S20).
 *
 * After the changesets, ready tasks are picked in their order and given to `decide`. A job that a changeset writes, and
 * whose task would be picked before all others, is decided on before its row is written: where that moves this job alone,
 * the row is written once for both.
 */
export class ClaimWriter {
  readonly claimed: Claimed[] = []
  readonly #claim: Claim
  readonly #parts: ClaimParts
  readonly #room: Map<string, number>
  readonly #ahead: Ahead
  /** Jobs of a tenant and type that were queued, were there no claim yet. */
  readonly #unqueued = new Map<string, number>()
  /** The first ready task that is not claimed, as far as it is known. */
  #first: ClaimOrder | undefined
  #hasLooked = false
  /** Some task with a limit key waited when the commit began, as far as it is known. */
  #keysWait: boolean | undefined
  #together: Together | undefined
  /** What was claimed of a job that is not written yet. */
  #pending: (() => void) | undefined
  #isStopped = false
  /** Tasks that were decided on and may still be ready: each is given once. */
  readonly #asked = new Set<string>()
  /** Decisions on jobs that were not stored yet, which are written in their turn. */
  readonly #decided = new Map<string, Taken>()

  constructor(claim: Claim, changesets: readonly Changeset[], parts: ClaimParts) {
    this.#claim = claim
    this.#parts = parts
    this.#room = new Map(claim.room)
    this.#ahead = aheadIn(changesets, claim.at)
  }

  /**
   * What is to be written in place of a write; undefined: the write itself.
   *
   * @param n  the number of the job's row.
   * @param place  of its changeset, which has no other write.
   */
  atOnce(write: JobWrite, n: number, place: number): JobWrite | undefined {
    const { job, events } = write
    const [task] = job.tasks
    if (task === undefined || !this.#isNext(job, task, place)) return undefined
    const decision = this.#decide(job, task, n)
    if (decision === undefined) return undefined
    const merged = this.#merged(write, decision)
    if (merged === undefined) {
      const key = keyOf(n, task.invocation)
      this.#asked.add(key)
      this.#decided.set(key, decision)
      return undefined
    }
    this.#pending = () => {
      this.#took(merged.job, n, task.invocation, task.executor, [])
      if (this.#ahead.hasBounds && isQueued(job)) this.#unqueued.set(queueOf(job), this.unqueued(job) + 1)
    }
    return { job: merged.job, events: this.#mergedEvents(events, merged.events) }
  }

  /** The first task of a job could be claimed, if nothing goes before it. */
  mayTake(job: Job): boolean {
    const [task] = job.tasks
    return task !== undefined && isDue(job, task, this.#claim.at)
  }

  /** How many jobs of the tenant and the type of a job are queued no more only since they were claimed at once. */
  unqueued(job: Job): number {
    return this.#unqueued.get(queueOf(job)) ?? 0
  }

  /** A job was not written after all. */
  dropped(): void {
    this.#pending = undefined
  }

  /** A job was written: which of its tasks are ready now goes before what comes later. */
  wrote(job: Job): void {
    this.#pending?.()
    this.#pending = undefined
    for (const task of job.tasks) {
      if (isDue(job, task, this.#claim.at)) this.#first = earlier(this.#first, orderOf(job, task))
    }
  }

  /** Picks and claims what is ready, as long as there is room. */
  finish(): void {
    const { routes, at } = this.#claim
    // So many may be left before more must be looked for: of each executor, as many more are found as it has room for.
    for (let spare = 0; ; spare = 2 * this.#asked.size + SPARE) {
      if (this.#isStopped || !this.#hasRoom()) return
      const found = this.#parts.ready.first(routes, at, this.#room, this.#asked.size + spare)
      const places = found.filter((each) => this.#isWanted(each))
      if (places.length === 0) return
      this.#claimFirst(places, spare)
    }
  }

  #claimFirst(places: readonly ReadyPlace[], spare: number): void {
    const read = new Map<number, Job | undefined>()
    let left = 0
    for (const place of places) {
      if (this.#isStopped || left > spare) return
      if ((this.#room.get(place.executor) ?? 0) <= 0) continue
      if (!this.#hasKeyRoom(place) || !this.#claimOne(place, read)) left++
    }
  }

  #hasRoom(): boolean {
    for (const room of this.#room.values()) if (room > 0) return true
    return false
  }

  #isWanted({ n, invocation }: ReadyPlace): boolean {
    const key = keyOf(n, invocation)
    return !this.#asked.has(key) || this.#decided.has(key)
  }

  // Those before it may have taken what room its key had, under another route too.
  #hasKeyRoom({ limit }: ReadyPlace): boolean {
    return limit === undefined || this.#parts.keys.running(limit.key) < limit.concurrency
  }

  // What cannot be claimed stays where it is, and holds up nothing that comes after it.
  #claimOne({ n, invocation, executor }: ReadyPlace, read: Map<number, Job | undefined>): boolean {
    const { jobs, write } = this.#parts
    if (!read.has(n)) read.set(n, jobs.readable(jobs.rowByNumber(n)))
    const job = read.get(n)
    const task = job?.tasks.find((each) => each.invocation === invocation)
    const decision = this.#decisionOn(job, task, n, invocation)
    const rows = decision === undefined ? undefined : write(decision.writes)
    if (decision === undefined || rows === undefined) {
      this.#asked.add(keyOf(n, invocation))
      return false
    }
    const written = writtenJob(decision.writes, job)
    // What is written beside it may be another job that was read.
    if (decision.writes.length > 1) read.clear()
    read.set(n, written)
    return this.#took(written, n, invocation, executor, rows)
  }

  #decisionOn(job: Job | undefined, task: Task | undefined, n: number, invocation: number): Taken | undefined {
    const key = keyOf(n, invocation)
    const known = this.#decided.get(key)
    this.#decided.delete(key)
    if (known !== undefined) return known
    return job === undefined || task === undefined ? undefined : this.#decide(job, task, n)
  }

  #decide(job: Job, task: Task, n: number): Taken | undefined {
    const decision = this.#ask(job, task)
    if (decision.kind === 'claim') return decision
    this.#asked.add(keyOf(n, task.invocation))
    if (decision.kind === 'stop') this.#isStopped = true
    return undefined
  }

  // A job whose tree has a broken record is left, and holds up no other (S23).
  #ask(job: Job, task: Task): ClaimDecision {
    try {
      return this.#claim.decide({ job, task, tree: this.#parts.trees.of(job) })
    } catch (error) {
      if (error instanceof JobchartError && error.code === 'JOB_UNREADABLE') return { kind: 'leave' }
      throw error
    }
  }

  // False: the task is not claimed, and takes no room of its key.
  #took(job: Job, n: number, invocation: number, executor: string, rows: readonly WrittenRow[]): boolean {
    this.#room.set(executor, (this.#room.get(executor) ?? 0) - 1)
    this.claimed.push({ job, invocation, rows })
    const isReady = job.tasks.some((task) => task.invocation === invocation && task.status === 'available')
    if (isReady) this.#asked.add(keyOf(n, invocation))
    return !isReady
  }

  // Nothing ready goes before it, its executor has room, and its key too.
  #isNext(job: Job, task: Task, place: number): boolean {
    const { routes, at } = this.#claim
    if (!this.#isAlone(job, task, place)) return false
    if (this.#isStopped || (this.#room.get(task.executor) ?? 0) <= 0 || !isDue(job, task, at)) return false
    const { ready, keys } = this.#parts
    const route = ready.routeOf(routes, job, task)
    if (route === undefined) return false
    const own = orderOf(job, task)
    const later = this.#ahead.tasks[place]
    if (later !== undefined && goesBefore(later, own)) return false
    const first = this.#firstReady()
    if (first !== undefined && !goesBefore(own, first)) return false
    const concurrency = route.limits?.get(task.src)
    return task.limitKey === undefined || concurrency === undefined || keys.running(task.limitKey) < concurrency
  }

  // The claim comes after the changesets: none of them may see that it was made before, nor make ready what it would have
  // picked first.
  #isAlone(job: Job, { limitKey, child }: Task, place: number): boolean {
    const { touched, lastLimits, freesKeys } = this.#ahead
    if (job.parentId !== undefined || child !== undefined || job.tasks.length > 1) return false
    if ((touched.get(job.id) ?? -1) > place || (limitKey !== undefined && lastLimits > place)) return false
    return !freesKeys || !this.#doKeysWait()
  }

  #doKeysWait(): boolean {
    this.#keysWait ??= this.#parts.ready.hasKeyed(this.#claim.routes)
    return this.#keysWait
  }

  #firstReady(): ClaimOrder | undefined {
    if (!this.#hasLooked) {
      const { routes, at } = this.#claim
      const one = new Map([...this.#room].map(([executor, room]) => [executor, Math.min(room, 1)]))
      const [first] = this.#parts.ready.first(routes, at, one, 0)
      if (first !== undefined) this.#first = earlier(this.#first, first)
      this.#hasLooked = true
    }
    return this.#first
  }

  // The events of a job's write and of the claim that follows it, as one row: each says by whom it was caused. Moves of many
  // jobs that are alike give one list of events, and so do they together.
  #mergedEvents(first: EventRow, second: EventRow): EventRow {
    const last = this.#together
    const isKnown = last !== undefined && last.first === first.events && last.second === second.events
    if (!isKnown || !isSameActor(last.by, second.by) || !isSameActor(last.of, first.by)) {
      const events = isSameActor(first.by, second.by)
        ? second.events
        : second.events.map((each) => ({ by: second.by, ...each }))
      const all = [...first.events, ...events]
      this.#together = { first: first.events, second: second.events, of: first.by, by: second.by, all }
    }
    const { inputs } = first
    const { all = first.events } = this.#together ?? {}
    return { ...first, events: all, inputs: second.inputs.length === 0 ? inputs : [...inputs, ...second.inputs] }
  }

  // A claim that writes more than the job itself, or that might be refused, is written in its turn.
  #merged({ job, events }: JobWrite, { writes }: Taken): JobWrite | undefined {
    const [write, ...more] = writes
    if (write?.op !== 'update' || more.length > 0 || write.before !== job) return undefined
    if (write.events.at !== events.at || write.job.deletedAt !== undefined) return undefined
    if (holdsSlot(write.job) && !holdsSlot(job)) return undefined
    return this.#parts.keys.areOver(write.limits ?? [], write.job) ? undefined : write
  }
}

/** Two lists of events, and both as one. */
interface Together {
  readonly first: EventRow['events']
  readonly second: EventRow['events']
  readonly of: Actor
  readonly by: Actor
  readonly all: EventRow['events']
}

function isSameActor(a: Actor, b: Actor): boolean {
  return a.kind === b.kind && a.id === b.id
}

function keyOf(n: number, invocation: number): string {
  return `${n}/${invocation}`
}

function queueOf({ tenant, type }: Job): string {
  return JSON.stringify([tenant, type])
}

function writtenJob(writes: readonly Write[], job: Job | undefined): Job {
  for (const write of writes) if (write.op === 'update' && write.job.id === job?.id) return write.job
  if (job === undefined) throw new Error('a claim was decided on no job')
  return job
}
