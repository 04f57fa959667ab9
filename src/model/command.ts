import type { StandardSchemaV1 } from '@standard-schema/spec'
import { JobchartError } from './error.ts'
import { names, schema } from './option-checks.ts'

/** The schema of each command. */
export interface CommandSchemas {
  readonly [command: string]: StandardSchemaV1
}

/**
 * Who may send a command. Each given field narrows the set of callers. The engine passes this to the policy, and the
 * policy applies it.
 */
export interface By {
  /**
   * `creator`: only the job's creator. `others`: everyone except the creator. `assignee`: only the person to whom the job
   * is assigned; nobody, if it is assigned to nobody.
   */
  readonly relation?: 'creator' | 'others' | 'assignee'
  /** Principals with one of these roles. */
  readonly roles?: readonly string[]
  /**
   * Principals with one of these roles on the resource that the job's label names. Example: with `{ system: ['owner']
   * }`, owners of the system in the job's label `system`.
   */
  readonly on?: { readonly [label: string]: readonly string[] }
}

/** A command for `defineJob`: its schema alone, or its schema and who may send it. */
export type Command = StandardSchemaV1 | { readonly schema: StandardSchemaV1; readonly by: By }

/** The commands of a job type, by name. */
export interface Commands {
  readonly [command: string]: Command
}

/** For each given command, its schema alone, without `by`. */
export type SchemasOf<Given extends Commands> = {
  readonly [Name in keyof Given]: Given[Name] extends { readonly schema: infer Schema extends StandardSchemaV1 }
    ? Schema
    : Given[Name] extends StandardSchemaV1
      ? Given[Name]
      : never
}

/** The event that a command sends: `type` is the command's name, the other fields are those of its schema. */
export type CommandOf<Given> = {
  [Name in keyof Given & string]: Given[Name] extends StandardSchemaV1
    ? CommandEvent<Name, StandardSchemaV1.InferInput<Given[Name]>>
    : never
}[keyof Given & string]

/** An event with a name and fields. If the type of the fields is unknown, any fields are allowed. */
export type CommandEvent<Name extends string, Fields> = { readonly type: Name } & (unknown extends Fields
  ? { readonly [field: string]: unknown }
  : // A schema without fields may be inferred as `{ [field: string]: never }`, which would forbid even `type`.
    string extends keyof Fields
    ? Name extends Fields[keyof Fields]
      ? Fields
      : unknown
    : Fields)

/** The parsed `commands` option of `defineJob`. */
export interface ParsedCommands {
  readonly commands: CommandSchemas
  /** Who may send each command, for commands that have `by`. */
  readonly by: { readonly [command: string]: By }
}

/**
 * Parses the `commands` option of a job type.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` a command has no schema, or its `by` is malformed.
 */
export function parseCommands(type: string, given: Commands): ParsedCommands {
  const commands: [string, StandardSchemaV1][] = []
  const by: [string, By][] = []
  for (const [name, command] of Object.entries(given)) {
    // JavaScript may give any value.
    const own: Partial<Exclude<Command, StandardSchemaV1>> = isSchema(command) ? { schema: command } : Object(command)
    if (!isSchema(own.schema)) throw broken(type, name, 'a schema, or { schema, by }')
    commands.push([name, own.schema])
    if ('by' in own) by.push([name, parseBy(type, name, own.by)])
  }
  return { commands: Object.fromEntries(commands), by: Object.fromEntries(by) }
}

function isSchema(value: unknown): value is StandardSchemaV1 {
  return schema.fits(value)
}

const RELATIONS: ReadonlySet<unknown> = new Set(['creator', 'others', 'assignee'] satisfies By['relation'][])
const BY_KEYS: ReadonlySet<string> = new Set(['relation', 'roles', 'on'])

// Unknown fields are refused: a misspelt field would restrict nobody.
function parseBy(type: string, name: string, by: By): By {
  const isKnown = typeof by === 'object' && by !== null && Object.keys(by).every((key) => BY_KEYS.has(key))
  const { relation, roles, on = {} } = isKnown ? by : {}
  const isRelation = relation === undefined || RELATIONS.has(relation)
  const lists = [roles ?? [], ...Object.values(on)]
  if (isKnown && isRelation && lists.every(names.fits)) return structuredClone(by)
  const shape = "{ relation?: 'creator' | 'others' | 'assignee', roles?: [names], on?: { label: [names] } }"
  throw broken(type, name, `as its by ${shape}`)
}

/**
 * The name of the command that `cancel` sends. Null: there is none.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the given name is not a command.
 */
export function cancelCommand(type: string, commands: CommandSchemas, asked: string | null | undefined): string | null {
  if (asked === undefined) return Object.hasOwn(commands, 'cancel') ? 'cancel' : null
  if (asked !== null && !Object.hasOwn(commands, asked)) {
    throw new JobchartError(
      'INVALID_DEFINITION',
      `job type "${type}": cancel names "${asked}", which is not one of its commands`,
    )
  }
  return asked
}

function broken(type: string, name: string, expected: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `job type "${type}": command "${name}" should have ${expected}`)
}
