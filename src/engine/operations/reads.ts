import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type Soon, whenKnown } from '../../context/soon.ts'
import { defined } from '../../model/defined.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { JobError } from '../../model/error.ts'
import type { Actor, EventDraft } from '../../model/event.ts'
import type { Job, JobId, Outcome, Phase } from '../../model/job.ts'
import { isoTime, type Time } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import type { CountedField, JobFilter, JobPage, StoredEvents } from '../../port/storage.ts'
import {
  allowed,
  authorizeJob,
  authorizeMany,
  type JobsView,
  ownScopes,
  type Question,
  searchedBy,
  viewsOf,
} from '../authorization.ts'
import { type CallOptions, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { readCursor } from '../cursor.ts'
import { type FieldMask, masked } from '../field-mask.ts'
import { load } from '../load.ts'
import { countOptionsSchema, countsSchema, listOptionsSchema } from '../options.ts'
import { type Page, shownPage } from '../page.ts'
import { turn } from '../pause.ts'
import { toldBy } from '../shown-event.ts'
import { type JobView, shownError, viewOf } from '../view.ts'

/** The options of `count`. Each given field narrows what is counted. */
export interface CountOptions extends CallOptions {
  /**
   * `'mine'`: only jobs that the principal created. `'assigned'`: only jobs that are assigned to the principal. `'all'`:
   * jobs of all creators; `FORBIDDEN` if the principal may not list all jobs. Default: all jobs that the principal may
   * see.
   */
  readonly view?: JobsView
  /** A job type, or its name. */
  readonly type?: AnyJobType | string
  readonly phase?: Phase
  /** One status, or a list of 1 to 100: jobs with any of these. */
  readonly status?: string | readonly string[]
  readonly outcome?: Outcome
  readonly pipeline?: string
  readonly createdBy?: string
  readonly assignee?: string
  /** The child jobs of this job. Default: jobs without a parent. */
  readonly parentId?: string
  readonly labels?: { readonly [name: string]: string }
  /** Created at this time or later. */
  readonly createdAfter?: Time
  /** Created before this time. */
  readonly createdBefore?: Time
}

/** The options of `counts`: the field that it groups by. */
export interface CountsOptions extends CallOptions {
  readonly by: CountedField
}

/** For each value of the field that occurs: how many jobs have it. 10,001 means more than 10,000. */
export interface Counts {
  readonly [value: string]: number
}

/** The options of `list`. Each given field narrows the list. */
export interface ListOptions extends CountOptions {
  /** By time of creation. Default `'newest'`: newest jobs first. */
  readonly order?: 'newest' | 'oldest'
  /** The size of a page: 1 to 100, default 20. */
  readonly limit?: number
  readonly cursor?: string | undefined
}

/** A change of a job's status, or a command that was sent. */
export interface HistoryEntry {
  /** The `jobSequence` of the event that this entry shows. */
  readonly sequence: number
  /** The status before the change. Absent for the creation. */
  readonly from?: string
  readonly to: string
  /** ISO 8601. */
  readonly at: string
  readonly by: Actor
  /** The command that caused the change. */
  readonly command?: string
  readonly reason?: string
  readonly message?: string
  /** The error that caused the change, if there was one. */
  readonly error?: JobError
}

/** The most rows of one read. */
export const ROWS_AT_ONCE = 500

/** {@inheritDoc Session.get} */
export async function get(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<JobView> {
  const { job, mask } = await readable(core, who, id, { action: 'get', signal })
  return viewOf(job, mask)
}

/** {@inheritDoc Session.list} */
export async function list(
  core: Core,
  who: Principal,
  { signal, ...options }: ListOptions = {},
): Promise<Page<JobView>> {
  const { order, limit, cursor, ...narrow } = await parseOptions(listOptionsSchema, options)
  return await shownJobs(core, who, { narrow, order, limit, cursor, signal }, viewOf)
}

/** Which jobs a page shows: those that `list` shows for the same options. */
interface ListedJobs {
  readonly narrow: Narrowing
  readonly order: 'newest' | 'oldest'
  readonly limit: number
  readonly cursor: string | undefined
  readonly signal: AbortSignal | undefined
}

/** One page of the jobs that the caller may see and that match, each as `show` makes it. */
export async function shownJobs<View>(
  core: Core,
  who: Principal,
  { narrow, order, limit, cursor, signal }: ListedJobs,
  show: (job: Job, mask: FieldMask) => View,
): Promise<Page<View>> {
  const { filter, asked } = await filterOf(core, who, narrow, signal)
  return await shownPage(who, {
    limit,
    after: cursor === undefined ? undefined : afterOf(cursor, who),
    find: async (page: JobPage) => {
      const { jobs: rows, after } = await core.storage.find(filter, { ...page, order })
      return { rows, after }
    },
    turn: () => turn(core),
    positionOf: ({ createdAt, id }) => ({ createdAt, id }),
    show: async (job) => {
      const mask = await allowed(core, who, job, { action: 'get', signal })
      // If a field of the filter is hidden from the caller, a match would reveal it. So the job is left out.
      return mask === undefined || asked.some((field) => mask.hidden.has(field)) ? undefined : show(job, mask)
    },
    cursorOf: ({ createdAt, id }) => [createdAt, id],
  })
}

/** {@inheritDoc Session.count} */
export async function count(core: Core, who: Principal, { signal, ...options }: CountOptions = {}): Promise<number> {
  const narrow = await parseOptions(countOptionsSchema, options)
  const { filter } = await filterOf(core, who, narrow, signal)
  return await core.storage.count(filter)
}

/** {@inheritDoc Session.counts} */
export async function counts(
  core: Core,
  who: Principal,
  { signal, ...options }: Partial<CountsOptions> = {},
  { signal: other, ...narrowing }: CountOptions = {},
): Promise<Counts> {
  const { by } = await parseOptions(countsSchema, options)
  const narrow = await parseOptions(countOptionsSchema, narrowing, 'filter')
  const { filter } = await filterOf(core, who, narrow, signal ?? other, [by])
  return Object.fromEntries(await core.storage.counts(by, filter))
}

/** {@inheritDoc Session.views} */
export async function views(core: Core, who: Principal, { signal }: CallOptions = {}): Promise<readonly JobsView[]> {
  return await viewsOf(core, who, signal)
}

/** The parsed options that narrow a list of jobs. */
export type Narrowing = StandardSchemaV1.InferOutput<typeof countOptionsSchema>

/** The field that names the caller in each job of a view. */
const OWN = { mine: 'createdBy', assigned: 'assignee', all: undefined } as const

async function filterOf(
  core: Core,
  who: Principal,
  { view, labels, createdAfter, createdBefore, ...narrow }: Narrowing,
  signal: AbortSignal | undefined,
  grouped: readonly CountedField[] = [],
): Promise<{ readonly filter: JobFilter; readonly asked: readonly string[] }> {
  const scopes = await authorizeMany(core, who, view === 'all' ? 'listAll' : 'list', signal)
  const type = narrow.type === undefined ? undefined : core.types.nameOf(narrow.type)
  const given = {
    ...narrow,
    type,
    labels: Object.keys(labels).length === 0 ? undefined : labels,
  }
  // `createdAfter` and `createdBefore` need no check of redaction: whoever sees a job also sees its time of creation.
  const asked = [...Object.keys(defined(given)), ...grouped]
  const by = view === undefined ? undefined : OWN[view]
  // `view: 'mine'` with another creator matches nothing, because a job has one creator. So does `view: 'assigned'` with
  // another assignee.
  const none = by !== undefined && (narrow[by] ?? who.id) !== who.id
  const filter = {
    // Child jobs are listed only if their parent or their own type is asked for.
    ...(narrow.type === undefined ? { parentId: null } : {}),
    ...defined({ ...given, createdAfter, createdBefore }),
    ...(by === undefined ? {} : { [by]: who.id }),
    scopes: none ? [] : searchedBy(who, by === undefined ? scopes : ownScopes(who, scopes, by), asked),
  }
  return { filter, asked }
}

/** {@inheritDoc Session.history} */
export async function history(
  core: Core,
  who: Principal,
  id: JobId,
  { signal }: CallOptions = {},
): Promise<readonly HistoryEntry[]> {
  const { mask } = await readable(core, who, id, { action: 'history', signal })
  const entries: HistoryEntry[] = []
  for (let after = 0; ; ) {
    signal?.throwIfAborted()
    const rows = await core.storage.events({ after, limit: ROWS_AT_ONCE, jobId: id })
    for (const row of rows) {
      entries.push(...entriesOf(row, mask))
      after = row.sequence + row.events.length - 1
    }
    if (rows.length < ROWS_AT_ONCE) return entries
  }
}

/**
 * Reads a job, and asks the policy whether the principal may do the action of `question`. Returns the job, and the mask
 * for what the caller may see of it. `known`: the current record, if the caller of this function has it; it is then not
 * read.
 *
 * @throws {JobchartError} `JOB_NOT_FOUND`, `FORBIDDEN`
 */
export function readable(
  core: Core,
  who: Principal,
  id: string,
  question: Question,
  known?: Job,
): Soon<{ readonly job: Job; readonly mask: FieldMask }> {
  return whenKnown<Job, { readonly job: Job; readonly mask: FieldMask }>(known ?? load(core, id, who.kind), (job) => {
    return whenKnown(authorizeJob(core, who, job, question), (mask) => ({ job, mask }))
  })
}

function entriesOf(row: StoredEvents, mask: FieldMask): readonly HistoryEntry[] {
  return row.events.flatMap((event, index) => {
    if (!('to' in event)) return []
    const from = event.type === 'job.created' ? undefined : event.from
    const command = 'command' in event ? event.command : undefined
    if (from === event.to && command === undefined) return []
    const by = event.by ?? row.by
    const entry: HistoryEntry = {
      sequence: row.jobSequence + index,
      ...(from === undefined ? {} : { from }),
      to: event.to,
      at: isoTime(row.at),
      by,
      ...defined({ command, ...textOf(event, mask) }),
    }
    const outcome = 'outcome' in event ? event.outcome : undefined
    return [masked(entry, mask, toldBy({ by, outcome }, row))]
  })
}

function textOf(
  event: EventDraft,
  mask: FieldMask,
): { readonly [Field in 'reason' | 'message' | 'error']?: HistoryEntry[Field] | undefined } {
  if (event.type === 'job.migrated') {
    return { reason: mask.hidden.has('version') ? 'moved to another version' : `moved to version ${event.version}` }
  }
  if (event.type !== 'job.created' && event.type !== 'job.transitioned') return {}
  const error = 'error' in event && event.error !== undefined ? shownError(event.error, mask) : undefined
  return { reason: event.reason, message: event.message, error }
}

function afterOf(cursor: string, who: Principal): NonNullable<JobPage['after']> {
  const [createdAt, id] = readCursor(cursor, who, ['number', 'string'])
  return { createdAt: Number(createdAt), id: String(id) }
}
