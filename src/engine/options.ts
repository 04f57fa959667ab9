import { z } from 'zod'
import { defined } from '../model/defined.ts'
import type { AnyJobType } from '../model/definition.ts'
import { jobTypeRule } from '../model/definition-options.ts'
import { JobchartError } from '../model/error.ts'
import { EVENT_TYPES } from '../model/event.ts'
import {
  anything,
  callback,
  checkOptions,
  duration,
  flag,
  having,
  isOptions,
  listOf,
  type OptionRule,
  oneOf,
  recordOf,
  required,
  wholeNumber,
} from '../model/option-checks.ts'
import { parseRetention, type Retention, type RetentionOptions } from '../model/retention.ts'
import { type Duration, durationMs, millisecondsOf } from '../model/time.ts'
import type { Clock } from '../port/clock.ts'
import type { Executor } from '../port/executor.ts'
import type { Logger } from '../port/logger.ts'
import type { Notifier } from '../port/notifier.ts'
import type { Policy } from '../port/policy.ts'
import type { Storage } from '../port/storage.ts'
import { checkExecutors } from './executor-fit.ts'
import type { OnHealth } from './health.ts'
import { itemsToRetrySchema } from './item-options.ts'
import type { OnPolicyError } from './policy-answer.ts'
import type { FindPrincipal } from './principal.ts'
import type { OnListenerError } from './publisher.ts'

/** The options of an engine. */
export interface EngineOptions {
  /** The job types that the engine knows. Jobs of other types in the same storage are left to other engines. */
  readonly jobs: readonly AnyJobType[]
  /**
   * Where jobs are stored: `sqliteStorage(file)` of `jobchart/sqlite`, or `memoryStorage()` for jobs that may be lost.
   */
  readonly storage: Storage
  readonly policy: Policy
  /**
   * Returns a person's current role, or `{ role, relations }`. Called when the engine works for a person who has no
   * session at that time. Example: a follow-up has the rights of the creator of the job that has ended. If this
   * function returns `undefined`, throws, rejects, or gives no answer within 5 s, the work is refused. A throw, a
   * rejection and no answer in time are also reported to `onPolicyError`. Default: the policy is asked about a
   * principal without a role.
   */
  readonly principal?: FindPrincipal
  /** Executors by name. A task without the option `executor` uses `default`. */
  readonly executors: { readonly [name: string]: Executor }
  readonly clock: Clock
  /** `false`: the engine submits, reads and sends commands, but runs no tasks. Default true. */
  readonly work?: boolean
  /** `'uuidv7'`: ids sort by creation time. `'uuidv4'`: ids are random. Default `'uuidv7'`. */
  readonly ids?: 'uuidv7' | 'uuidv4'
  /** Called when a listener throws or rejects. Default: ignored. */
  readonly onListenerError?: OnListenerError
  /**
   * Called when the policy throws, rejects, does not answer within 5 s, or returns an invalid answer. The caller gets
   * an ordinary denial. Default: ignored.
   */
  readonly onPolicyError?: OnPolicyError
  /**
   * Logs failed jobs, retried and lost attempts, abandoned tasks, lost engines, and failures of the storage, the policy
   * and listeners. Only names, ids and errors are logged, never inputs or outputs. Default: nothing is logged.
   */
  readonly logger?: Logger
  /**
   * Delivers notifications outside of the app, on the channels that it names. Give it to every engine that knows the job
   * types, also with `work: false`. Default: notifications are only listed.
   */
  readonly notifier?: Notifier
  /** Called with the {@link Health} when the engine starts, stops, is degraded, is exhausted, or recovers. */
  readonly onHealth?: OnHealth
  /** How often to look for changes made by other engines. Default `'100ms'`. */
  readonly poll?: Duration
  /** How often to look for due work and dead engines. Default `'1s'`. */
  readonly sweep?: Duration
  /** How often this engine reports that it is alive. Default `'2s'`. */
  readonly heartbeat?: Duration
  /**
   * If another engine has been silent for this long, its tasks are taken back even though its process lives. Their code
   * may then run twice at once. Default: never; an engine is dead only when its process has ended.
   */
  readonly deadAfter?: Duration
  /**
   * If this many in-process functions have ignored their stop and still run, no more tasks are claimed, and `health`
   * says `exhausted`. Default 10.
   */
  readonly maxAbandoned?: number
  /**
   * How long ended jobs, their log lines and the rows of the event log are kept. It holds for the job types that the
   * engine knows, and for the jobs that deliver notifications. Default: everything is kept.
   */
  readonly retention?: RetentionOptions
}

