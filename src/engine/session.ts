import type { CommandOf } from '../model/command.ts'
import type { AnyJobType, CommandsOf, InputOf, OutputOf } from '../model/definition.ts'
import { type ErrorCode, JobchartError } from '../model/error.ts'
import type { JobId } from '../model/job.ts'
import type { Principal } from '../port/policy.ts'
import type { JobsView } from './authorization.ts'
import { type CallOptions, given } from './call-options.ts'
import type { Core } from './core.ts'
import { actions, type JobActions } from './operations/actions.ts'
import { explain, type Reason } from './operations/explain.ts'
import { type CancelOptions, cancel, type SendOptions, send } from './operations/jobs.ts'
import {
  definePipeline,
  deletePipeline,
  getPipeline,
  listPipelines,
  type PipelineCallOptions,
  type PipelineListOptions,
  type PipelineOptions,
  pausePipeline,
  type RunOptions,
  runPipeline,
} from './operations/pipelines.ts'
import {
  type CountOptions,
  type Counts,
  type CountsOptions,
  count,
  counts,
  get,
  type HistoryEntry,
  history,
  type ItemOptions,
  type ItemView,
  items,
  type ListOptions,
  type LogLineView,
  type LogOptions,
  list,
  logs,
  views,
} from './operations/reads.ts'
import { result } from './operations/result.ts'
import { deleteJob, type RetryCallOptions, retry } from './operations/runs.ts'
import { type EventOptions, type Events, events } from './operations/streams.ts'
import {
  type SubmitManyOptions,
  type SubmitOptions,
  type SubmitOutcome,
  type SubmittedJob,
  submit,
  submitMany,
} from './operations/submit.ts'
import type { Page } from './page.ts'
import type { Answer, Soon } from './soon.ts'
import type { JobView, PipelineView } from './view.ts'

/** The commands that a job of the type takes; of a job whose type is not known, any. */
export type CommandFor<Type> =
  unknown extends CommandsOf<Type>
    ? { readonly type: string; readonly [field: string]: unknown }
    : CommandOf<CommandsOf<Type>>

/** A job as it is shown, with the output of its type. */
export type ViewOf<Type> = Type extends AnyJobType ? JobView<Type, OutputOf<Type>> : JobView

/** The input of a job of the type, which may be left out where it may be undefined, and the options of its submit. */
export type SubmitArguments<Type> =
  undefined extends InputOf<Type>
    ? [input?: InputOf<Type>, options?: SubmitOptions]
    : [input: InputOf<Type>, options?: SubmitOptions]

/** What one person can do with stored pipelines. One that may not be seen is answered for as one that is not there. */
export interface Pipelines {
  /**
   * Stores a pipeline, or changes the one that has its id; it may be called at each start of an app. Its owner is who
   * defined it first, and it stays paused if it was.
   *
   * @throws {JobchartError} `INVALID_INPUT` (also an id that cannot be chosen), `NOT_STORABLE`, `FORBIDDEN`,
   *   `UNKNOWN_TYPE`, `STORAGE_UNAVAILABLE`, `OUTCOME_UNKNOWN` (defining it again is safe).
   */
  define<Type extends AnyJobType>(options: PipelineOptions<Type>, call?: CallOptions): Promise<PipelineView>
  /** @throws {JobchartError} `PIPELINE_NOT_FOUND` */
  get(id: string, options?: PipelineCallOptions): Promise<PipelineView>
  /** By id. @throws {JobchartError} `FORBIDDEN`, `INVALID_INPUT` */
  list(options?: PipelineListOptions): Promise<Page<PipelineView>>
  /**
   * Submits a run: a job of the pipeline's type, with the pipeline's input, by the pipeline's overlap rule. Its creator is
   * who asks, who must be allowed to submit such a job. Who may not read the pipeline's input gives one.
   *
   * @throws {JobchartError} as {@link Session.submit}; `PIPELINE_NOT_FOUND`; `INVALID_STATE` (the pipeline is paused).
   */
  run(id: string, options?: RunOptions): Promise<JobView>
  /**
   * Lets the pipeline take no run until `resume`, however it would come: by `run`, `submit`, `retry` or a follow-up. Runs
   * that are there go on. The reason, of 1 to 200 characters, is shown.
   *
   * @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN`, `INVALID_INPUT`
   */
  pause(id: string, reason: string, options?: PipelineCallOptions): Promise<PipelineView>
  /** @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN` */
  resume(id: string, options?: PipelineCallOptions): Promise<PipelineView>
  /** Removes the pipeline; its jobs stay, and go on. @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN` */
  delete(id: string, options?: PipelineCallOptions): Promise<void>
}

