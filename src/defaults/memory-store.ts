import { dueAt, holdsSlot, holdsUniqueKey, isBusy, isQueued, type Job, wakeAt } from '../model/job.ts'
import type { NewNotification } from '../model/notification.ts'
import { isOfPaused } from '../model/paused-type.ts'
import { owing } from '../model/pipeline.ts'
import { isRunning, type StampedProgress } from '../model/task-record.ts'
import { freedFirst } from '../model/write-order.ts'
import type {
  Changeset,
  ChangesetResult,
  Claim,
  Claimed,
  JobPosition,
  KeyLimit,
  NewLine,
  Note,
  PausedType,
  PipelineWrite,
  Route,
  Write,
  WrittenRow,
} from '../port/storage.ts'
import { byCreation, EndedJobs } from './ended-jobs.ts'
import { MemoryAgents } from './memory-agents.ts'
import { MemoryLog } from './memory-log.ts'
import { MemoryNotifications } from './memory-notifications.ts'
import { MemoryPipelines } from './memory-pipelines.ts'
import { MemoryRecords } from './memory-records.ts'
import { byDue, type Due, type Line, type Row, type Turn } from './memory-row.ts'
import { pairKey } from './pair-key.ts'
import { type QueueLines, ReadyTasks } from './ready-tasks.ts'
import { SortedList } from './sorted-list.ts'

type Refusal = Exclude<ChangesetResult, { readonly status: 'applied' }>

const CONFLICT: Refusal = { status: 'conflict' }
const FULL: Refusal = { status: 'full' }
const STALE: Refusal = { status: 'stale' }

/**
 * The stored data, and all changes of it. Records are stored as the very objects that were written, not as copies.
 *
 * All indexes of jobs are computed from the jobs' records: `#index` replaces a record by another one in every index.
 * Each write is checked before it changes anything. For a changeset of several writes, each write leaves an undo
 * function, in case a later write is refused.
 */
export class MemoryStore {
  readonly jobs = new Map<string, Row>()
  /** Jobs that are not deleted, sorted by (createdAt, id). */
  readonly listed = new SortedList<{ readonly job: JobPosition }, Row>(byCreation)
  readonly waking = new SortedList<Pick<Row, 'wakeAt' | 'n'>, Row>(
    (a, b) => (a.wakeAt ?? 0) - (b.wakeAt ?? 0) || a.n - b.n,
  )
  /** The waiting jobs of each pipeline. The key is that of the pipeline's slot, or `''` for jobs without a pipeline. */
  readonly waiting = new Map<string, Line<Turn>>()
  readonly busy = new Set<Row>()
  readonly ended = new EndedJobs()
  /** For each pipeline's slot that is taken: the job that holds it. */
  readonly slots = new Map<string, Row>()
  readonly ready = new ReadyTasks()
  readonly log = new MemoryLog()
  readonly pipelines = new MemoryPipelines()
  readonly notifications = new MemoryNotifications()
  readonly agents = new MemoryAgents()
  readonly charts = new Map<string, string>()
  readonly pausedTypes = new Map<string, PausedType>()
  readonly instances = new Map<string, { heartbeat: number; alive: boolean }>()
  /** The latest time of any beat. */
  lastBeat = 0
  /** Raised by 1 for each applied changeset. */
  writes = 0
  readonly #logLinesMax: number
  readonly #keys = new Map<string, Row>()
  readonly #uniqueKeys = new Map<string, Row>()
  /** How many jobs are queued, by tenant and type. */
  readonly #queued = new Map<string, number>()
  #inserts = 0
  /** Undo functions of the changeset that is being applied. `undefined` if it has only one write, which needs none. */
  #undo: (() => void)[] | undefined
  /** The child jobs that the present changeset removes with their deleted parents. */
  #removedChildren: string[] = []

  constructor(logLinesMax: number) {
    this.#logLinesMax = logLinesMax
  }

