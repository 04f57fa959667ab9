import { systemClock } from './context/system-clock.ts'
import { queueExecutor } from './defaults/queue-executor.ts'
import { rolePolicy } from './defaults/role-policy.ts'
import { Engine } from './engine/engine.ts'
import { checkEngineOptions, type EngineOptions } from './engine/options.ts'
import { agents } from './executors/agents.ts'
import { childProcess } from './executors/child-process.ts'
import { JobchartError } from './model/error.ts'

/**
 * The most callbacks and observables that run at once in one engine. Each of them costs little while it waits for
 * events.
 */
const LIVE_MAX = 100_000

type Ports = 'policy' | 'executors' | 'clock'

/**
 * {@link EngineOptions}, with defaults for all ports except `storage`. There is no default storage, because you must
 * choose whether jobs survive a restart.
 */
export type CreateEngineOptions = Omit<EngineOptions, Ports> & { readonly [Port in Ports]?: EngineOptions[Port] } & {
  /**
   * How many tasks run at once on the default `queueExecutor()`: a whole number from 1. Default 10.
   * Refused together with your own `executors.default`, because that executor limits itself.
   */
  readonly concurrency?: number
}

/**
 * Makes an engine and starts it. When the promise resolves, the engine has taken back the tasks of dead engines on the
 * same storage.
 *
 * `storage` is required: `sqliteStorage(file)` of `jobchart/sqlite` keeps jobs in a file; `memoryStorage()` keeps them
 * only as long as this process lives. Defaults of the other ports: `rolePolicy()`, the system clock, and four
 * executors: a `queueExecutor()` named `default`; one named `live` for callbacks and observables, which run as long as
 * the chart is in their state; a `childProcess()` named `processes`; and `agents()` named `agents`.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid, or `storage` is missing; `STORAGE_UNAVAILABLE` the storage cannot be opened.
 */
export async function createEngine(given: CreateEngineOptions): Promise<Engine> {
  checkEngineOptions(given)
  const { concurrency, ...options } = given
  if (concurrency !== undefined && options.executors?.default !== undefined) {
    const hint = 'give the number to your executors.default, or leave executors.default out'
    throw new JobchartError(
      'INVALID_DEFINITION',
      `concurrency sets the executor that createEngine makes, and options.executors.default replaces that executor; ${hint}`,
    )
  }
  const engine = new Engine({
    ...options,
    policy: options.policy ?? rolePolicy(),
    executors: {
      default: queueExecutor(concurrency === undefined ? {} : { concurrency }),
      live: queueExecutor({ concurrency: LIVE_MAX }),
      processes: childProcess(),
      agents: agents(),
      ...options.executors,
    },
    clock: options.clock ?? systemClock(),
  })
  await engine.start()
  return engine
}

export { batch, batchRun } from './context/batch.ts'
export { systemClock } from './context/system-clock.ts'
export { type MemoryOptions, memoryStorage } from './defaults/memory-storage.ts'
export { type QueueExecutorOptions, queueExecutor } from './defaults/queue-executor.ts'
export { type OwnersRule, type ResourceRoles, type RolePolicyOptions, rolePolicy } from './defaults/role-policy.ts'
export type { Agents } from './engine/agents.ts'
export type { JobsView } from './engine/authorization.ts'
export type { CallOptions } from './engine/call-options.ts'
export type { Engine, StopOptions } from './engine/engine.ts'
export type { ResetEvent, SessionEvent } from './engine/event-stream.ts'
export type { ExecutorHealth, Health, OnHealth, UnendedAttempt } from './engine/health.ts'
export type { NotificationView, NotifiedEvent } from './engine/notification-view.ts'
export type { Notifications } from './engine/notifications.ts'
export type { JobActions } from './engine/operations/actions.ts'
export type {
  AgentListOptions,
  AgentView,
  EnrolledAgent,
  EnrollOptions,
  PoolView,
} from './engine/operations/agents.ts'
export type {
  CancelManyOptions,
  ChosenJobs,
  DeleteManyOptions,
  JobAnswer,
  RetryAnswer,
  RetryManyOptions,
} from './engine/operations/bulk.ts'
export type { Reason, WaitedAgent } from './engine/operations/explain.ts'
export type { ItemOptions, ItemView } from './engine/operations/items.ts'
export type { CancelOptions, SendOptions } from './engine/operations/jobs.ts'
export type { LogLineView, LogOptions } from './engine/operations/logs.ts'
export type {
  MarkedNotifications,
  NotificationEventOptions,
  NotificationListOptions,
  SubscriptionTarget,
  SubscriptionView,
} from './engine/operations/notifications.ts'
export type { OnDefine, OnDefineOf } from './engine/operations/on-define.ts'
export type { PipelineHistoryEntry, PipelineHistoryOptions } from './engine/operations/pipeline-history.ts'
export type {
  PipelineCallOptions,
  PipelineListOptions,
  PipelineOptions,
  RunOptions,
} from './engine/operations/pipelines.ts'
export type {
  CountOptions,
  Counts,
  CountsOptions,
  HistoryEntry,
  ListOptions,
} from './engine/operations/reads.ts'
export type { ReportedItem, ReportOptions } from './engine/operations/report.ts'
export type { RetryCallOptions } from './engine/operations/retry.ts'
export type { DependencyOptions, PreviewOptions, ScheduleOptions } from './engine/operations/schedules.ts'
export type { EventOptions, Events } from './engine/operations/streams.ts'
export type { SubmitManyOptions, SubmitOptions, SubmitOutcome, SubmittedJob } from './engine/operations/submit.ts'
export type { EngineOptions } from './engine/options.ts'
export type { Page } from './engine/page.ts'
export type { Pipelines } from './engine/pipelines.ts'
export type { OnPolicyError, PolicyQuestion } from './engine/policy-answer.ts'
export type { FindPrincipal, FoundPrincipal, SessionAgent, SessionPrincipal } from './engine/principal.ts'
export type { OnListenerError } from './engine/publisher.ts'
export type { PrunedCounts } from './engine/retention.ts'
export type { CommandFor, Session, SubmitArguments, SubmittedJobOf, ViewOf } from './engine/session.ts'
export type { ShownEvent } from './engine/shown-event.ts'
export type { SilentInstance } from './engine/sweeps.ts'

