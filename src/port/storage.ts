import type { EventRow } from '../model/event.ts'
import type { Item, ItemStatus } from '../model/item.ts'
import type { Job, JobSummary, Phase } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Json } from '../model/storable.ts'
import type { StampedProgress, Task } from '../model/task.ts'
import type { Clock } from './clock.ts'
import type { Scope } from './policy.ts'

/**
 * Where jobs, their log of events, their lines and their recorded steps are kept.
 *
 * Writing
 * - S1 A unit is applied whole or not at all; units of one `commit` are judged each on its own, in order, each seeing
 *   those before it.
 * - S2 An update whose expected revision is not the stored one is a `conflict`, and writes nothing.
 * - S3 At most one job of a tenant's pipeline holds its slot: an index over the job rows, not a lock beside them.
 *   A write that would make it two is `slot-taken`. Within a unit slots are freed before they are taken.
 * - S4 An idempotency key is unique on (tenant, creator, type, key) as long as its job's row exists; a second insert is
 *   a `duplicate` of the first. Keys are looked at before slots.
 * - S5 A note is written only while a task of its job is held under its token, judged in the transaction that writes;
 *   else its unit is `stale`. Notes are keyed, so that repeating one is harmless.
 * - S6 Events are numbered in the transaction that writes them: `sequence` rises over the whole log, and no reader sees
 *   a number while a smaller one may still commit. Every row of events has at least one.
 * - S7 A write that asks to be claimed at once is written as claimed only if nothing that is ready on its route goes
 *   before it.
 * - S8 An error with `code: 'STORAGE_UNAVAILABLE'` means that nothing of the call was written. Any other error leaves it
 *   open, and `landed` tells.
 * Claiming
 * - S9 `claim` picks ready tasks by (priority, due, sequence), and commits what `transition` makes of them in the
 *   transaction that picked them: one task is never claimed twice under one token.
 * - S10 A task is ready when it is offered, its `availableAt` has come, and no earlier invocation of its invoke is stopping.
 * - S19 A write that would make more tasks of a limit key held or stopping than its limit says is not made: `claim` passes
 *   the task over, what asks to be claimed at once is left offered, an update is `full`. Judged in the transaction that
 *   writes, over all connections. Each is judged by its own number: two routes may share a key. A task that stands with
 *   a key, where its route names no number for it, is claimed as one without.
 * - S20 A claim walks over no rows of another route, and none of a full key. Under one route, keys that are not full go by
 *   the order of their first tasks: what waits for a full key holds up nothing else.
 * Queueing
 * - S22 An insert that carries `queuedMax` is `full` where so many jobs of its tenant and type are queued already, judged in
 *   the transaction that writes. Keys and slots are looked at before that.
 * Reading
 * - S11 What was committed is read back deep-equal, by every connection.
 * - S12 `find` shows only what one of the scopes covers, newest first by (createdAt, id), and pages by keyset: rows that
 *   come or go between two pages make no other row be skipped or repeated.
 * - S13 `due` gives what has fallen due, oldest first; `held` gives every job with a task held or stopping there.
 * - S17 A waiting job has a turn: of a pipeline's, by (priority, when it may start or was created, sequence). `nextWaiting`
 *   gives the first that is due; `admissible` gives that of each pipeline whose slot is free, and those of none.
 * - S18 A job that is written as deleted is found by its id alone, and gives its idempotency key free; once nothing of it
 *   runs, its row, lines and steps go with the write. Its events stay.
 * - S23 A job whose record cannot be decoded fails alone: `get`, and reads of its own events and steps, reject with
 *   `JOB_UNREADABLE`; claims and reads of many leave it out, and their limits count the others.
 * - S24 `head`, and `heads` of many, gives what a policy may know of a job that is not deleted, and reads nothing else of its row: neither its size
 *   nor whether its record is broken changes the answer. It takes about as long for an id that names no job.
 * - S25 `many` gives the jobs of some ids, each once and in no order, without those that are absent, deleted or broken.
 * - S26 `count` gives how many jobs `find` would page through, broken ones included.
 * - S27 `slotHolder` names the job that holds a slot; `heldUnder` counts the tasks that are held or stopping under a limit
 *   key, over all connections.
 * - S28 A read of the log that is narrowed to scopes gives only rows of jobs that one of them covers, also of jobs that are
 *   gone; one that has a `through` looks at no row that begins after it.
 * - S29 An item is kept once for each job and key: a later report of the key replaces the earlier one and keeps its number.
 *   Numbers rise from 1 in the order of the first reports. A new key beyond the note's `max` is `full`. Items go with their
 *   job's row.
 * - S30 A list, or a count, by any one filter under a scope of one creator walks over no rows that the filter leaves out,
 *   but for a number that does not grow with the storage.
 * Pipelines
 * - S21 A pipeline is written by compare-and-set on its revision, as a job is, and is read back deep-equal. A write that
 *   only looks at its revision holds for the whole unit: what comes with it is written only if the pipeline is as it was
 *   read. `pipelines` shows only what one of the scopes covers, by (tenant, id), and pages by keyset.
 * Instances
 * - S14 An instance is listed from its opening until it is forgotten, and again when it beats or claims after that. Its
 *   process's end is seen at once. It is no other for itself.
 * Opening
 * - S15 Migrations are applied once, by whoever comes first; a newer schema is refused, and nothing is changed.
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
  readonly commit: (units: readonly Changeset[]) => Promise<readonly ChangesetResult[]>
  readonly claim: (query: ClaimQuery, limit: number, transition: ClaimTransition) => Promise<readonly Claimed[]>
  readonly get: (id: string) => Promise<Job | undefined>
  /** What a policy may know of a job. */
  readonly head: (id: string) => Promise<JobSummary | undefined>
  /** The heads of at most 1,000 ids, each once and in no order. */
  readonly heads: (ids: readonly string[]) => Promise<readonly JobSummary[]>
  /** The jobs of at most 1,000 ids. */
  readonly many: (ids: readonly string[]) => Promise<readonly Job[]>
  readonly count: (filter: JobFilter) => Promise<number>
  /** The id of the job that holds a pipeline's slot. */
  readonly slotHolder: (tenant: string, pipeline: string) => Promise<string | undefined>
  /** How many tasks run under a limit key, as it stands in a task's `limitKey`. */
  readonly heldUnder: (key: string) => Promise<number>
  readonly find: (filter: JobFilter, page: JobPage) => Promise<readonly Job[]>
  /** Jobs whose `wakeAt` is at or before `at`, of the given types: at most `limit`, after the first `skip`. */
  readonly due: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  /** The waiting job of a pipeline whose turn is next, of those that may start by `at`, of the given types. */
  readonly nextWaiting: (
    types: readonly TypeKey[],
    tenant: string,
    pipeline: string,
    at: number,
  ) => Promise<Job | undefined>
  /** Waiting jobs that may be admitted by `at`: at most one of a pipeline, at most `limit`, after the first `skip`. */
  readonly admissible: (types: readonly TypeKey[], at: number, limit: number, skip: number) => Promise<readonly Job[]>
  readonly pipeline: (tenant: string, id: string) => Promise<Pipeline | undefined>
  readonly pipelines: (filter: PipelineFilter, page: PipelinePage) => Promise<readonly Pipeline[]>
  /** Jobs with a task held or stopping at the instance. */
  readonly held: (instance: string) => Promise<readonly Job[]>
  /** The rows of events that these units wrote after `sequence`, in order: none for a unit that did not land. */
  readonly landed: (units: readonly string[], sequence: number) => Promise<readonly StoredEvents[]>
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
  /** The results recorded under one invocation of an invoke. */
  readonly steps: (jobId: string, invocation: number) => Promise<ReadonlyMap<string, Json | undefined>>
  /** Keeps the charts, and gives back the versions whose kept chart is another and stays. */
  readonly register: (charts: readonly KeptChart[], mayReplace: boolean) => Promise<readonly TypeKey[]>
  /** Marks this instance as alive. */
  readonly beat: () => Promise<void>
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
  /** Changes with each of its beats. Only a change says something: the clocks of two processes may differ by anything. */
  readonly heartbeat: number
}

