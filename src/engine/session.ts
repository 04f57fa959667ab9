import type { Answer } from '../context/soon.ts'
import type { CommandOf } from '../model/command.ts'
import type { AnyJobType, CommandsOf, InputOf, OutputOf } from '../model/definition.ts'
import { type ErrorCode, JobchartError } from '../model/error.ts'
import type { JobId } from '../model/job.ts'
import type { Principal } from '../port/policy.ts'
import { type Agents, agentsOf } from './agents.ts'
import type { JobsView } from './authorization.ts'
import { begun, type CallOptions, given, idOf } from './call-options.ts'
import type { Core } from './core.ts'
import { type Call, type Notifications, notificationsOf } from './notifications.ts'
import { actions, type JobActions } from './operations/actions.ts'
import {
  type CancelManyOptions,
  cancelMany,
  choiceOf,
  type DeleteManyOptions,
  deleteMany,
  type JobAnswer,
  type RetryAnswer,
  type RetryManyOptions,
  retryMany,
} from './operations/bulk.ts'
import { explain, type Reason } from './operations/explain.ts'
import { type ItemOptions, type ItemView, items } from './operations/items.ts'
import { type CancelOptions, cancel, type SendOptions, send } from './operations/jobs.ts'
import { type LogLineView, type LogOptions, logs } from './operations/logs.ts'
import { type NotificationEventOptions, notificationEvents } from './operations/notifications.ts'
import {
  type CountOptions,
  type Counts,
  type CountsOptions,
  count,
  counts,
  get,
  type HistoryEntry,
  history,
  type ListOptions,
  list,
  views,
} from './operations/reads.ts'
import { type ReportOptions, report } from './operations/report.ts'
import { result } from './operations/result.ts'
import { type RetryCallOptions, retry } from './operations/retry.ts'
import { deleteJob } from './operations/runs.ts'
import { type EventOptions, type Events, events } from './operations/streams.ts'
import {
  type SubmitManyOptions,
  type SubmitOptions,
  type SubmitOutcome,
  type SubmittedJob,
  submit,
  submitMany,
} from './operations/submit.ts'
import { countOptionsSchema, countsSchema, listOptionsSchema, retrySchema, submitOptionsSchema } from './options.ts'
import type { Page } from './page.ts'
import { type Pipelines, pipelinesOf } from './pipelines.ts'
import type { JobView } from './view.ts'

/** The commands that a job of the type takes. If the type is unknown at compile time, any command. */
export type CommandFor<Type> =
  unknown extends CommandsOf<Type>
    ? { readonly type: string; readonly [field: string]: unknown }
    : CommandOf<CommandsOf<Type>>

/** A job as a session shows it, with the type of its output. */
export type ViewOf<Type> = Type extends AnyJobType ? JobView<Type, OutputOf<Type>> : JobView

/** The arguments of `submit`: the input, optional if it may be undefined, and the options. */
export type SubmitArguments<Type> =
  undefined extends InputOf<Type>
    ? [input?: InputOf<Type>, options?: SubmitOptions]
    : [input: InputOf<Type>, options?: SubmitOptions]

/** One of the jobs of `submitMany`: its input has the type that the job type takes. */
export type SubmittedJobOf<Type> = Omit<SubmittedJob, 'type' | 'input'> & {
  readonly type: Type
} & (undefined extends InputOf<Type> ? { readonly input?: InputOf<Type> } : { readonly input: InputOf<Type> })

/**
 * What one principal can do. Every method asks the policy first. A hidden job gets the same answer as one that does not
 * exist: `JOB_NOT_FOUND`. An id that is not text is `INVALID_INPUT`.
 */
