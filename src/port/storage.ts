import type { EventRow } from '../model/event.ts'
import type { Item, ItemStatus } from '../model/item.ts'
import type { Job, JobSummary, Outcome, Phase } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream, StampedProgress, Task } from '../model/task.ts'
import type { Clock } from './clock.ts'
import type { Scope } from './policy.ts'

/**
 * Where jobs, their log of events, their lines, items and recorded steps are kept.
 *
 * Records that are handed over, in either direction, are values: neither side changes them afterwards.
 *
 * Writing
 * - S1 A changeset is applied whole or not at all. The changesets of one commit are judged in order, in one transaction;
 *   each sees those before it that were applied.
 * - S2 A write of a job names the record that it was made from. If the stored revision is another one, the changeset is a
 *   `conflict`. An `expect` only compares.
 * - S3 At most one job of a tenant's pipeline holds its slot: an index over the job rows, not a lock beside them.
 *   A write that would make it two is `slot-taken`. Within a changeset slots are freed before they are taken.
 * - S4 An idempotency key is unique on (tenant, creator, type, key) as long as its job's row exists; a second insert is
 *   a `duplicate` of the first. Keys are looked at before slots.
 * - S34 A job that has not ended, nor is deleted, holds its `uniqueKey` for its tenant and type: a write that would make a
 *   second one hold it is `not-unique`, and names the first. Looked at after idempotency keys, and before slots and queues.
 *   Within a changeset keys are freed before they are taken.
 * - S5 A note is written only while a task of its job is claimed or stopping under its token, judged in the transaction
 *   that writes; else its changeset is `stale`; progress also where the job has settled. Notes are keyed, so that repeating one is
 *   harmless.
 * - S6 Events are numbered in the transaction that writes them: `sequence` rises over the whole log, and no reader passes
 *   a number that may still commit. Every row of events has at least one event.
 * - S8 An error with `code: 'STORAGE_UNAVAILABLE'` means that nothing of the commit was written. Any other error leaves
 *   it open, and `landed` tells.
 * - S33 The steps of a child job are kept with the job at the top of its tree, and go with that. An insert with `stepsOf`
 *   begins with a copy of the steps of that job's tree, as they stand in the transaction that writes, and with none where
 *   its row is gone. What either records afterwards, and what is deleted, changes nothing of the other.
 * Claiming
 * - S9 The claim of a commit picks ready tasks by (priority, due, sequence), those of its own changesets among them, and
 *   commits what `decide` makes of them in the same transaction: one task is never claimed twice under one token. At most
 *   `room` tasks of each executor are picked. What `decide` leaves stays ready and holds up nothing behind it.
 * - S10 A task is ready when it is available, its `availableAt` has come, and no earlier invocation of its invoke is
 *   stopping.
 * - S19 A write that would make more tasks of a limit key claimed or stopping than its limit says is not made: a claim
 *   passes the task over, any other changeset is `full`. Judged in the transaction that writes, over all connections. Each
 *   is judged by its own number: two routes may share a key. A task that stands with a key, where its route names no
 *   number for it, is claimed as one without.
 * - S20 A claim walks over no rows of another route, and none of a full key. Under one route, keys that are not full go
 *   by the order of their first tasks: what waits for a full key holds up nothing else.
 * Queueing
 * - S22 An insert that carries `queuedMax` is `full` where so many jobs of its tenant and type are queued already, judged
 *   in the transaction that writes. Keys and slots are looked at before that.
 * Reading
 * - S11 What was committed is read back deep-equal, by every connection.
 * - S12 `find` shows only what one of the scopes covers, by (createdAt, id), newest first unless the filter says
 *   otherwise, and pages by keyset: rows that come or go between two pages make no other row be skipped or repeated.
 * - S13 `due` gives what has fallen due, oldest first; `held` gives every job with a task claimed or stopping there.
 * - S17 A waiting job has a turn: of a pipeline's, by (priority, when it may start or was created, sequence). It is due
 *   from its `startAt` on, or always. `load` gives the first of a pipeline that is due; `admissible` gives that of each pipeline whose slot is free, and those of none.
 * - S18 A job that is written as deleted is found by its id alone, and gives its idempotency key free; once nothing of it
 *   runs, its row, lines, items and steps go with the write. Its events stay.
 * - S23 A job whose record cannot be decoded fails alone: reads of it reject with `JOB_UNREADABLE`, and `load` throws it
 *   when that job is asked for; claims and reads of many leave it out.
 * - S24 `summary`, and `summaries` of many, give what a policy may know of a job that is not deleted, and read nothing
 *   else of its row: neither its size nor whether its record is broken changes the answer.
 * - S25 `many` gives the jobs of some ids, each once and in no order, without those that are absent, deleted or broken.
 * - S26 `count` gives how many jobs `find` would page through, broken ones included, up to 10,001, which means more than
 *   10,000. `counts` gives the same for each value of one field.
 * - S27 `slotHolder` names the job that holds a slot; `heldUnder` counts the tasks that are claimed or stopping under a
 *   limit key, over all connections.
 * - S28 A read of the log that is narrowed to scopes gives only rows of jobs that one of them covers, also of jobs that are
 *   gone; one that has a `through` looks at no row that begins after it.
 * - S29 An item is kept once for each job, invocation and key: a later report of the key replaces the earlier one and keeps
 *   its number. Numbers rise from 1 in the order of the first reports of the job. A new key beyond the note's `max` is
 *   `full`. Items go with their job's row.
 * - S30 The lists that a page shows (one creator's or a whole tenant's; by status, type, outcome, pipeline, parent or one
 *   label) are found by an index. Any other list looks at a bounded number of rows, and may give a page that is not full
 *   with where to go on.
 * - S32 `load` gives each job that is asked for with its tree: the jobs up to the one that no other's chart invoked, and
 *   the child jobs below that one which their parents still hold as tasks.
 * Pipelines
 * - S21 A pipeline is written by compare-and-set on its revision, as a job is, and is read back deep-equal. A write that
 *   only looks at its revision holds for the whole changeset: what comes with it is written only if the pipeline is as it
 *   was read. `pipelines` shows only what one of the scopes covers, by (tenant, id), and pages by keyset.
 * Instances
 * - S14 An instance is listed from its opening until it is forgotten, and again when it beats or claims after that. Its
 *   process's end is seen at once, and it is not seen before. It is no other for itself.
 * - S35 `lastBeat` gives the latest time of any beat, also of instances that were forgotten. An opening is none.
 * Opening
 * - S15 Migrations are applied once, by the first that opens; a newer schema is refused, and nothing is changed.
 * - S16 One chart is kept for each version of a type. `register` keeps those that are new, and gives back those that are
 *   kept otherwise: of these, one without an unsettled job is replaced where `mayReplace`, and any other writes nothing
 *   of the call.
 */