/** The parsed {@link EngineOptions}: durations in milliseconds, defaults filled in. */
export interface Settings {
  readonly work: boolean
  readonly ids: 'uuidv7' | 'uuidv4'
  readonly pollMs: number
  readonly sweepMs: number
  readonly heartbeatMs: number
  /** Null: never. */
  readonly deadAfterMs: number | null
  readonly maxAbandoned: number
  readonly retention: Retention
}

const OPTIONS = {
  jobs: required(listOf(jobTypeRule, 'job types that defineJob has made')),
  storage: required(
    having(
      "a storage: sqliteStorage('jobs.db') of jobchart/sqlite, or memoryStorage() for jobs that may be lost",
      'open',
    ),
  ),
  policy: having('a policy, such as rolePolicy()', 'authorize', 'scope'),
  executors: recordOf(having('an executor', 'room', 'start', 'close'), 'an object of executors by name'),
  clock: having('a clock', 'now', 'timer'),
  notifier: having('a notifier: { channels, addresses, deliver }', 'addresses', 'deliver'),
  work: flag,
  ids: oneOf('uuidv7', 'uuidv4'),
  principal: callback,
  onListenerError: callback,
  onPolicyError: callback,
  onHealth: callback,
  logger: having('a logger, such as pino() or console', 'debug', 'info', 'warn', 'error'),
  poll: duration,
  sweep: duration,
  heartbeat: duration,
  deadAfter: duration,
  maxAbandoned: wholeNumber(1),
  // Any value, because `parseRetention` checks it.
  retention: anything,
} satisfies { readonly [Option in keyof EngineOptions]-?: OptionRule }

/**
 * Refuses unknown options of `createEngine`, and values of the wrong kind.
 *
 * @throws {JobchartError} `INVALID_DEFINITION`, with a message that names the option.
 */
export function checkEngineOptions(options: unknown): void {
  checkOptions('createEngine', options, { ...OPTIONS, concurrency: wholeNumber(1) })
}

/** Parses the options, and fills in the defaults. @throws {JobchartError} `INVALID_DEFINITION` an option is invalid. */
export function parseSettings(options: EngineOptions): Settings {
  const { work = true, ids = 'uuidv7', maxAbandoned = 10 } = options
  const settings = {
    work,
    ids,
    maxAbandoned,
    retention: parseRetention(options.retention),
    pollMs: durationMs(options.poll ?? '100ms', 'poll'),
    sweepMs: durationMs(options.sweep ?? '1s', 'sweep'),
    heartbeatMs: durationMs(options.heartbeat ?? '2s', 'heartbeat'),
    deadAfterMs: options.deadAfter === undefined ? null : durationMs(options.deadAfter, 'deadAfter'),
  }
  if (settings.deadAfterMs !== null && settings.deadAfterMs <= settings.heartbeatMs) {
    throw new JobchartError(
      'INVALID_DEFINITION',
      'deadAfter should be longer than heartbeat; otherwise living engines are taken for dead',
    )
  }
  checkExecutors(options.jobs, options.executors, settings.work)
  return settings
}

const isText = (text: string) => text.isWellFormed()
/** The name of something: 1 to 200 characters. */
export const name = z.string().min(1).max(200).refine(isText, 'should be well-formed text')
const labelText = z.string().max(200).refine(isText, 'should be well-formed text')

/** The latest time that a `Date` can hold. */
const TIME_MS_MAX = 8_640_000_000_000_000

