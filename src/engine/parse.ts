import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyJobType } from '../model/definition.ts'
import { type Issue, JobchartError } from '../model/error.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import type { ChartEvent } from '../model/transition.ts'

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
  const result = await validated(schema, value, what)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map(readIssue)
  const said = issues.map(({ message, path }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
  throw new JobchartError('INVALID_INPUT', `${what} does not fit its schema: ${said.join('; ')}`, { issues })
}

// A schema is a user's code, and so are the getters of a value that somebody gave.
async function validated<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.Result<StandardSchemaV1.InferOutput<Schema>>> {
  try {
    return await schema['~standard'].validate(value)
  } catch (cause) {
    const issues = [{ message: 'could not be read', path: [] }]
    throw new JobchartError('INVALID_INPUT', `${what} could not be read by its schema`, { issues, cause })
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

/** A job's input as its type's schema reads it, copied: whoever gave it may go on to change his object. */
export async function parseInput(type: AnyJobType, input: unknown): Promise<Json | undefined> {
  const parsed = type.input === undefined ? input : await parseWith(type.input, input, 'input')
  if (parsed === undefined) return undefined
  return storableCopy(parsed, 'input')
}

/** A command as its type's schema reads it. @throws {JobchartError} `INVALID_INPUT`, `NOT_STORABLE` */
export async function parseCommand(type: AnyJobType, command: ChartEvent): Promise<ChartEvent> {
  const { type: name, ...fields } = command
  const schema = typeof name === 'string' && Object.hasOwn(type.commands, name) ? type.commands[name] : undefined
  if (schema === undefined) {
    const known = Object.keys(type.commands).join(', ') || 'none'
    throw new JobchartError('INVALID_INPUT', `jobs of type "${type.type}" take these commands: ${known}`, {
      issues: [{ message: 'no such command', path: ['type'] }],
    })
  }
  const parsed = await parseWith(schema, fields, `command "${name}"`)
  const event = { ...(typeof parsed === 'object' ? parsed : {}), type: name }
  return storableCopy(event, `command "${name}"`, true) as unknown as ChartEvent
}
