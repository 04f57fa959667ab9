/** Cancels, retries or deletes many jobs. Each is decided as by the method for one job, and answered by itself. */

import { z } from 'zod'
import { defined } from '../../model/defined.ts'
import { type ErrorCode, JobchartError } from '../../model/error.ts'
import type { JobId } from '../../model/job.ts'
import { isOptions } from '../../model/option-checks.ts'
import type { Principal } from '../../port/policy.ts'
import { begun, type CallOptions, idExpected, kindOf, misfit, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { countOptionsSchema, cursorSchema, retrySchema } from '../options.ts'
import type { Page } from '../page.ts'
import { cancel } from './jobs.ts'
import { type CountOptions, shownJobs } from './reads.ts'
import { type RetryCallOptions, retry } from './retry.ts'
import { deleteJob } from './runs.ts'

/** Which jobs a call acts on: at most 1,000 ids, or all jobs that `list` shows for a filter. */
export type ChosenJobs =
  | {
      /** At most 1,000. An id that is given twice counts once. */
      readonly ids: readonly JobId[]
      readonly filter?: never
      readonly limit?: never
      readonly cursor?: never
    }
  | {
      /** The jobs that `list` shows for these options; `{}`: all that the caller may list. The newest come first. */
      readonly filter: Omit<CountOptions, 'signal'>
      /** How many jobs the call acts on at most: 1 to 1,000, default 100. */
      readonly limit?: number
      /** The `nextCursor` of the call before, to go on with the next jobs. */
      readonly cursor?: string | undefined
      readonly ids?: never
    }

/** The options of `cancelMany`. */
export type CancelManyOptions = ChosenJobs &
  CallOptions & {
    /** Why the jobs are cancelled. It is recorded in the history of each. */
    readonly reason?: string
  }

/** The options of `retryMany`. */
export type RetryManyOptions = ChosenJobs & RetryCallOptions

/** The options of `deleteMany`. */
export type DeleteManyOptions = ChosenJobs & CallOptions

/** The answer for one job: `ok`, or the error that the method for one job would have thrown. */
export type JobAnswer =
  | { readonly id: string; readonly ok: true; readonly error?: never }
  | {
      readonly id: string
      readonly error: { readonly code: ErrorCode; readonly message: string }
      readonly ok?: never
    }

/** The answer of `retryMany` for one job. `retriedBy`: the id of the new job. */
export type RetryAnswer = JobAnswer & { readonly retriedBy?: string }

/** The most jobs that one call of `cancelMany`, `retryMany` or `deleteMany` acts on. */
const MANY_MAX = 1_000
const jobId = z.string({ error: ({ input }) => idExpected('job', input) })
const choice = {
  ids: z.array(jobId).max(MANY_MAX).optional(),
  filter: z.unknown().optional(),
  limit: z.int().min(1).max(MANY_MAX).optional(),
  cursor: cursorSchema,
}
const deleteManySchema = z.strictObject(choice)
const cancelManySchema = z.strictObject({ ...choice, reason: z.string().optional() })
const retryManySchema = z.strictObject({ ...choice, ...retrySchema.shape })

/** Makes the error that the caller is told. */
type Told = (error: unknown) => unknown

/**
 * Checks that a caller gave options, and not the ids themselves.
 *
 * @throws {JobchartError} `INVALID_INPUT` says how to call the method.
 */
export function choiceOf<Options extends CallOptions>(method: string, options: Options): Options {
  if (isOptions(options)) return begun(options) ?? options
  const example = `${method}({ ids: [id] })`
  throw misfit('options', `should be { ids } or { filter }, e.g. ${example}; found ${kindOf(options)}`)
}

/** {@inheritDoc Session.cancelMany} */
export async function cancelMany(
  core: Core,
  who: Principal,
  { signal, ...options }: CallOptions,
  told: Told,
): Promise<Page<JobAnswer>> {
  const { reason, ...chosen } = await parseOptions(cancelManySchema, options)
  const fields = { ...(reason === undefined ? {} : { reason }), ...signalled(signal) }
  return await each(core, who, chosen, signal, told, async (id) => {
    await cancel(core, who, id, fields)
    return {}
  })
}

/** {@inheritDoc Session.retryMany} */
export async function retryMany(
  core: Core,
  who: Principal,
  { signal, ...options }: CallOptions,
  told: Told,
): Promise<Page<RetryAnswer>> {
  const { ids, filter, limit, cursor, ...how } = await parseOptions(retryManySchema, options)
  return await each(core, who, { ids, filter, limit, cursor }, signal, told, async (id) => {
    const again = await retry(core, who, id, { ...defined(how), ...signalled(signal) })
    return { retriedBy: again.id }
  })
}

/** {@inheritDoc Session.deleteMany} */
export async function deleteMany(
  core: Core,
  who: Principal,
  { signal, ...options }: CallOptions,
  told: Told,
): Promise<Page<JobAnswer>> {
  const chosen = await parseOptions(deleteManySchema, options)
  return await each(core, who, chosen, signal, told, async (id) => {
    await deleteJob(core, who, id, signalled(signal))
    return {}
  })
}

function signalled(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal }
}

