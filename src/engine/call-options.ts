import type { StandardSchemaV1 } from '@standard-schema/spec'
import { z } from 'zod'
import { parseWith } from '../context/parse-with.ts'
import { isPromiseLike, type Soon } from '../context/soon.ts'
import { defined } from '../model/defined.ts'
import { JobchartError } from '../model/error.ts'
import type { JobId } from '../model/job.ts'
import { isOptions, objectWith, shownValue } from '../model/option-checks.ts'
import type { Principal } from '../port/policy.ts'

/** Options of every method. Aborting the signal gives up the call; what was already committed stays committed. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Checks the options of a call.
 *
 * @param known  the names of the allowed options besides the signal; or their schema, by which the caller parses them.
 * @throws {JobchartError} `INVALID_INPUT` the options are not an object, the signal is not an AbortSignal, or an option is unknown.
 */
export function given<Options extends CallOptions>(
  options: Options | undefined,
  known?: readonly string[] | z.ZodObject,
): Options | undefined {
  if (options === undefined) return undefined
  if (!isOptions(options)) throw noObject('options', options, known)
  const { signal } = options
  if (signal !== undefined && !isSignal(signal)) throw misfit('signal', 'should be an AbortSignal')
  if (isNames(known)) refuseUnknown(options, [...known, 'signal'])
  return options
}

/**
 * As {@link given}, for a call that begins now: if its signal is aborted already, nothing is done.
 *
 * @throws the reason of the signal; {@link JobchartError} as `given`.
 */
export function begun<Options extends CallOptions>(
  options: Options | undefined,
  known?: readonly string[] | z.ZodObject,
): Options | undefined {
  given(options, known)?.signal?.throwIfAborted()
  return options
}

/**
 * Parses the options of a call besides the signal. An option that is `undefined` counts as absent.
 *
 * @param what  names them in the error's message.
 * @throws {JobchartError} `INVALID_INPUT` an option is unknown, or its value does not fit.
 */
export function parseOptions<Schema extends z.ZodObject>(
  schema: Schema,
  options: object,
  what = 'options',
): Soon<StandardSchemaV1.InferOutput<Schema>> {
  if (!isOptions(options)) throw noObject(what, options, schema)
  refuseUnknown(options, [...Object.keys(schema.shape), 'signal'])
  return parseWith(schema, defined(options), what)
}

/**
 * Refuses an option that is not among the known ones.
 *
 * @param what  what is wrong with it; the known names follow.
 */
export function refuseUnknown(
  options: object,
  known: readonly string[],
  what = 'is not an option here; the options are',
): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) throw misfit(unknown, `${what} ${known.join(', ')}`)
}

function isNames(known: readonly string[] | z.ZodObject | undefined): known is readonly string[] {
  return Array.isArray(known)
}

// If a text or a number was given, and fits one option only, the error shows it as this option: `{ format: 'csv' }`.
function noObject(what: string, found: unknown, known: readonly string[] | z.ZodObject = []): JobchartError {
  // The cast is safe: zod makes all fields of this class.
  const shape = isNames(known) ? {} : (known.shape as { readonly [name: string]: z.core.$ZodType })
  const names = isNames(known) ? known : Object.keys(shape)
  const isPlain = typeof found === 'string' || typeof found === 'number'
  const [meant, ...others] = isPlain ? names.filter((name) => takes(shape[name], found)) : []
  const isMeant = meant !== undefined && others.length === 0
  const isRequired = (name: string) => shape[name] !== undefined && !takes(shape[name], undefined)
  const form = isMeant
    ? `{ ${meant}: ${shownValue(found).replaceAll('"', "'")} }`
    : objectWith([...names, 'signal'], names.filter(isRequired))
  return misfit(what, `should be an object, e.g. ${form}; found ${shownValue(found)}`)
}

function takes(schema: z.core.$ZodType | undefined, value: unknown): boolean {
  return schema !== undefined && z.safeParse(schema, value).success
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
  const expected = idExpected(what, given)
  throw new JobchartError('INVALID_INPUT', expected, { issues: [{ message: expected, path: ['id'] }] })
}

/** Says that an id is expected in place of what a caller gave. */
export function idExpected(what: 'job' | 'pipeline', given: unknown): string {
  return `expected a ${what}'s id, e.g. ${what}.id; found ${kindOf(given)}`
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