export interface Storage {
  readonly open: (host: StorageHost) => Promise<StorageConnection>
}

/** What an engine gives its storage. */
export interface StorageHost {
  /** The storage's time, where storage is embedded. */
  readonly clock: Clock
  /** Names this start of the engine; never used again. */
  readonly instance: string
}

/** One engine's access to a storage. */
export interface StorageConnection {
  /** Applies changesets, each whole or not, and then claims, in one transaction. */
  readonly commit: (changesets: readonly Changeset[], claim?: Claim) => Promise<Commit>
  /** What one tick needs to know, by one read. */
  readonly load: (query: LoadQuery) => Promise<Loaded>
  readonly get: (id: string) => Promise<Job | undefined>
  /** What a policy may know of a job. */
  readonly summary: (id: string) => Promise<JobSummary | undefined>
  /** The summaries of at most 1,000 ids, each once and in no order. */
  readonly summaries: (ids: readonly string[]) => Promise<readonly JobSummary[]>
  /** The jobs of at most 1,000 ids. */
  readonly many: (ids: readonly string[]) => Promise<readonly Job[]>
  readonly count: (filter: JobFilter) => Promise<number>
  readonly counts: (by: CountedField, filter: JobFilter) => Promise<ReadonlyMap<string, number>>
  /** The id of the job that holds a pipeline's slot. */
  readonly slotHolder: (tenant: string, pipeline: string) => Promise<string | undefined>
  /** How many tasks run under a limit key, as it stands in a task's `limitKey`. */
  readonly heldUnder: (key: string) => Promise<number>
  readonly find: (filter: JobFilter, page: JobPage) => Promise<FoundJobs>
  /** Jobs whose `wakeAt` is at or before `at`, of the given types: at most `limit`, after the first `skip`. */
  readonly due: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  /** Waiting jobs that may be admitted by `at`: at most one of a pipeline, at most `limit`, after the first `skip`. */
  readonly admissible: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  readonly pipeline: (tenant: string, id: string) => Promise<Pipeline | undefined>
  readonly pipelines: (filter: PipelineFilter, page: PipelinePage) => Promise<readonly Pipeline[]>
  /** Jobs with a task claimed or stopping at the instance. */
  readonly held: (instance: string) => Promise<readonly Job[]>
  /** How many steps and items these jobs have recorded, by the invocations that recorded any; copied steps are not counted. */
  readonly recorded: (jobIds: readonly string[]) => Promise<readonly Recorded[]>
  /** The rows of events that these changesets wrote after `sequence`, in order: none for one that did not land. */
  readonly landed: (changesets: readonly string[], sequence: number) => Promise<readonly StoredEvents[]>
  /** Rows of the log in order, after a sequence; of one job, or of all. */
  readonly events: (query: EventQuery) => Promise<readonly StoredEvents[]>
  /** The newest sequence; 0 for an empty log. */
  readonly lastSequence: () => Promise<number>
  /** Someone else may have written since the last call: a hint, cheap enough to be asked often. */
  readonly changed: () => boolean
  /** Lines of a job's log whose number is above `after`, oldest first. */
  readonly logs: (jobId: string, after: number, limit: number) => Promise<readonly LogLine[]>
  /** Items of a job whose number is above `after`, oldest first. */
  readonly items: (jobId: string, query: ItemQuery) => Promise<readonly StoredItem[]>
  /** The results recorded in the job's tree under one invocation of an invoke. */
  readonly steps: (jobId: string, invoke: string, ordinal: number) => Promise<ReadonlyMap<string, Json | undefined>>
  /** Keeps the charts, and gives back the versions whose kept chart is another and stays. */
  readonly register: (charts: readonly KeptChart[], mayReplace: boolean) => Promise<readonly TypeKey[]>
  /** Marks this instance as alive at a time, by which deadlines are set. */
  readonly beat: (at: number) => Promise<void>
  /** The latest time of a beat; 0: there was none. */
  readonly lastBeat: () => Promise<number>
  /** The other instances that are listed. */
  readonly others: () => Promise<readonly OtherInstance[]>
  /** Removes an instance that holds nothing any more. */
  readonly forget: (instance: string) => Promise<void>
  /** Frees what the connection holds, its instance's liveness too. It may be called twice. */
  readonly close: () => Promise<void>
}

