import { JobchartError } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Claim, ClaimDecision, Claimed, Write, WrittenRow } from '../port/storage.ts'
import type { JobTable } from './job-table.ts'
import type { JobTrees } from './job-trees.ts'
import type { LimitKeys } from './limit-keys.ts'
import type { ReadyPlace, ReadyTasks } from './ready-tasks.ts'

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

/** The claim of a commit (S9, S10, S19, S20): after the changesets, ready tasks are picked in their order. */
export class ClaimWriter {
  readonly claimed: Claimed[] = []
  readonly #claim: Claim
  readonly #parts: ClaimParts
  readonly #room: Map<string, number>
  #isStopped = false
  /** Tasks that were decided on and may still be ready: each is given once. */
  readonly #asked = new Set<string>()

  constructor(claim: Claim, parts: ClaimParts) {
    this.#claim = claim
    this.#parts = parts
    this.#room = new Map(claim.room)
  }

  /** Picks and claims what is ready, as long as there is room. */
  finish(): void {
    const { routes, at } = this.#claim
    // So many may be left before more must be looked for: of each executor, as many more are found as it has room for.
    for (let spare = 0; ; spare = 2 * this.#asked.size + SPARE) {
      if (this.#isStopped || !this.#hasRoom()) return
      const found = this.#parts.ready.first(routes, at, this.#room, this.#asked.size + spare)
      const places =
        this.#asked.size === 0 ? found : found.filter(({ n, invocation }) => !this.#asked.has(keyOf(n, invocation)))
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

  // Those before it may have taken what room its key had, under another route too.
  #hasKeyRoom({ limit }: ReadyPlace): boolean {
    return limit === undefined || this.#parts.keys.running(limit.key) < limit.concurrency
  }

  // What cannot be claimed stays where it is, and holds up nothing that comes after it.
  #claimOne({ n, invocation, executor }: ReadyPlace, read: Map<number, Job | undefined>): boolean {
    const { jobs, write } = this.#parts
    if (!read.has(n)) read.set(n, jobs.readableByNumber(n))
    const job = read.get(n)
    const task = job?.tasks.find((each) => each.invocation === invocation)
    const decision = job === undefined || task === undefined ? undefined : this.#decide(job, task, n)
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
}

function keyOf(n: number, invocation: number): string {
  return `${n}/${invocation}`
}

function writtenJob(writes: readonly Write[], job: Job | undefined): Job {
  for (const write of writes) if (write.op === 'update' && write.job.id === job?.id) return write.job
  if (job === undefined) throw new Error('a claim was decided on no job')
  return job
}
