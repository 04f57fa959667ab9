import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** One start of some code, recorded before the code does anything. */
export interface Run {
  readonly job: string
  /** `handler`, or the name of a step. */
  readonly what: string
  readonly pid: number
}

/** The file of the jobs. */
export function jobsFile(folder: string): string {
  return join(folder, 'jobs.db')
}

/** The file that thaws a process. */
export function thawFile(folder: string, pid: number): string {
  return join(folder, `thaw-${pid}`)
}

/** Records that code was started. Writes of a killed process are kept; only a power cut would need a sync. */
export function noteRun(folder: string, run: Run): void {
  appendFileSync(join(folder, 'runs.txt'), `${JSON.stringify(run)}\n`)
}

/** Every start of code, in order. */
export function readRuns(folder: string): readonly Run[] {
  return linesOf(join(folder, 'runs.txt')).map((line) => JSON.parse(line) as Run)
}

/** Records on disk that a submit was acknowledged. */
export function acknowledge(folder: string, id: string): void {
  const ledger = openSync(join(folder, 'ledger.txt'), 'a')
  writeSync(ledger, `${id}\n`)
  fsyncSync(ledger)
  closeSync(ledger)
}

/** The ids of all acknowledged submits. */
export function readLedger(folder: string): readonly string[] {
  return linesOf(join(folder, 'ledger.txt'))
}

// A line without its end was being written when its process was killed, before anyone got an answer.
function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1)
  } catch {
    return []
  }
}

/** The system that the jobs work on. Only its keys prevent an effect from being made twice. */
export class Target {
  readonly #db: DatabaseSync

  constructor(folder: string) {
    this.#db = new DatabaseSync(join(folder, 'target.db'), { timeout: 60_000 })
    this.#db.exec(`
      PRAGMA journal_mode = WAL;
      CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY) STRICT;
      CREATE TABLE IF NOT EXISTS effects (job TEXT NOT NULL, step TEXT NOT NULL) STRICT`)
  }

  /** Makes the effect and stores its key in one transaction. Does nothing if the key is known. */
  apply(key: string, job: string, step: string): void {
    this.#db.exec('BEGIN IMMEDIATE')
    const { changes } = this.#db.prepare('INSERT INTO keys VALUES (?) ON CONFLICT DO NOTHING').run(key)
    if (changes === 1) this.#db.prepare('INSERT INTO effects VALUES (?, ?)').run(job, step)
    this.#db.exec('COMMIT')
  }

  /** For each job, the number of effects of each step. */
  effects(): ReadonlyMap<string, { readonly [step: string]: number }> {
    const rows = this.#db.prepare('SELECT job, step, count(*) AS times FROM effects GROUP BY job, step').all()
    const byJob = Map.groupBy(rows, ({ job }) => String(job))
    return new Map(
      [...byJob].map(([job, own]) => [job, Object.fromEntries(own.map(({ step, times }) => [step, Number(times)]))]),
    )
  }

  close(): void {
    this.#db.close()
  }
}
