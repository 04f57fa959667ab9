import type { AnyJobType } from 'jobchart'
import type { HostOptions } from '../bench.ts'
import type { Code, Life } from './life.ts'

/** The calls of a client. Another client may repeat them without knowing how far the first one came. */
export type Script = (life: Life) => Promise<void>

/** An everyday use of engines. Every call of it to the storage is a point to crash at. */
export interface Scenario {
  readonly name: string
  /** The job types of one process. An earlier process may have other versions. */
  readonly jobs: (code: Code, isBefore: boolean) => readonly AnyJobType[]
  readonly options?: Partial<Omit<HostOptions, 'jobs'>>
  /** Earlier processes, each killed at the end of its script. */
  readonly before?: readonly Script[]
  readonly script: Script
  /** For each submitted key, the states in which its job may end. */
  readonly ends: { readonly [key: string]: readonly string[] }
  /** Number of jobs at the end, if there are follow-ups. */
  readonly total?: number
  /** States in which a job may stay if its client is gone. */
  readonly waits?: readonly string[]
  /** Its code runs until a client sends a command. */
  readonly isPatient?: boolean
  /** Another engine works on the disk all the time, so no other process is started after the death of the first. */
  readonly isBeside?: boolean
}