/** A time in any form that hosts use, as whole milliseconds UTC. */
export const time = z.unknown().transform((given, context): number => {
  const read = timeSchema.safeParse(given)
  if (read.success) return read.data
  const expected = 'an ISO 8601 time with an offset, such as 2027-01-01T02:00:00Z, or milliseconds UTC'
  context.issues.push({ code: 'custom', message: `should be ${expected}; ${found(given)}`, input: given })
  return z.NEVER
})

const timeSchema = z
  .union([z.number(), z.iso.datetime({ offset: true }).transform(millisecondsOf), z.date().transform(Number)])
  .pipe(z.int().min(0).max(TIME_MS_MAX))

function found(given: unknown): string {
  if (typeof given === 'number') return `found ${given}`
  if (typeof given !== 'string') return `found ${given === null ? 'null' : `an ${typeof given}`}`
  const isLocal = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/.test(given)
  const hint = isLocal ? ', which has no offset: add Z, or one such as +02:00' : ''
  return `found "${given.slice(0, 40)}"${hint}`
}

/** How a job has ended. */
export const outcomeSchema = z.enum(['success', 'failure', 'cancelled'])
const overlapSchema = z.enum(['reject', 'queue', 'replace'])
/** The size of a page. */
export const limitSchema = z.int().min(1).max(100).default(20)
/** A cursor: up to four names of 200 characters, each up to six characters in JSON, and base64 on top. */
export const cursorSchema = z.string().max(8_000).optional()
/** A priority. */
export const prioritySchema = z.int().min(-1_000_000).max(1_000_000)

/** The most labels of a job, or of a filter. */
const LABELS_MAX = 100

/** The labels of a job, or of a filter. Not a zod record, which would silently drop the key `__proto__` instead of refusing it. */
export const labelsSchema = z.unknown().transform((labels, context): { [name: string]: string } => {
  // The cast is safe: each value is checked below.
  const entries = isOptions(labels) ? Object.entries(labels as { readonly [name: string]: string }) : null
  const wrong = entries?.find(([key, value]) => !isLabel(key, value))
  if (entries !== null && wrong === undefined && entries.length <= LABELS_MAX) return Object.fromEntries(entries)
  const message = `labels should be an object of up to ${LABELS_MAX} texts of up to 200 characters, none named "__proto__"`
  context.issues.push({ code: 'custom', message, path: wrong === undefined ? [] : [wrong[0]], input: labels })
  return z.NEVER
})

function isLabel(key: string, value: unknown): boolean {
  return key !== '__proto__' && name.safeParse(key).success && labelText.safeParse(value).success
}

/** The person to whom a job is assigned. */
export const assigneeSchema = name.optional()

/** Which agents may run the tasks of a job. */
export const assignmentSchema = z.union([z.strictObject({ agent: name }), z.strictObject({ pool: name })], {
  error: "should be { agent: 'its id' } or { pool: 'its name' }",
})

/** As {@link assignmentSchema}; null: any agent that is able. */
export const newAssignmentSchema = assignmentSchema.nullable()

/** The options of `submit`. */
export const submitOptionsSchema = z
  .strictObject({
    pipeline: name.optional(),
    overlap: overlapSchema.optional(),
    startAt: time.optional(),
    priority: prioritySchema.default(0),
    labels: labelsSchema.default({}),
    assignee: assigneeSchema,
    assignment: assignmentSchema.optional(),
    idempotencyKey: name.optional(),
    uniqueKey: name.optional(),
    tenant: name.optional(),
  })
  .refine(({ pipeline, overlap }) => overlap === undefined || pipeline !== undefined, {
    message: "is for the runs of a pipeline; name the pipeline too, e.g. pipeline: 'nightly'",
    path: ['overlap'],
  })

/** The options of `retry`. */
export const retrySchema = z.strictObject({
  fresh: z.boolean().default(false),
  items: itemsToRetrySchema.optional(),
  assignment: newAssignmentSchema.optional(),
})

/** A job type. */
export const jobType = z.custom<AnyJobType>((job) => typeof job === 'object' && job !== null && 'chart' in job, {
  error: 'should be made by defineJob',
})

/** The most statuses that a list may be filtered by. */
const STATUSES_MAX = 100