/** One or more writes that are committed together or not at all. */
export interface Changeset {
  /** Unique; stored with the unit's events. */
  readonly id: string
  readonly writes: readonly Write[]
}

/** A job row and what happened, in one write. */
export interface JobWrite {
  readonly job: Job
  readonly events: EventRow
  /** Written with it, and only with it. */
  readonly also?: readonly SideWrite[]
}

/** What a job's own move writes beside its row: lines of its log, and the end of recorded steps. */
export type SideWrite =
  | { readonly op: 'log'; readonly jobId: string; readonly key: string; readonly lines: readonly NewLine[] }
  | { readonly op: 'forget'; readonly jobId: string; readonly invocation: number }

/** A job row in which a task may have been claimed that has a limit. */
export interface ClaimedWrite extends JobWrite {
  readonly limit?: KeyLimit
}

/** How many tasks of a key may be held or stopping, those of the row that is written included. */
export interface KeyLimit {
  readonly key: string
  readonly concurrency: number
}

/** One write of a unit. */
export type Write =
  | ({ readonly op: 'insert'; readonly claimed?: ClaimedWrite; readonly queuedMax?: number } & JobWrite)
  | ({ readonly op: 'update'; readonly revision: number; readonly claimed?: ClaimedWrite } & ClaimedWrite)
  | { readonly op: 'note'; readonly jobId: string; readonly token: number; readonly note: Note }
  | { readonly op: 'append'; readonly events: EventRow }
  | PipelineWrite
  | SideWrite

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
  | { readonly kind: 'step'; readonly invocation: number; readonly name: string; readonly result?: Json }
  /** `max` is how many keys the job may have. */
  | { readonly kind: 'item'; readonly item: Item; readonly max: number }

