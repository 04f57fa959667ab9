import { JobchartError } from './error.ts'

/**
 * What may repeat a job's input: parts of its view, `reason`s of its history, its `logs` and `items`, and what its chart's
 * `emit` actions carry.
 */
export type SafePart = 'output' | 'error' | 'message' | 'reason' | 'logs' | 'items' | 'emitted'

const SAFE_PARTS: ReadonlySet<string> = new Set([
  'output',
  'error',
  'message',
  'reason',
  'logs',
  'items',
  'emitted',
] satisfies SafePart[])

/** @throws {JobchartError} `INVALID_DEFINITION` it names what is no part. */
export function parseSafe(type: string, safe: readonly SafePart[] = []): ReadonlySet<SafePart> {
  if (Array.isArray(safe) && safe.every((part) => SAFE_PARTS.has(part))) return new Set(safe)
  const expected = `a list of ${[...SAFE_PARTS].join(', ')}`
  throw new JobchartError('INVALID_DEFINITION', `job type "${type}": safe should be ${expected}`)
}
