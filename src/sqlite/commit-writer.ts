import { holdsSlot, holdsUniqueKey, isBusy, type Job } from '../model/job.ts'
import type { NewNotification } from '../model/notification.ts'
import { owing } from '../model/pipeline.ts'
import { freedFirst } from '../model/write-order.ts'
import type {
  Changeset,
  ChangesetResult,
  Claim,
  Commit,
  JobWrite,
  PipelineWrite,
  Write,
  WrittenRow,
} from '../port/storage.ts'
import { type ClaimParts, ClaimWriter } from './claim-writer.ts'
import type { Tables } from './tables.ts'
import { savepoint } from './transaction.ts'

type Insert = Extract<Write, { op: 'insert' }>
type Update = Extract<Write, { op: 'update' }>

/** One changeset while it is written. */
interface Writing {
  readonly id: string
  /** True: it has no other writes, so nothing of it can be rolled back later. */
  readonly isSingle?: true
  readonly rows: WrittenRow[]
}

/**
 * Writes the changesets of one commit, and its claim, inside a transaction that the caller begins and ends.
 *
 * Each write is checked before it is made, so a refused changeset of one write leaves nothing behind. Changesets of
 * several writes use a savepoint.
 */
export class CommitWriter {
  readonly #tables: Tables
  readonly #claim: ClaimWriter | undefined
  readonly #changesets: readonly Changeset[]
  readonly #results: ChangesetResult[] = []
  /**
   * Records that were not written, because their changesets were refused. Updates of these records are refused too
   * (S2).
   */
  readonly #refusedJobs = new Set<Job>()

  constructor(tables: Tables, changesets: readonly Changeset[], claim: Claim | undefined) {
    this.#tables = tables
    this.#changesets = changesets
    if (claim !== undefined) this.#claim = new ClaimWriter(claim, this.#claimParts(claim.id))
  }

  /** Applies each changeset whole or not at all, and then claims ready tasks. */
  write(): Commit {
    this.#claim?.begin(this.#changesets)
    for (const changeset of this.#changesets) this.#results.push(this.#apply(changeset))
    this.#claim?.finish()
    return { results: this.#results, claimed: this.#claim?.claimed ?? [] }
  }

  #claimParts(id: string): ClaimParts {
    const { jobs, ready, keys, trees, paused, log } = this.#tables
    const write = (writes: readonly Write[]) => {
      const result = this.#apply({ id, writes })
      return result.status === 'applied' ? result.rows : undefined
    }
    const append = (n: number, events: JobWrite['events']) => ({ events, sequence: log.append(n, events, id) })
    return { jobs, ready, keys, trees, paused, write, append }
  }

  #apply({ id, writes }: Changeset): ChangesetResult {
    const rows: WrittenRow[] = []
    const [first] = writes
    try {
      if (writes.length > 1) this.#writeAll(writes, { id, rows })
      else if (first !== undefined) this.#write(first, { id, rows, isSingle: true })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      for (const write of writes) {
        const isJob = write.op === 'insert' || write.op === 'update'
        if (isJob && !this.#wasWritten(write.job)) this.#refusedJobs.add(write.job)
      }
      return error.result
    }
    return { status: 'applied', rows }
  }

