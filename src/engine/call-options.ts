import { JobchartError } from '../model/error.ts'

/** Every method can be given up by its signal. What was already committed stays committed. */
export interface CallOptions {
  readonly signal?: AbortSignal
}

/**
 * The options of a call as they were given, looked at before they are taken apart: a program in JavaScript may give
 * anything.
 *
 * @throws {JobchartError} `INVALID_INPUT` they are no object, or the signal is none.
 */
export function given<Options extends CallOptions>(options: Options | undefined): Options | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) throw misfit('options', 'should be an object')
  let copy: Options
  try {
    // Their getters, and the traps of a proxy, run once, here.
    copy = { ...options }
  } catch {
    throw misfit('options', 'could not be read')
  }
  const { signal } = copy
  if (signal === undefined || isSignal(signal)) return copy
  throw misfit('signal', 'should be an AbortSignal')
}

// One of another realm is no instance of this one's class.
function isSignal(signal: unknown): signal is AbortSignal {
  if (typeof signal !== 'object' || signal === null) return false
  try {
    const { aborted, addEventListener, throwIfAborted } = signal as Partial<AbortSignal>
    return (
      typeof aborted === 'boolean' && [addEventListener, throwIfAborted].every((each) => typeof each === 'function')
    )
  } catch {
    return false
  }
}

function misfit(option: string, expected: string): JobchartError {
  return new JobchartError('INVALID_INPUT', `${option} ${expected}`, {
    issues: [{ message: expected, path: [option] }],
  })
}
