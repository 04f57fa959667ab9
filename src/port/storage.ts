import type { AgentKey, Lease } from '../model/agent.ts'
import type { AddedItem, EndedItem } from '../model/batch-piece.ts'
import type { JobError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import type { Item, ItemStatus } from '../model/item.ts'
import type { Job, JobSummary, Outcome, Phase } from '../model/job.ts'
import type { NewNotification } from '../model/notification.ts'
import type { OwedRun, Pipeline } from '../model/pipeline.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream, StampedProgress, Task } from '../model/task.ts'
import type { AgentStorage } from './agent-storage.ts'
import type { Clock } from './clock.ts'
import type { NotificationStorage } from './notification-storage.ts'
import type { Scope } from './policy.ts'

/**
 * Stores jobs, the event log, log lines, items and recorded steps.
 *
 * Records are values, in both directions: neither the engine nor the storage changes a record after handing it over.
 *
 * Writing
 * - S1 A changeset is applied whole or not at all. One transaction checks the changesets of a commit in order; each
 *   sees the effects of the earlier ones that were applied.
 * - S2 An update names the record that it was made from. If the stored revision differs, the changeset is a `conflict`.
 *   An `expect` compares the revision and writes nothing.
 * - S3 At most one job of a tenant's pipeline holds its slot. This is an index over the job rows, not a separate lock.
 *   A write that would give the slot to a second job is `slot-taken`. Within a changeset, slots are freed before they
 *   are taken.
 * - S4 An idempotency key is unique per (tenant, creator, type, key) as long as its job's row exists. A second insert
 *   is a `duplicate` of the first. Idempotency keys are checked before slots.
 * - S34 A job holds its `uniqueKey` within its tenant and type until it ends or is deleted. A write that would give the
 *   key to a second job is `not-unique`, and names the first. Unique keys are checked after idempotency keys, and
 *   before slots and queues. Within a changeset, keys are freed before they are taken.
 * - S5 A note is a report of a running attempt that does not go through the chart: progress, log lines, a step or an
 *   item. It is written only while the task with its token is claimed or stopping in a stored job. The transaction that
 *   writes it checks this; otherwise the changeset is `stale`. Progress is also `stale` once the job has settled. Notes
 *   have keys, so writing one twice changes nothing. An update leaves the stored progress as it is, unless its job has
 *   another progress than `before`. Then it stores that one; if a note has changed the stored progress since `before`,
 *   the changeset is a `conflict`.
 * - S6 The transaction that writes events numbers them. `sequence` rises over the whole log. A number becomes visible
 *   only when no lower number can still be committed. Every row of events has at least one event.
 * - S8 An error with `code: 'STORAGE_UNAVAILABLE'` means that nothing of the commit was written. After any other error
 *   the outcome is unknown, and `landed` finds it out.
 * - S33 The steps of a child job are stored with the top job of its tree, and deleted with that job. An insert with
 *   `stepsOf` copies the steps of that job's tree, as they are in the transaction that writes. If the row of that job
 *   is gone, no steps are copied. After that, the two jobs share nothing: new steps and a deletion of one do not change
 *   the other.
 * Claiming
 * - S9 The claim of a commit picks ready tasks by (priority, due, sequence), including those of its own changesets. It
 *   calls `decide` for each and commits the result in the same transaction, so no task is claimed twice under one
 *   token. It picks at most `room` tasks per executor. If `decide` leaves a task, the task stays ready and does not
 *   block later tasks. If `decide` closes the task's queue, the claim picks no further task of that queue of that route.
 * - S10 A task is ready when it is available, its `availableAt` has come, and no earlier invocation of its invoke is
 *   stopping.
 * - S19 No write makes more tasks of a limit key claimed or stopping than the limit allows. A claim skips such a task;
 *   any other changeset is `full`. The transaction that writes checks this over all connections. A route names a type,
 *   a version and an executor. Each task is checked against the number in its own route, so two routes may share a key.
 *   If a route gives no number for a task's key, the task is claimed as if it had no key.
 * - S20 A claim reads no rows of routes that it does not name, none of queues that the route does not have, and no tasks
 *   of a key that is full. Within a route, keys that are not full are served in the order of their first tasks, so tasks
 *   that wait for a full key do not delay others. After a queue was closed, the claim reads no more of its tasks.
 * Queueing
 * - S22 An insert with `queuedMax` is `full` if that many jobs of its tenant and type are already queued. The
 *   transaction that writes checks this, after keys and slots.
 * Reading
 * - S11 Every connection reads back committed data deep-equal to what was written.
 * - S12 `find` returns only jobs that one of the scopes covers, ordered by (createdAt, id). Newest come first unless
 *   the page says otherwise. It pages by keyset: if rows are added or removed between two pages, no other row is
 *   skipped or repeated.
 * - S13 `due` returns due jobs, the longest due first. `held` returns every job with a task claimed or stopping at the
 *   given instance.
 * - S17 Waiting jobs of a pipeline are ordered by (priority, `startAt` or else creation time, sequence). A waiting job
 *   is due from its `startAt`, or at once if it has none. `load` returns the first due job of a pipeline. `admissible`
 *   returns the first due job of each pipeline whose slot is free, and none of a pipeline whose slot is taken.
 * - S18 A job written as deleted is found only by its id, and its idempotency key is free again. Once none of its tasks
 *   runs, the write also removes the job's row, lines, items, steps and leases, and so for all its child jobs that have
 *   ended. If a job has very many items, a storage may remove their rows later, in pieces; nobody can read them until
 *   then. The events of these jobs stay, without payloads.
 * - S23 A job whose record cannot be decoded affects no other job. Reading it rejects with `JOB_UNREADABLE`; `load`
 *   succeeds, and throws only when that job is asked of the result. Claims and reads of many jobs skip it.
 * - S24 `summary` and `summaries` return what a policy may know of jobs that are not deleted. They read nothing else of
 *   the row, so they also work for very large and for undecodable records.
 * - S25 `many` returns the jobs with the given ids, each once, in no particular order. It skips absent, deleted and
 *   undecodable jobs.
 * - S26 `count` returns how many jobs `find` would page through, including undecodable ones. It counts up to 10,001,
 *   which means "more than 10,000". `counts` returns the same for each value of one field.
 * - S27 `slotHolder` returns the id of the job that holds a slot. `heldUnder` counts the tasks that are claimed or
 *   stopping under a limit key, over all connections.
 * - S28 A read of the log with scopes returns only rows of jobs that one of them covers, including jobs that no longer
 *   exist. A read with `through` looks at no row whose first event has a higher number.
 * - S29 One reported item is stored for each (job, invocation, key). A later report of the key replaces the item and
 *   keeps its number. Numbers rise from 1, in the order in which the job first reported each key. A new key beyond the
 *   note's `max` is `full`; items of batches do not count for this. Items are deleted with their job's row.
 * - S30 The lists that a page shows use an index: jobs of one creator or of a whole tenant, filtered by status, type,
 *   outcome, pipeline, parent or one label. Any other list reads a bounded number of rows per call. It may therefore
 *   return a page that is not full, with an `after` to continue from.
 * - S32 `load` returns each requested job with its tree: its parents up to the top job, and below that all child jobs
 *   that their parents still hold as tasks.
 * - S36 A scope and a filter by `assignee` select the jobs, and the rows of the log, that have this assignee, also after
 *   the job's row was removed. Jobs without an assignee, and pipelines, are in no such scope. No write changes a job's
 *   assignee after its insert.
 * - S37 The lists of one assignee's jobs in a tenant, filtered by status, type or outcome, use an index, as in S30.
 * Pipelines
 * - S21 A pipeline is written by compare-and-set on its revision, like a job, and read back deep-equal. A write that
 *   only compares the revision guards the whole changeset: the other writes apply only if the pipeline is unchanged
 *   since it was read. `pipelines` returns only what one of the scopes covers, by (tenant, id), and pages by keyset.
 * - S38 `duePipelines` returns pipelines of the given types whose `dueTime` has come, the longest due first. A turn's
 *   `isDependedOn` and `dependants` tell which pipelines of the tenant name a pipeline or a type in their `dependsOn`;
 *   `dependants` pages by id.
 * - S39 An appended row whose `jobId` is `''` is about the pipeline that it names. It is in the log like any other row:
 *   scopes compare the facts in the row, and it stays when the pipeline is changed or deleted. A read with `pipeline`
 *   returns the rows of one pipeline.
 * - S50 An `owe` adds a run to the `owed` of the pipeline as the transaction finds it, and raises its revision by 1. So
 *   ends of many jobs at once never conflict over a pipeline that depends on all of them.
 * Notifications
 * - S45 to S49: see {@link NotificationStorage}.
 * Agents
 * - S51 to S54: see {@link AgentStorage}.
 * Batches
 * - S55 A note of items adds its rows as `waiting`, then ends rows, and stores the progress, all or nothing. Like
 *   progress, it is `stale` once the job has settled (S5). The number of a row is its invocation times 2^32, plus
 *   its index. A row that is stored already is not added again, and a row that has ended is not ended again, so a note
 *   may be written twice. The caller sees to it that no two items of an invocation have the same key.
 * - S56 `endItems` ends all waiting rows of one invocation, in the transaction of its changeset. An ended row stays.
 * - S57 `itemKeys` returns which of the keys are stored for one invocation, with the index of the row.
 * Instances
 * - S14 An instance is listed from its opening until `forget` removes it, and again if it calls `beat` or claims after
 *   that. Other instances see the end of its process at once, and never before it ends. An instance is not in its own
 *   `others`.
 * - S35 `lastBeat` returns the latest time that any instance gave to `beat`, including instances that were forgotten.
 *   Opening is not a beat.
 * Pruning
 * - S40 `prune` removes jobs that have settled, of which nothing runs, and that the query names: by the time of their
 *   end, or because a tenant has more than `max` ended jobs of the type; then those that were created first are
 *   removed. Each is removed as a deleted job is (S18), but no event tells of it. A job is removed after all its child
 *   jobs, and a child job only because its top job is removed.
 * - S41 `prune` also removes, as far as the query names them: rows of the log whose job no longer exists, rows of
 *   progress, and the lines of ended jobs. Other rows keep their numbers, and no number is used again. The facts of a
 *   removed job are kept until no row of the log needs them (S28).
 * - S42 One call of `prune` is bounded, by `limit` and in time. It returns where the next call continues; a pass has
 *   ended when a call returns no such place. Any number of connections may prune at once. A record that cannot be
 *   decoded stays, is named in the result, and does not hold up others.
 * Backups and pauses
 * - S43 `backup`, where a storage has it, writes a copy of everything as it was at one moment, while any connection goes
 *   on writing. It replaces no file. A storage opens the copy like one whose engines have all died.
 * - S44 A claim picks no task of a paused type, nor of the types of its child jobs, whichever connection has paused it.
 *   A pause lasts until it is resumed, beyond the end of all instances. It changes no job.
 * Opening
 * - S15 Migrations run once, by the first connection that opens. A newer schema is refused, and nothing is changed.
 * - S16 One chart is stored for each version of a type. `register` stores the charts of new versions. For a version
 *   that is stored with another hash: if it has no unsettled job and `mayReplace` is true, the chart is replaced;
 *   otherwise the call writes nothing at all. `register` returns the versions that were stored with another hash and
 *   were not replaced.
 */
export interface Storage {
  readonly open: (host: StorageHost) => Promise<StorageConnection>
}

/** The argument of `open`: what an engine gives to its storage. */
export interface StorageHost {
  /** The engine's clock, for all times of the storage. */
  readonly clock: Clock
  /** The id of this start of the engine. Never used again. */
  readonly instance: string
}

/** One engine's access to a storage. */
export interface StorageConnection extends NotificationStorage, AgentStorage {
  /** Applies the changesets in order, each whole or not at all, and then claims ready tasks, in one transaction. */
  readonly commit: (changesets: readonly Changeset[], claim?: Claim) => Promise<Commit>
  /** Reads everything that one tick of the engine needs, in one read. */
  readonly load: (query: LoadQuery) => Promise<Loaded>
  readonly get: (id: string) => Promise<Job | undefined>
  /** The facts of a job that a policy sees. `undefined`: no such job. */
  readonly summary: (id: string) => Promise<JobSummary | undefined>
  /** The facts that a policy sees, for at most 1,000 jobs, each once, in no particular order. */
  readonly summaries: (ids: readonly string[]) => Promise<readonly JobSummary[]>
  /** The jobs with the given ids: at most 1,000. */
  readonly many: (ids: readonly string[]) => Promise<readonly Job[]>
  readonly count: (filter: JobFilter) => Promise<number>
  readonly counts: (by: CountedField, filter: JobFilter) => Promise<ReadonlyMap<string, number>>
  /** The id of the job that holds a pipeline's slot. */
  readonly slotHolder: (tenant: string, pipeline: string) => Promise<string | undefined>
  /** How many tasks are claimed or stopping under a limit key. `key` is a task's `limitKey`. */
  readonly heldUnder: (key: string) => Promise<number>
  readonly find: (filter: JobFilter, page: JobPage) => Promise<FoundJobs>
  /**
   * Jobs of the given types for which something is due at or before `at` (a timer, a deadline, the end of a grace): at
   * most `limit`, after the first `skip`.
   */
  readonly due: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  /**
   * Waiting jobs that may be admitted at or before `at`: at most one per pipeline and at most `limit`, after the first
   * `skip`.
   */
  readonly admissible: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  readonly pipeline: (tenant: string, id: string) => Promise<Pipeline | undefined>
  readonly pipelines: (filter: PipelineFilter, page: PipelinePage) => Promise<readonly Pipeline[]>
  /** Pipelines that have something to start by `at`: at most `limit`, after the first `skip`. */
  readonly duePipelines: (
    types: readonly string[],
    at: number,
    limit: number,
    skip: number,
  ) => Promise<readonly Pipeline[]>
  /** Pipelines of a tenant that depend on a pipeline or on a type: at most `limit`, with an id above `after`. */
  readonly dependants: (
    tenant: string,
    source: DependencySource,
    limit: number,
    after?: string,
  ) => Promise<readonly Pipeline[]>
  /** Jobs with a task claimed or stopping at the instance. */
  readonly held: (instance: string) => Promise<readonly Job[]>
  /**
   * How many steps and items each invocation of these jobs has recorded. An invocation that has recorded none is
   * absent. Steps copied from another job are not counted. An item of a batch counts from its end. A progress with a
   * `careful` mark that the progress before it did not have counts too, if a note of items wrote it.
   */
  readonly recorded: (jobIds: readonly string[]) => Promise<readonly Recorded[]>
  /**
   * The rows of events that these changesets wrote after `sequence`, in order. A changeset that was not applied has
   * none.
   */
  readonly landed: (changesets: readonly string[], sequence: number) => Promise<readonly StoredEvents[]>
  /** Rows of the log after a given number, in order: of one job, of one pipeline, or of all. */
  readonly events: (query: EventQuery) => Promise<readonly StoredEvents[]>
  /** The newest sequence; 0 for an empty log. */
  readonly lastSequence: () => Promise<number>
  /**
   * `true`: another connection may have written since the last call. Only a hint. It must be cheap, because an engine
   * polls it.
   */
  readonly changed: () => boolean
  /** Lines of a job's log whose number is above `after`, oldest first. */
  readonly logs: (jobId: string, after: number, limit: number) => Promise<readonly LogLine[]>
  /** Items of a job whose number is above `after`, oldest first. */
  readonly items: (jobId: string, query: ItemQuery) => Promise<readonly StoredItem[]>
  /** Which of these keys are stored for an invocation of a batch, with the index of the item (S57). */
  readonly itemKeys: (
    jobId: string,
    invocation: number,
    keys: readonly string[],
  ) => Promise<readonly { readonly key: string; readonly index: number }[]>
  /** The recorded steps of one invocation of an invoke, in the job's tree: the results by the name of the step. */
  readonly steps: (jobId: string, invoke: string, ordinal: number) => Promise<ReadonlyMap<string, Json | undefined>>
  /**
   * Stores the hashes of the charts of versions (S16). Returns the versions that are stored with another hash that may
   * not be replaced; if there are any, nothing is stored.
   */
  readonly register: (charts: readonly KeptChart[], mayReplace: boolean) => Promise<readonly TypeKey[]>
  /** Marks this instance as alive at a time, in milliseconds of the clock that deadlines use. */
  readonly beat: (at: number) => Promise<void>
  /** The latest time of any beat; 0 if there was none. */
  readonly lastBeat: () => Promise<number>
  /** All other instances that are listed (S14). */
  readonly others: () => Promise<readonly OtherInstance[]>
  /** Removes an instance that holds no tasks any more. */
  readonly forget: (instance: string) => Promise<void>
  /** Removes a part of what the query names, and returns where the next call continues (S40 to S42). */
  readonly prune: (query: PruneQuery) => Promise<Pruned>
  /** Copies everything to a new file (S43). Absent: the storage makes no backups. */
  readonly backup?: (file: string) => Promise<void>
  /** Pauses a job type, or replaces its pause. */
  readonly pauseType: (paused: PausedType) => Promise<void>
  /** Resumes a job type; nothing changes if it is not paused. */
  readonly resumeType: (type: string) => Promise<void>
  /** All paused types, by name. */
  readonly pausedTypes: () => Promise<readonly PausedType[]>
  /** Frees everything that the connection holds. The instance then no longer counts as alive. May be called twice. */
  readonly close: () => Promise<void>
}

/** A job type whose tasks are not claimed. */
export interface PausedType {
  readonly type: string
  readonly reason: string
  /** When it was paused, in milliseconds UTC. */
  readonly at: number
}

/** Another engine on the same storage. */
export interface OtherInstance {
  readonly id: string
  /** `true`: its process has ended, or it closed the storage. */
  readonly isGone: boolean
  /** `true`: its process was told to end by SIGINT or SIGTERM. Absent: unknown. */
  readonly isEnded?: boolean
  /** Changes with each beat of the instance. Compare only for equality: the clocks of two processes may differ. */
  readonly heartbeat: number
}

/** One or more writes that are committed together or not at all. */
export interface Changeset {
  /**
   * Unique. Stored with the changeset's events, so that `landed` can find out whether a commit whose answer was lost
   * took effect.
   */
  readonly id: string
  readonly writes: readonly Write[]
}

/** A write of a job row and of its events. */
export interface JobWrite {
  readonly job: Job
  /** The row of events that this write adds to the log. */
  readonly events: EventRow
  /** The limits of tasks that are claimed or stopping in `job` and were not in `before`. */
  readonly limits?: readonly KeyLimit[]
}

/** How many tasks of a key may be claimed or stopping, including those of the row being written. */
export interface KeyLimit {
  readonly key: string
  readonly concurrency: number
}

/** One write of a changeset. */
export type Write =
  /** Stores a new job. `stepsOf`: the recorded steps of that job's tree are copied to the new job. */
  | ({ readonly op: 'insert'; readonly queuedMax?: number; readonly stepsOf?: string } & JobWrite)
  /**
   * Replaces a stored job. `before`: the record that `job` was made from. A task that is the same object in both is
   * unchanged. The same holds for the progress (S5).
   */
  | ({ readonly op: 'update'; readonly before: Job } & JobWrite)
  /**
   * Writes nothing: compares the stored revision of the job with `revision`. If they differ, the changeset is a
   * `conflict`.
   */
  | { readonly op: 'expect'; readonly jobId: string; readonly revision: number }
  | { readonly op: 'note'; readonly jobId: string; readonly token: number; readonly note: Note }
  /**
   * Adds log lines that the job's chart wrote. The `key` works as in a note: lines with the same key are written once.
   */
  | { readonly op: 'log'; readonly jobId: string; readonly key: string; readonly lines: readonly NewLine[] }
  | { readonly op: 'append'; readonly events: EventRow }
  /** Stores the lease of an agent on a task that the changeset claims. */
  | { readonly op: 'grant'; readonly lease: Lease }
  /**
   * The changeset applies only if the agent has this lease, and the lease ends after `at`. `until`: the new end of the
   * lease.
   */
  | {
      readonly op: 'lease'
      readonly jobId: string
      readonly token: number
      readonly agent: AgentKey
      readonly at: number
      readonly until?: number
    }
  /**
   * Ends the waiting items of a batch that no attempt holds (S56): those up to the index `begun` as `failed`, with this
   * error, the others as `skipped`. Written with the job's own update.
   */
  | {
      readonly op: 'endItems'
      readonly jobId: string
      readonly invocation: number
      readonly begun: number
      readonly error: JobError
      readonly at: number
    }
  /** Removes a lease. The changeset applies only if the lease has ended by `at`. */
  | { readonly op: 'expire'; readonly jobId: string; readonly token: number; readonly at: number }
  /**
   * Stores a notification. Nothing is stored if a notification with this key is stored already, or if the row of its
   * job no longer exists.
   */
  | { readonly op: 'notify'; readonly notification: NewNotification }
  | PipelineWrite
  /**
   * Adds a run to the `owed` of a pipeline, and raises its revision. This is no conflict, whatever the revision is. If
   * there is no such pipeline, nothing is written.
   */
  | { readonly op: 'owe'; readonly tenant: string; readonly id: string; readonly run: OwedRun }

/**
 * Changes a pipeline, or only compares its revision. If the stored revision is not `revision`, the changeset is a
 * `conflict`.
 */
export interface PipelineWrite {
  readonly op: 'pipeline'
  readonly tenant: string
  readonly id: string
  /** The expected stored revision. 0: the pipeline must not exist. */
  readonly revision: number
  /** The new pipeline. `null` deletes it; absent leaves it unchanged. */
  readonly after?: Pipeline | null
}

/** A report of a running attempt that does not go through the chart. */
export type Note =
  | { readonly kind: 'progress'; readonly progress: StampedProgress }
  | { readonly kind: 'log'; readonly key: string; readonly lines: readonly NewLine[] }
  /** Records the result of a step. If the step already has one, that result stays. */
  | {
      readonly kind: 'step'
      readonly invoke: string
      readonly ordinal: number
      readonly name: string
      readonly result?: Json
    }
  /** Records an item. `max`: how many items the job may have. */
  | { readonly kind: 'item'; readonly invocation: number; readonly item: Item; readonly max: number }
  /**
   * Writes items of a batch, and the job's progress with them (S55). `at`: the time of the items, in milliseconds UTC.
   */
  | {
      readonly kind: 'items'
      readonly invocation: number
      readonly added: readonly AddedItem[]
      readonly ended: readonly EndedItem[]
      readonly progress: StampedProgress
      readonly at: number
    }

/** A log line before it has a number. */
export interface NewLine {
  /** When the line was written, in milliseconds UTC. */
  readonly at: number
  readonly text: string
  /** The stream that a program wrote the line to. Absent for other lines. */
  readonly stream?: LineStream
}

/** A line of a job's log; numbers rise from 1. */
export interface LogLine extends NewLine {
  readonly number: number
}

/** An item as stored; numbers rise from 1. */
export interface StoredItem extends Item {
  readonly number: number
  readonly invocation: number
}

/** Which items to read: at most `limit`, whose number is above `after`. */
export interface ItemQuery {
  readonly after: number
  readonly limit: number
  readonly status?: ItemStatus
  /** Only items with a number up to this one. */
  readonly to?: number
}

/** How many steps and items one invocation recorded. */
export interface Recorded {
  readonly jobId: string
  readonly invocation: number
  readonly count: number
}

/** A row of events that a changeset has written. */
export interface WrittenRow {
  readonly events: EventRow
  /** The number of the row's first event in the log. */
  readonly sequence: number
}

/** The result of a commit. */
export interface Commit {
  /** One result per changeset, in the order of the changesets. */
  readonly results: readonly ChangesetResult[]
  readonly claimed: readonly Claimed[]
}

/** The result of one changeset. */
export type ChangesetResult =
  | {
      readonly status: 'applied'
      /** The rows of events of the changeset, in log order. */
      readonly rows: readonly WrittenRow[]
    }
  | { readonly status: 'conflict' }
  | { readonly status: 'stale' }
  /** One of the writes would exceed a limit on tasks, the size of a queue, or the number of items. */
  | { readonly status: 'full' }
  | { readonly status: 'slot-taken'; readonly by: string | undefined }
  | { readonly status: 'duplicate'; readonly id: string }
  /** Another job holds the unique key. */
  | { readonly status: 'not-unique'; readonly by: string }

/** Names a version of a job type. */
export interface TypeKey {
  readonly type: string
  readonly version: string
}

/** The chart of one version of a job type, as a storage keeps it. */
export interface KeptChart extends TypeKey {
  /** Identifies the shape of the chart: equal for two charts of the same shape. */
  readonly hash: string
}

/**
 * Names the ready tasks of one version of a job type for one executor. A claim searches one route at a time, and within
 * it one limit key at a time.
 */
export interface Route extends TypeKey {
  readonly executor: string
  /**
   * Which queues of the executor to take tasks from, by the task's `queue`. Absent: only tasks without a queue are
   * taken.
   */
  readonly queues?: { readonly has: (queue: string) => boolean }
  /** How many tasks of one limit key may be claimed or stopping, by the task's name (`src`). Absent: no limit. */
  readonly limits?: ReadonlyMap<string, number>
}

/** The claim of a commit: which ready tasks to claim, and the function that decides on each. */
export interface Claim {
  /**
   * The id of the claim. It is stored with the claim's rows of events, as the id of a changeset is, so that {@link
   * StorageConnection.landed} finds them.
   */
  readonly id: string
  readonly routes: readonly Route[]
  readonly at: number
  /** How many tasks to claim at most, by executor. No tasks are claimed for an executor that is not in the map. */
  readonly room: ReadonlyMap<string, number>
  /** Pure and synchronous: called inside the transaction, once for each picked task. */
  readonly decide: (ready: ReadyTask) => ClaimDecision
}

/** A task that may be claimed. */
export interface ReadyTask {
  readonly job: Job
  readonly task: Task
  /** Returns a job of the task's job tree, as `load` does. */
  readonly tree: (id: string) => Job | undefined
}

/**
 * `claim` writes the changes as one changeset; `leave` leaves the task ready; `close` leaves it ready too, and takes no
 * further task of its queue and route; `stop` ends the claim.
 */
export type ClaimDecision =
  | { readonly kind: 'claim'; readonly writes: readonly Write[] }
  | { readonly kind: 'leave' | 'close' | 'stop' }

/** A claimed task. */
export interface Claimed {
  /** The job as it was written. */
  readonly job: Job
  readonly invocation: number
  /** The rows of events that the claim wrote. */
  readonly rows: readonly WrittenRow[]
}

/** The jobs and pipelines that one tick needs. */
export interface LoadQuery {
  /** Ids of the jobs to read, each with its tree. */
  readonly jobs: readonly string[]
  /** Pipelines whose slot holder and next run to read. */
  readonly pipelines: readonly PipelineKey[]
  /** Only jobs of these types, due at or before `at`, count as the next run of a pipeline. */
  readonly types: readonly TypeKey[]
  readonly at: number
}

/** Names a pipeline. */
export interface PipelineKey {
  readonly tenant: string
  readonly id: string
}

/** What a pipeline may depend on: the runs of another pipeline, or the jobs of a type. */
export type DependencySource =
  | { readonly pipeline: string; readonly type?: never }
  | { readonly type: string; readonly pipeline?: never }

/** The result of `load`: everything that a tick has read. */
export interface Loaded {
  /**
   * Returns a requested job, or another job of its tree. `undefined`: no such job. The record is decoded at this call.
   *
   * @throws {JobchartError} `JOB_UNREADABLE` the record cannot be decoded.
   */
  readonly job: (id: string) => Job | undefined
  /** Returns the slot holder and the next run of a requested pipeline. */
  readonly turn: (key: PipelineKey) => Turn
}

/** Which job holds a pipeline's slot, and which runs next. */
export interface Turn {
  readonly holder?: string
  readonly next?: Job
  /** True: other pipelines name this one in their `dependsOn`, so they run after its runs. */
  readonly isDependedOn?: true
}

/** Which jobs to list. Each given field narrows the list. */
export interface JobFilter {
  /** Only jobs that at least one of these scopes covers. `redact` is ignored here. */
  readonly scopes: readonly Scope[]
  readonly type?: string
  /** Only child jobs of this job; `null`: only jobs without a parent. */
  readonly parentId?: string | null
  readonly phase?: Phase
  /** Only jobs with one of these statuses. */
  readonly status?: readonly string[]
  readonly outcome?: Outcome
  readonly pipeline?: string
  readonly createdBy?: string
  readonly assignee?: string
  readonly labels?: { readonly [name: string]: string }
  /** Only jobs that were created at this time or later, in milliseconds UTC. */
  readonly createdAfter?: number
  /** Only jobs that were created before this time, in milliseconds UTC. */
  readonly createdBefore?: number
}

/** The field that jobs are counted by. */
export type CountedField = 'status' | 'type' | 'phase' | 'outcome'

/** Which pipelines to list. Each given field narrows the list. */
export interface PipelineFilter {
  /** Only pipelines that at least one of these scopes covers. The `pipeline` of a scope is the id of the pipeline. */
  readonly scopes: readonly Scope[]
  readonly type?: string
}

/** A page: the first `limit` pipelines after `after`, by (tenant, id). */
export interface PipelinePage {
  readonly limit: number
  readonly after?: PipelineKey
}

/** The position of a job in a list. The next page starts after it. */
export interface JobPosition {
  readonly createdAt: number
  readonly id: string
}

/** A page: `limit` jobs after `after`, in the order of the list. */
export interface JobPage {
  readonly limit: number
  readonly after?: JobPosition
  /** Default `newest`: newest jobs first. */
  readonly order?: 'newest' | 'oldest'
}

/** A page of jobs. */
export interface FoundJobs {
  readonly jobs: readonly Job[]
  /** Where the next page starts. Absent: this was the last page. */
  readonly after?: JobPosition
}

/** Which rows of the log to read. */
export interface EventQuery {
  readonly after: number
  readonly limit: number
  readonly jobId?: string
  /** Only rows about this pipeline itself; not those of its runs. Not together with `jobId`. */
  readonly pipeline?: PipelineKey
  /** Only rows that at least one of these scopes covers. `redact` is ignored here. */
  readonly scopes?: readonly Scope[]
  /** Only rows whose first event has at most this number. */
  readonly through?: number
}

/** A row of the log as stored. */
export interface StoredEvents extends EventRow {
  /** The number of the row's first event in the log. */
  readonly sequence: number
  /** The id of the changeset or claim that wrote the row. */
  readonly changeset: string
}

/** What to remove. All times are milliseconds UTC, exclusive. */
export interface PruneQuery {
  /** Jobs and lines to remove, by type. Those of other types stay. */
  readonly types: readonly PruneType[]
  /** Rows of the log before this time go, if their job no longer exists. Absent: they stay. */
  readonly eventsBefore?: number
  /** Rows of progress before this time go. Absent: they stay. */
  readonly progressBefore?: number
  /** A call stops once it has removed or looked at about this many rows. */
  readonly limit: number
  /** Where the call continues: `after` of the last call of the pass. Absent: a new pass begins. */
  readonly after?: string
}

/** What to remove of the jobs of one type. */
export interface PruneType {
  readonly type: string
  /**
   * For each outcome: jobs that ended with it before this time are removed. An outcome without a time: its jobs stay.
   */
  readonly endedBefore: { readonly [Ended in Outcome]?: number }
  /** How many ended jobs each tenant keeps. Absent: any number. */
  readonly max?: number
  /** Lines of jobs that ended before this time go. Absent: they stay as long as the job. */
  readonly linesBefore?: number
}

/** What a call of `prune` has removed. */
export interface Pruned {
  readonly jobs: number
  /** How many rows of the log were removed. */
  readonly events: number
  /** How many log lines were removed, including those of removed jobs. */
  readonly lines: number
  /** The ids of jobs that should have been removed, but cannot be decoded. */
  readonly unreadable: readonly string[]
  /** Where the next call continues. Absent: the pass has ended. */
  readonly after?: string
}
