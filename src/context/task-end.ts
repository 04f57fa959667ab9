import type { TaskEnd } from '../model/attempt-end.ts'
import { isFinalError, JobchartError } from '../model/error.ts'
import { isOptions, shownValue } from '../model/option-checks.ts'
import { errorValue } from '../model/record.ts'
import { storableCopy } from '../model/storable.ts'

/** The end of a task whose code has returned. If the output cannot be stored, the task fails. */
export function codeEnd(output: unknown): TaskEnd {
  if (output === undefined) return { ok: true }
  try {
    return { ok: true, output: storableCopy(output, 'output', true) }
  } catch (thrown) {
    return failedEnd(thrown)
  }
}

/** The end of a task whose code has thrown. */
export function failedEnd(thrown: unknown): TaskEnd & { readonly ok: false } {
  return { ok: false, error: errorValue(thrown), isFinal: isFinalError(thrown) }
}

/**
 * Checks the value with which an executor's `start` resolved. If the value is not an end, or cannot be stored, the task
 * ends with an error.
 */
export function givenEnd(given: unknown): TaskEnd {
  const { ok, output, error, exitCode, isFinal } = isOptions(given) ? given : {}
  if (typeof ok !== 'boolean') {
    const expected = '{ ok: true, output } or { ok: false, error }'
    const message = `an executor's start should resolve with ${expected}; found ${shownValue(given)}`
    return { ...failedEnd(new JobchartError('INVALID_DEFINITION', message)), isFinal: true }
  }
  const code = typeof exitCode === 'number' ? { exitCode } : {}
  if (ok) return { ...codeEnd(output), ...code }
  return { ...failedEnd(error), ...code, ...(isFinal === true ? { isFinal } : {}) }
}