/** The parsed choice of jobs. */
interface Choice {
  readonly ids?: readonly string[] | undefined
  readonly filter?: unknown
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

// All jobs are under way at once, so their changes are decided together in few ticks.
async function each<More extends object>(
  core: Core,
  who: Principal,
  choice: Choice,
  signal: AbortSignal | undefined,
  told: Told,
  run: (id: string) => Promise<More>,
): Promise<Page<JobAnswer & Partial<More>>> {
  const { items: ids, nextCursor } = await chosenJobs(core, who, choice, signal)
  signal?.throwIfAborted()
  const answer = async (id: string): Promise<JobAnswer & Partial<More>> => {
    try {
      return { id, ok: true, ...(await run(id)) }
    } catch (thrown) {
      signal?.throwIfAborted()
      const error = told(thrown)
      if (!(error instanceof JobchartError)) throw error
      return { id, error: { code: error.code, message: error.message } } as JobAnswer & Partial<More>
    }
  }
  const items = await Promise.all(ids.map(answer))
  return nextCursor === undefined ? { items } : { items, nextCursor }
}

// A field that is undefined, e.g. because a parameter of the request is missing, must not mean all jobs.
function checkFields(filter: unknown): void {
  for (const [field, value] of Object.entries(filter ?? {})) {
    if (value === undefined) throw misfit(`filter.${field}`, 'is undefined; to act on jobs with any, leave it out')
  }
}

/** How many jobs a call with a filter acts on by default. */
const LIMIT = 100
/** The most jobs of one read, each with its whole record. */
const ROWS_AT_ONCE = 100

// Pages go by the time of creation and the id, which never change. So a job is acted on once, whatever happens to it
// and to others between two calls. The newest come first, so a pass never comes to the new jobs that it makes itself.
async function chosenJobs(
  core: Core,
  who: Principal,
  { ids, filter, limit, cursor: first }: Choice,
  signal: AbortSignal | undefined,
): Promise<Page<string>> {
  if ((ids === undefined) === (filter === undefined)) throw misfit('ids', 'should be given, or else filter; not both')
  if (ids !== undefined) {
    if (limit !== undefined) throw misfit('limit', 'is for a filter; all of the ids are acted on')
    if (first !== undefined) throw misfit('cursor', 'is for a filter; all of the ids are acted on')
    return { items: [...new Set(ids)] }
  }
  checkFields(filter)
  // The cast is safe: `parseOptions` refuses anything that is not an object.
  const narrow = await parseOptions(countOptionsSchema, filter as object, 'filter')
  const found: string[] = []
  let cursor = first
  do {
    signal?.throwIfAborted()
    const left = Math.min(ROWS_AT_ONCE, (limit ?? LIMIT) - found.length)
    const page = await shownJobs(core, who, { narrow, order: 'newest', limit: left, cursor, signal }, ({ id }) => id)
    found.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== undefined && found.length < (limit ?? LIMIT))
  return cursor === undefined ? { items: found } : { items: found, nextCursor: cursor }
}
