/**
 * Types for authors of a storage, an executor, a policy or a clock. The interfaces, with their numbered guarantees, are
 * in the other files of this folder.
 */

export type { AgentFunction, AgentKey, AgentRef, Assignment, JobAgent, Lease, StoredAgent } from '../model/agent.ts'
export type { TaskEnd } from '../model/attempt-end.ts'
export type {
  AddedItem,
  BatchCounts,
  BatchPiece,
  BatchStart,
  EndedItem,
  ItemsToRetry,
  RecordedItem,
} from '../model/batch-piece.ts'
export type { ActorPath, Address } from '../model/chart.ts'
export type { By } from '../model/command.ts'
export type { EventDraft, EventRow, PipelineEventDraft } from '../model/event.ts'
export type { Item, ItemStatus } from '../model/item.ts'
export type { AgainRun, BatchAgain, BatchRun, EndedChild, Job, JobSummary, LastSnapshot, Timer } from '../model/job.ts'
export type {
  Audience,
  NewNotification,
  NotificationLevel,
  StoredNotification,
  StoredSubscription,
  Subscription,
} from '../model/notification.ts'
export type { Dependency, OverlapRules, OwedRun, Pipeline, PipelineOverlap, PipelineStatus } from '../model/pipeline.ts'
export type { Private } from '../model/private.ts'
export type { CatchUp, Schedule, ScheduleTimes } from '../model/schedule.ts'
export type { Json } from '../model/storable.ts'
export type { StampedProgress, Task, TaskStatus } from '../model/task-record.ts'
export type {
  AgentCallOptions,
  AgentLine,
  AgentRegistration,
  AgentTransport,
  ClaimAnswer,
  ClaimedTask,
  ClaimKey,
  ClaimOptions,
  ClaimState,
  Heartbeat,
  HeartbeatAnswer,
  HeldClaim,
  RegisteredAgent,
} from './agent.ts'
export type { AgentPage, AgentStorage, SeenAgent } from './agent-storage.ts'
export type { Clock } from './clock.ts'
export type { Executor, LineOptions, TaskChannel, TaskMessage, Work } from './executor.ts'
export type {
  FoundNotifications,
  NotificationQuery,
  NotificationReader,
  NotificationStorage,
  PersonKey,
  ReadMarks,
  ReadNotification,
  SubscriptionKey,
} from './notification-storage.ts'
export type {
  Addressed,
  AskedAddresses,
  DeliveredEvent,
  Delivery,
  DeliveryOptions,
  Notifier,
} from './notifier.ts'
export type { Action, AgentAction, PipelineAction, Policy, Principal, Scope, Target, Verdict } from './policy.ts'
export type {
  Changeset,
  ChangesetResult,
  Claim,
  ClaimDecision,
  Claimed,
  Commit,
  CountedField,
  DependencySource,
  EventQuery,
  FoundJobs,
  ItemQuery,
  JobFilter,
  JobPage,
  JobPosition,
  JobWrite,
  KeptChart,
  KeyLimit,
  Loaded,
  LoadQuery,
  LogLine,
  NewLine,
  Note,
  OtherInstance,
  PausedType,
  PipelineFilter,
  PipelineKey,
  PipelinePage,
  PipelineWrite,
  Pruned,
  PruneQuery,
  PruneType,
  ReadyTask,
  Recorded,
  Route,
  Storage,
  StorageConnection,
  StorageHost,
  StoredEvents,
  StoredItem,
  Turn,
  TypeKey,
  Write,
  WrittenRow,
} from './storage.ts'
