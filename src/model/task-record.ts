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
 *   └── after a timeout, where retries are left
 * ```
 *
 * `inline` is transition logic: it is never claimed. `lost` waits for a report of its last attempt.
 */
export type TaskStatus = 'available' | 'claimed' | 'stopping' | 'lost' | 'inline'

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
   * Counts the invocations of this id in the job, from 1. The same id and ordinal mean the same work in a retry. For
   * spawned actors, whose ids may be arbitrary, it counts spawns instead.
   */
  readonly ordinal: number
  /** The name of the invoked logic. */
  readonly src: string
  /** The name of the executor that may claim it. */
  readonly executor: string
  /** The function and its version for an executor whose code runs outside this process. */
  readonly function?: string
  readonly version?: string
  readonly input?: Json
  readonly status: TaskStatus
  /** The fencing token of the newest claim; 0 before the first. */
  readonly token: number
  /** The engine instance that has claimed it. */
  readonly holder?: string
  /** Tasks with the same key share a limit, whose number their type gives. Absent: no limit. */
  readonly limitKey?: string
  /** The earliest time at which it can be claimed. */
  readonly availableAt: number
  /** When the current attempt exceeds its `timeout`. */
  readonly deadlineAt?: number
  /** When a task that was asked to stop is given up as abandoned. Absent with `killGrace: 'never'`. */
  readonly stopBy?: number
  /**
   * Its executor can end code that ignores its stop. So the task is killed when its grace is over, and never abandoned.
   */
  readonly isKillable?: boolean
  /** A value by which its executor finds the running code, also after a restart of the engine. */
  readonly handle?: Json
  /**
   * Present while the task stops after a timeout with retries left: it becomes available again at this time or later.
   */
  readonly again?: number
  /** The number of the current or last attempt; counted at its claim. */
  readonly attempt: number
  /** All claims, including those that were given back. */
  readonly claims: number
  /** Attempts in a row that crashed their process, with no new step or item recorded between them. */
  readonly crashes: number
  /** All lost attempts. They do not count as failures. */
  readonly losses: number
  /** How many steps and items this invocation had recorded at the last crash. */
  readonly steps: number
  /** Messages for the task; each later attempt gets them again. */
  readonly inbox: readonly Json[]
  /** True: the chart wants an event for each snapshot of this child (`onSnapshot` or `syncSnapshot`). */
  readonly sync?: boolean
  readonly systemId?: string
  /**
   * The id of the child job, if the invoked logic is a machine. The task is claimed until the child settles, then
   * stopping until the child's own tasks have stopped.
   */
  readonly child?: string
  /** The state of transition logic (status `inline`). */
  readonly snapshot?: Json
}

/** Progress of a job. All counts are at least 0. */
export interface Progress {
  readonly completed: number
  readonly failed: number
  /** 0 once the attempt that reported it has ended. */
  readonly running: number
  /** Absent: not reported. */
  readonly total?: number
}

/** Progress as stored with its job. */
export interface StampedProgress extends Progress {
  /** When it was reported, in milliseconds UTC. */
  readonly at?: number
  /** The token of the attempt that reported it. */
  readonly token?: number
}

/** Progress without its time and token. */
export function countsOf({ completed, failed, running, total }: StampedProgress): Progress {
  return { completed, failed, running, ...(total === undefined ? {} : { total }) }
}
