import type { EventRow } from '../model/event.ts'
import { claimableTasks, holdsSlot, isBusy, type Job, wakeAt } from '../model/job.ts'
import type { Progress } from '../model/task.ts'
import type {
  Changeset,
  ChangesetResult,
  Claimed,
  ClaimedWrite,
  ClaimQuery,
  ClaimTransition,
  JobWrite,
  Note,
  PipelineWrite,
  Write,
  WrittenRow,
} from '../port/storage.ts'
import { HeldKeys } from './held-keys.ts'
import { pipelineKey, revisionOf } from './memory-pipelines.ts'
import { MemoryRecords } from './memory-records.ts'
import { QueuedJobs } from './queued-jobs.ts'
import { ReadyTasks, readyKey } from './ready-tasks.ts'

/** A job's row. */
export interface StoredJob {
  readonly n: number
  /** As text, so that no reader shares an object with another. */
  readonly text: string
  readonly job: Job
}

/** A row of the log. */
export interface StoredRow {
  readonly sequence: number
  readonly unit: string
  readonly count: number
  readonly jobId: string
  readonly text: string
}

class Refused extends Error {
  readonly result: ChangesetResult

  constructor(result: ChangesetResult) {
    super(result.status)
    this.result = result
  }
}

/** The data itself. Every change pushes its undoing, so that a unit that is refused half-way leaves no trace. */
export class MemoryStore {
  readonly jobs = new Map<string, StoredJob>()
  readonly log: StoredRow[] = []
  readonly records: MemoryRecords
  readonly instances = new Map<string, { heartbeat: number; alive: boolean }>()
  readonly charts = new Map<string, string>()
  /** As text, so that no reader shares an object with another. */
  readonly pipelines = new Map<string, string>()
  /** Those that something falls due for, and those that wait for their time or turn: a sweep looks at no others. */
  readonly waking = new Set<string>()
  readonly waiting = new Set<string>()
  readonly #slots = new Map<string, string>()
  readonly #queued = new QueuedJobs()
  readonly #keys = new Map<string, string>()
  readonly #held = new HeldKeys()
  readonly #ready = new ReadyTasks(this.#held)
  #undo: (() => void)[] = []
  #rows = 0
  sequence = 0
  writes = 0