export type { PausedTypeView, Types } from './engine/type-pauses.ts'

export type { JobView, PipelineView, ScheduleView, TaskView } from './engine/view.ts'

export type { AgentFunction, AgentRef, Assignment } from './model/agent.ts'
export type { TaskEnd } from './model/attempt-end.ts'
export type {
  BatchLogic,
  BatchOptions,
  BatchRunOptions,
  BatchTaskOptions,
  ItemContext,
  ItemRun,
  RemoteBatchOptions,
} from './model/batch.ts'
export type { BatchCounts, ItemsToRetry } from './model/batch-piece.ts'
export type { ChartEvent } from './model/chart.ts'
export type { By, Command, CommandEvent, CommandOf, CommandSchemas, Commands, SchemasOf } from './model/command.ts'
export {
  type AnyJobType,
  type CommandsOf,
  defineJob,
  type InputOf,
  type JobType,
  type OutputOf,
} from './model/definition.ts'
export type { EndLabels } from './model/end-labels.ts'
export {
  type ErrorCode,
  type ErrorDetail,
  type Issue,
  JobchartError,
  type JobError,
  NonRetryableError,
} from './model/error.ts'
export type {
  Actor,
  EventBase,
  EventDetails,
  EventOf,
  EventType,
  JobEvent,
  JobEventType,
  PipelineEvent,
  PipelineEventDetails,
  PipelineEventType,
} from './model/event.ts'
export { type Exit, exitEnd } from './model/exit.ts'
export type { ItemReport, ItemStatus } from './model/item.ts'
export type { JobId, Outcome, Overlap, Phase, Trigger } from './model/job.ts'
export type {
  AgentCode,
  AgentJobOptions,
  DefaultCommands,
  ExecuteOptions,
  LifecycleOptions,
  ProgramJobOptions,
} from './model/job-options.ts'
export type {
  AssigneeOf,
  Describe,
  DescribedEvent,
  DescribedFunction,
  DescribedSnapshot,
  Description,
  EndedJob,
  FactsOf,
  FollowingJob,
  FollowUp,
  FollowUpOf,
  Migrated,
  MigratingJob,
  MigratingTimer,
  NewJobScope,
} from './model/job-type.ts'
export type { JobLimits, TaskLimits } from './model/limits.ts'
export type { Audience, NotificationLevel } from './model/notification.ts'
export type { NotifyingEvent, NotifyRule } from './model/notification-rule.ts'
export type {
  Dependency,
  OverlapRules,
  PausedBy,
  PipelineOverlap,
  PipelineStatus,
  RunTrigger,
} from './model/pipeline.ts'
export type { Private } from './model/private.ts'
export type { Program, ProgramContext, ProgramOptions } from './model/program.ts'
export type { ProgressReport } from './model/progress.ts'
export type { JobRetention, RetentionOptions } from './model/retention.ts'
export type { RetryOptions } from './model/retry.ts'
export type { SafePart } from './model/safe.ts'
export type { CatchUp, SkipReason } from './model/schedule.ts'
export type { Misfit } from './model/schema-fit.ts'
export type { Json, NotStorable, Storable, StorableReturn } from './model/storable.ts'
export {
  agentTask,
  type LineStream,
  type ProgramOutput,
  type Progress,
  program,
  type Recovery,
  type StepContext,
  type StepRun,
  type TaskContext,
  type TaskOptions,
  type TaskRun,
  task,
} from './model/task.ts'
export type { TaskJob } from './model/task-job.ts'
export type { LimitScope } from './model/task-scope.ts'
export { type Duration, durationMs, type Time } from './model/time.ts'
export type { Clock } from './port/clock.ts'
export type { Executor, LineOptions, TaskChannel, TaskMessage, Work } from './port/executor.ts'
export type { Logger } from './port/logger.ts'
export type {
  Addressed,
  AskedAddresses,
  DeliveredEvent,
  Delivery,
  DeliveryOptions,
  Notifier,
} from './port/notifier.ts'
export type { Action, AgentAction, PipelineAction, Policy, Principal, Scope, Target, Verdict } from './port/policy.ts'
export type { Storage } from './port/storage.ts'
