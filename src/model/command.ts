import type { StandardSchemaV1 } from '@standard-schema/spec'
import { JobchartError } from './error.ts'

/** For each command its schema. */
export interface CommandSchemas {
  readonly [command: string]: StandardSchemaV1
}

/** Who may send a command, as its job type says it; each field narrows. A policy reads it as it likes. */
export interface By {
  /** The creator of the job alone, or anybody but the creator. */
  readonly relation?: 'creator' | 'others'
  /** Whoever has one of these roles. */
  readonly roles?: readonly string[]
  /** Whoever has one of these roles on the resource that the job's label of that name names: `{ system: ['owner'] }`. */
  readonly on?: { readonly [label: string]: readonly string[] }
}

/** A command as `defineJob` takes it: its schema, or that and who may send it. */
export type Command = StandardSchemaV1 | { readonly schema: StandardSchemaV1; readonly by: By }

/** For each command its schema, or that and who may send it. */
export interface Commands {
  readonly [command: string]: Command
}

/** The schemas of commands as they were given. */
export type SchemasOf<Given extends Commands> = {
  readonly [Name in keyof Given]: Given[Name] extends { readonly schema: infer Schema extends StandardSchemaV1 }
    ? Schema
    : Given[Name] extends StandardSchemaV1
      ? Given[Name]
      : never
}

/** The event that a command is sent as: its name as `type`, with its schema's fields. */
export type CommandOf<Given> = {
  [Name in keyof Given & string]: Given[Name] extends StandardSchemaV1
    ? CommandEvent<Name, StandardSchemaV1.InferInput<Given[Name]>>
    : never
}[keyof Given & string]

/** An event of a name with fields. Of a command that is known by its schema alone, any fields. */
export type CommandEvent<Name extends string, Fields> = { readonly type: Name } & (unknown extends Fields
  ? { readonly [field: string]: unknown }
  : // A schema without fields may infer an index signature of never, which would forbid the type as well.
    string extends keyof Fields
    ? Name extends Fields[keyof Fields]
      ? Fields
      : unknown
    : Fields)

/** What `defineJob` was told of commands. */
export interface ParsedCommands {
  readonly commands: CommandSchemas
  /** For those that say so, who may send them. */
  readonly by: { readonly [command: string]: By }
}

/**
 * Reads the commands of a job type.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` one has no schema, or its `by` names nobody that there could be.
 */
export function parseCommands(type: string, given: Commands): ParsedCommands {
  const commands: [string, StandardSchemaV1][] = []
  const by: [string, By][] = []
  for (const [name, command] of Object.entries(given)) {
    const schema = 'schema' in command && !('~standard' in command) ? command.schema : command
    if (!isSchema(schema)) throw broken(type, name, 'a schema, or { schema, by }')
    commands.push([name, schema])
    if ('by' in command && !('~standard' in command)) by.push([name, parseBy(type, name, command.by)])
  }
  return { commands: Object.fromEntries(commands), by: Object.fromEntries(by) }
}

function isSchema(value: unknown): value is StandardSchemaV1 {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value
}

const BY_KEYS: ReadonlySet<string> = new Set(['relation', 'roles', 'on'])

// A field that is misspelt would narrow nothing.
function parseBy(type: string, name: string, by: By): By {
  const isKnown = typeof by === 'object' && by !== null && Object.keys(by).every((key) => BY_KEYS.has(key))
  const { relation, roles, on = {} } = isKnown ? by : {}
  const isRelation = relation === undefined || relation === 'creator' || relation === 'others'
  const lists = [roles ?? [], ...Object.values(on)]
  if (isKnown && isRelation && lists.every(isNames)) return structuredClone(by)
  throw broken(type, name, "as its by { relation?: 'creator' | 'others', roles?: [names], on?: { label: [names] } }")
}

function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/**
 * The name of the cancel command; null: there is none.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` what was asked for is no command.
 */
export function cancelCommand(type: string, commands: CommandSchemas, asked: string | null | undefined): string | null {
  if (asked === undefined) return Object.hasOwn(commands, 'cancel') ? 'cancel' : null
  if (asked !== null && !Object.hasOwn(commands, asked)) {
    throw new JobchartError('INVALID_DEFINITION', `job type "${type}": cancel names "${asked}", which is no command`)
  }
  return asked
}

function broken(type: string, name: string, expected: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `job type "${type}": command "${name}" should have ${expected}`)
}