/** Something that an app's function returns: a field that is `undefined` counts as absent. */
export const returned = z.unknown().transform((given) => (isOptions(given) ? defined(given) : given))

/** A filter by type: it takes a job type or its name, as `submit` does. */
export const typeName = z
  .union([name, jobType], { error: 'should be a job type made by defineJob, or its name' })
  .transform((type) => (typeof type === 'string' ? type : type.type))

const narrowing = {
  view: z.enum(['mine', 'assigned', 'all']).optional(),
  type: typeName.optional(),
  phase: z.enum(['settled', 'waiting', 'indeterminate', 'active']).optional(),
  status: z
    .union([name.transform((status) => [status]), z.array(name).min(1).max(STATUSES_MAX)], {
      error: `should be a status, or a list of 1 to ${STATUSES_MAX}`,
    })
    .optional(),
  outcome: outcomeSchema.optional(),
  pipeline: name.optional(),
  createdBy: name.optional(),
  assignee: name.optional(),
  parentId: name.optional(),
  labels: labelsSchema.default({}),
  createdAfter: time.optional(),
  createdBefore: time.optional(),
}

/** The options of `count`. */
export const countOptionsSchema = z.strictObject(narrowing)

/** The options of `logs`. */
export const logOptionsSchema = z.strictObject({
  after: z.int().min(0).default(0),
  follow: z.boolean().default(false),
})

/** The options of `counts`. */
export const countsSchema = z.strictObject({ by: z.enum(['status', 'type', 'phase', 'outcome']) })

/** The options of `list`. */
export const listOptionsSchema = z.strictObject({
  ...narrowing,
  order: z.enum(['newest', 'oldest']).default('newest'),
  limit: limitSchema,
  cursor: cursorSchema,
})

// The events themselves have a field `type` too, so the two are easily confused.
const typeOfJobs = typeName.refine((type) => !EVENT_TYPES.includes(type), {
  error: 'is the type of the jobs; compare the `type` of each event to select events',
})

/** The options of `events`. */
export const eventOptionsSchema = z.strictObject({
  after: z.int().min(0).exactOptional(),
  job: z.string().max(200).optional(),
  type: typeOfJobs.optional(),
  pipeline: name.optional(),
  createdBy: name.optional(),
  assignee: name.optional(),
  labels: labelsSchema.default({}),
})

/** The options of `notifications.list`. */
export const notificationListSchema = z.strictObject({
  unread: z.boolean().default(false),
  limit: limitSchema,
  cursor: cursorSchema,
})

/** The options of `notifications.events`. */
export const notificationEventsSchema = z.strictObject({ after: z.int().min(0).exactOptional() })

/** What `notifications.read` marks: at most 1,000 ids, or all below one. */
export const markReadSchema = z.union(
  [z.array(z.int().min(1)).max(1_000), z.strictObject({ before: z.int().min(1) })],
  {
    error: 'should be a list of at most 1,000 ids, or { before: an id }',
  },
)

const subscriptionTarget = {
  job: z.union([name, jobType]).exactOptional(),
  pipeline: name.exactOptional(),
}
const isOfOne = ({ job, pipeline }: { job?: unknown; pipeline?: unknown }) =>
  job === undefined || pipeline === undefined
const ofOne = 'should name a job type or a pipeline, not both'

/** The options of `notifications.subscribe`. */
export const subscribeSchema = z
  .strictObject({ ...subscriptionTarget, level: z.enum(['all', 'alerts', 'none']) })
  .refine(isOfOne, ofOne)

/** The options of `notifications.unsubscribe`. */
export const unsubscribeSchema = z.strictObject(subscriptionTarget).refine(isOfOne, ofOne)

/** The principal of a session. */
export const principalSchema = z.object({
  // `system` is the id of the engine's own session.
  id: name.refine((id) => id !== 'system', "is reserved for the engine's own session"),
  tenant: name
    .refine((tenant) => tenant !== 'jobchart.deliveries', "is reserved for the engine's own jobs")
    .default('default'),
  role: z.string().max(200).default(''),
  relations: z.record(z.string(), z.string()).optional(),
})
