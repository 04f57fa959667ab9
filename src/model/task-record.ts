import type { Json } from './storable.ts'

/**
 * Where a task stands.
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
 * `inline` is logic that moves with its job: it is never claimed. `lost` waits for a report of its last attempt.
 */
export type TaskStatus = 'available' | 'claimed' | 'stopping' | 'lost' | 'inline'

/** A piece of outside work that a state asks for, as it stands in the job's row. Times are milliseconds UTC. */
export interface Task {
  /** The invoke's id. It stands twice while an invoke was left and entered again: once stopping, once offered. */
  readonly id: string
  /** Numbers this invocation among all of the job. */
  readonly invocation: number
  /**
   * The how-manieth invocation of its id in the job, from 1: with the id it names the same work in a retry. Of an actor that
   * the chart spawned, whose id may be any, it is the how-manieth spawn.
   */
  readonly ordinal: number
  /** The name of the invoked logic. */
  readonly src: string
  /** The executor that may take it. */
  readonly executor: string
  /** What the executor calls there, where the code is not this process's, and which version of it. */
  readonly function?: string
  readonly version?: string
  readonly input?: Json
  readonly status: TaskStatus
  /** The fencing number of the newest claim; 0 before the first. */
  readonly token: number
  /** The instance that holds it. */
  readonly holder?: string
  /** Of all tasks with this key, so many as their type says are held or stopping at once; absent: it has no limit. */
  readonly limitKey?: string
  /** Not claimable before. */
  readonly availableAt: number
  /** The present attempt's end by its `timeout`. */
  readonly deadlineAt?: number
  /** Asked to stop: the time at which it is given up as abandoned; absent with `killGrace: 'never'`. */
  readonly stopBy?: number
  /** Its executor ends code that ignores its stop: it is killed when its grace is over, and never abandoned. */
  readonly isKillable?: boolean
  /** By which its executor finds what runs, also after a restart. */
  readonly handle?: Json
  /** Stopping after a timeout, with retries left: when it has stopped it is available again, not before this time. */
  readonly again?: number
  /** The attempt that runs, or ran last; counted at its claim. */
  readonly attempt: number
  /** Claims in all, those that were given back too. */
  readonly claims: number
  /** Attempts that died with their process, one after the other, without a further step or item recorded. */
  readonly crashes: number
  /** Attempts that were lost, in all: they do not count as failures. */
  readonly losses: number
  /** Recorded steps and items of this invocation, as counted at the last crash. */
  readonly steps: number
  /** Messages for the work; given again to each later attempt. */
  readonly inbox: readonly Json[]
  /** The chart wants an event for each of its snapshots. */
  readonly sync?: boolean
  readonly systemId?: string
  /** The child job, where the invoked logic is a machine: held until it settles, stopping until its own tasks are gone. */
  readonly child?: string
  /** The state of logic that moves with the job (`inline`). */
  readonly snapshot?: Json
}

/** How far the work is. All are counts, at least 0. */
export interface Progress {
  readonly completed: number
  readonly failed: number
  /** 0 where the attempt that reported it is gone. */
  readonly running: number
  /** Absent: no report has said it. */
  readonly total?: number
}

/** Progress as it is stored with its job. */
export interface StampedProgress extends Progress {
  /** When it was reported; milliseconds UTC. */
  readonly at?: number
  /** The claim of the attempt that reported it. */
  readonly token?: number
}

/** Progress without when, and by which attempt, it was reported. */
export function countsOf({ completed, failed, running, total }: StampedProgress): Progress {
  return { completed, failed, running, ...(total === undefined ? {} : { total }) }
}
