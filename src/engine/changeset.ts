/**
 * The changesets of one tick. Requests that build on each other become one changeset, which is applied whole or not at
 * all. Each job is written once, in its state after the last request.
 */

import { type EndedBatch, LOST_ITEM } from '../model/batch-record.ts'
import type { JobDecision } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { type Actor, type EventDraft, eventRow, pipelineRow, progressRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import { dueTime } from '../model/pipeline.ts'
import type { PipelineChange } from '../model/pipeline-change.ts'
import { continuedJob } from '../model/step-key.ts'
import type { Json } from '../model/storable.ts'
import { countsOf } from '../model/task.ts'
import type { PipelineWrite, Write } from '../port/storage.ts'
import { ENGINE } from './core.ts'
import { limitsTaken } from './limits.ts'

/** One job in a changeset. */
export interface JobChange {
  readonly type: AnyJobType
  /** The stored record. Absent: the job is new. */
  readonly before: Job | undefined
  readonly job: Job
  /** Who caused the first change of the job in this changeset. An event with another cause has its own `by`. */
  readonly by: Actor
  readonly events: readonly EventDraft[]
  readonly inputs: readonly Json[]
  readonly logs: readonly string[]
  readonly effects: JobDecision['effects']
  readonly endedBatches?: JobDecision['endedBatches']
  readonly queuedMax: number | undefined
}

/** The decision on one request. */
export interface Decided {
  readonly by: Actor
  readonly jobs: readonly JobDecision[]
  readonly pipelines: readonly PipelineChange[]
  /**
   * The writes that add runs to the `owed` of pipelines, because of the decision. They come after the changes of
   * pipelines.
   */
  readonly owed: readonly Write[]
  /** Jobs whose data chart code read, with the revisions that it saw. The storage checks that they are unchanged. */
  readonly looked: readonly { readonly id: string; readonly revision: number }[]
  /** Writes without a decision, e.g. the log lines, progress, items and steps that an attempt reports. */
  readonly writes: readonly Write[]
  /**
   * True: a caller submitted the new jobs, so they are refused while the queue of their type (`limits.queued`) is full.
   * Follow-ups and child jobs are never refused.
   */
  readonly isAsked: boolean
}

/** The changes of one request, or of requests that build on each other. They become one changeset. */
export class ChangesetDraft<Request> {
  readonly requests: Request[]
  readonly jobs: JobChange[] = []
  #looked: Decided['looked'] = NONE
  #writes: readonly Write[] = NONE
  #pipelines: readonly PipelineChange[] = NONE
  #owed: readonly Write[] = NONE
  /** The index in `jobs` of each job, by id. Built only when there are many jobs. */
  #places: Map<string, number> | undefined

  constructor(request: Request, decided: Decided) {
    this.requests = [request]
    this.#take(decided)
  }

  /** A job as this changeset writes it. `undefined`: it does not write the job. */
  job(id: string): Job | undefined {
    return this.jobs[this.#placeOf(id)]?.job
  }

  /** Adds the decision on a request. */
  add(request: Request, decided: Decided): void {
    this.requests.push(request)
    this.#take(decided)
  }

  #take({ by, jobs, pipelines, owed, looked, writes, isAsked }: Decided): void {
    let index = 0
    for (const each of jobs) {
      this.#add(by, each, isAsked && isAskedFor(each, index) ? (each.type.queuedMax ?? undefined) : undefined)
      index++
    }
    const others = looked.length === 0 ? NONE : looked.filter(({ id }) => this.#placeOf(id) < 0)
    this.#looked = joined(this.#looked, others)
    this.#writes = joined(this.#writes, writes)
    this.#owed = joined(this.#owed, owed)
    const caused = pipelines.some(({ events }) => events !== undefined)
    this.#pipelines = joined(this.#pipelines, caused ? pipelines.map((each) => ({ by, ...each })) : pipelines)
  }

  /** Moves everything of another draft into this one. */
  absorb(other: ChangesetDraft<Request>): void {
    this.requests.push(...other.requests)
    for (const change of other.jobs) this.#put(change)
    this.#looked = joined(this.#looked, other.#looked)
    this.#writes = joined(this.#writes, other.#writes)
    this.#pipelines = joined(this.#pipelines, other.#pipelines)
    this.#owed = joined(this.#owed, other.#owed)
  }

  #placeOf(id: string): number {
    if (this.#places !== undefined) return this.#places.get(id) ?? -1
    return this.jobs.findIndex(({ job }) => job.id === id)
  }

  #put(change: JobChange): void {
    this.jobs.push(change)
    if (this.#places !== undefined) this.#places.set(change.job.id, this.jobs.length - 1)
    else if (this.jobs.length > 8) this.#places = new Map(this.jobs.map(({ job }, place) => [job.id, place]))
  }

  #add(by: Actor, decision: JobDecision, queuedMax: number | undefined): void {
    const { type, before, job, events, inputs, logs, effects, endedBatches } = decision
    const ended = endedBatches === undefined ? {} : { endedBatches }
    const place = this.#placeOf(job.id)
    const earlier = this.jobs[place]
    if (earlier === undefined) {
      this.#put({ type, before, job, by, events, inputs, logs, effects, queuedMax, ...ended })
      return
    }
    const own = by.kind === earlier.by.kind && by.id === earlier.by.id
    this.jobs[place] = {
      ...earlier,
      type,
      job,
      events: [...earlier.events, ...(own ? events : events.map((event) => ({ by, ...event })))],
      inputs: [...earlier.inputs, ...inputs],
      logs: [...earlier.logs, ...logs],
      effects: [...earlier.effects, ...effects],
      ...(endedBatches === undefined ? {} : { endedBatches: [...(earlier.endedBatches ?? []), ...endedBatches] }),
    }
  }

  /** When the pipelines that this changeset writes are due; 0: at once. */
  get dueTimes(): readonly number[] {
    if (this.#owed.length > 0) return [0]
    if (this.#pipelines.length === 0) return NONE
    return this.#pipelines.flatMap(({ before, after }) => {
      const at = after === undefined || after === before ? undefined : dueTime(after)
      return at === undefined ? [] : [at]
    })
  }

  /**
   * All writes for the storage. `#writes` come first, as they may be notes (reports that bypass the chart, e.g. of a
   * step; S5): a note is refused unless its task is claimed or stopping, and the write of a job may end that.
   */
  writes(at: number): readonly Write[] {
    const [only] = this.jobs
    const others = this.#writes.length + this.#pipelines.length + this.#owed.length + this.#looked.length
    const isAlone = this.jobs.length === 1 && others === 0
    if (only !== undefined && isAlone) return writesOf(only, at)
    const writes: Write[] = [...this.#writes]
    for (const change of this.#pipelines) writes.push(...pipelineWrites(change, at))
    for (const { id, revision } of this.#looked) {
      if (this.#placeOf(id) < 0) writes.push({ op: 'expect', jobId: id, revision })
    }
    for (const change of this.jobs) writes.push(...writesOf(change, at))
    writes.push(...this.#owed)
    return writes
  }
}

function isAskedFor({ before, job }: JobDecision, index: number): boolean {
  return before === undefined && job.parentId === undefined && (index === 0 || job.trigger === 'manual')
}

/** The write of a job's row, the items of batches that it ends, and the lines that its chart logged. */
export function writesOf(change: JobChange, at: number): readonly Write[] {
  const { job, logs, endedBatches = NONE } = change
  const row = rowWrite(change)
  if (logs.length === 0 && endedBatches.length === 0) return [row]
  // The counts are published before the transition that the end of the batch causes.
  const ended = endedBatches.flatMap((each) => endWrites(job, change.by, each))
  if (logs.length === 0) return [...ended, row]
  const lines = logs.map((text) => ({ at: Math.max(at, job.updatedAt), text }))
  return [...ended, row, { op: 'log', jobId: job.id, key: `chart-${job.revision}`, lines }]
}

function endWrites(job: Job, by: Actor, { invocation, begun, progress }: EndedBatch): readonly Write[] {
  const at = job.updatedAt
  return [
    { op: 'endItems', jobId: job.id, invocation, begun, error: LOST_ITEM, at },
    { op: 'append', events: progressRow(job, by, countsOf(progress), at) },
  ]
}

function rowWrite(change: JobChange): Write {
  const { before, job, queuedMax } = change
  const events = eventRow(job, change.by, change.events, change.inputs)
  const limits = limitsTaken(change)
  if (before !== undefined) {
    const update = { op: 'update', before, job, events } as const
    return limits === undefined ? update : { ...update, limits }
  }
  const insert = { op: 'insert', job, events } as const
  const stepsOf = continuedJob(job)
  if (limits === undefined && queuedMax === undefined && stepsOf === undefined) return insert
  return {
    ...insert,
    ...(limits === undefined ? {} : { limits }),
    ...(queuedMax === undefined ? {} : { queuedMax }),
    ...(stepsOf === undefined ? {} : { stepsOf }),
  }
}

const NONE: readonly never[] = []

/** Concatenates two lists, without a copy if one is empty. */
export function joined<Each>(some: readonly Each[], more: readonly Each[]): readonly Each[] {
  if (more.length === 0) return some
  return some.length === 0 ? more : [...some, ...more]
}

/** The write of a pipeline, and of its events. Without a change, it only compares the revision. */
function pipelineWrites(change: PipelineChange, at: number): readonly Write[] {
  const { before, after, events = NONE, by = ENGINE } = change
  const about = change.before === undefined ? change.after : (change.after ?? change.before)
  const next = after === before ? {} : { after: after ?? null }
  const { tenant, id } = about
  const write: PipelineWrite = { op: 'pipeline', tenant, id, revision: before?.revision ?? 0, ...next }
  return events.length === 0 ? [write] : [write, { op: 'append', events: pipelineRow(about, by, events, at) }]
}