/** Another engine on the same storage. */
export interface OtherInstance {
  readonly id: string
  /** Its process has ended, or closed the storage. */
  readonly isGone: boolean
  /** Its process was told to end, by SIGINT or SIGTERM, where that is known. */
  readonly isEnded?: boolean
  /** Changes with each of its beats. Only a change says something: the clocks of two processes may differ by anything. */
  readonly heartbeat: number
}

/** One or more writes that are committed together or not at all. */
export interface Changeset {
  /** Unique; stored with the changeset's events. */
  readonly id: string
  readonly writes: readonly Write[]
}

/** A job row and what happened, in one write. */
export interface JobWrite {
  readonly job: Job
  /** What happened; absent: nothing that is told. */
  readonly events: EventRow
  /** The limits under which tasks are claimed or stopping in `job` that were not in the record that it was made from. */
  readonly limits?: readonly KeyLimit[]
}

/** How many tasks of a key may be claimed or stopping, those of the row that is written included. */
export interface KeyLimit {
  readonly key: string
  readonly concurrency: number
}

/** One write of a changeset. */
export type Write =
  /** `stepsOf` is a job whose tree's recorded steps are copied to the new one. */
  | ({ readonly op: 'insert'; readonly queuedMax?: number; readonly stepsOf?: string } & JobWrite)
  /** `before` is the record that `job` was made from; tasks that are the same object in both are unchanged. */
  | ({ readonly op: 'update'; readonly before: Job } & JobWrite)
  /** A look at a job: a `conflict` unless its stored revision is this one. */
  | { readonly op: 'expect'; readonly jobId: string; readonly revision: number }
  | { readonly op: 'note'; readonly jobId: string; readonly token: number; readonly note: Note }
  /** Lines that a job's own move wrote; keyed as those of a note. */
  | { readonly op: 'log'; readonly jobId: string; readonly key: string; readonly lines: readonly NewLine[] }
  | { readonly op: 'append'; readonly events: EventRow }
  | PipelineWrite

