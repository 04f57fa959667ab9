/** How the child of the crash tests is started: its one argument, as JSON. */
export interface LifeOptions {
  /** Where the jobs, the target and the ledger lie. */
  readonly folder: string
  /** The point at which the process says so and then stands still. */
  readonly stopAt?: string
  /** False: it submits and takes commands, and runs no task. */
  readonly work?: boolean
  readonly concurrency?: number
  readonly heartbeatMs?: number
  /** Absent: the default, never. */
  readonly deadAfterMs?: number
  /** It handles SIGINT and SIGTERM, by ending at once without a stop of its engine. */
  readonly isStoppedBySignals?: boolean
  readonly sweepMs?: number
  /** For the pauses of the load. */
  readonly seed?: number
  /** Of the storm: so many jobs are kept in flight from the start on. */
  readonly lanes?: number
}

/** What the parent tells a child. */
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
  /** Lets a job of type `wait` go on; without an id, all of them. */
  | { readonly do: 'open'; readonly id?: string }
  /** Stops its event loop, in no transaction, until its parent thaws it. */
  | { readonly do: 'freeze' }
  /** Keeps so many jobs in flight; `jobs` ends it after so many, else it goes on until the process is killed. */
  | { readonly do: 'load'; readonly name: string; readonly lanes: number; readonly jobs?: number }
  /** Says why the job stands where it stands, and how many engines are silent. */
  | { readonly do: 'explain'; readonly id: string }
  /** Runs what is there, stops the engine and exits. */
  | { readonly do: 'finish' }

/** The job types of the crash tests. */
export type JobName = 'deliver' | 'wait' | 'poison' | 'compute'

/** What a child says on its standard output: where it is, and what belongs to that. */
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
