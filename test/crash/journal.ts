import { openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** A process's own records. Writes of a killed process are kept; only a power cut would need a sync. */
export type Entry =
  | { readonly did: 'open' }
  /** Code of a task was started, or has ended, under a token. */
  | { readonly did: 'start'; readonly job: string; readonly task: string; readonly token: number }
  | { readonly did: 'end'; readonly job: string; readonly task: string; readonly token: number }
  /** A step was run; or its result is recorded, as its caller was told. */
  | { readonly did: 'step'; readonly key: string }
  | { readonly did: 'record'; readonly key: string }
  | { readonly did: 'submit'; readonly job: string }
  /** A cancel was answered, with the job's state then. */
  | { readonly did: 'cancel'; readonly job: string; readonly status: string }
  | { readonly did: 'refuse'; readonly code: string }

/** An entry, with its process and time. */
export type Dated = Entry & { readonly pid: number; readonly at: number }

/** Milliseconds of a clock that never jumps and that all processes of a machine share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The journal of this process: a file of its own that only grows. */
export class Journal {
  readonly #file: number

  constructor(folder: string) {
    this.#file = openSync(join(folder, `journal-${process.pid}.jsonl`), 'a')
  }

  note(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify({ ...entry, pid: process.pid, at: sharedNow() })}\n`)
  }
}

/** The entries of all processes, in the order of time. */
export function readJournals(folder: string): readonly Dated[] {
  const files = readdirSync(folder).filter((name) => name.startsWith('journal-'))
  // A line without its end was being written when its process was killed.
  const lines = files.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
  return lines.map((line) => JSON.parse(line) as Dated).sort((a, b) => a.at - b.at)
}
