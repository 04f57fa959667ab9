import type { Json } from './storable.ts'

/**
 * The status of a task.
 *
 * ```
 *            claim                 its end is reported
 *  available ──────▶ claimed ──────────────────────────▶ (gone)
 *   ▲  ▲              │ │ the chart leaves the invoke, or its timeout passes
 *   │  │  loss, retry │ └──▶ stopping ── stop report, death, stopBy ──▶ (gone)
 *   │  └──────────────┘         │
 *   └── after a timeout, if retries are left
 * ```
 *
 * A task with status `inline` is transition logic: it changes together with its job and is never claimed. A task with
 * status `lost` waits for a report of its last attempt.
 */
export type TaskStatus = 'available' | 'claimed' | 'stopping' | 'lost' | 'inline'

/** Whether code of the task may be running. */
export function isRunning({ status }: { readonly status: TaskStatus }): boolean {
  return status === 'claimed' || status === 'stopping'
}

/** A text that names an attempt: a token is given to one attempt of its job. */
export function nameOfAttempt(jobId: string, token: number): string {
  return `${jobId}/${token}`
}

/** Outside work that a state asks for, as stored in the job's row. Times are milliseconds UTC. */
export interface Task {
  /**
   * The invoke's id. If the chart leaves an invoke and enters it again before the first code has stopped, two tasks
   * have this id: one stopping, one available.
   */
  readonly id: string
  /** The number of this invocation, unique in the job. */
  readonly invocation: number
  /**
   * Counts the invocations of this id in the job, from 1. A retry of the job finds the recorded steps of a task by id
   * and ordinal. Spawned actors may have arbitrary ids, so for them it counts all spawns of the job.
   */
  readonly ordinal: number
  /** The name of the invoked logic. */
  readonly src: string
  /** The name of the executor that runs the task. */
  readonly executor: string
  /** For an executor that runs code outside this process: the function to call, and its version. */
  readonly function?: string
  readonly version?: string
  /**
   * For a task that agents run: the queue in which it waits, see `queueOf`. Agents take tasks from the queues of their
   * functions, their pools and their own.
   */
  readonly queue?: string
  readonly input?: Json
  readonly status: TaskStatus
  /** The fencing token of the newest claim; 0 before the first claim. */
  readonly token: number
  /** The engine instance that claimed the task; or the agent, see `holderOf`. */
  readonly holder?: string
  /**
   * Tasks with the same key share a limit on how many of them run at once. Absent: no limit. The number is not stored
   * here; the job type gives it.
   */
  readonly limitKey?: string
  /** The task can be claimed from this time on. */
  readonly availableAt: number
  /** The time at which the current attempt exceeds its `timeout`. */
  readonly deadlineAt?: number
  /**
   * The end of the grace of a task that was asked to stop. If the task has not stopped by then, it is killed or
   * abandoned. Absent with `killGrace: 'never'`.
   */
  readonly stopBy?: number
  /**
   * True: the task's executor can end code that ignores a stop. Such a task is killed when its grace is over, and never
   * abandoned.
   */
  readonly isKillable?: boolean
  /**
   * A value by which the executor finds the running code, even after a restart of the engine. Example: a process group.
   */
  readonly handle?: Json
  /**
   * Present while the task stops after a timeout with retries left: it becomes available again at this time or later.
   */
  readonly again?: number
  /** The number of the current or last attempt. Raised by each claim; 0 before the first. */
  readonly attempt: number
  /** How many times the task was claimed, including claims that a stopping engine gave back. */
  readonly claims: number
  /** Attempts in a row that crashed their process, with no new step or item recorded between them. */
  readonly crashes: number
  /** How many attempts were lost. They do not count as failures. */
  readonly losses: number
  /** How many steps and items this invocation had recorded at the last crash. */
  readonly steps: number
  /** Messages for the task; each later attempt gets them again. */
  readonly inbox: readonly Json[]
  /** True: the chart asked for an event at each new snapshot of this child (`onSnapshot` or `syncSnapshot`). */
  readonly sync?: boolean
  readonly systemId?: string
  /**
   * The id of the child job, if the invoked logic is a machine. Until the child settles, the task has the status
   * `claimed`; then `stopping`, until the child's own tasks have stopped.
   */
  readonly child?: string
  /** The state of transition logic (status `inline`), or the newest value of an observable. */
  readonly snapshot?: Json
}

/** Progress of a job. All counts are at least 0. */
export interface Progress {
  readonly completed: number
  readonly failed: number
  /** How many parts are worked on now. 0 once the attempt that reported this has ended. */
  readonly running: number
  /** How many parts there are. Absent: not reported. */
  readonly total?: number
  /** How many parts were left out. Only for batches. */
  readonly skipped?: number
  /** How many parts have not begun, or wait for another attempt. Only for batches. */
  readonly waiting?: number
}

/** Progress as stored with its job. `waiting` is not stored. */
export interface StampedProgress extends Omit<Progress, 'waiting'> {
  /** When a task reported it, in milliseconds UTC. */
  readonly at?: number
  /** The token of the attempt that reported it. */
  readonly token?: number
  /** For a batch: its invocation, and the highest index of an item that has begun; see `BatchPiece`. */
  readonly invocation?: number
  readonly begun?: number
  /** For a batch: how many items up to `begun` have not ended. */
  readonly open?: number
  /** For a batch: how many items have a row. */
  readonly known?: number
  /** For a batch: the index of the item that runs alone. */
  readonly careful?: number
  /** For a batch: its last piece is stored, so the attempt may end with a success. */
  readonly isOver?: true
}

/** The counts of a progress, without its time and token. */
export function countsOf({ completed, failed, running, total, skipped, known, invocation }: StampedProgress): Progress {
  const counts = { completed, failed, running, ...(total === undefined ? {} : { total }) }
  if (invocation === undefined) return counts
  const all = total ?? known ?? 0
  return { ...counts, skipped: skipped ?? 0, waiting: Math.max(0, all - completed - failed - (skipped ?? 0) - running) }
}
