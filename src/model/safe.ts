import { JobchartError } from './error.ts'

/**
 * The parts of a job that may repeat its input: fields of its view, the `reason`s of its history, its `logs` and
 * `items`, and the payloads of its `emit` actions. A job type lists in `safe` those that do not.
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

/**
 * Parses the `safe` option of a job type.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` it names an unknown part.
 */
export function parseSafe(type: string, safe: readonly SafePart[] = []): ReadonlySet<SafePart> {
  if (Array.isArray(safe) && safe.every((part) => SAFE_PARTS.has(part))) return new Set(safe)
  const expected = `a list of ${[...SAFE_PARTS].join(', ')}`
  throw new JobchartError('INVALID_DEFINITION', `job type "${type}": safe should be ${expected}`)
}
