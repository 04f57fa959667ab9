/**
 * What one tick writes together. Requests that build on each other, since one decided on what another had changed, become
 * one changeset: applied whole or not at all. Each job is written once, as it is after the last of them.
 */
import type { JobDecision } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { type Actor, type EventDraft, eventRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { PipelineChange } from '../model/pipeline.ts'
import { continuedJob } from '../model/step-key.ts'
import type { Json } from '../model/storable.ts'
import type { PipelineWrite, Write } from '../port/storage.ts'
import { limitsTaken } from './limits.ts'

/** A job as one changeset writes it. */
export interface JobChange {
  readonly type: AnyJobType
  /** As it is stored; absent: it is new. */
  readonly before: Job | undefined
  readonly job: Job
  /** Who caused it first: events of others name them. */
  readonly by: Actor
  readonly events: readonly EventDraft[]
  readonly inputs: readonly Json[]
  readonly logs: readonly string[]
  readonly effects: JobDecision['effects']
  readonly queuedMax: number | undefined
}

/** What is decided by one request. */
export interface Decided {
  readonly by: Actor
  readonly jobs: readonly JobDecision[]
  readonly pipelines: readonly PipelineChange[]
  /** Jobs that chart code looked at, with the revisions that it saw. */
  readonly looked: readonly { readonly id: string; readonly revision: number }[]
  /** Notes of an attempt, and other writes that need no decision. */
  readonly writes: readonly Write[]
  /** Somebody asks for its new jobs: a full queue refuses them. What follows a job, or belongs to one, is never refused. */
  readonly isAsked: boolean
}

/** The changes of requests that build on each other. */
export class ChangesetDraft<Request> {
  readonly requests: Request[]
  readonly jobs: JobChange[] = []
  #looked: Decided['looked'] = NONE
  #writes: readonly Write[] = NONE
  #pipelines: readonly PipelineChange[] = NONE
  /** Places in `jobs`, once they are many. */
  #places: Map<string, number> | undefined

  constructor(request: Request, decided: Decided) {
    this.requests = [request]
    this.#take(decided)
  }

  /** The record of a job that it writes. */
  job(id: string): Job | undefined {
    return this.jobs[this.#placeOf(id)]?.job
  }

  /** Adds what a request has decided. */
  add(request: Request, decided: Decided): void {
    this.requests.push(request)
    this.#take(decided)
  }

  #take({ by, jobs, pipelines, looked, writes, isAsked }: Decided): void {
    let index = 0
    for (const each of jobs) {
      this.#add(by, each, isAsked && isAskedFor(each, index) ? (each.type.queuedMax ?? undefined) : undefined)
      index++
    }
    const others = looked.length === 0 ? NONE : looked.filter(({ id }) => this.#placeOf(id) < 0)
    this.#looked = joined(this.#looked, others)
    this.#writes = joined(this.#writes, writes)
    this.#pipelines = joined(this.#pipelines, pipelines)
  }

  /** Takes over all of another draft, which no longer stands by itself. */
  absorb(other: ChangesetDraft<Request>): void {
    this.requests.push(...other.requests)
    for (const change of other.jobs) this.#put(change)
    this.#looked = joined(this.#looked, other.#looked)
    this.#writes = joined(this.#writes, other.#writes)
    this.#pipelines = joined(this.#pipelines, other.#pipelines)
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
    const { type, before, job, events, inputs, logs, effects } = decision
    const place = this.#placeOf(job.id)
    const earlier = this.jobs[place]
    if (earlier === undefined) {
      this.#put({ type, before, job, by, events, inputs, logs, effects, queuedMax })
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
    }
  }

  /** All of it, as the storage takes it: notes before the writes that may end their claim. */
  writes(at: number): readonly Write[] {
    const [only] = this.jobs
    const isAlone = this.jobs.length === 1 && this.#writes.length + this.#pipelines.length + this.#looked.length === 0
    if (only !== undefined && isAlone) return writesOf(only, at)
    const writes: Write[] = [...this.#writes, ...this.#pipelines.map(pipelineWrite)]
    for (const { id, revision } of this.#looked) {
      if (this.#placeOf(id) < 0) writes.push({ op: 'expect', jobId: id, revision })
    }
    for (const change of this.jobs) writes.push(...writesOf(change, at))
    return writes
  }
}

function isAskedFor({ before, job }: JobDecision, index: number): boolean {
  return before === undefined && job.parentId === undefined && (index === 0 || job.trigger === 'manual')
}

/** A job's row, and the lines that its chart logged. */
export function writesOf(change: JobChange, at: number): readonly Write[] {
  const { job, logs } = change
  const row = rowWrite(change)
  if (logs.length === 0) return [row]
  const lines = logs.map((text) => ({ at: Math.max(at, job.updatedAt), text }))
  return [row, { op: 'log', jobId: job.id, key: `chart-${job.revision}`, lines }]
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

/** Both lists as one. Mostly one of them is empty. */
export function joined<Each>(some: readonly Each[], more: readonly Each[]): readonly Each[] {
  if (more.length === 0) return some
  return some.length === 0 ? more : [...some, ...more]
}

/** What becomes of a pipeline's row; one that stays is only looked at. */
export function pipelineWrite(change: PipelineChange): PipelineWrite {
  const { before, after } = change
  const { tenant, id } = change.before ?? change.after
  const next = after === before ? {} : { after: after ?? null }
  return { op: 'pipeline', tenant, id, revision: before?.revision ?? 0, ...next }
}