/**
 * What one person can do. Every method asks the policy first, and answers for a job that may not be seen as it does for
 * one that is not there: `JOB_NOT_FOUND`.
 */
export interface Session {
  /**
   * Stores a new job. It resolves when the job is durable. To submit into a stored pipeline takes the right to run that.
   *
   * @throws {JobchartError} `INVALID_INPUT`, `NOT_STORABLE`, `FORBIDDEN`, `UNKNOWN_TYPE`, `PIPELINE_NOT_FOUND` (a stored
   *   one that may not be seen), `ALREADY_RUNNING` (another job holds the pipeline's slot, or a hidden one
   *   the unique key), `INVALID_STATE` (its chart
   *   refuses to be replaced, or the pipeline is paused), `QUEUE_FULL`, `STORAGE_UNAVAILABLE` (nothing was stored),
   *   `OUTCOME_UNKNOWN`.
   */
  submit<Type extends AnyJobType>(type: Type, ...given: SubmitArguments<Type>): Promise<ViewOf<Type>>
  /** By the name of a type that the engine knows: for faces, which have no type at hand. */
  submit(type: string, input?: unknown, options?: SubmitOptions): Promise<JobView>
  /**
   * Stores many new jobs, by bounded commits. Each is submitted as by {@link Session.submit} and answered in its place: with
   * its `job`, or with the `error` for which it was not stored. With `atomic`, at most 1,000 are stored in one commit or
   * none is, and the error of the first that is refused is thrown.
   *
   * @throws {JobchartError} `INVALID_INPUT`; with `atomic`, as {@link Session.submit}; the signal's own reason.
   */
  submitMany(jobs: readonly SubmittedJob[], options?: SubmitManyOptions): Promise<readonly SubmitOutcome[]>
  /** @throws {JobchartError} `JOB_NOT_FOUND` */
  get<Type>(id: JobId<Type>, options?: CallOptions): Promise<ViewOf<Type>>
  /**
   * Jobs by the time of their creation, the newest first unless `order` says otherwise. A page may have fewer jobs than
   * `limit`: there are more as long as it has a `nextCursor`. Child jobs are listed where their parent or
   * their type is named.
   *
   * @throws {JobchartError} `FORBIDDEN` (also a filter by a field that is redacted), `INVALID_INPUT`.
   */
  list(options?: ListOptions): Promise<Page<JobView>>
  /** How many jobs `list` would page through; 10,001 means more. @throws {JobchartError} `FORBIDDEN`, `INVALID_INPUT` */
  count(options?: CountOptions): Promise<number>
  /**
   * How many of the jobs that `list` would page through there are of each status, type, phase or outcome. A job that has
   * not ended has no outcome, and is not counted by it.
   *
   * @throws {JobchartError} `FORBIDDEN` (also a field that is redacted), `INVALID_INPUT`.
   */
  counts(options: CountsOptions, filter?: CountOptions): Promise<Counts>
  /** The views that `list` and `count` may be asked for: none for who may not list jobs, both for who may list all. */
  views(options?: CallOptions): Promise<readonly JobsView[]>
  /**
   * Sends a command to the job's chart.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `ALREADY_SETTLED`, `INVALID_STATE` (the chart takes no such
   *   event now), `INVALID_INPUT` (no such command, or its fields do not fit), `ALREADY_RUNNING`.
   */
  send<Type>(id: JobId<Type>, command: CommandFor<Type>, options?: SendOptions): Promise<ViewOf<Type>>
  /** Sends the type's cancel command; errors as {@link Session.send}. */
  cancel<Type>(id: JobId<Type>, options?: CancelOptions): Promise<ViewOf<Type>>
  /**
   * Runs a job that has ended again: a new job of the same type and input, linked by `retryOf`. Its creator is who asks,
   * who must be allowed to read the input and to submit such a job.
   *
   * It continues: it begins with the recorded steps of that job and its child jobs, and has the step keys and
   * `idempotencyKey`s of the first try. With `fresh`, or where the job succeeded, it begins with none, under new keys. A
   * `uniqueKey` is kept: while another job holds it, the retry is `ALREADY_RUNNING`.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `INVALID_STATE` (it has not ended, is a part of another, or its
   *   pipeline is paused), `PIPELINE_NOT_FOUND`, `ALREADY_RUNNING`, `QUEUE_FULL`.
   */
  retry<Type>(id: JobId<Type>, options?: RetryCallOptions): Promise<ViewOf<Type>>
  /**
   * Deletes a job, running or not: hidden from everyone at once, its tasks and child jobs stopped. Its row goes when
   * nothing of it runs any more. To delete one that has not ended takes the right to cancel it, where its type has a cancel
   * command.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `INVALID_STATE` (it is a part of another).
   */
  delete(id: JobId, options?: CallOptions): Promise<void>
  /**
   * What the principal may do with a job now, by its chart and by the policy; of several, at most 1,000, those that may be
   * seen, by their ids.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND` of one; `INVALID_INPUT`.
   */
  actions(id: JobId, options?: CallOptions): Promise<JobActions>
  actions(ids: readonly JobId[], options?: CallOptions): Promise<ReadonlyMap<string, JobActions>>
  /**
   * Why the job stands where it stands: what it waits for, and what of it runs. What is said of executors and versions is
   * said of this engine; others on the same storage may have them.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`
   */
  explain(id: JobId, options?: CallOptions): Promise<readonly Reason[]>
  /**
   * The changes of the job's label and the commands that were taken, oldest first; the first is its creation.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`
   */
  history(id: JobId, options?: CallOptions): Promise<readonly HistoryEntry[]>
  /** The lines of the job's log, oldest first. @throws {JobchartError} `JOB_NOT_FOUND` */
  logs(id: JobId, options?: LogOptions): AsyncIterable<LogLineView>
  /** What the code reported of the parts of its work, by number. @throws {JobchartError} `JOB_NOT_FOUND` */
  items(id: JobId, options?: ItemOptions): AsyncIterable<ItemView>
  /**
   * Follows what happens, in the order of the log: each event once, with a `sequence` to go on after. What is not for the
   * principal's eyes is left out. Rights are asked for again at least every 5 s; where they have changed, a `reset` event
   * says so. A reader may be slow: nothing is kept for him, and what he missed is read again. Progress that is overtaken
   * may be left out; the last of an attempt comes before what ends it.
   *
   * The storage is needed only to catch up, and for the rights to one `job`; while a stream waits, one that fails delays it
   * and no more. A policy that fails for the scopes ends it with `FORBIDDEN`; where it fails for one job, what would be told
   * of that job meanwhile is left out.
   *
   * It ends when the signal is aborted or the loop is left, and that of one `job` when the job is deleted. Events of jobs
   * that were deleted since stay in the log. The first look may throw.
   *
   * @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND`, `INVALID_INPUT`; while following, `STORAGE_UNAVAILABLE` (a read of
   *   what was missed failed) and `ENGINE_STOPPED`: follow on after the last sequence, and nothing is missed.
   */
  events(options?: EventOptions): Events
  /**
   * Waits for the job to settle, in whatever way, and resolves with it: see its `outcome`.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`; `ENGINE_STOPPED` while waiting; the signal's own reason.
   */
  result<Type>(id: JobId<Type>, options?: CallOptions): Promise<ViewOf<Type>>
  /** What jobs are runs of. */
  readonly pipelines: Pipelines
}

