import { holdsSlot, isBusy, type Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type {
  Changeset,
  ChangesetResult,
  Claimed,
  ClaimedWrite,
  ClaimQuery,
  ClaimTransition,
  JobWrite,
  PipelineWrite,
  Write,
  WrittenRow,
} from '../port/storage.ts'
import { LimitKeys } from './limits.ts'
import { pipelineValues } from './pipelines.ts'
import { type Ready, ReadyTasks } from './ready.ts'
import { Records } from './records.ts'
import { Refused } from './refused.ts'
import { type Columns, columnsOf, eventValues, jsonOrNull, labelsOrNull, readableJob, taskRoute } from './rows.ts'
import type { Statements } from './statements.ts'

/** Which of SQLite's errors say that a row broke a unique index. */
const UNIQUE_ERRORS: ReadonlySet<unknown> = new Set([1555, 2067])

/**
 * Writes units and claims inside one transaction, which its caller begins and ends. It lives as long as that
 * transaction: the next sequence is read once at its start.
 */
export class Writer {
  readonly #statements: Statements
  readonly #at: number
  readonly #records: Records
  readonly #instance: string
  readonly #firstSequence: number
  #sequence: number
  #hasOffers: boolean
  readonly #keys: LimitKeys
  readonly #ready: ReadyTasks
  /** Routes on which nothing is ready of this priority or a higher one. */
  readonly #empty = new Map<string, number>()
  #hasClaimed = false

  constructor(statements: Statements, at: number, logLinesMax: number, instance: string) {
    this.#instance = instance
    this.#statements = statements
    this.#at = at
    this.#records = new Records(statements, logLinesMax)
    this.#firstSequence = Number(statements.readSequence.get()?.value)
    this.#sequence = this.#firstSequence
    this.#hasOffers = statements.hasOffers.get()?.found === 1
    this.#keys = new LimitKeys(statements.limits)
    this.#ready = new ReadyTasks(statements, this.#keys)
  }

  /** Stores how far the log is numbered, and that the instance holds something; call it last. */
  finish(): void {
    // One that was forgotten while it was silent holds something again: whoever looks after it must find it.
    if (this.#hasClaimed) this.#statements.listInstance.run(this.#instance, this.#at)
    if (this.#sequence !== this.#firstSequence) this.#statements.writeSequence.run(this.#sequence)
  }

  /** Applies a unit, or leaves no trace of it. */
  apply(unit: Changeset, savepoint: (run: () => void) => void): ChangesetResult {
    const sequenceBefore = this.#sequence
    const rows: WrittenRow[] = []
    const writeAll = () => {
      for (const write of slotsFreedFirst(unit.writes)) this.#write(unit.id, write, rows)
    }
    try {
      if (unit.writes.length > 1) savepoint(writeAll)
      else writeAll()
      return { status: 'applied', rows }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.#sequence = sequenceBefore
      // What the unit had claimed is ready again.
      this.#empty.clear()
      return error.result
    }
  }

  /** Claims ready tasks in their order. */
  claim(query: ClaimQuery, limit: number, unit: string, transition: ClaimTransition): readonly Claimed[] {
    const claimed: Claimed[] = []
    const left = new Set<string>()
    while (claimed.length < limit) {
      const room = limit - claimed.length
      const found = this.#ready.first(query, room, left.size, this.#hasOffers)
      const ready = found.filter((each) => !left.has(readyId(each))).slice(0, room)
      if (ready.length === 0) break
      for (const each of ready) {
        // Those before it may have taken what room its key had, under another route too.
        if (each.limit !== undefined && !this.#keys.hasRoom(each.limit)) continue
        const taken = this.#claimOne(each, unit, transition)
        if (taken === 'stop') return this.#listed(claimed)
        if (taken === 'leave') left.add(readyId(each))
        else claimed.push(taken)
      }
    }
    return this.#listed(claimed)
  }

  #listed(claimed: readonly Claimed[]): readonly Claimed[] {
    this.#hasClaimed ||= claimed.length > 0
    return claimed
  }

  // What cannot be claimed stays where it is, and holds up nothing that comes after it.
  #claimOne({ n, invocation }: Ready, unit: string, transition: ClaimTransition): Claimed | 'leave' | 'stop' {
    const row = this.#statements.jobByNumber.get(n)
    if (row === undefined) return 'leave'
    const job = readableJob(row)
    if (job === undefined) return 'leave'
    const task = job.tasks.find((each) => each.invocation === invocation)
    const write = task === undefined ? 'leave' : transition(job, task)
    if (write === 'leave' || write === 'stop') return write
    try {
      this.#update(write.job, job.revision)
    } catch (error) {
      if (error instanceof Refused) return 'leave'
      throw error
    }
    this.#also(unit, write)
    return { ...write, invocation, sequence: this.#append(unit, write) }
  }

  #also(unit: string, { also = [] }: JobWrite): void {
    for (const write of also) this.#write(unit, write, [])
  }

  #write(unit: string, write: Write, rows: WrittenRow[]): void {
    switch (write.op) {
      case 'insert':
      case 'update': {
        const { claimed } = write
        const chosen = claimed !== undefined && this.#mayClaim(write.job, claimed) ? claimed : write
        if (write.op === 'update' && chosen === write) this.#checkLimit(write)
        if (write.op === 'insert') this.#insert(chosen.job, write.queuedMax)
        else this.#update(chosen.job, write.revision)
        this.#hasClaimed ||= chosen === claimed
        this.#also(unit, chosen)
        rows.push({ events: chosen.events, sequence: this.#append(unit, chosen), claimed: chosen === claimed })
        return
      }
      case 'note':
        this.#records.note(write.jobId, write.token, write.note)
        return
      case 'append':
        rows.push({ events: write.events, sequence: this.#append(unit, write), claimed: false })
        return
      case 'pipeline':
        this.#pipeline(write)
        return
      case 'log':
        this.#records.lines(write.jobId, write.key, write.lines)
        return
      case 'forget':
        this.#statements.dropSteps.run(write.jobId, write.invocation)
        return
    }
  }

  #insert(job: Job, queuedMax: number | undefined): void {
    if (queuedMax !== undefined) this.#checkQueue(job, queuedMax)
    const columns = columnsOf(job)
    try {
      const { lastInsertRowid } = this.#statements.insertJob.run(
        job.id,
        job.tenant,
        job.type,
        job.version,
        job.createdBy,
        job.pipeline ?? null,
        job.parentId ?? null,
        labelsOrNull(job.labels),
        job.idempotencyKey ?? null,
        job.priority,
        job.createdAt,
        columns.status,
        columns.phase,
        columns.holdsSlot,
        columns.busy,
        columns.queued,
        columns.wakeAt,
        columns.waitsSince,
        columns.deleted,
        columns.route,
        columns.readyAt,
        columns.readyEntry,
        columns.heldKey,
        columns.revision,
        jsonOrNull(job.input),
        jsonOrNull(job.progress),
        columns.body,
        job.parentId === undefined ? 0 : 1,
      )
      if (job.deletedAt === undefined) this.#records.putLabels(job, lastInsertRowid)
    } catch (error) {
      throw this.#refusal(job, error)
    }
    this.#beside(job, columns)
  }

  // Keys and slots are looked at before that: a repeated submit is answered with the job that it made, and one that
  // may replace another learns of it (S22).
  #checkQueue(job: Job, max: number): void {
    const { tenant, createdBy, type, idempotencyKey, pipeline } = job
    const { jobByKey, slotHolder, queuedJobs } = this.#statements
    const known = idempotencyKey === undefined ? undefined : jobByKey.get(tenant, createdBy, type, idempotencyKey)?.id
    if (known !== undefined) throw new Refused({ status: 'duplicate', id: String(known) })
    const holder = pipeline === undefined || !holdsSlot(job) ? undefined : slotHolder.get(tenant, pipeline)?.id
    if (holder !== undefined) throw new Refused({ status: 'slot-taken', by: String(holder) })
    if (Number(queuedJobs.get(tenant, type, max)?.queued) >= max) throw new Refused({ status: 'full' })
  }

  #remove(job: Job, revision: number): void {
    const { id } = job
    const { dropOffers, removeJob } = this.#statements
    dropOffers.run(id)
    this.#keys.keep(job, [])
    if (removeJob.run(id, revision).changes === 0) throw new Refused({ status: 'conflict' })
    this.#records.remove(job)
  }

  #update(job: Job, revision: number): void {
    if (job.deletedAt !== undefined && !isBusy(job)) {
      this.#remove(job, revision)
      return
    }
    const columns = columnsOf(job)
    const { updateJob, updateDeletedJob } = this.#statements
    const statement = job.deletedAt === undefined ? updateJob : updateDeletedJob
    let changes: number | bigint
    try {
      const done = statement.run(
        job.version,
        columns.status,
        columns.phase,
        columns.holdsSlot,
        columns.busy,
        columns.queued,
        columns.wakeAt,
        columns.waitsSince,
        columns.route,
        columns.readyAt,
        columns.readyEntry,
        columns.heldKey,
        columns.revision,
        columns.body,
        job.id,
        revision,
      )
      changes = done.changes
    } catch (error) {
      throw this.#refusal(job, error)
    }
    if (changes === 0) throw new Refused({ status: 'conflict' })
    if (job.deletedAt !== undefined) this.#records.dropLabels(job)
    this.#beside(job, columns)
  }

  // Which of the unique indexes refused: keys are looked at before slots (S4).
  #refusal(job: Job, error: unknown): unknown {
    if (!UNIQUE_ERRORS.has((error as { readonly errcode?: unknown }).errcode)) return error
    const { tenant, createdBy, type, idempotencyKey, pipeline } = job
    if (idempotencyKey !== undefined) {
      const id = this.#statements.jobByKey.get(tenant, createdBy, type, idempotencyKey)?.id
      if (id !== undefined && id !== job.id) return new Refused({ status: 'duplicate', id: String(id) })
    }
    const holder = pipeline === undefined ? undefined : this.#statements.slotHolder.get(tenant, pipeline)?.id
    if (holder === undefined) return error
    return new Refused({ status: 'slot-taken', by: String(holder) })
  }

  // What a job has more than one of.
  #beside(job: Job, { route, further, furtherKeys }: Columns): void {
    if (route !== null) this.#empty.clear()
    this.#keys.keep(job, furtherKeys)
    if (this.#hasOffers) this.#statements.dropOffers.run(job.id)
    for (const task of further) {
      this.#statements.insertOffer.run(task.invocation, taskRoute(job, task), job.priority, task.availableAt, job.id)
      this.#hasOffers = true
    }
  }

  #pipeline({ tenant, id, revision, after }: PipelineWrite): void {
    const { pipelineRevision, putPipeline, dropPipeline } = this.#statements
    const stored = pipelineRevision.get(tenant, id)?.revision ?? 0
    if (stored !== revision) throw new Refused({ status: 'conflict' })
    if (after === null) dropPipeline.run(tenant, id)
    else if (after !== undefined) putPipeline.run(...pipelineValues(after))
  }

  #append(unit: string, { events }: Pick<JobWrite, 'events'>): number {
    const first = this.#sequence + 1
    this.#statements.insertEvents.run(...eventValues(events, first, unit))
    this.#sequence += events.events.length
    return first
  }

  // S7. The route is the one that the written job would wait on, were it not claimed.
  #mayClaim(waiting: Job, claimed: ClaimedWrite): boolean {
    const task = waiting.tasks.find(
      ({ invocation, status }) => status === 'available' && isHeldIn(claimed.job, invocation),
    )
    if (task === undefined) return false
    return this.#isFirst(waiting, task) && (task.limitKey === undefined || this.#isNext(waiting, task, claimed))
  }

  // Most jobs of one commit arrive on one route.
  #isFirst(waiting: Job, task: Task): boolean {
    const route = taskRoute(waiting, task)
    if (waiting.priority >= (this.#empty.get(route) ?? Number.POSITIVE_INFINITY)) return true
    const bound = [route, waiting.priority, this.#at] as const
    if (this.#statements.readyBefore.get(...bound, ...bound)?.found !== 0) return false
    this.#empty.set(route, waiting.priority)
    return true
  }

  // Its key has room, and no other key that has room has something that goes before it.
  #isNext({ type, version, priority }: Job, { executor, src }: Task, { limit, job }: ClaimedWrite): boolean {
    if (limit !== undefined && this.#keys.isOver(limit, job)) return false
    const { concurrency = Number.MAX_SAFE_INTEGER } = limit ?? {}
    const before = (table: 'jobs' | 'offers') =>
      this.#keys.anyBefore(table, { type, version, executor }, src, concurrency, priority, this.#at)
    return !before('jobs') && !(this.#hasOffers && before('offers'))
  }

  #checkLimit({ limit, job }: ClaimedWrite): void {
    if (limit !== undefined && this.#keys.isOver(limit, job)) throw new Refused({ status: 'full' })
  }
}

function readyId({ n, invocation }: Ready): string {
  return `${n}/${invocation}`
}

function isHeldIn(job: Job, invocation: number): boolean {
  return job.tasks.some((task) => task.invocation === invocation && task.status === 'claimed')
}

// Within a unit slots are freed before they are taken (S3).
function slotsFreedFirst(writes: readonly Write[]): readonly Write[] {
  if (writes.length < 2) return writes
  const takes = (write: Write) =>
    write.op === 'insert' || (write.op === 'update' && write.job.pipeline !== undefined && columnsHold(write.job))
  return [...writes.filter((write) => !takes(write)), ...writes.filter(takes)]
}

function columnsHold(job: Job): boolean {
  return columnsOf(job).holdsSlot === 1
}