  /**
   * Applies a changeset whole, or changes nothing.
   *
   * @param refused  the records that this commit has refused so far. An update made from one of them is a conflict.
   */
  apply({ id, writes }: Changeset, refused?: Set<Job>): ChangesetResult {
    const rows: WrittenRow[] = []
    const logLength = this.log.length
    this.#undo = writes.length > 1 ? [] : undefined
    this.#removedChildren = []
    for (const write of freedFirst(writes)) {
      const refusal = this.#write(write, refused)
      if (refusal === undefined) {
        if ('events' in write) rows.push({ events: write.events, sequence: this.log.append(id, write.events) })
        continue
      }
      for (const undo of this.#undo?.reverse() ?? []) undo()
      this.log.truncate(logLength)
      for (const each of writes) if (isOfJob(each)) refused?.add(each.job)
      return refusal
    }
    this.#settle(writes, refused)
    return { status: 'applied', rows }
  }

  /** Claims ready tasks in order, and returns those that were claimed. */
  claim(claim: Claim): readonly Claimed[] {
    const claimed: Claimed[] = []
    const room = new Map(claim.room)
    const closed = new Set<QueueLines>()
    const tree = (id: string) => this.jobs.get(id)?.job
    for (const { ready, lines } of this.ready.due({ ...claim, routes: this.#open(claim.routes) }, { room, closed })) {
      const { row, task, invocation } = ready
      const { job } = row
      const decision = claim.decide({ job, task, tree })
      if (decision.kind === 'stop') break
      if (decision.kind === 'close') closed.add(lines)
      if (decision.kind !== 'claim') continue
      const result = this.apply({ id: claim.id, writes: decision.writes })
      if (result.status !== 'applied') continue
      room.set(task.executor, (room.get(task.executor) ?? 0) - 1)
      claimed.push({ job: row.job, invocation, rows: result.rows })
    }
    return claimed
  }

  #open(routes: readonly Route[]): readonly Route[] {
    const paused = [...this.pausedTypes.keys()]
    return paused.length === 0 ? routes : routes.filter(({ type }) => !paused.some((each) => isOfPaused(type, each)))
  }

  #write(write: Write, refused: ReadonlySet<Job> | undefined): Refusal | undefined {
    switch (write.op) {
      case 'insert':
        return this.#insert(write)
      case 'update':
        return this.#update(write, refused)
      case 'expect':
        return this.jobs.get(write.jobId)?.job.revision === write.revision ? undefined : CONFLICT
      case 'note':
        return this.#note(write.jobId, write.token, write.note)
      case 'log':
        return this.#addLines(this.jobs.get(write.jobId), write.key, write.lines)
      case 'endItems':
        return this.#did(this.jobs.get(write.jobId)?.records?.endBatch(write))
      case 'append':
        return undefined
      case 'notify':
        return this.#notify(write.notification)
      case 'pipeline':
        return this.#pipeline(write)
      case 'owe':
        return this.#owe(write)
      case 'grant':
        return this.#did(this.agents.grant(write.lease))
      case 'lease':
        return this.#fresh(this.agents.renew(write))
      case 'expire':
        return this.#fresh(this.agents.expire(write))
    }
  }

  #insert({ job, limits, queuedMax, stepsOf }: Extract<Write, { op: 'insert' }>): Refusal | undefined {
    const known = isKeyed(job) ? this.#keys.get(idempotencyKey(job)) : undefined
    if (known !== undefined) return { status: 'duplicate', id: known.job.id }
    if (this.jobs.has(job.id)) return CONFLICT
    const taken = this.#uniqueKeyTaken(job) ?? this.#slotTaken(job)
    if (taken !== undefined) return taken
    if (queuedMax !== undefined && this.#queuedBeside(job) >= queuedMax) return FULL
    if (this.#isOver(limits, undefined, job)) return FULL
    const row: Row = { n: ++this.#inserts, job, wakeAt: undefined, turn: undefined, ready: [], records: undefined }
    const undo = this.#replaced(row, undefined, job)
    const continued = stepsOf === undefined ? undefined : this.jobs.get(stepsOf)?.records
    if (continued !== undefined) recordsOf(row).copySteps(continued)
    return this.#did(undo)
  }

  #update(write: Extract<Write, { op: 'update' }>, refused: ReadonlySet<Job> | undefined): Refusal | undefined {
    const row = this.jobs.get(write.job.id)
    if (row === undefined || row.job.revision !== write.before.revision || refused?.has(write.before)) return CONFLICT
    const before = row.job
    const changesProgress = write.job.progress !== write.before.progress
    if (changesProgress && before.progress !== write.before.progress && before.progress !== write.job.progress) {
      return CONFLICT
    }
    const taken = this.#uniqueKeyTaken(write.job) ?? this.#slotTaken(write.job)
    if (taken !== undefined) return taken
    if (this.#isOver(write.limits, before, write.job)) return FULL
    const after = isGone(write.job) ? undefined : changesProgress ? write.job : withProgress(write.job, before)
    this.#did(this.#replaced(row, before, after))
    if (after !== undefined) return undefined
    this.#did(this.agents.removeOfJob(write.job.id))
    this.#removeChildrenOf(write.job.id)
    return undefined
  }

  #replaced(row: Row, before: Job | undefined, after: Job | undefined): (() => void) | undefined {
    this.#index(row, before, after)
    return this.#undo === undefined ? undefined : () => this.#index(row, after, before)
  }

  #uniqueKeyTaken(job: Job): Refusal | undefined {
    const holder = holdsUniqueKey(job) ? this.#uniqueKeys.get(uniqueKey(job))?.job.id : undefined
    return holder === undefined || holder === job.id ? undefined : { status: 'not-unique', by: holder }
  }

  #slotTaken(job: Job): Refusal | undefined {
    const holder = holdsSlot(job) ? this.slots.get(slotKey(job))?.job.id : undefined
    return holder === undefined || holder === job.id ? undefined : { status: 'slot-taken', by: holder }
  }

