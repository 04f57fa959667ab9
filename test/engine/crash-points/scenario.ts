import type { AnyJobType } from 'jobchart'
import type { HostOptions } from '../bench.ts'
import type { Code, Life } from './life.ts'

/** What a client does. It may be done again by another client that does not know how far the first one came. */
export type Script = (life: Life) => Promise<void>

/** Something that engines do every day, whose every call to the storage is a point to crash at. */
export interface Scenario {
  readonly name: string
  /** The job types of one process; of one that came before, where the versions differ. */
  readonly jobs: (code: Code, isBefore: boolean) => readonly AnyJobType[]
  readonly options?: Partial<Omit<HostOptions, 'jobs'>>
  /** Processes that lived before, each killed at the end of its script. */
  readonly before?: readonly Script[]
  readonly script: Script
  /** For each key that was submitted under, where its job may end. */
  readonly ends: { readonly [key: string]: readonly string[] }
  /** How many jobs there are in the end, where jobs follow each other. */
  readonly total?: number
  /** Where a job may stay for as long as its client is gone. */
  readonly waits?: readonly string[]
  /** Its code runs on until a client says something. */
  readonly isPatient?: boolean
  /** Another engine works on the disk all the time; nobody else comes when the first dies. */
  readonly isBeside?: boolean
}
