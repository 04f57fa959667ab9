/**
 * The jobs, trees and pipelines of one tick. Each decision is applied to them, so the next decision sees it, and
 * requests within one process do not conflict.
 */
import type { DecisionContext, JobDecision, JobTree, TreeJob } from '../model/decision-data.ts'
import type { AnyJobType } from '../model/definition.ts'
import { isUnreadable, jobNotFound } from '../model/error.ts'
import { dueAt, holdsSlot, isWaiting, type Job, mayStart } from '../model/job.ts'
import type { Loaded, PipelineKey, Turn, Write } from '../port/storage.ts'
import { type Core, contextOf } from './core.ts'
import { newId } from './ids.ts'

const NOTHING: Loaded = { job: () => undefined, turn: () => ({}) }

/** The jobs and pipelines of one tick. */
export class WorkingSet implements JobTree {
  readonly #core: Core
  readonly #loaded: Loaded
  readonly #asked: ReadonlySet<string>
  readonly #jobs = new Map<string, Job>()
  /** Slots taken or freed in this tick, by pipeline: the id of the job that holds it, or null if it is free. */
  readonly #holders = new Map<string, string | null>()
  /** Jobs that began to wait for a pipeline in this tick. */
  readonly #waiting = new Map<string, Job[]>()
  #context: ReturnType<typeof contextOf> | undefined
  /** A job of a tree whose type this engine does not know. A decision that looked at this job is invalid. */
  #unknown: Job | undefined

  /** @param asked  the pipelines whose turns were read. */
  constructor(core: Core, loaded: Loaded = NOTHING, asked: readonly PipelineKey[] = []) {
    this.#core = core
    this.#loaded = loaded
    this.#asked = new Set(asked.map(nameOf))
  }

  /** Uses a record in memory instead of reading it, unless the tick has a newer one. */
  hold(job: Job): void {
    if (this.#jobs.has(job.id)) return
    const loaded = readable(() => this.#loaded.job(job.id))
    this.#jobs.set(job.id, loaded !== undefined && loaded.revision > job.revision ? loaded : job)
  }

  /** The current record of a job in this tick. `undefined`: no such job. @throws {JobchartError} `JOB_UNREADABLE` */
  job(id: string): Job | undefined {
    const known = this.#jobs.get(id)
    if (known !== undefined) return known
    const loaded = this.#loaded.job(id)
    if (loaded !== undefined) this.#jobs.set(id, loaded)
    return loaded
  }

  /** As {@link job}. @throws {JobchartError} `JOB_NOT_FOUND`, `JOB_UNREADABLE` */
  require(id: string): Job {
    const job = this.job(id)
    if (job === undefined) throw jobNotFound(id)
    return job
  }

  /** The type of a stored job. @throws {JobchartError} `UNKNOWN_TYPE` */
  typeOf(job: Job): AnyJobType {
    return this.#core.types.require(job)
  }

  /** {@inheritDoc JobTree.get} */
  get(id: string): TreeJob | undefined {
    const job = readable(() => this.job(id))
    const type = job === undefined ? undefined : this.#core.types.of(job)
    if (job !== undefined && type === undefined) this.#unknown ??= job
    return job === undefined || type === undefined ? undefined : { type, job }
  }

  /**
   * Checks that this engine knows the types of all jobs that the decisions since the last call looked at.
   *
   * @throws {JobchartError} `UNKNOWN_TYPE` a job of the tree has a type that only other engines know.
   */
  checkTypes(): void {
    const unknown = this.#unknown
    this.#unknown = undefined
    if (unknown !== undefined) this.typeOf(unknown)
  }

  newId(): string {
    return newId(this.#core)
  }

  /** Time and randomness of the next decision. All decisions of a tick have the same time. */
  context(): DecisionContext {
    this.#context = contextOf(this.#core, this.#context)
    return this.#context
  }

  /** Returns which job holds a pipeline's slot, and which waiting run is next. */
  turn(key: PipelineKey): Turn {
    const name = nameOf(key)
    const stored = this.#loaded.turn(key)
    const known = this.#holders.get(name)
    const holder = known === undefined ? stored.holder : (known ?? undefined)
    const next = this.#next(name, stored.next)
    return { ...(holder === undefined ? {} : { holder }), ...(next === undefined ? {} : { next }) }
  }

  /** Whether pipelines may depend on a job's pipeline or type. False: none does. */
  mayHaveDependants({ tenant, pipeline }: Job, { startsPipelines }: AnyJobType): boolean {
    if (startsPipelines) return true
    if (pipeline === undefined) return false
    const key = { tenant, id: pipeline }
    return !this.#asked.has(nameOf(key)) || this.#loaded.turn(key).isDependedOn === true
  }

  // If the stored next run was admitted in this tick, the run that comes after it is not known here. A sweep admits
  // that later run.
  #next(name: string, stored: Job | undefined): Job | undefined {
    const now = stored === undefined ? undefined : (this.#jobs.get(stored.id) ?? stored)
    if (now !== undefined && !isWaiting(now)) return undefined
    const at = this.#core.clock.now()
    const added = (this.#waiting.get(name) ?? []).filter(
      (job) => mayStart(job, at) && isWaiting(this.#jobs.get(job.id) ?? job),
    )
    return [...(now === undefined ? [] : [now]), ...added].sort(inTurn)[0]
  }

  /** Whether the decisions were made from records that are still current. */
  isAsDecided(decided: readonly JobDecision[]): boolean {
    return decided.every(({ before }) => before === undefined || this.job(before.id)?.revision === before.revision)
  }

  /** Applies decisions, so that later ones see them. */
  apply(decided: readonly JobDecision[]): void {
    for (const { before, job } of decided) {
      this.#jobs.set(job.id, job)
      if (job.pipeline !== undefined) this.#follow(nameOf({ tenant: job.tenant, id: job.pipeline }), before, job)
    }
  }

  /**
   * Lets later decisions see the progress that is written in this tick. Progress is not part of a decision, so `apply`
   * does not do that.
   */
  note(writes: readonly Write[]): void {
    for (const write of writes) {
      if (write.op !== 'note' || (write.note.kind !== 'progress' && write.note.kind !== 'items')) continue
      const job = readable(() => this.job(write.jobId))
      if (job !== undefined && job.phase !== 'settled') {
        this.#jobs.set(job.id, { ...job, progress: write.note.progress })
      }
    }
  }

  #follow(name: string, before: Job | undefined, job: Job): void {
    if (holdsSlot(job)) this.#holders.set(name, job.id)
    else if (before !== undefined && holdsSlot(before)) this.#holders.set(name, null)
    if (!isWaiting(job) || (before !== undefined && isWaiting(before))) return
    this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), job])
  }
}

function inTurn(a: Job, b: Job): number {
  return b.priority - a.priority || dueAt(a) - dueAt(b)
}

/** Reads a job of a tree. A job that cannot be decoded counts as absent. */
export function readable(read: () => Job | undefined): Job | undefined {
  try {
    return read()
  } catch (error) {
    if (isUnreadable(error)) return undefined
    throw error
  }
}

/** A pipeline's name as a map key. */
export function nameOf({ tenant, id }: PipelineKey): string {
  return JSON.stringify([tenant, id])
}