export interface Session {
  /**
   * Stores a new job. Resolves when the job is durable. To submit into a stored pipeline, the caller must be allowed to
   * run that pipeline. The type may be given by its name, for callers without the type at hand, e.g. an HTTP API.
   *
   * @throws {JobchartError} `INVALID_INPUT`, `NOT_STORABLE`, `FORBIDDEN`, `UNKNOWN_TYPE`, `PIPELINE_NOT_FOUND` (the stored pipeline is hidden from the caller), `ALREADY_RUNNING` (another job holds the pipeline's slot, or a hidden job holds the unique key), `INVALID_STATE` (the other run cannot be replaced, or the pipeline is paused), `QUEUE_FULL`, `STORAGE_UNAVAILABLE` (nothing was stored), `OUTCOME_UNKNOWN`.
   */
  submit<Type extends AnyJobType | string>(type: Type, ...given: SubmitArguments<Type>): Promise<ViewOf<Type>>
  /**
   * Stores many new jobs, in several commits. Each is submitted as by {@link Session.submit}. The results are in the
   * order of `jobs`: each has the `job`, or the `error` why it was not stored. With `atomic`, at most 1,000 jobs are
   * stored in one commit or none is, and the first error is thrown.
   *
   * @throws {JobchartError} `INVALID_INPUT`; with `atomic`, as {@link Session.submit}; the signal's own reason.
   */
  submitMany<const Types extends readonly (AnyJobType | string)[]>(
    jobs: { readonly [Index in keyof Types]: SubmittedJobOf<Types[Index]> },
    options?: SubmitManyOptions,
  ): Promise<readonly SubmitOutcome[]>
  /** Returns the job. @throws {JobchartError} `JOB_NOT_FOUND` */
  get<Type>(id: JobId<Type>, options?: CallOptions): Promise<ViewOf<Type>>
  /**
   * Lists jobs by time of creation, newest first unless `order` says otherwise. A page may have fewer jobs than
   * `limit`; there are more as long as it has a `nextCursor`. Child jobs are listed only if `parentId` or their type is
   * given.
   *
   * @throws {JobchartError} `FORBIDDEN` (also a filter by a redacted field), `INVALID_INPUT`.
   */
  list(options?: ListOptions): Promise<Page<JobView>>
  /**
   * How many jobs `list` would page through; 10,001 means more than 10,000.
   *
   * @throws {JobchartError} `FORBIDDEN`, `INVALID_INPUT`
   */
  count(options?: CountOptions): Promise<number>
  /**
   * How many of the jobs that `list` would page through have each status, type, phase or outcome. A job that has not
   * ended has no outcome, and is not counted by outcome.
   *
   * @throws {JobchartError} `FORBIDDEN` (also a redacted field), `INVALID_INPUT`.
   */
  counts(options: CountsOptions, filter?: CountOptions): Promise<Counts>
  /**
   * Which values of the option `view` the caller may pass to `list` and `count`: none without the right to list jobs,
   * `'mine'` and `'assigned'` with it, and also `'all'` with the right to list all jobs.
   */
  views(options?: CallOptions): Promise<readonly JobsView[]>
  /**
   * Sends a command to the job's chart. Resolves with the job as it is after the command.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `ALREADY_SETTLED`, `INVALID_STATE` (the chart does not take the command now), `INVALID_INPUT` (unknown command, or its fields do not fit), `ALREADY_RUNNING` (the command needs the pipeline's slot, which another run holds).
   */
  send<Type>(id: JobId<Type>, command: CommandFor<Type>, options?: SendOptions): Promise<ViewOf<Type>>
  /** Sends the type's cancel command; errors as {@link Session.send}. */
  cancel<Type>(id: JobId<Type>, options?: CancelOptions): Promise<ViewOf<Type>>
  /**
   * Retries a job that has ended: a new job of the same type and input, linked by `retryOf`. The caller becomes its
   * creator, and must be allowed to read the input and to submit such a job.
   *
   * The new job continues the old one: it has the recorded steps of that job and its child jobs, and the step keys and
   * `idempotencyKey`s of the first try. With `fresh`, or without `items` if the old job succeeded, it has no recorded
   * steps, and new keys. The `uniqueKey` is kept: while another job holds it, the retry fails with `ALREADY_RUNNING`.
   * Completed items of a batch do not run again where the job continues. `items: 'failed'` runs only the failed ones,
   * `items: 'unfinished'` all that were not completed.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `INVALID_STATE` (it has not ended, is a child job, has none of these `items`, or its pipeline is paused), `PIPELINE_NOT_FOUND`, `ALREADY_RUNNING`, `QUEUE_FULL`.
   */
  retry<Type>(id: JobId<Type>, options?: RetryCallOptions): Promise<ViewOf<Type>>
  /**
   * Deletes a job, running or not. It is hidden from everyone at once, and its tasks and child jobs are stopped; its
   * row is removed when none of them runs any more. To delete a job that has not ended, the caller must be allowed to
   * cancel it, if its type has a cancel command.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `INVALID_STATE` (it is a child job).
   */
  delete(id: JobId, options?: CallOptions): Promise<void>
  /**
   * Cancels many jobs, by their ids or by a filter ("all that match"). Each is cancelled as by {@link Session.cancel}, and
   * answered by itself: `{ id, ok: true }`, or `{ id, error: { code, message } }`. With a filter, one call acts on at
   * most `limit` jobs; there may be more as long as it has a `nextCursor`. Calls that go on with it act on no job twice,
   * and leave out no job that matches all the time, whatever happens between them.
   *
   * @throws {JobchartError} `INVALID_INPUT`; with a filter, also `FORBIDDEN`; the signal's own reason.
   */
  cancelMany(options: CancelManyOptions): Promise<Page<JobAnswer>>
  /** Retries many jobs, each as by {@link Session.retry}. Otherwise as {@link Session.cancelMany}. */
  retryMany(options: RetryManyOptions): Promise<Page<RetryAnswer>>
  /** Deletes many jobs, each as by {@link Session.delete}. Otherwise as {@link Session.cancelMany}. */
  deleteMany(options: DeleteManyOptions): Promise<Page<JobAnswer>>
  /**
   * What the principal may do with a job now, allowed both by its chart and by the policy. For a list of at most 1,000
   * ids: a map by id, with only the jobs that the principal may see.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND` for a single id; `INVALID_INPUT`.
   */
  actions(ids: readonly JobId[], options?: CallOptions): Promise<ReadonlyMap<string, JobActions>>
  actions(id: JobId, options?: CallOptions): Promise<JobActions>
  /**
   * Why the job is in its current state: what it waits for, and which of its tasks run. Executors and versions are
   * those of this engine; other engines on the same storage may have more.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`
   */
  explain(id: JobId, options?: CallOptions): Promise<readonly Reason[]>
  /**
   * The changes of the job's status and the commands that were taken, oldest first. The first entry is its creation.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`
   */
  history(id: JobId, options?: CallOptions): Promise<readonly HistoryEntry[]>
  /**
   * The lines of the job's log, oldest first. With `follow`, new lines are yielded too, until the job has settled, none
   * of its code runs any more, and all its lines were yielded. The policy is asked again at each read. The lines also
   * end when the signal is aborted, and when the job is deleted or hidden from the caller.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`; while following, `ENGINE_STOPPED`: continue after the last number.
   */
  logs(id: JobId, options?: LogOptions): AsyncIterable<LogLineView>
  /**
   * The items of the job, ordered by number: those of its batches, and those that its code has reported by `item`. The
   * policy is asked again at each read. A field of the items is hidden if the job's field of the same name is redacted.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`, `INVALID_INPUT`
   */
  items(id: JobId, options?: ItemOptions): AsyncIterable<ItemView>
  /**
   * The items of the job as text, CSV or JSON, in pieces: a report of 1,000,000 items needs no more memory than one of
   * 1,000. The rights are those of {@link Session.items}. For a retry, the report also has the items of the jobs that it
   * retries, as far as the caller may read them; of each item of a batch, only the newest row.
   *
   * Cells that a spreadsheet would run as a formula begin with an apostrophe. A job without items has a report with a
   * header only. `report` itself does not throw: the first `next()` does.
   *
   * ```ts
   * await writeFile('report.csv', session.report(id, { format: 'csv' }))
   * new Response(ReadableStream.from(session.report(id, { format: 'csv' })).pipeThrough(new TextEncoderStream()))
   * ```
   *
   * @throws {JobchartError} as {@link Session.items}
   */
  report(id: JobId, options: ReportOptions): AsyncIterable<string>
  /**
   * Follows events in log order. Each event comes once, with a `sequence` to continue after. Events that the principal
   * may not see are left out. The policy is asked again at least every 5 s; if the rights have changed, a `reset` event
   * comes. Slow readers are safe: nothing is buffered per reader, and missed events are read again. Outdated progress
   * may be left out, but the last progress of an attempt always comes before the event that ends it.
   *
   * The storage is needed only to catch up, and to check the rights to one `job`. If the storage fails while the stream
   * waits, the stream is only delayed. If the policy fails when it is asked for the scopes, the stream ends with
   * `FORBIDDEN`. If the policy fails for a single job, that job's events are left out meanwhile.
   *
   * The stream ends when the signal is aborted or the loop is left; a stream of one `job` also ends when that job is
   * deleted. The log keeps the events of deleted jobs. `events` itself does not throw: the first `next()` does.
   *
   * @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND`, `INVALID_INPUT`. While following also `STORAGE_UNAVAILABLE` (missed events could not be read) and `ENGINE_STOPPED`: continue after the last sequence, and no event is missed.
   */
  events(options?: EventOptions): Events
  /**
   * Waits until the job settles, and resolves with it whether it succeeded or not: see its `outcome`.
   *
   * @throws {JobchartError} `JOB_NOT_FOUND`; `ENGINE_STOPPED` while waiting; the signal's own reason.
   */
  result<Type>(id: JobId<Type>, options?: CallOptions): Promise<ViewOf<Type>>
  /** Operations on stored pipelines. */
  readonly pipelines: Pipelines
  /** The principal's notifications and subscriptions. */
  readonly notifications: Notifications
  /** Agents that run tasks, and the calls of an agent. */
  readonly agents: Agents
}

