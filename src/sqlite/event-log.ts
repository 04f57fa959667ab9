import type { SQLInputValue } from 'node:sqlite'
import { withoutPayload } from '../model/erased-events.ts'
import { jobUnreadable } from '../model/error.ts'
import type { Actor, EventRow } from '../model/event.ts'
import { isCovered } from '../model/scope.ts'
import type { Json } from '../model/storable.ts'
import type { Scope } from '../port/policy.ts'
import type { EventQuery, StoredEvents } from '../port/storage.ts'
import { eventsOfRecord, eventsRecordOf } from './event-record.ts'
import { labelsIn, labelsText } from './json-text.ts'
import type { Names } from './names.ts'
import { asksForLabels, type Condition, scopeCondition } from './scope-condition.ts'
import { type Prepare, PreparedTexts, type Row, type Statement } from './statement.ts'

const INSERTED = 'sequence, job, count, job_sequence, at, by, origin, changeset, events, inputs'
const WIDTH = INSERTED.split(', ').length
/** How many rows one INSERT statement writes. */
const TOGETHER = 20

const READ = `
  events.sequence, events.job_sequence, events.at, events.by, events.origin, events.changeset, events.events,
  events.inputs, coalesce(jobs.id, gone.id), coalesce(jobs.tenant, gone.tenant),
  coalesce(jobs.created_by, gone.created_by), coalesce(kinds.type, gone.type), coalesce(jobs.pipeline, gone.pipeline),
  coalesce(jobs.labels, gone.labels), coalesce(jobs.assignee, gone.assignee)`
/** The index of the tenant in a row of `READ`. The columns from there on describe the job of the row. */
const ABOUT = 9
// The tenant, type and other facts of a row's job are stored once: in the job's row, or, after that row was removed, in
// `gone`.
const FROM = `
  events LEFT JOIN jobs ON jobs.n = events.job LEFT JOIN kinds ON kinds.code = jobs.kind
  LEFT JOIN gone ON gone.n = events.job`

/** The facts about a job that the log still needs after the job's row was removed. */
type GoneJob = Pick<EventRow, 'jobId' | 'tenant' | 'createdBy' | 'assignee' | 'jobType' | 'pipeline' | 'labels'>

/**
 * The event log: one row for the events of one write of a job.
 *
 * Rows are numbered and collected during a transaction, and written together at its end.
 */
export class EventLog {
  readonly #names: Names
  readonly #readSequence: Statement
  readonly #writeSequence: Statement
  readonly #insertOne: Statement
  readonly #insertMany: Statement
  readonly #landed: Statement
  readonly #numbersOf: Statement
  readonly #goneNumber: Statement
  readonly #goneOf: Statement
  readonly #putGone: Statement
  readonly #eventsOf: Statement
  readonly #erase: Statement
  readonly #removeSome: Statement
  readonly #hasRows: Statement
  readonly #dropGone: Statement
  readonly #queries: PreparedTexts
  #pending: SQLInputValue[] = []
  #erased: number[] = []
  #first = 0
  #next = 0
  #origin: { readonly text: string; readonly code: number } | undefined
  #actor: (Actor & { readonly code: number }) | undefined
  #told: { readonly events: EventRow['events']; readonly text: string } | undefined