  #wasWritten(job: Job): boolean {
    return this.#results.some(({ status }, place) => {
      return (
        status === 'applied' && this.#changesets[place]?.writes.some((write) => 'job' in write && write.job === job)
      )
    })
  }

  #writeAll(writes: readonly Write[], writing: Writing): void {
    const { db, jobs, log } = this.#tables
    const mark = log.mark()
    try {
      savepoint(db, () => {
        for (const write of freedFirst(writes)) this.#write(write, writing)
      })
    } catch (error) {
      log.rollBack(mark)
      jobs.forget()
      throw error
    }
  }

  #write(write: Write, writing: Writing): void {
    const { jobs, notes, leases } = this.#tables
    switch (write.op) {
      case 'insert':
        this.#insert(write, writing)
        break
      case 'update':
        this.#update(write, writing)
        break
      case 'expect':
        if (jobs.revisionOf(write.jobId) !== write.revision) throw new Refused(CONFLICT)
        break
      case 'note': {
        const result = notes.put(write.jobId, write.token, write.note)
        if (result !== 'written') throw new Refused({ status: result })
        if (write.note.kind === 'progress' || write.note.kind === 'items') jobs.wroteBeside(write.jobId)
        break
      }
      case 'log': {
        const n = jobs.numberOf(write.jobId)
        if (n !== undefined) notes.putLines(n, write.key, write.lines)
        break
      }
      case 'endItems': {
        const n = jobs.numberOf(write.jobId)
        if (n !== undefined) notes.items.endWaiting(n, write)
        break
      }
      case 'append':
        this.#appendAlone(write.events, writing)
        break
      case 'notify':
        this.#notify(write.notification)
        break
      case 'pipeline':
        this.#pipeline(write)
        break
      case 'owe':
        this.#owe(write)
        break
      case 'grant':
        leases.grant(write.lease)
        break
      case 'lease':
        if (!leases.renew(write)) throw new Refused(STALE)
        break
      case 'expire':
        if (!leases.expire(write)) throw new Refused(STALE)
    }
  }

  #insert(write: Insert, writing: Writing): void {
    const { jobs, log, notes } = this.#tables
    const { job, queuedMax, stepsOf, limits = [] } = write
    // The idempotency key is checked first, so that a repeated submit gets the job that the first one made. The queue's
    // bound and the limits are checked last.
    this.#checkKey(job)
    const refusal =
      this.#uniqueRefusal(job) ??
      this.#slotRefusal(job) ??
      this.#queueRefusal(job, queuedMax) ??
      this.#limitRefusal(limits, job)
    if (refusal !== undefined) throw new Refused(jobs.numberOf(job.id) === undefined ? refusal : CONFLICT)
    const n = log.next
    const claimed = writing.isSingle === true ? this.#claim?.claimNew(job) : undefined
    if (!jobs.insert(n, claimed?.job ?? job)) throw new Refused(CONFLICT)
    const from = stepsOf === undefined ? undefined : jobs.numberOf(stepsOf)
    if (from !== undefined) notes.copySteps(from, n)
    this.#append(n, write.events, writing)
    this.#written(job)
    if (claimed !== undefined) this.#claim?.tookNew(n, job, claimed)
  }

  #update(write: Update, writing: Writing): void {
    const { jobs, log, notes, notifications, leases, removal } = this.#tables
    const { job, before, events } = write
    if (this.#refusedJobs.size > 0 && this.#refusedJobs.has(before)) throw new Refused(CONFLICT)
    this.#judge(write)
    if (job.deletedAt !== undefined && !isBusy(job)) {
      const n = this.#applied(jobs.remove(before))
      notes.remove(n)
      notifications.removeOfJob(job.id)
      leases.removeOfJob(job.id)
      log.keepGone(n, events)
      this.#append(n, events, writing)
      log.erasePayloads(n)
      removal.removeChildrenOf(job)
      return
    }
    const n = this.#applied(jobs.update(before, job))
    this.#append(n, events, writing)
    if (job.deletedAt !== undefined && before.deletedAt === undefined) log.erasePayloads(n)
    this.#written(job)
  }

  // A stale record is checked first: its update is a conflict, even if its slot, key or limit would refuse it too.
  #judge({ job, before, limits = [] }: Update): void {
    const takesSlot = holdsSlot(job) && !holdsSlot(before)
    const takesKey = holdsUniqueKey(job) && !holdsUniqueKey(before)
    if (!takesSlot && !takesKey && limits.length === 0) return
    if (this.#tables.jobs.numberAt(before) === undefined) throw new Refused(CONFLICT)
    const refusal =
      (takesKey ? this.#uniqueRefusal(job) : undefined) ??
      (takesSlot ? this.#slotRefusal(job) : undefined) ??
      this.#limitRefusal(limits, job)
    if (refusal !== undefined) throw new Refused(refusal)
  }

  #applied(n: number | undefined): number {
    if (n === undefined) throw new Refused(CONFLICT)
    return n
  }

  #written(job: Job): void {
    if (this.#refusedJobs.size > 0) this.#refusedJobs.delete(job)
  }

  #append(n: number, events: JobWrite['events'], { id, rows }: Writing): void {
    rows.push({ events, sequence: this.#tables.log.append(n, events, id) })
  }

  #appendAlone(events: JobWrite['events'], writing: Writing): void {
    const { jobs, log } = this.#tables
    if (events.jobId === '') {
      this.#append(log.pipelineNumber(events), events, writing)
      return
    }
    const n = jobs.numberOf(events.jobId)
    if (n !== undefined) {
      this.#append(n, events, writing)
      return
    }
    // The row of the job was removed, so these events are stored without payloads, like its other events (S18).
    const gone = log.goneNumber(events)
    this.#append(gone, events, writing)
    log.erasePayloads(gone)
  }

  #checkKey(job: Job): void {
    const known = job.idempotencyKey === undefined ? undefined : this.#tables.lookups.keyHolder(job, job.idempotencyKey)
    if (known !== undefined) throw new Refused({ status: 'duplicate', id: known })
  }

  #uniqueRefusal(job: Job): ChangesetResult | undefined {
    if (job.uniqueKey === undefined || !holdsUniqueKey(job)) return undefined
    const by = this.#tables.lookups.uniqueKeyHolder(job, job.uniqueKey)
    return by === undefined ? undefined : { status: 'not-unique', by }
  }

  #slotRefusal(job: Job): ChangesetResult | undefined {
    const { tenant, pipeline } = job
    if (pipeline === undefined || !holdsSlot(job)) return undefined
    const by = this.#tables.lookups.slotHolder(tenant, pipeline)
    return by === undefined ? undefined : { status: 'slot-taken', by }
  }

  #queueRefusal(job: Job, max: number | undefined): ChangesetResult | undefined {
    if (max === undefined) return undefined
    return this.#tables.lookups.queued(job, max) < max ? undefined : { status: 'full' }
  }

  #limitRefusal(limits: NonNullable<JobWrite['limits']>, job: Job): ChangesetResult | undefined {
    return limits.length > 0 && this.#tables.keys.areOver(limits, job) ? { status: 'full' } : undefined
  }

  #pipeline({ tenant, id, revision, after }: PipelineWrite): void {
    const { pipelines, notifications } = this.#tables
    if (pipelines.revisionOf(tenant, id) !== revision) throw new Refused(CONFLICT)
    if (after === null) {
      pipelines.drop(tenant, id)
      notifications.removeOfPipeline(tenant, id)
    } else if (after !== undefined) pipelines.put(after)
  }

  #notify(notification: NewNotification): void {
    const { jobs, pipelines, notifications } = this.#tables
    const { jobId, row } = notification
    const isAbout = jobId === undefined ? pipelines.revisionOf(row.tenant, row.pipeline ?? '') : jobs.numberOf(jobId)
    if (isAbout) notifications.put(notification)
  }

  #owe({ tenant, id, run }: Extract<Write, { op: 'owe' }>): void {
    const { pipelines } = this.#tables
    const before = pipelines.get(tenant, id)
    if (before !== undefined) pipelines.put(owing(before, run))
  }
}

const CONFLICT: ChangesetResult = { status: 'conflict' }
const STALE: ChangesetResult = { status: 'stale' }

/** Thrown to refuse a changeset. Carries the changeset's result. */
class Refused extends Error {
  readonly result: ChangesetResult

  constructor(result: ChangesetResult) {
    super(result.status)
    this.result = result
  }
}