/** A look at a pipeline, or a change of it: a `conflict` unless it stands as it was read. */
export interface PipelineWrite {
  readonly op: 'pipeline'
  readonly tenant: string
  readonly id: string
  /** The stored one; 0: there is none. */
  readonly revision: number
  /** Takes its place; null: it goes; absent: it stays. */
  readonly after?: Pipeline | null
}

/** What a running attempt reports beside the chart. */
export type Note =
  | { readonly kind: 'progress'; readonly progress: StampedProgress }
  | { readonly kind: 'log'; readonly key: string; readonly lines: readonly NewLine[] }
  /** The first record of a name stays. */
  | {
      readonly kind: 'step'
      readonly invoke: string
      readonly ordinal: number
      readonly name: string
      readonly result?: Json
    }
  /** `max` is how many items the job may have. */
  | { readonly kind: 'item'; readonly invocation: number; readonly item: Item; readonly max: number }

/** A line before it is numbered. */
export interface NewLine {
  /** Milliseconds UTC. */
  readonly at: number
  readonly text: string
  /** Of a program's output, where it was written to. */
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

/** Which items are read. */
export interface ItemQuery {
  readonly after: number
  readonly limit: number
  readonly status?: ItemStatus
}

/** What was recorded under one invocation. */
export interface Recorded {
  readonly jobId: string
  readonly invocation: number
  readonly count: number
}

/** A row of events that a changeset has written. */
export interface WrittenRow {
  readonly events: EventRow
  /** The first event's number. */
  readonly sequence: number
}

/** What became of a commit. */
export interface Commit {
  /** Of each changeset, in their order. */
  readonly results: readonly ChangesetResult[]
  readonly claimed: readonly Claimed[]
}

/** What became of a changeset. */
export type ChangesetResult =
  | {
      readonly status: 'applied'
      /** Its rows of events, in the order in which they stand in the log. */
      readonly rows: readonly WrittenRow[]
    }
  | { readonly status: 'conflict' }
  | { readonly status: 'stale' }
  /** A limit, or a bound of a queue, that one of its writes carries is reached. */
  | { readonly status: 'full' }
  | { readonly status: 'slot-taken'; readonly by: string | undefined }
  | { readonly status: 'duplicate'; readonly id: string }
  /** Another job holds the unique key. */
  | { readonly status: 'not-unique'; readonly by: string }

/** A version of a job type. */
export interface TypeKey {
  readonly type: string
  readonly version: string
}

/** The shape of a version's chart. */
export interface KeptChart extends TypeKey {
  /** Equal for charts of one shape. */
  readonly hash: string
}

/** Where a ready task waits: claims search one route at a time, and of tasks with a limit, one key of it at a time. */
export interface Route extends TypeKey {
  readonly executor: string
  /** How many tasks of one key may be claimed or stopping, by the name (`src`) of the task; absent: any number. */
  readonly limits?: ReadonlyMap<string, number>
}

/** Which ready tasks a commit claims, and what becomes of them. */
export interface Claim {
  /** The id under which its rows of events are stored: {@link StorageConnection.landed}. */
  readonly id: string
  readonly routes: readonly Route[]
  readonly at: number
  /** How many tasks of each executor are claimed at most; none of one that is not named. */
  readonly room: ReadonlyMap<string, number>
  /** Pure and synchronous: called inside the transaction, once for each task that is picked. */
  readonly decide: (ready: ReadyTask) => ClaimDecision
}

/** A task that may be claimed. */
export interface ReadyTask {
  readonly job: Job
  readonly task: Task
  /** The jobs of its tree, as `load` gives them. */
  readonly tree: (id: string) => Job | undefined
}

/** `claim` writes them as one changeset; `leave` leaves the task where it is; `stop` claims nothing more. */
export type ClaimDecision =
  | { readonly kind: 'claim'; readonly writes: readonly Write[] }
  | { readonly kind: 'leave' | 'stop' }

/** A claimed task. */
export interface Claimed {
  /** As it was written. */
  readonly job: Job
  readonly invocation: number
  /** The rows of events that the claim wrote. */
  readonly rows: readonly WrittenRow[]
}

/** What a tick wants to know. */
export interface LoadQuery {
  /** Ids of jobs, which are given with their trees. */
  readonly jobs: readonly string[]
  /** Pipelines whose slot and next run are given. */
  readonly pipelines: readonly PipelineKey[]
  /** Of which types a waiting job may be the next, and by when it may start. */
  readonly types: readonly TypeKey[]
  readonly at: number
}

/** A pipeline's name. */
export interface PipelineKey {
  readonly tenant: string
  readonly id: string
}

/** What a tick knows. */
export interface Loaded {
  /**
   * A job that was asked for, or one of its tree; undefined: there is none. Decoded when it is asked for.
   *
   * @throws {JobchartError} `JOB_UNREADABLE` its record cannot be decoded.
   */
  readonly job: (id: string) => Job | undefined
  /** A pipeline that was asked for. */
  readonly turn: (key: PipelineKey) => Turn
}

/** Who has a pipeline's slot, and who is next. */
export interface Turn {
  readonly holder?: string
  readonly next?: Job
}

/** Which jobs are listed. Each field narrows. */
export interface JobFilter {
  /** Any of these; their `redact` is not read. */
  readonly scopes: readonly Scope[]
  readonly type?: string
  /** Only the jobs that this one's chart invoked; null: only jobs that no other's chart invoked. */
  readonly parentId?: string | null
  readonly phase?: Phase
  /** Any of these labels. */
  readonly status?: readonly string[]
  readonly outcome?: Outcome
  readonly pipeline?: string
  readonly createdBy?: string
  readonly labels?: { readonly [name: string]: string }
  /** Milliseconds UTC, inclusive. */
  readonly createdAfter?: number
  /** Milliseconds UTC, exclusive. */
  readonly createdBefore?: number
}

/** What jobs are counted by. */
export type CountedField = 'status' | 'type' | 'phase' | 'outcome'

/** Which pipelines are listed. Each field narrows. */
export interface PipelineFilter {
  /** Any of these; a scope's `pipeline` is the pipeline's id. */
  readonly scopes: readonly Scope[]
  readonly type?: string
}

/** A page: the first `limit` pipelines after `after`, by (tenant, id). */
export interface PipelinePage {
  readonly limit: number
  readonly after?: PipelineKey
}

/** Where a list goes on. */
export interface JobPosition {
  readonly createdAt: number
  readonly id: string
}

/** A page: `limit` jobs that come after `after` in the order of the list. */
export interface JobPage {
  readonly limit: number
  readonly after?: JobPosition
  /** Default `newest`: the newest first. */
  readonly order?: 'newest' | 'oldest'
}

/** A page of jobs. */
export interface FoundJobs {
  readonly jobs: readonly Job[]
  /** Where to go on; absent: there is no more. */
  readonly after?: JobPosition
}

/** Which rows of the log are read. */
export interface EventQuery {
  readonly after: number
  readonly limit: number
  readonly jobId?: string
  /** Only rows that one of these covers; their `redact` is not read. */
  readonly scopes?: readonly Scope[]
  /** Only rows that begin at or before this sequence. */
  readonly through?: number
}

/** A row of the log as stored. */
export interface StoredEvents extends EventRow {
  /** The first event's number. */
  readonly sequence: number
  /** The id of the changeset or claim that wrote it. */
  readonly changeset: string
}