  #isOver(limits: readonly KeyLimit[] | undefined, before: Job | undefined, after: Job): boolean {
    return limits?.some((limit) => this.ready.isOver(limit, before, after)) === true
  }

  #note(jobId: string, token: number, note: Note): Refusal | undefined {
    const row = this.jobs.get(jobId)
    const task = row?.job.tasks.find((each) => each.token === token && isRunning(each))
    if (row === undefined || task === undefined) return STALE
    switch (note.kind) {
      case 'progress':
        return this.#setProgress(row, note.progress)
      case 'log':
        return this.#addLines(row, note.key, note.lines)
      case 'step':
        return this.#addStep(row, task.invocation, note)
      case 'item': {
        const undo = recordsOf(row).putItem(note)
        return undo === 'full' ? FULL : this.#did(undo)
      }
      case 'items': {
        const refusal = this.#setProgress(row, note.progress)
        return refusal ?? this.#did(recordsOf(row).putBatch(note))
      }
    }
  }

  #setProgress(row: Row, progress: StampedProgress): Refusal | undefined {
    const before = row.job
    if (before.phase === 'settled') return STALE
    row.job = { ...before, progress }
    return this.#did(() => {
      row.job = before
    })
  }

  #addStep(row: Row, invocation: number, note: Extract<Note, { kind: 'step' }>): Refusal | undefined {
    const top = this.topOf(row)
    if (top === undefined) return STALE
    return this.#did(recordsOf(top).addStep({ n: row.n, invocation }, note))
  }

  /**
   * The top job of a job's tree. Its row has the steps of the whole tree (S33). `undefined`: the top job was removed.
   */
  topOf({ job }: Row): Row | undefined {
    let top = this.jobs.get(job.id)
    while (top?.job.parentId !== undefined) top = this.jobs.get(top.job.parentId)
    return top
  }

  // For a removed job, the lines are dropped, because nobody could read them.
  #addLines(row: Row | undefined, key: string, lines: readonly NewLine[]): undefined {
    if (row !== undefined) this.#did(recordsOf(row).addLines(key, lines, this.#logLinesMax))
  }

  #pipeline({ tenant, id, revision, after }: PipelineWrite): Refusal | undefined {
    const before = this.pipelines.get(tenant, id)
    if ((before?.revision ?? 0) !== revision) return CONFLICT
    if (after === undefined) return undefined
    this.pipelines.replace(before, after ?? undefined)
    return this.#did(() => this.pipelines.replace(after ?? undefined, before))
  }

  #notify(notification: NewNotification): undefined {
    const { jobId, row } = notification
    const isAbout =
      jobId === undefined ? this.pipelines.get(row.tenant, row.pipeline ?? '') !== undefined : this.jobs.has(jobId)
    return isAbout ? this.#did(this.notifications.put(notification)) : undefined
  }

  #owe({ tenant, id, run }: Extract<Write, { op: 'owe' }>): undefined {
    const before = this.pipelines.get(tenant, id)
    if (before === undefined) return undefined
    const after = owing(before, run)
    this.pipelines.replace(before, after)
    return this.#did(() => this.pipelines.replace(after, before))
  }

  #fresh(undo: (() => void) | undefined | 'stale'): Refusal | undefined {
    return undo === 'stale' ? STALE : this.#did(undo)
  }

  #did(undo: (() => void) | undefined): undefined {
    if (undo !== undefined) this.#undo?.push(undo)
  }

  /** Removes a job that has ended, and erases the payloads of its events. */
  remove(row: Row): void {
    this.writes++
    this.#index(row, row.job, undefined)
    this.#erase(row.job.id)
    this.agents.removeOfJob(row.job.id)
  }

  #erase(jobId: string): void {
    this.log.erase(jobId)
    this.notifications.removeOfJob(jobId)
  }

  // Makes the changes that cannot be undone. By now all checks have passed.
  #settle(writes: readonly Write[], refused: Set<Job> | undefined): void {
    this.writes++
    for (const write of writes) {
      if (write.op === 'pipeline' && write.after === null) {
        this.notifications.removeOfPipeline(write.tenant, write.id)
      }
      if (!isOfJob(write)) continue
      refused?.delete(write.job)
      if (isGone(write.job)) this.#erase(write.job.id)
    }
    for (const id of this.#removedChildren) this.#erase(id)
  }

  // Child jobs that have not ended are deleted by their own writes. A job goes only after all its child jobs.
  #removeChildrenOf(id: string): boolean {
    let isEmpty = true
    for (const row of this.ended.childrenOf(id)) {
      const { job } = row
      const mayGo = job.phase === 'settled' && !isBusy(job) && job.deletedAt === undefined
      if (mayGo && this.#removeChildrenOf(job.id)) {
        this.#did(this.#replaced(row, job, undefined))
        this.#did(this.agents.removeOfJob(job.id))
        this.#removedChildren.push(job.id)
      } else isEmpty = false
    }
    return isEmpty
  }

  /** Replaces the record `before` by `after` in every index of jobs. */
  #index(row: Row, before: Job | undefined, after: Job | undefined): void {
    const job = after ?? before ?? row.job
    row.job = job
    if (after === undefined) this.jobs.delete(job.id)
    else if (before === undefined) this.jobs.set(job.id, row)
    const [was, is] = [isVisible(before), isVisible(after)]
    if (was !== is) is ? this.listed.add(row) : this.listed.remove(row)
    this.ended.replace(row, before, after)
    if (job.idempotencyKey !== undefined) move(this.#keys, idempotencyKey(job), row, was, is)
    if (job.uniqueKey !== undefined)
      move(this.#uniqueKeys, uniqueKey(job), row, isSome(before, holdsUniqueKey), isSome(after, holdsUniqueKey))
    if (job.pipeline !== undefined)
      move(this.slots, slotKey(job), row, isSome(before, holdsSlot), isSome(after, holdsSlot))
    const queued = Number(isSome(after, isQueued)) - Number(isSome(before, isQueued))
    if (queued !== 0) this.#queued.set(queueKey(job), this.#queuedBeside(job) + queued)
    if (isSome(after, isBusy)) this.busy.add(row)
    else this.busy.delete(row)
    this.#wake(row, after === undefined ? undefined : wakeAt(after))
    this.#wait(row, is && after?.phase === 'waiting')
    this.ready.replace(row, before, after)
  }

  #queuedBeside(job: Job): number {
    return this.#queued.get(queueKey(job)) ?? 0
  }

  #wake(row: Row, at: number | undefined): void {
    if (row.wakeAt === at) return
    if (row.wakeAt !== undefined) this.waking.remove(row)
    row.wakeAt = at
    if (at !== undefined) this.waking.add(row)
  }

  #wait(row: Row, isWaiting: boolean): void {
    row.turn?.line.remove(row.turn)
    row.turn = undefined
    if (!isWaiting) return
    const { job, n } = row
    const key = job.pipeline === undefined ? '' : slotKey(job)
    const line = this.waiting.get(key) ?? new SortedList<Due, Turn>(byDue)
    this.waiting.set(key, line)
    row.turn = { row, line, priority: job.priority, due: dueAt(job), n, invocation: 0 }
    line.add(row.turn)
  }
}