type AnsweredCall = <Result>(run: (core: Core, who: Principal, answer: Answer<Result>) => void) => Promise<Result>

// For the most frequent calls: they create only one promise.
function answeredCall(core: () => Core, who: () => Principal, told: (error: unknown) => unknown): AnsweredCall {
  return (run) => {
    return new Promise((done, reject) => {
      const failed = (error: unknown) => reject(told(error))
      try {
        run(core(), who(), { done, failed })
      } catch (error) {
        failed(error)
      }
    })
  }
}

function bulkOf(call: Call, told: (error: unknown) => unknown) {
  return {
    cancelMany: (options: CancelManyOptions) =>
      call((core, who) => cancelMany(core, who, choiceOf('cancelMany', options), told)),
    retryMany: (options: RetryManyOptions) =>
      call((core, who) => retryMany(core, who, choiceOf('retryMany', options), told)),
    deleteMany: (options: DeleteManyOptions) =>
      call((core, who) => deleteMany(core, who, choiceOf('deleteMany', options), told)),
  }
}

/**
 * Binds a principal to the operations.
 *
 * @param who  called for each operation, so that rights are current.
 * @param isTrusted  true for the engine's own session: its errors are passed on unchanged.
 */
export function createSession(core: () => Core, who: () => Principal, isTrusted = false): Session {
  const told = isTrusted ? (error: unknown) => error : toldError
  const refused = (error: unknown): never => {
    throw told(error)
  }
  const call: Call = (run) => {
    try {
      return Promise.resolve(run(core(), who())).catch(refused)
    } catch (error) {
      return Promise.reject(told(error))
    }
  }
  const answered = answeredCall(core, who, told)
  // The operations return inputs and outputs as plain JSON. The job type's schemas checked them before they were
  // stored, so the cast to the typed methods is safe.
  const session = {
    submit: (type: AnyJobType | string, input: unknown, options?: SubmitOptions) =>
      answered<JobView>((core, who, answer) =>
        submit(core, who, { type, input }, given(options, submitOptionsSchema) ?? {}, answer),
      ),
    submitMany: (jobs: readonly SubmittedJob[], options?: SubmitManyOptions) =>
      call((core, who) => submitMany(core, who, jobs, begun(options, ['atomic']))),
    get: (id: JobId, options?: CallOptions) => call((core, who) => get(core, who, idOf(id, 'job'), begun(options, []))),
    list: (options?: ListOptions) => call((core, who) => list(core, who, begun(options, listOptionsSchema))),
    count: (options?: CountOptions) => call((core, who) => count(core, who, begun(options, countOptionsSchema))),
    counts: (options: CountsOptions, filter?: CountOptions) =>
      call((core, who) => counts(core, who, begun(options, countsSchema), begun(filter, countOptionsSchema))),
    views: (options?: CallOptions) => call((core, who) => views(core, who, begun(options, []))),
    send: (id: JobId, command: { readonly type: string }, options?: SendOptions) =>
      call((core, who) => send(core, who, idOf(id, 'job'), command, begun(options, []))),
    cancel: (id: JobId, options?: CancelOptions) =>
      call((core, who) => cancel(core, who, idOf(id, 'job'), begun(options))),
    retry: (id: JobId, options?: RetryCallOptions) =>
      call((core, who) => retry(core, who, idOf(id, 'job'), begun(options, retrySchema))),
    delete: (id: JobId, options?: CallOptions) =>
      call((core, who) => deleteJob(core, who, idOf(id, 'job'), begun(options, []))),
    actions: (ids: JobId | readonly JobId[], options?: CallOptions) =>
      call((core, who) => actions(core, who, ids, begun(options, []))),
    explain: (id: JobId, options?: CallOptions) =>
      call((core, who) => explain(core, who, idOf(id, 'job'), begun(options, []))),
    history: (id: JobId, options?: CallOptions) =>
      call((core, who) => history(core, who, idOf(id, 'job'), begun(options, []))),
    logs: (id: JobId, options?: LogOptions) => toldBy(() => logs(core, who, idOf(id, 'job'), options), told),
    items: (id: JobId, options?: ItemOptions) => toldBy(() => items(core, who, idOf(id, 'job'), options), told),
    report: (id: JobId, options: ReportOptions) => toldBy(() => report(core, who, idOf(id, 'job'), options), told),
    events: (options?: EventOptions) => events(core, who, told, options),
    result: (id: JobId, options?: CallOptions) =>
      answered<JobView>((core, _, answer) => result(core, who, idOf(id, 'job'), given(options, []) ?? {}, answer)),
    ...bulkOf(call, told),
    pipelines: pipelinesOf(call),
    agents: agentsOf(call),
    notifications: {
      ...notificationsOf(call),
      events: (options?: NotificationEventOptions) => toldBy(() => notificationEvents(core, who, options), told),
    },
  }
  return session as unknown as Session
}

async function* toldBy<Item>(read: () => AsyncIterable<Item>, told: (error: unknown) => unknown): AsyncGenerator<Item> {
  try {
    yield* read()
  } catch (error) {
    throw told(error)
  }
}

const STORAGE_FAILURES: ReadonlyMap<string, string> = new Map<ErrorCode, string>([
  ['STORAGE_UNAVAILABLE', 'the storage does not answer, and nothing was written; try again later'],
  [
    'OUTCOME_UNKNOWN',
    'the storage did not answer, and the change may have been stored. Read the job, or repeat the call with the same idempotency key',
  ],
])

// Storage errors name files of the server. So a person's session gets an error without these names; the host finds the
// original in `engine.health`.
function toldError(error: unknown): unknown {
  const text = error instanceof JobchartError ? STORAGE_FAILURES.get(error.code) : undefined
  if (!(error instanceof JobchartError) || text === undefined) return error
  return new JobchartError(error.code, text, { cause: toldError(error.cause) })
}