  constructor(logLinesMax: number) {
    this.records = new MemoryRecords(logLinesMax, (run, undo) => this.#change(run, undo))
  }

  /** Some job holds the slot. */
  isTaken(slot: string): boolean {
    return this.#slots.has(slot)
  }

  /** The id of the job that holds the slot. */
  holderOf(slot: string): string | undefined {
    return this.#slots.get(slot)
  }

  /** How many tasks run under a limit key. */
  heldUnder(key: string): number {
    return this.#held.count(key)
  }

  /** The jobs of some ids. */
  of(ids: ReadonlySet<string>): readonly StoredJob[] {
    return [...ids].flatMap((id) => this.jobs.get(id) ?? [])
  }

  apply(unit: Changeset, at: number): ChangesetResult {
    this.#undo = []
    const rows: WrittenRow[] = []
    try {
      for (const write of slotsFreedFirst(unit.writes)) this.#write(unit.id, write, at, rows)
      this.writes++
      return { status: 'applied', rows }
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo()
      if (error instanceof Refused) return error.result
      throw error
    }
  }

  claim(query: ClaimQuery, limit: number, unit: string, transition: ClaimTransition): readonly Claimed[] {
    const claimed: Claimed[] = []
    const left = new Set<string>()
    while (claimed.length < limit) {
      const room = limit - claimed.length
      const found = this.#ready.due(query.routes, query.at, room, left.size)
      const ready = found.filter(({ id, invocation }) => !left.has(`${id}/${invocation}`)).slice(0, room)
      if (ready.length === 0) break
      for (const { id, invocation, limit } of ready) {
        // Those before it may have taken what room its key had, under another route too.
        if (limit !== undefined && this.#held.room(limit) < 1) continue
        const taken = this.#claimOne(id, invocation, unit, transition)
        if (taken === 'stop') return this.#written(claimed)
        if (taken === 'leave') left.add(`${id}/${invocation}`)
        else claimed.push(taken)
      }
    }
    return this.#written(claimed)
  }

  #written(claimed: readonly Claimed[]): readonly Claimed[] {
    this.writes++
    return claimed
  }

  // What cannot be claimed stays where it is, and holds up nothing that comes after it.
  #claimOne(id: string, invocation: number, unit: string, transition: ClaimTransition): Claimed | 'leave' | 'stop' {
    const stored = this.jobs.get(id)
    if (stored === undefined) return 'leave'
    const job = read(stored)
    const task = job.tasks.find((each) => each.invocation === invocation)
    const write = task === undefined ? 'leave' : transition(job, task)
    if (write === 'leave' || write === 'stop') return write
    try {
      this.#put(write.job, job.revision)
    } catch (error) {
      if (error instanceof Refused) return 'leave'
      throw error
    }
    this.#also(unit, write)
    return { ...write, invocation, sequence: this.#append(unit, write.events) }
  }

  #write(unit: string, write: Write, at: number, rows: WrittenRow[]): void {
    switch (write.op) {
      case 'insert':
      case 'update': {
        const { claimed } = write
        const chosen = claimed !== undefined && this.#mayClaim(write.job, claimed, at) ? claimed : write
        if (write.op === 'update' && chosen === write) this.#checkLimit(write)
        if (write.op === 'insert') this.#checkQueue(write.job, write.queuedMax)
        this.#put(chosen.job, write.op === 'insert' ? undefined : write.revision)
        this.#also(unit, chosen)
        rows.push({ events: chosen.events, sequence: this.#append(unit, chosen.events), claimed: chosen === claimed })
        return
      }
      case 'note':
        this.#note(write.jobId, write.token, write.note)
        return
      case 'append':
        rows.push({ events: write.events, sequence: this.#append(unit, write.events), claimed: false })
        return
      case 'pipeline':
        this.#pipeline(write)
        return
      case 'log':
        this.records.addLines(write.jobId, write.key, write.lines)
        return
      case 'forget':
        this.records.dropSteps(write.jobId, write.invocation)
        return
    }
  }

  #also(unit: string, { also = [] }: JobWrite): void {
    for (const write of also) this.#write(unit, write, 0, [])
  }

  #put(job: Job, revision: number | undefined): void {
    const before = this.jobs.get(job.id)
    if (revision !== undefined && before?.job.revision !== revision) throw new Refused({ status: 'conflict' })
    if (revision === undefined) this.#checkKey(job)
    this.#checkSlot(job)
    // What reports wrote is not the transition's to change.
    const kept = before?.job.progress === undefined ? job : { ...job, progress: before.job.progress }
    const after: StoredJob = { n: before?.n ?? ++this.#rows, text: JSON.stringify(kept), job: kept }
    const isGone = job.deletedAt !== undefined && !isBusy(job)
    this.#change(
      () => this.#index(before, isGone ? undefined : after),
      () => this.#index(isGone ? undefined : after, before),
    )
    if (isGone) this.records.forget(job.id)
  }

  #index(from: StoredJob | undefined, to: StoredJob | undefined): void {
    if (from !== undefined) {
      if (holdsSlot(from.job)) this.#slots.delete(slotKey(from.job))
      this.#held.remove(from.job)
      for (const task of claimableTasks(from.job)) this.#ready.remove(readyKey(from.n, from.job, task))
    }
    const { job } = to ?? from ?? {}
    if (job === undefined) return
    if (from !== undefined && isKeyed(from.job)) this.#keys.delete(idempotencyKey(from.job))
    this.#schedule(job.id, to)
    if (from !== undefined) this.#queued.remove(from.job)
    if (to !== undefined) this.#queued.add(to.job)
    if (to === undefined) {
      this.jobs.delete(job.id)
      return
    }
    this.jobs.set(job.id, to)
    if (isKeyed(job)) this.#keys.set(idempotencyKey(job), job.id)
    if (holdsSlot(job)) this.#slots.set(slotKey(job), job.id)
    this.#held.add(job)
    for (const task of claimableTasks(job)) this.#ready.add(readyKey(to.n, job, task))
  }

  #schedule(id: string, stored: StoredJob | undefined): void {
    if (stored !== undefined && wakeAt(stored.job) !== undefined) this.waking.add(id)
    else this.waking.delete(id)
    if (stored?.job.phase === 'waiting' && stored.job.deletedAt === undefined) this.waiting.add(id)
    else this.waiting.delete(id)
  }

