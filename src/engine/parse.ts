import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type Issue, JobchartError } from '../model/error.ts'

/**
 * Parses by any Standard Schema.
 *
 * @param what  names the value in the error's message.
 * @throws {JobchartError} `INVALID_INPUT` with the issues, each with its path.
 */
export async function parseWith<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map(readIssue)
  const said = issues.map(({ message, path }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
  throw new JobchartError('INVALID_INPUT', `${what} does not fit its schema: ${said.join('; ')}`, { issues })
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
