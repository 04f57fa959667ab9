/** Options of the child of the crash tests: its one argument, as JSON. */
export interface LifeOptions {
  /** Folder of the jobs, the target and the ledger. */
  readonly folder: string
  /** The point at which the process prints its place and blocks. */
  readonly stopAt?: string
  /** False: it submits and takes commands, and runs no task. */
  readonly work?: boolean
  readonly concurrency?: number
  readonly heartbeatMs?: number
  /** Absent: the default, never. */
  readonly deadAfterMs?: number
  /** Whether it handles SIGINT and SIGTERM, by exiting at once without stopping its engine. */
  readonly isStoppedBySignals?: boolean
  readonly sweepMs?: number
  /** Seed for the pauses of the load. */
  readonly seed?: number
  /** For the storm: number of jobs to keep in flight from the start on. */
  readonly lanes?: number
}

/** Messages of the parent to a child. */
export type Command =
  | {
      readonly do: 'submit'
      readonly type: JobName
      readonly input: { readonly [field: string]: unknown }
      readonly pipeline?: string
      readonly key?: string
      readonly priority?: number
    }
  | { readonly do: 'cancel'; readonly id: string }
  /** Lets a job of type `wait` continue; without an id, all such jobs. */
  | { readonly do: 'open'; readonly id?: string }
  /** Blocks its event loop, in no transaction, until its parent thaws it. */
  | { readonly do: 'freeze' }
  /**
   * Keeps this many jobs in flight. With `jobs` it ends after that many, otherwise it continues until the process is
   * killed.
   */
  | { readonly do: 'load'; readonly name: string; readonly lanes: number; readonly jobs?: number }
  /** Explains why a job does not run, and gives the number of silent engines. */
  | { readonly do: 'explain'; readonly id: string }
  /** Runs the remaining jobs, stops the engine and exits. */
  | { readonly do: 'finish' }

/** The job types of the crash tests. */
export type JobName = 'deliver' | 'wait' | 'poison' | 'compute'

/** Output of a child: its place, with details. */
export interface Announcement {
  readonly at: string
  readonly id?: string
  readonly code?: string
  readonly attempt?: number
  readonly kinds?: readonly string[]
  readonly silent?: number
}

/** The steps of a delivery, in order. */
export const STEPS = ['extract', 'transform', 'store'] as const
