import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'

/** Every method can be given up by its signal. What was already committed stays committed. */
export interface CallOptions {
  readonly signal?: AbortSignal
}

/**
 * The options of a call, once they were looked at.
 *
 * @param names  what may stand beside the signal; undefined: anything, which is looked at elsewhere.
 * @throws {JobchartError} `INVALID_INPUT` they are no object, the signal is none, or an option is unknown.
 */
export function given<Options extends CallOptions>(
  options: Options | undefined,
  names?: readonly string[],
): Options | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw misfit('options', 'should be an object')
  }
  const { signal } = options
  if (signal !== undefined && !isSignal(signal)) throw misfit('signal', 'should be an AbortSignal')
  if (names === undefined) return options
  const unknown = Object.keys(options).find((name) => name !== 'signal' && !names.includes(name))
  if (unknown === undefined) return options
  throw misfit(unknown, `is no option here; there are ${['signal', ...names].join(', ')}`)
}

/**
 * The tenant that a call is about: only the engine's own session may name another.
 *
 * @throws {JobchartError} `INVALID_INPUT` a person's call names one.
 */
export function tenantOf(who: Principal, tenant: string | undefined): string {
  refuseOfPerson(who, 'tenant', tenant)
  return tenant ?? who.tenant
}

/** @throws {JobchartError} `INVALID_INPUT` a person's call gives an option of the engine's own session. */
export function refuseOfPerson({ kind }: Principal, option: string, value: unknown): void {
  if (kind !== 'system' && value !== undefined) throw misfit(option, "is an option of the engine's own session only")
}

// One of another realm is no instance of this one's class.
function isSignal(signal: unknown): boolean {
  return typeof signal === 'object' && signal !== null && 'throwIfAborted' in signal && 'addEventListener' in signal
}

function misfit(option: string, expected: string): JobchartError {
  return new JobchartError('INVALID_INPUT', `${option} ${expected}`, {
    issues: [{ message: expected, path: [option] }],
  })
}
