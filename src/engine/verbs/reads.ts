import { JobchartError } from '../../model/error.ts'
import type { Actor, EventDraft } from '../../model/event.ts'
import type { Job, JobId, Phase } from '../../model/job.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import type { JobPage, LogLine, StoredEvents } from '../../port/storage.ts'
import { authorizeJob, authorizeList, type Question } from '../authorization.ts'
import type { Core } from '../core.ts'
import { readCursor, writeCursor } from '../cursor.ts'
import { load } from '../deciding.ts'
import { listOptionsSchema } from '../options.ts'
import { parseWith } from '../parse.ts'
import type { CallOptions } from '../session.ts'
import { hidesText, type JobView, viewOf } from '../view.ts'

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Give it as `cursor` to get the next page; absent at the end. */
  readonly nextCursor?: string
}

/** What `list` takes; each field narrows. */
export interface ListOptions extends CallOptions {
  /** `'mine'`: only what the principal created. Default `'all'` that may be seen. */
  readonly view?: 'mine' | 'all'
  readonly type?: string
  readonly phase?: Phase
  readonly status?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
  /** 1 to 100; default 20. */
  readonly limit?: number
  readonly cursor?: string
}

/** A change of a job's label. */
export interface HistoryEntry {
  /** The number of the event among the job's. */
  readonly sequence: number
  /** Absent for the creation. */
  readonly from?: string
  readonly to: string
  /** ISO 8601. */
  readonly at: string
  readonly by: Actor
  readonly reason?: string
  readonly message?: string
}

/** What `logs` takes. */
export interface LogOptions extends CallOptions {
  /** Lines with a number above this; default 0. */
  readonly after?: number
}

const ROWS_AT_ONCE = 500

/** {@inheritDoc Session.get} */
export async function get(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<JobView> {
  signal?.throwIfAborted()
  const { job, redacted } = await readable(core, who, id, { action: 'get', signal })
  return viewOf(job, redacted)
}

/** {@inheritDoc Session.list} */
export async function list(
  core: Core,
  who: Principal,
  { signal, ...options }: ListOptions = {},
): Promise<Page<JobView>> {
  signal?.throwIfAborted()
  const { view, limit, cursor, labels, ...narrow } = await parseWith(listOptionsSchema, options, 'options')
  const scopes = await authorizeList(core, who, signal)
  const filter = {
    ...defined(narrow),
    scopes,
    labels,
    ...(view === 'mine' ? { createdBy: who.id } : {}),
    // Child jobs stand behind their parents, unless their own type is asked for.
    ...(options.type === undefined ? { parentId: null } : {}),
  }
  const asked = Object.keys(options).filter((key) => options[key as keyof typeof options] !== undefined)
  const after = cursor === undefined ? {} : { after: afterOf(cursor, who) }
  // One more than asked for tells whether there is a next page.
  const jobs = await core.storage.find(filter, { limit: limit + 1, ...after })
  const page = jobs.slice(0, limit)
  const last = page.at(-1)
  const items = await Promise.all(page.map((job) => shown(core, who, job, asked, signal)))
  return {
    items: items.flatMap((item) => item ?? []),
    ...(jobs.length > limit && last !== undefined ? { nextCursor: writeCursor([last.createdAt, last.id], who) } : {}),
  }
}

/** {@inheritDoc Session.history} */
export async function history(
  core: Core,
  who: Principal,
  id: JobId,
  { signal }: CallOptions = {},
): Promise<readonly HistoryEntry[]> {
  const { redacted } = await readable(core, who, id, { action: 'history', signal })
  const entries: HistoryEntry[] = []
  for (let after = 0; ; ) {
    signal?.throwIfAborted()
    const rows = await core.storage.events({ after, limit: ROWS_AT_ONCE, jobId: id })
    for (const row of rows) {
      entries.push(...entriesOf(row, hidesText(redacted)))
      after = row.sequence + row.events.length - 1
    }
    if (rows.length < ROWS_AT_ONCE) return entries
  }
}

/** {@inheritDoc Session.logs} */
export async function* logs(
  core: () => Core,
  who: () => Principal,
  id: JobId,
  { after = 0, signal }: LogOptions = {},
): AsyncGenerator<Pick<LogLine, 'number' | 'text'> & { readonly at: string }> {
  if (!Number.isSafeInteger(after) || after < 0) {
    const issues = [{ message: 'expected a whole number from 0', path: ['after'] }]
    throw new JobchartError('INVALID_INPUT', 'after should be the number of a line, or 0', { issues })
  }
  for (let last = after; ; ) {
    signal?.throwIfAborted()
    const { redacted } = await readable(core(), who(), id, { action: 'logs', signal })
    // What the code wrote may repeat what it was given.
    if (hidesText(redacted)) return
    const lines = await core().storage.logs(id, last, ROWS_AT_ONCE)
    const [first] = lines
    if (first !== undefined && first.number > last + 1) {
      const text = `(${first.number - last - 1} earlier lines were dropped: only the newest are kept)`
      yield { number: first.number - 1, at: isoTime(first.at), text }
    }
    for (const { number, at, text } of lines) yield { number, at: isoTime(at), text }
    last = lines.at(-1)?.number ?? last
    if (lines.length < ROWS_AT_ONCE) return
  }
}

/** A job that the principal may read in this way; `known` is its row as it was written a moment ago. @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN` */
export async function readable(
  core: Core,
  who: Principal,
  id: string,
  question: Question,
  known?: Job,
): Promise<{ readonly job: Job; readonly redacted: readonly string[] }> {
  const job = known ?? (await load(core, id, who.kind))
  return { job, redacted: await authorizeJob(core, who, job, question) }
}

// The scope has already chosen the rows; what each may show is the policy's word on that job.
async function shown(
  core: Core,
  who: Principal,
  job: Job,
  asked: readonly string[],
  signal: AbortSignal | undefined,
): Promise<JobView | undefined> {
  try {
    const view = viewOf(job, await authorizeJob(core, who, job, { action: 'get', signal }))
    // That a job is found by a field would tell the field.
    return view.redacted?.some((field) => asked.includes(field)) === true ? undefined : view
  } catch (error) {
    const isHidden = error instanceof JobchartError && (error.code === 'JOB_NOT_FOUND' || error.code === 'FORBIDDEN')
    if (isHidden) return undefined
    throw error
  }
}

function entriesOf(row: StoredEvents, isTextHidden: boolean): readonly HistoryEntry[] {
  return row.events.flatMap((event, index) => {
    if (event.type !== 'job.created' && event.type !== 'job.transitioned' && event.type !== 'job.migrated') return []
    const from = event.type === 'job.created' ? undefined : event.from
    if (from === event.to) return []
    const said = defined({ from, ...(isTextHidden ? {} : textOf(event)) })
    return [{ ...said, sequence: row.jobSequence + index, to: event.to, at: isoTime(row.at), by: event.by ?? row.by }]
  })
}

function textOf(event: EventDraft): { readonly reason?: string | undefined; readonly message?: string | undefined } {
  if (event.type === 'job.migrated') return { reason: `moved to version ${event.version}` }
  if (event.type !== 'job.created' && event.type !== 'job.transitioned') return {}
  return { reason: event.reason, message: event.message }
}

function afterOf(cursor: string, who: Principal): NonNullable<JobPage['after']> {
  const [createdAt, id] = readCursor(cursor, who, ['number', 'string'])
  return { createdAt: Number(createdAt), id: String(id) }
}

function defined<Fields extends object>(fields: Fields): { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> } {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> }
}