/** Key of a pipeline's slot. */
export function slotKey({ tenant, pipeline = '' }: Pick<Job, 'tenant' | 'pipeline'>): string {
  return pairKey(tenant, pipeline)
}

function isOfJob(write: Write): write is Extract<Write, { job: Job }> {
  return write.op === 'insert' || write.op === 'update'
}

function isGone(job: Job): boolean {
  return job.deletedAt !== undefined && !isBusy(job)
}

function isVisible(job: Job | undefined): boolean {
  return job !== undefined && job.deletedAt === undefined
}

function isSome(job: Job | undefined, is: (job: Job) => boolean): boolean {
  return job !== undefined && is(job)
}

function isKeyed({ idempotencyKey, deletedAt }: Job): boolean {
  return idempotencyKey !== undefined && deletedAt === undefined
}

function idempotencyKey({ tenant, createdBy, type, idempotencyKey = '' }: Job): string {
  return pairKey(tenant, pairKey(createdBy, pairKey(type, idempotencyKey)))
}

function uniqueKey({ tenant, type, uniqueKey = '' }: Job): string {
  return pairKey(tenant, pairKey(type, uniqueKey))
}

function queueKey({ tenant, type }: Job): string {
  return pairKey(tenant, type)
}

function recordsOf(row: Row): MemoryRecords {
  row.records ??= new MemoryRecords()
  return row.records
}

// The new record with the stored progress. Reports of tasks write progress beside the record, so the record of a
// decision may contain an older one.
function withProgress(job: Job, { progress }: Job): Job {
  if (progress === job.progress) return job
  const { progress: _, ...rest } = job
  return progress === undefined ? rest : { ...rest, progress }
}

function move(map: Map<string, Row>, key: string, row: Row, was: boolean, is: boolean): void {
  if (is) map.set(key, row)
  else if (was) map.delete(key)
}