  #checkSlot(job: Job): void {
    const holder = holdsSlot(job) ? this.#slots.get(slotKey(job)) : undefined
    if (holder !== undefined && holder !== job.id) throw new Refused({ status: 'slot-taken', by: holder })
  }

  // S22.
  #checkQueue(job: Job, max: number | undefined): void {
    if (max === undefined) return
    this.#checkKey(job)
    this.#checkSlot(job)
    if (this.#queued.beside(job) >= max) throw new Refused({ status: 'full' })
  }

  #checkKey(job: Job): void {
    const id = job.idempotencyKey === undefined ? undefined : this.#keys.get(idempotencyKey(job))
    if (id !== undefined) throw new Refused({ status: 'duplicate', id })
    if (this.jobs.has(job.id)) throw new Error(`a job with the id "${job.id}" exists`)
  }

  #pipeline({ tenant, id, revision, after }: PipelineWrite): void {
    const key = pipelineKey(tenant, id)
    const before = this.pipelines.get(key)
    if (revisionOf(before) !== revision) throw new Refused({ status: 'conflict' })
    if (after === undefined) return
    this.#change(
      () => this.#keepPipeline(key, after === null ? undefined : JSON.stringify(after)),
      () => this.#keepPipeline(key, before),
    )
  }

  #keepPipeline(key: string, text: string | undefined): void {
    if (text === undefined) this.pipelines.delete(key)
    else this.pipelines.set(key, text)
  }

  #note(jobId: string, token: number, note: Note): void {
    const stored = this.jobs.get(jobId)
    const task = stored?.job.tasks.find((each) => each.token === token && each.status === 'claimed')
    if (stored === undefined || task === undefined) throw new Refused({ status: 'stale' })
    switch (note.kind) {
      case 'progress':
        this.#addProgress(stored, note.progress)
        return
      case 'log':
        this.records.addLines(jobId, note.key, note.lines)
        return
      case 'step':
        this.records.addStep(jobId, note.invocation, note.name, note.result)
        return
      case 'item':
        if (!this.records.putItem(jobId, note.item, note.max)) throw new Refused({ status: 'full' })
    }
  }

  #addProgress(stored: StoredJob, progress: Progress): void {
    const job = { ...stored.job, progress }
    const after = { ...stored, job, text: JSON.stringify(job) }
    this.#change(
      () => this.jobs.set(job.id, after),
      () => this.jobs.set(job.id, stored),
    )
  }

  #append(unit: string, events: EventRow): number {
    const first = this.sequence + 1
    const row = {
      sequence: first,
      unit,
      count: events.events.length,
      jobId: events.jobId,
      text: JSON.stringify(events),
    }
    this.#change(
      () => {
        this.log.push(row)
        this.sequence += events.events.length
      },
      () => {
        this.log.pop()
        this.sequence -= events.events.length
      },
    )
    return first
  }

  #mayClaim(waiting: Job, claimed: ClaimedWrite, at: number): boolean {
    const { job, limit } = claimed
    const held = (invocation: number) =>
      job.tasks.some((each) => each.invocation === invocation && each.status === 'claimed')
    const task = waiting.tasks.find(({ invocation, status }) => status === 'available' && held(invocation))
    if (task === undefined || this.#isOver(claimed)) return false
    return !this.#ready.anyBefore(waiting, task, limit?.concurrency ?? Number.MAX_SAFE_INTEGER, at)
  }

  #checkLimit(write: ClaimedWrite): void {
    if (this.#isOver(write)) throw new Refused({ status: 'full' })
  }

  #isOver({ job, limit }: ClaimedWrite): boolean {
    return limit !== undefined && this.#held.isOver(limit, this.jobs.get(job.id)?.job, job)
  }

  #change(run: () => void, undo: () => void): void {
    run()
    this.#undo.push(undo)
  }
}

/** Names the slot of a job's pipeline. */
export function slotKey({ tenant, pipeline }: Pick<Job, 'tenant' | 'pipeline'>): string {
  return JSON.stringify([tenant, pipeline])
}

// The key of a deleted job is free.
function isKeyed({ idempotencyKey: key, deletedAt }: Job): boolean {
  return key !== undefined && deletedAt === undefined
}

function idempotencyKey({ tenant, createdBy, type, idempotencyKey }: Job): string {
  return JSON.stringify([tenant, createdBy, type, idempotencyKey])
}

function slotsFreedFirst(writes: readonly Write[]): readonly Write[] {
  const takes = (write: Write) => write.op === 'insert' || (write.op === 'update' && holdsSlot(write.job))
  return [...writes.filter((write) => !takes(write)), ...writes.filter(takes)]
}

/** A job, as an object of its own. */
export function read({ text }: StoredJob): Job {
  return JSON.parse(text) as Job
}
