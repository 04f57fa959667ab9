import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type Issue, JobchartError } from '../model/error.ts'
import { isPromiseLike, type Soon, whenKnown } from './soon.ts'

/** The most issues that one error lists. */
const ISSUES_MAX = 20

/**
 * Parses a value by any Standard Schema.
 *
 * @param what  names the value in the error's message.
 * @throws {JobchartError} `INVALID_INPUT` with the first 20 issues, each with its path.
 */
export function parseWith<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Soon<StandardSchemaV1.InferOutput<Schema>> {
  return whenKnown(validated(schema, value, what), (result) => {
    if (result.issues === undefined) return result.value
    const issues = result.issues.slice(0, ISSUES_MAX).map(readIssue)
    const said = issues.map(({ message, path }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    const more = result.issues.length - issues.length
    if (more > 0) said.push(`and ${more} more`)
    const misfits = what === 'options' ? 'options do not fit' : `${what} does not fit its schema`
    throw new JobchartError('INVALID_INPUT', `${misfits}: ${said.join('; ')}`, { issues })
  })
}

// Schemas are user code and may throw.
function validated<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Soon<StandardSchemaV1.Result<StandardSchemaV1.InferOutput<Schema>>> {
  const unread = (cause: unknown): never => {
    const issues = [{ message: 'the schema threw', path: [] }]
    throw new JobchartError('INVALID_INPUT', `${what} could not be parsed: its schema threw`, { issues, cause })
  }
  try {
    const result = schema['~standard'].validate(value)
    return isPromiseLike(result) ? Promise.resolve(result).catch(unread) : result
  } catch (cause) {
    return unread(cause)
  }
}

function readIssue({ message, path = [] }: StandardSchemaV1.Issue): Issue {
  return {
    message,
    path: path.map((part) => {
      const key = typeof part === 'object' ? part.key : part
      return typeof key === 'number' ? key : String(key)
    }),
  }
}
