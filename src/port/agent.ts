import type { AgentFunction } from '../model/agent.ts'
import type { BatchPiece, BatchStart, RecordedItem } from '../model/batch-piece.ts'
import type { ItemReport } from '../model/item.ts'
import type { ProgressReport } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream, Progress } from '../model/task.ts'
import type { TaskJob } from '../model/task-job.ts'
import type { Duration } from '../model/time.ts'
import type { TaskMessage } from './executor.ts'

/**
 * The calls of an agent to its engine. In the engine's process, `session.agents` of an agent's session is such a
 * transport. Others carry the same calls over a wire: all values are JSON, and errors keep their `code` and message.
 *
 * - AG1 Every report names the claim: the job and the token. A report under a token that is no longer valid, or whose
 *   lease has ended, changes nothing and fails with `STALE_CLAIM`.
 * - AG2 `claim` gives each task to one agent, and only tasks that the agent is able to run and that are assigned to no
 *   other. With `wait` it resolves as soon as it has at least one task, or with none when the time is over.
 * - AG3 A claim lasts for `leaseMs` from the claim and from each `heartbeat` that names it. After that the task is lost.
 * - AG4 `heartbeat` says of each claim what the agent must do. With `wait` it resolves at once if it has something to
 *   say that the agent does not know.
 * - AG5 What the job's chart does not take now fails with `INVALID_STATE`. Nothing changes, and the claim stays valid.
 * - AG6 Calls of one agent take effect in the order in which they are made, if each is made after the answer of the one
 *   before.
 * - AG7 An aborted `signal` ends a waiting call. Tasks that the call would have brought are given back.
 */
export interface AgentTransport {
  /**
   * Says which functions the agent has. Called at each start; it may be called again with other values.
   *
   * @throws {JobchartError} `FORBIDDEN` the agent was revoked, or may not join a pool; `INVALID_INPUT`.
   */
  readonly register: (registration: AgentRegistration, options?: AgentCallOptions) => Promise<RegisteredAgent>
  /**
   * Claims tasks.
   *
   * @throws {JobchartError} `FORBIDDEN` the agent is not registered, was revoked, or may not run the task of `job`;
   *   `JOB_NOT_FOUND`; `INVALID_STATE` no task of `job` can be claimed now.
   */
  readonly claim: (options?: ClaimOptions, callOptions?: AgentCallOptions) => Promise<readonly ClaimedTask[]>
  /** Renews the leases of the named claims, and returns what the agent must do. */
  readonly heartbeat: (beat: Heartbeat, options?: AgentCallOptions) => Promise<HeartbeatAnswer>
  /** Reports that the code runs now. The `timeout` of the attempt counts from here. */
  readonly started: (claim: ClaimKey) => Promise<void>
  readonly progress: (claim: ClaimKey, report: ProgressReport | number) => Promise<void>
  /**
   * Adds lines to the job's log: at most 1,000. `number`: a whole number, 1 or more, that no other call under this claim
   * has. A call with a number may be repeated: its lines are added once.
   */
  readonly log: (claim: ClaimKey, lines: readonly AgentLine[], number?: number) => Promise<void>
  /** Records the result of one part of the work. */
  readonly item: (claim: ClaimKey, key: string, report?: ItemReport) => Promise<void>
  /** Writes items of a batch: at most 1,000 new ones and 1,000 ends. The last piece has `isLast`. */
  readonly items: (claim: ClaimKey, piece: BatchPiece) => Promise<void>
  /** The recorded items of a batch whose indexes are in a range of at most 1,000, by index. */
  readonly recordedItems: (
    claim: ClaimKey,
    range: { readonly from: number; readonly to: number },
  ) => Promise<readonly RecordedItem[]>
  /** Which of these keys of items, at most 1,000, are recorded in this batch, with the index of the item. */
  readonly itemKeys: (
    claim: ClaimKey,
    keys: readonly string[],
  ) => Promise<readonly { readonly key: string; readonly index: number }[]>
  /** Records the result of a step. */
  readonly step: (claim: ClaimKey, name: string, result?: Json) => Promise<void>
  /** Sends an event to the job's chart. @throws {JobchartError} `INVALID_STATE` the chart does not take it now. */
  readonly event: (claim: ClaimKey, event: TaskMessage) => Promise<void>
  /**
   * Ends the task with its output.
   *
   * @throws {JobchartError} `INVALID_STATE` the chart does not take the end now, or the task is a batch whose last piece
   *   was not written.
   */
  readonly done: (claim: ClaimKey, output?: Json) => Promise<void>
  /** Ends the attempt with an error. `isFinal`: the task is not retried. */
  readonly fail: (claim: ClaimKey, error: Json, options?: { readonly isFinal?: boolean }) => Promise<void>
  /** Ends the task with the exit code of a program: 0 is success. `message` says why, for any other code. */
  readonly exit: (claim: ClaimKey, exitCode: number, options?: { readonly message?: string }) => Promise<void>
  /** Gives the task back. The attempt is not counted. */
  readonly release: (claim: ClaimKey) => Promise<void>
}