/** A line before it is numbered. */
export interface NewLine {
  /** Milliseconds UTC. */
  readonly at: number
  readonly text: string
}

/** A line of a job's log; numbers rise from 1. */
export interface LogLine extends NewLine {
  readonly number: number
}

/** An item as stored; numbers rise from 1. */
export interface StoredItem extends Item {
  readonly number: number
}

/** Which items are read. */
export interface ItemQuery {
  readonly after: number
  readonly limit: number
  readonly status?: ItemStatus
}

/** A row of events that a unit has written. */
export interface WrittenRow {
  readonly events: EventRow
  /** The first event's number. */
  readonly sequence: number
  /** The job was written as claimed. */
  readonly claimed: boolean
}

/** What became of a unit. */
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
  /** How many tasks of one key may be held or stopping, by the name (`src`) of the task; absent: any number. */
  readonly limits?: ReadonlyMap<string, number>
}

/** Whose ready tasks are picked. */
export interface ClaimQuery {
  readonly routes: readonly Route[]
  readonly at: number
}

/**
 * Makes the claimed job of a ready one. `leave` leaves it where it is and goes on; `stop` ends the claim with what was
 * claimed so far. Pure and synchronous.
 */
export type ClaimTransition = (job: Job, task: Task) => JobWrite | 'leave' | 'stop'

/** A claimed task. */
export interface Claimed {
  readonly job: Job
  readonly events: EventRow
  readonly invocation: number
  readonly sequence: number
}

/** Which jobs are listed. Each field narrows. */
export interface JobFilter {
  /** Any of these; their `redact` is not read. */
  readonly scopes: readonly Scope[]
  readonly type?: string
  /** Only the jobs that this one's chart invoked; null: only jobs that no other's chart invoked. */
  readonly parentId?: string | null
  readonly phase?: Phase
  readonly status?: string
  readonly pipeline?: string
  readonly createdBy?: string
  readonly labels?: { readonly [name: string]: string }
}

/** Which pipelines are listed. Each field narrows. */
export interface PipelineFilter {
  /** Any of these; a scope's `pipeline` is the pipeline's id. */
  readonly scopes: readonly Scope[]
  readonly type?: string
}

/** A page: the first `limit` pipelines after `after`, by (tenant, id). */
export interface PipelinePage {
  readonly limit: number
  readonly after?: { readonly tenant: string; readonly id: string }
}

/** A page: the newest `limit` jobs that come after `after` in the order of the list. */
export interface JobPage {
  readonly limit: number
  readonly after?: { readonly createdAt: number; readonly id: string }
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
  readonly unit: string
}
