import type { TaskEnd } from '../model/decision.ts'
import { isFinalError } from '../model/error.ts'
import { errorValue } from '../model/record.ts'
import { storableCopy } from '../model/storable.ts'

/** The end of code that has returned. */
export function codeEnd(output: unknown): TaskEnd {
  if (output === undefined) return { ok: true }
  try {
    return { ok: true, output: storableCopy(output, 'output', true) }
  } catch (thrown) {
    return failedEnd(thrown)
  }
}

/** The end of code that has thrown. */
export function failedEnd(thrown: unknown): TaskEnd & { readonly ok: false } {
  return { ok: false, error: errorValue(thrown), isFinal: isFinalError(thrown) }
}
