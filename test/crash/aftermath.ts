import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, type Engine, systemClock } from '../../src/index.ts'
import type { Job, StorageConnection, StoredEvents } from '../../src/port/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { jobsFile, readLedger, readRuns, Target } from './files.ts'
import { jobTypes, type World } from './jobs.ts'

/** Everything about a job after a crash: its row, its log rows, and the starts of its code. */
export interface Trace {
  readonly job: Job
  readonly rows: readonly StoredEvents[]
  /** Number of starts of its code: `handler`, and each step. */
  readonly runs: { readonly [what: string]: number }
  /** The processes in which its handler was started, in order. */
  readonly pids: readonly number[]
  readonly effects: { readonly [step: string]: number }
}

/** Everything in a folder after every process has gone. */
export interface Aftermath {
  readonly traces: readonly Trace[]
  readonly rows: readonly StoredEvents[]
  readonly acknowledged: readonly string[]
}

const ROWS_AT_ONCE = 1_000

const types = jobTypes(untouched())

/** Job types, for an engine that submits and reads. */
export const { deliver, poison } = types

/** An engine in this process that submits and reads. It runs no tasks and takes over nothing. */
export async function observer(folder: string): Promise<Engine> {
  const storage = sqliteStorage(jobsFile(folder))
  return await createEngine({ jobs: Object.values(types), storage, work: false, sweep: '1h' })
}

/** Reads the rest through the storage port and from the files of the target. */
export async function aftermath(folder: string): Promise<Aftermath> {
  const target = new Target(folder)
  try {
    return await reading(folder, (connection) => foundBy(connection, folder, target))
  } finally {
    target.close()
  }
}

async function foundBy(connection: StorageConnection, folder: string, target: Target): Promise<Aftermath> {
  const rows = await readLog(connection)
  const effects = target.effects()
  const runs = Map.groupBy(readRuns(folder), ({ job }) => job)
  const rowsByJob = Map.groupBy(rows, ({ jobId }) => jobId)
  const traces: Trace[] = []
  for (const [id, own] of rowsByJob) {
    const job = await connection.get(id)
    if (job === undefined) throw new Error(`job "${id}" has events and no row`)
    const started = runs.get(id) ?? []
    traces.push({
      job,
      rows: own,
      runs: counts(started.map(({ what }) => what)),
      pids: started.filter(({ what }) => what === 'handler').map(({ pid }) => pid),
      effects: effects.get(id) ?? {},
    })
  }
  return { traces, rows, acknowledged: readLedger(folder) }
}

/** The whole log, read without an engine. */
export function rowsOf(folder: string): Promise<readonly StoredEvents[]> {
  return reading(folder, readLog)
}

/** The lines of a job's log. */
export async function linesOf(folder: string, id: string): Promise<readonly string[]> {
  const lines = await reading(folder, (connection) => connection.logs(id, 0, ROWS_AT_ONCE))
  return lines.map(({ text }) => text)
}

async function readLog(connection: StorageConnection): Promise<readonly StoredEvents[]> {
  const rows: StoredEvents[] = []
  for (let after = 0; ; ) {
    const page = await connection.events({ after, limit: ROWS_AT_ONCE })
    rows.push(...page)
    const last = page.at(-1)
    if (last === undefined) return rows
    after = last.sequence + last.events.length - 1
  }
}

async function reading<Result>(
  folder: string,
  read: (connection: StorageConnection) => Promise<Result>,
): Promise<Result> {
  const connection = await sqliteStorage(jobsFile(folder)).open({ clock: systemClock(), instance: 'reader' })
  try {
    return await read(connection)
  } finally {
    await connection.forget('reader')
    await connection.close()
  }
}

/** Faults of the log and the rows; empty if there are none. */
export function faultsOf({ traces, rows, acknowledged }: Aftermath): readonly string[] {
  const faults: string[] = []
  let last = 0
  for (const { sequence, events } of rows) {
    if (sequence <= last) faults.push(`sequence ${sequence} comes after ${last}`)
    last = sequence + events.length - 1
  }
  for (const trace of traces) faults.push(...faultsOfJob(trace).map((fault) => `${trace.job.id}: ${fault}`))
  const known = new Set(traces.map(({ job }) => job.id))
  for (const id of acknowledged) if (!known.has(id)) faults.push(`${id} was acknowledged and is lost`)
  return faults
}

function faultsOfJob({ job, rows }: Trace): readonly string[] {
  const faults: string[] = []
  const history = rows.filter(({ jobSequence }) => jobSequence > 0)
  const numbers = history.flatMap(({ jobSequence, events }) => events.map((_, index) => jobSequence + index))
  if (numbers.some((number, index) => number !== index + 1)) faults.push(`its history has a gap: ${numbers}`)
  if (numbers.length !== job.eventCount) faults.push(`it counts ${job.eventCount} events and has ${numbers.length}`)
  const labels = history.flatMap(({ events }) => events.flatMap((event) => ('to' in event ? [event.to] : [])))
  if (labels.at(-1) !== job.status) faults.push(`it is ${job.status}, and its history ends as ${labels.at(-1)}`)
  if (job.phase === 'settled' && job.tasks.length > 0) faults.push('it is settled, and its tasks are left')
  if ((job.phase === 'settled') !== (job.endedAt !== undefined)) faults.push('its end has no time, or its time no end')
  // An attempt may begin only after the attempt before it has ended.
  const turns = history.flatMap(({ events }) => events.map(({ type }) => type)).filter((type) => /^task\./.test(type))
  const doubled = turns.some((type, index) => type === 'task.started' && turns[index - 1] === 'task.started')
  if (doubled) faults.push(`an attempt began beside another: ${turns}`)
  return faults
}

/** The numbers of the attempts that were started. */
export function attemptsOf({ rows }: Trace): readonly number[] {
  return rows.flatMap(({ events }) => events.flatMap((each) => (each.type === 'task.started' ? [each.attempt] : [])))
}

/** Number of attempts that were lost with their process. */
export function lossesOf({ rows }: Trace): number {
  return rows.flatMap(({ events }) => events).filter(({ type }) => type === 'task.lost').length
}

/** Files of locks that engines have left. */
export function locksLeft(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => name.includes('-instance-'))
}

/** SQLite's own check of both files. */
export function integrityOf(folder: string): readonly unknown[] {
  return ['jobs.db', 'target.db'].map((name) => {
    const db = new DatabaseSync(join(folder, name), { readOnly: true })
    const said = db.prepare('PRAGMA integrity_check').get()?.integrity_check
    db.close()
    return said
  })
}

function counts(names: readonly string[]): { readonly [name: string]: number } {
  const found: { [name: string]: number } = {}
  for (const name of names) found[name] = (found[name] ?? 0) + 1
  return found
}

function untouched(): World {
  const refuse = () => {
    throw new Error('the observer runs no task')
  }
  const effects = { ran: refuse, reach: refuse, applyEffect: refuse, pause: refuse, say: refuse, opened: refuse }
  return { ...effects, die: refuse, compute: refuse }
}