  constructor(prepare: Prepare, names: Names) {
    const row = `(${INSERTED.split(', ')
      .map(() => '?')
      .join(', ')})`
    const rows = Array.from({ length: TOGETHER }, () => row).join(', ')
    this.#names = names
    this.#readSequence = prepare(`SELECT value FROM meta WHERE name = 'sequence'`)
    this.#writeSequence = prepare(`UPDATE meta SET value = ? WHERE name = 'sequence'`)
    this.#insertOne = prepare(`INSERT INTO events (${INSERTED}) VALUES ${row}`)
    this.#insertMany = prepare(`INSERT INTO events (${INSERTED}) VALUES ${rows}`)
    this.#landed = prepare(`
      SELECT ${READ} FROM ${FROM}
      WHERE events.sequence > ? AND (events.origin, events.changeset) IN (
        SELECT value ->> 0, value ->> 1 FROM json_each(?)) ORDER BY events.sequence`)
    this.#numbersOf = prepare(`SELECT n FROM gone WHERE id = ? UNION ALL SELECT n FROM jobs WHERE id = ?`)
    this.#goneNumber = prepare(`SELECT n FROM gone WHERE id = ? ORDER BY n DESC LIMIT 1`)
    this.#goneOf = prepare(`
      SELECT n FROM gone WHERE id = ? AND created_by = ? AND type = ? AND labels IS ? ORDER BY n DESC LIMIT 1`)
    this.#putGone = prepare(`
      INSERT INTO gone (n, id, tenant, created_by, type, pipeline, labels, assignee) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#eventsOf = prepare(`SELECT sequence, events, inputs IS NOT NULL FROM events WHERE job = ?`)
    this.#erase = prepare(`UPDATE events SET events = ?, inputs = NULL WHERE sequence = ?`)
    this.#removeSome = prepare(`
      DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE job = ? AND at < ? LIMIT ?)`)
    this.#hasRows = prepare(`SELECT EXISTS (SELECT 1 FROM events WHERE job = ?)`)
    this.#dropGone = prepare(`DELETE FROM gone WHERE n = ?`)
    this.#queries = new PreparedTexts(prepare)
  }

  /** The highest sequence number used in the file. */
  last(): number {
    return Number(this.#readSequence.get()?.[0])
  }

  /** Starts numbering rows. Call it at the beginning of a transaction that writes. */
  begin(): void {
    this.#pending = []
    this.#erased = []
    // The last transaction may have added these codes and been rolled back.
    this.#origin = undefined
    this.#actor = undefined
    this.#first = this.last()
    this.#next = this.#first + 1
  }

  /** The sequence that the next row will get. */
  get next(): number {
    return this.#next
  }

  /** Adds a row of events for the job whose row number is `n`. Returns the sequence of the first event. */
  append(n: number, row: EventRow, changeset: string): number {
    const sequence = this.#next
    const split = changeset.lastIndexOf('/') + 1
    const origin = this.#codeOfOrigin(changeset, split)
    this.#pending.push(
      sequence,
      n,
      row.events.length,
      row.jobSequence,
      row.at,
      this.#codeOfActor(row.by),
      origin,
      changeset.slice(split),
      this.#textOf(row.events),
      row.inputs.length === 0 ? null : JSON.stringify(row.inputs),
    )
    this.#next = sequence + row.events.length
    return sequence
  }

  // Caches the last text, because the writes of a commit often share one list of events.
  #textOf(events: EventRow['events']): string {
    if (this.#told?.events !== events) this.#told = { events, text: eventsRecordOf(events) }
    return this.#told.text
  }

  // The origin is the part of a changeset's id up to its last `/`. The last origin is cached, because most rows of a
  // commit have the same one. `#codeOfActor` does the same for actors.
  #codeOfOrigin(changeset: string, split: number): number {
    const last = this.#origin
    if (last !== undefined && last.text.length === split && changeset.startsWith(last.text)) return last.code
    const text = changeset.slice(0, split)
    this.#origin = { text, code: this.#names.codeOf(text) }
    return this.#origin.code
  }

  #codeOfActor({ kind, id }: Actor): number {
    const last = this.#actor
    if (last !== undefined && last.kind === kind && last.id === id) return last.code
    this.#actor = { kind, id, code: this.#names.codeOf(`${kind} ${id}`) }
    return this.#actor.code
  }

  /** The current position of the log, for `rollBack`. */
  mark(): { readonly next: number; readonly pending: number; readonly erased: number } {
    return { next: this.#next, pending: this.#pending.length, erased: this.#erased.length }
  }

  /** Removes the rows added since a mark. The caller rolls back what was written to the file since then. */
  rollBack({ next, pending, erased }: ReturnType<EventLog['mark']>): void {
    this.#next = next
    this.#erased.length = erased
    this.#origin = undefined
    this.#actor = undefined
    this.#pending.length = pending
  }

  /** Erases the payloads of a job's stored events. Rows that this transaction has collected are not changed. */
  erasePayloadsNow(n: number): void {
    for (const [sequence, text, hasInputs] of this.#eventsOf.all(n)) {
      const left = erased(String(text))
      if (left !== text || hasInputs === 1) this.#erase.run(left, Number(sequence))
    }
  }

  #flush(): void {
    const pending = this.#pending
    const together = WIDTH * TOGETHER
    let at = 0
    for (; at + together <= pending.length; at += together) this.#insertMany.run(...pending.slice(at, at + together))
    for (; at < pending.length; at += WIDTH) this.#insertOne.run(...pending.slice(at, at + WIDTH))
    this.#pending = []
  }

  /** Writes the collected rows and the last sequence. Call it at the end of a transaction that writes. */
  finish(): void {
    this.#flush()
    for (const n of this.#erased) this.erasePayloadsNow(n)
    if (this.#next > this.#first + 1) this.#writeSequence.run(this.#next - 1)
  }

  /** The row number under which events of a removed job are stored. Makes one if the job has none yet. */
  goneNumber(about: GoneJob): number {
    const known = this.#goneNumber.get(about.jobId)?.[0]
    if (typeof known === 'number') return known
    this.keepGone(this.#next, about)
    return this.#next
  }

  /** The number under which events of a pipeline are stored. Each set of facts that it had has its own number. */
  pipelineNumber(row: GoneJob): number {
    const id = subjectOf(row.tenant, row.pipeline)
    const { jobId: _, ...facts } = row
    const found = this.#goneOf.get(id, this.#names.codeOf(row.createdBy), row.jobType, labelsText(row.labels))?.[0]
    if (typeof found === 'number') return found
    this.keepGone(this.#next, { jobId: id, ...facts })
    return this.#next
  }

  /** Stores the facts about a removed job that its events need. */
  keepGone(n: number, { jobId, tenant, createdBy, assignee, jobType, pipeline, labels }: GoneJob): void {
    const names = this.#names
    const pipelineCode = pipeline === undefined ? null : names.codeOf(pipeline)
    const assigned = assignee === undefined ? null : names.codeOf(assignee)
    const [owner, creator] = [names.codeOf(tenant), names.codeOf(createdBy)]
    this.#putGone.run(n, jobId, owner, creator, jobType, pipelineCode, labelsText(labels), assigned)
  }

  /**
   * Erases the payloads of a job's events when the transaction ends. What happened, when, and by whom stays in the log.
   */
  erasePayloads(n: number): void {
    this.#erased.push(n)
  }

  /** Removes at most `limit` rows of a job that were written before `at`. Returns how many it has removed. */
  removeSome(n: number, at: number, limit: number): number {
    return Number(this.#removeSome.run(n, at, limit).changes)
  }

  /** Whether the log has rows of a job. */
  hasRows(n: number): boolean {
    return this.#hasRows.get(n)?.[0] === 1
  }

  /** Drops the facts of a removed job, when no row of the log needs them any more. */
  dropGone(n: number): void {
    this.#dropGone.run(n)
  }

  /** The rows that these changesets wrote, without those at or before the event `sequence`. */
  landed(changesets: readonly string[], sequence: number): readonly StoredEvents[] {
    const keys = changesets.flatMap((id) => {
      const split = id.lastIndexOf('/') + 1
      const origin = this.#names.knownCode(id.slice(0, split))
      return origin === undefined ? [] : [[origin, id.slice(split)]]
    })
    return keys.length === 0 ? [] : this.#landed.all(sequence, JSON.stringify(keys)).map((row) => this.#eventsIn(row))
  }

  /** Rows of the log. @throws {JobchartError} `JOB_UNREADABLE` a row of the requested job is broken. */
  read({ jobId, pipeline, limit, ...query }: EventQuery): readonly StoredEvents[] {
    const subject = pipeline === undefined ? jobId : subjectOf(pipeline.tenant, pipeline.id)
    return subject === undefined ? this.#readable(query, limit) : this.#ofSubject(subject, query, limit)
  }

  // A pipeline, and an id that was used again after its first job was removed, may have several numbers.
  #ofSubject(subject: string, query: Bounds, limit: number): readonly StoredEvents[] {
    const rows: StoredEvents[] = []
    const numbers = this.#numbersOf.all(subject, subject)
    for (const [n] of numbers) {
      for (const row of taken(this.#rows(Number(n), query), limit)) {
        try {
          rows.push(this.#eventsIn(row))
        } catch (error) {
          throw jobUnreadable(subject, error)
        }
      }
    }
    return numbers.length < 2 ? rows : rows.sort((a, b) => a.sequence - b.sequence).slice(0, limit)
  }

  // Skips broken rows, so that they do not block readers of the whole log.
  #readable(query: Bounds, limit: number): readonly StoredEvents[] {
    const found: StoredEvents[] = []
    for (const row of this.#rows(undefined, query)) {
      if (found.length === limit) break
      try {
        found.push(this.#eventsIn(row))
      } catch {
        // The row is broken, so it is skipped.
      }
    }
    return found
  }

  *#rows(n: number | undefined, { after, through, scopes }: Bounds): Iterable<Row> {
    const condition = scopes === undefined ? ALWAYS : scopeCondition(scopes, this.#names)
    const labelled = scopes !== undefined && asksForLabels(scopes) ? scopes : undefined
    const job = n === undefined ? '' : 'job = ? AND '
    const own = n === undefined ? [] : [n]
    // The row that contains the event `after` may also contain later events, so reading starts at that row.
    const sql = `
      SELECT ${READ} FROM ${FROM}
      WHERE ${job === '' ? '' : `events.${job}`}events.sequence >= coalesce(
          (SELECT max(sequence) FROM events WHERE ${job}sequence <= ?), 0)
        AND events.sequence <= ? AND events.sequence + events.count - 1 > ? AND ${condition.sql}
      ORDER BY events.sequence`
    const last = through ?? Number.MAX_SAFE_INTEGER
    for (const row of this.#queries.of(sql).iterate(...own, ...own, after, last, after, ...condition.values)) {
      if (labelled === undefined || this.#isCovered(row, labelled)) yield row
    }
  }

  // Whether one of the scopes covers the row. A row whose labels cannot be decoded is covered by none.
  #isCovered(row: Row, scopes: readonly Scope[]): boolean {
    try {
      const about = this.#about(row)
      return scopes.some((scope) => isCovered(about, scope))
    } catch {
      return false
    }
  }

  #about(row: Row) {
    const [tenant, createdBy, type, pipeline, labels, assignee] = row.slice(ABOUT)
    const names = this.#names
    return {
      tenant: names.textOf(tenant),
      createdBy: names.textOf(createdBy),
      ...(assignee === null ? {} : { assignee: names.textOf(assignee) }),
      type: String(type),
      ...(pipeline === null ? {} : { pipeline: names.textOf(pipeline) }),
      labels: labelsIn(labels),
    }
  }

  #eventsIn(row: Row): StoredEvents {
    const [sequence, jobSequence, at, by, origin, changeset, events, inputs, id] = row
    const { type: jobType, ...about } = this.#about(row)
    const names = this.#names
    return {
      sequence: Number(sequence),
      changeset: names.textOf(origin) + String(changeset),
      jobId: isPipelines(id) ? '' : String(id),
      jobSequence: Number(jobSequence),
      at: Number(at),
      by: actorOf(names.textOf(by)),
      ...about,
      jobType,
      events: eventsOfRecord(String(events)),
      inputs: inputs === null ? [] : (JSON.parse(String(inputs)) as readonly Json[]),
    }
  }
}

/** What `gone` has as the id of a pipeline. Ids of jobs do not begin with a bracket. */
function subjectOf(tenant: string, pipeline = ''): string {
  return JSON.stringify([tenant, pipeline])
}

function isPipelines(id: unknown): boolean {
  return typeof id === 'string' && id.startsWith('[')
}

function* taken<Each>(all: Iterable<Each>, limit: number): Iterable<Each> {
  let count = 0
  for (const each of all) {
    if (count++ === limit) return
    yield each
  }
}

type Bounds = Pick<EventQuery, 'after' | 'through' | 'scopes'>
const ALWAYS: Condition = { sql: 'TRUE', values: [] }

function actorOf(text: string): Actor {
  const split = text.indexOf(' ')
  return { kind: text.slice(0, split) as Actor['kind'], id: text.slice(split + 1) }
}

// Erases the payloads in the text of a row's events. If the text cannot be decoded, its payloads cannot be found, so
// the whole text is erased. Such a row was unreadable before, and stays so.
function erased(text: string): string {
  // The short forms of events are lists without objects, and have no payload.
  if (!text.includes('{')) return text
  try {
    return eventsRecordOf(eventsOfRecord(text).map(withoutPayload))
  } catch {
    return ''
  }
}
