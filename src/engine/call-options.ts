import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { z } from 'zod'
import { parseWith } from '../context/parse-with.ts'
import { isPromiseLike, type Soon } from '../context/soon.ts'
import { JobchartError } from '../model/error.ts'
import type { JobId } from '../model/job.ts'
import { isOptions } from '../model/option-checks.ts'
import type { Principal } from '../port/policy.ts'

/** Options of every method. Aborting the signal gives up the call; what was already committed stays committed. */
export interface CallOptions {
  readonly signal?: AbortSignal
}

/**
 * Checks the options of a call.
 *
 * @param names  allowed options besides the signal; `undefined`: the caller checks the other options.
 * @throws {JobchartError} `INVALID_INPUT` the options are not an object, the signal is not an AbortSignal, or an option is unknown.
 */
export function given<Options extends CallOptions>(
  options: Options | undefined,
  names?: readonly string[],
): Options | undefined {
  if (options === undefined) return undefined
  if (!isOptions(options)) throw misfit('options', 'should be an object')
  const { signal } = options
  if (signal !== undefined && !isSignal(signal)) throw misfit('signal', 'should be an AbortSignal')
  if (names === undefined) return options
  refuseUnknown(options, names)
  return options
}

/**
 * Parses the options of a call besides the signal.
 *
 * @param what  names them in the error's message.
 * @throws {JobchartError} `INVALID_INPUT` an option is unknown, or its value does not fit.
 */
export function parseOptions<Schema extends z.ZodObject>(
  schema: Schema,
  options: object,
  what = 'options',
): Soon<StandardSchemaV1.InferOutput<Schema>> {
  if (!isOptions(options)) throw misfit(what, 'should be an object')
  refuseUnknown(options, Object.keys(schema.shape))
  return parseWith(schema, options, what)
}

function refuseUnknown(options: object, names: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => name !== 'signal' && !names.includes(name))
  if (unknown === undefined) return
  throw misfit(unknown, `is not an option here; the options are ${[...names, 'signal'].join(', ')}`)
}

/**
 * The tenant of a call. Only the engine's own session may name another one.
 *
 * @throws {JobchartError} `INVALID_INPUT` the session of a person names a tenant.
 */
export function tenantOf(who: Principal, tenant: string | undefined): string {
  refuseOfPerson(who, 'tenant', tenant)
  return tenant ?? who.tenant
}

/**
 * Refuses an option that only the engine's own session may use.
 *
 * @throws {JobchartError} `INVALID_INPUT` a person's session gives the option.
 */
export function refuseOfPerson({ kind }: Principal, option: string, value: unknown): void {
  if (kind !== 'system' && value !== undefined) throw misfit(option, "is an option of the engine's own session only")
}

// Does not use `instanceof`, which is false for a signal of another realm, such as a `vm` context.
function isSignal(signal: unknown): boolean {
  return typeof signal === 'object' && signal !== null && 'throwIfAborted' in signal && 'addEventListener' in signal
}

/**
 * Checks the id that a caller gave. Often a caller passes the whole job by mistake.
 *
 * @throws {JobchartError} `INVALID_INPUT` it is not text.
 */
export function idOf(given: unknown, what: 'job' | 'pipeline'): JobId {
  if (typeof given === 'string') return given
  const expected = `expected a ${what}'s id, e.g. ${what}.id; found ${kindOf(given)}`
  throw new JobchartError('INVALID_INPUT', expected, { issues: [{ message: expected, path: ['id'] }] })
}

/** What kind of value a caller gave, in words, for error messages. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  if (Array.isArray(value)) return 'a list'
  if (isPromiseLike(value)) return 'a promise, which is not awaited'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The error for an invalid argument or option of a call. */
export function misfit(option: string, expected: string): JobchartError {
  return new JobchartError('INVALID_INPUT', `${option} ${expected}`, {
    issues: [{ message: expected, path: [option] }],
  })
}