/** Options of a call of an agent. */
export interface AgentCallOptions {
  readonly signal?: AbortSignal
}

/** What an agent says of itself. */
export interface AgentRegistration {
  /** A name for people. Default: the agent's id. */
  readonly name?: string
  readonly pools?: readonly string[]
  readonly functions: readonly AgentFunction[]
}

/** The answer to a registration. */
export interface RegisteredAgent {
  readonly id: string
  readonly name: string
  readonly pools: readonly string[]
  /** How long a claim lasts without a heartbeat, in milliseconds. */
  readonly leaseMs: number
}

/** Which tasks to claim. */
export interface ClaimOptions {
  /** At most so many: 1 to 100. Default 1. */
  readonly max?: number
  /** How long to wait for the first task: at most 60 s. Default: no waiting. */
  readonly wait?: Duration
  /** Claims a task of this job, and no other. */
  readonly job?: string
}

/** Names a claim: the job, and the token of the attempt. */
export interface ClaimKey {
  readonly job: string
  readonly token: number
}

/** A task that an agent has claimed. */
export interface ClaimedTask {
  readonly job: TaskJob
  readonly token: number
  /** The id of the invoke that asked for the task. */
  readonly task: string
  readonly function: string
  readonly version?: string
  readonly input?: Json
  /** The number of the attempt: 1 for the first. */
  readonly attempt: number
  /** A key for external services, the same in every attempt of this invocation. */
  readonly idempotencyKey: string
  /** The progress that an earlier attempt recorded. */
  readonly reported?: Progress
  /** True: the code should begin nothing new (`task.drain`). */
  readonly draining?: true
  /** For a batch: how far earlier attempts came. */
  readonly batch?: BatchStart
  /** The results of the steps that earlier attempts recorded. */
  readonly steps: readonly { readonly name: string; readonly result?: Json }[]
  /** How long the code may go on after it was told to stop, in milliseconds. Null: no limit. */
  readonly killGraceMs: number | null
  /** How long the claim lasts without a heartbeat, in milliseconds. */
  readonly leaseMs: number
}

/**
 * What the agent must do with a claim.
 *
 * - `held`: go on.
 * - `stopping`: the code should stop, and the agent should report the end.
 * - `killing`: the code's time to stop is over. End it by force, and report the end.
 * - `gone`: the claim is no longer valid. Stop the code; no report counts any more.
 */
export type ClaimState = 'held' | 'stopping' | 'killing' | 'gone'

/** A line for the job's log. */
export interface AgentLine {
  readonly text: string
  readonly stream?: LineStream
}

/** A heartbeat. */
export interface Heartbeat {
  /** The claims that the agent holds. Claims that it does not name are not renewed. */
  readonly claims: readonly HeldClaim[]
  /** How long to wait for news: at most a third of the lease is waited. Default: no waiting. */
  readonly wait?: Duration
}

/** A claim in a heartbeat, and what the agent knows of it. */
export interface HeldClaim extends ClaimKey {
  /** How many messages of the chart the agent has. Default 0. */
  readonly messages?: number
  /** The state that the agent knows. Default `held`. */
  readonly state?: ClaimState
}

/** The answer to a heartbeat. */
export interface HeartbeatAnswer {
  readonly leaseMs: number
  /** The named claims, in their order. */
  readonly claims: readonly ClaimAnswer[]
}

/** What the engine says of a claim. */
export interface ClaimAnswer extends ClaimKey {
  readonly state: ClaimState
  /** Why the code should stop. Present unless the state is `held`. */
  readonly reason?: { readonly code: 'TASK_STOPPED' | 'TIMEOUT' | 'STALE_CLAIM'; readonly message: string }
  /** True: the code should begin nothing new (`task.drain`). */
  readonly draining?: true
  /** The messages of the chart after those that the agent has. */
  readonly messages: readonly TaskMessage[]
}