/** Runs an operation with the rights that its caller has now. */
type Call = <Result>(run: (core: Core, who: Principal) => Soon<Result>) => Promise<Result>
type AnsweredCall = <Result>(run: (core: Core, who: Principal, answer: Answer<Result>) => void) => Promise<Result>

function pipelinesOf(call: Call): Pipelines {
  return {
    define: (options, more) => call((core, who) => definePipeline(core, who, options, given(more, []))),
    get: (id, options) => call((core, who) => getPipeline(core, who, id, given(options, ['tenant']))),
    list: (options) => call((core, who) => listPipelines(core, who, given(options))),
    run: (id, options) => call((core, who) => runPipeline(core, who, id, given(options))),
    pause: (id, reason, options) => {
      return call((core, who) => pausePipeline(core, who, id, { reason }, given(options, ['tenant'])))
    },
    resume: (id, options) => call((core, who) => pausePipeline(core, who, id, {}, given(options, ['tenant']))),
    delete: (id, options) => call((core, who) => deletePipeline(core, who, id, given(options, ['tenant']))),
  }
}

/**
 * Binds a principal to the operations.
 *
 * @param who  asked at each call, so that rights are those of now.
 * @param isTrusted  errors are told as they are: for the engine's own session.
 */
export function createSession(core: () => Core, who: () => Principal, isTrusted = false): Session {
  const told = isTrusted ? (error: unknown) => error : toldError
  const refused = (error: unknown): never => {
    throw told(error)
  }
  const call: Call = (run) => {
    try {
      const answer = run(core(), who())
      return answer instanceof Promise ? answer.catch(refused) : Promise.resolve(answer)
    } catch (error) {
      return Promise.reject(told(error))
    }
  }
  // The one promise of those calls that most jobs take.
  const answered: AnsweredCall = (run) => {
    return new Promise((done, reject) => {
      const failed = (error: unknown) => reject(told(error))
      try {
        run(core(), who(), { done, failed })
      } catch (error) {
        failed(error)
      }
    })
  }
  // The operations know jobs as JSON; what their types add was checked by the type's schemas when it was written.
  const session = {
    submit: (type: AnyJobType | string, input: unknown, options?: SubmitOptions) =>
      answered<JobView>((core, who, answer) => submit(core, who, { type, input }, given(options) ?? {}, answer)),
    submitMany: (jobs: readonly SubmittedJob[], options?: SubmitManyOptions) =>
      call((core, who) => submitMany(core, who, jobs, given(options))),
    get: (id: JobId, options?: CallOptions) => call((core, who) => get(core, who, id, given(options, []))),
    list: (options?: ListOptions) => call((core, who) => list(core, who, given(options))),
    count: (options?: CountOptions) => call((core, who) => count(core, who, given(options))),
    counts: (options: CountsOptions, filter?: CountOptions) =>
      call((core, who) => counts(core, who, given(options), given(filter))),
    views: (options?: CallOptions) => call((core, who) => views(core, who, given(options, []))),
    send: (id: JobId, command: { readonly type: string }, options?: SendOptions) =>
      call((core, who) => send(core, who, id, command, given(options, []))),
    cancel: (id: JobId, options?: CancelOptions) => call((core, who) => cancel(core, who, id, given(options))),
    retry: (id: JobId, options?: RetryCallOptions) => call((core, who) => retry(core, who, id, given(options))),
    delete: (id: JobId, options?: CallOptions) => call((core, who) => deleteJob(core, who, id, given(options, []))),
    actions: (ids: JobId | readonly JobId[], options?: CallOptions) =>
      call((core, who) => actions(core, who, ids, given(options, []))),
    explain: (id: JobId, options?: CallOptions) => call((core, who) => explain(core, who, id, given(options, []))),
    history: (id: JobId, options?: CallOptions) => call((core, who) => history(core, who, id, given(options, []))),
    logs: (id: JobId, options?: LogOptions) => toldBy(logs(core, who, id, options), told),
    items: (id: JobId, options?: ItemOptions) => toldBy(items(core, who, id, options), told),
    events: (options?: EventOptions) => events(core, who, told, options),
    result: (id: JobId, options?: CallOptions) =>
      answered<JobView>((core, _, answer) => result(core, who, id, given(options, []) ?? {}, answer)),
    pipelines: pipelinesOf(call),
  }
  return session as unknown as Session
}

async function* toldBy<Item>(items: AsyncIterable<Item>, told: (error: unknown) => unknown): AsyncGenerator<Item> {
  try {
    yield* items
  } catch (error) {
    throw told(error)
  }
}

const STORAGE_FAILURES: ReadonlyMap<string, string> = new Map<ErrorCode, string>([
  ['STORAGE_UNAVAILABLE', 'the storage does not answer; nothing was written. Try again later'],
  [
    'OUTCOME_UNKNOWN',
    'the storage did not answer; what was asked for may have been done. Look, or ask again by the same key',
  ],
])

// What a storage says of its failure names files of the server: that is for `engine.health`.
function toldError(error: unknown): unknown {
  const text = error instanceof JobchartError ? STORAGE_FAILURES.get(error.code) : undefined
  if (!(error instanceof JobchartError) || text === undefined) return error
  return new JobchartError(error.code, text, { cause: toldError(error.cause) })
}
