/**
 * How the parts of a job type must fit each other, as types: its schemas, its machine, and what can be stored.
 *
 * A part that fits is of type `unknown`, which refuses nothing. One that does not is a {@link Misfit}, whose text the
 * compiler shows.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, EventFrom, InputFrom, OutputFrom } from 'xstate'
import type { CommandEvent, Commands, SchemasOf } from './command.ts'
import type { Storable } from './storable.ts'

declare const misfit: unique symbol

/** No value is of this type: the compiler names it where two types do not fit, with what was expected and found. */
export interface Misfit<Rule extends string, Expected = unknown, Found = unknown> {
  readonly [misfit]: { readonly rule: Rule; readonly expected: Expected; readonly found: Found }
}

/** What a schema takes; without one, anything. */
export type Given<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferInput<Schema> : unknown

/** What a schema gives; without one, anything. */
export type Parsed<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Schema> : unknown

/** What a machine's `types.input` takes; without it, anything. */
export type MachineInput<Machine extends AnyStateMachine> = Known<InputFrom<Machine>>

/** What a machine's `types.output` gives; without it, anything. */
export type MachineOutput<Machine extends AnyStateMachine> = Known<OutputFrom<Machine>>

// XState says `{} | null | undefined` for what is not known.
type Known<Type> = unknown extends Type ? unknown : Type

type StoredAs<Value, Rule extends string> = [Value] extends [Storable<Value>]
  ? unknown
  : Misfit<Rule, Storable<Value>, Value>

/** Refuses schemas of input and output that give what is no JSON. */
export interface StorableSchemas<InputSchema, OutputSchema> {
  readonly input?: StoredAs<Parsed<InputSchema>, 'what the input schema gives should be JSON, since it is stored'>
  readonly output?: StoredAs<Parsed<OutputSchema>, 'what the output schema gives should be JSON, since it is stored'>
}

/** Refuses commands whose schemas give what is no JSON. */
export interface StorableCommands<Declared extends Commands> {
  readonly commands?: StoredAs<
    Fields<Declared>,
    'what the schema of a command gives should be JSON, since it is stored'
  >
}

type Fields<Declared extends Commands> = {
  readonly [Name in keyof Declared]: Parsed<SchemasOf<Declared>[Name]>
}

/** Refuses a machine whose types do not fit the schemas. */
export type FittingMachine<
  Machine extends AnyStateMachine,
  InputSchema,
  OutputSchema,
  Declared extends Commands,
> = InputFit<Machine, InputSchema> & OutputFit<Machine, OutputSchema> & EventsFit<Machine, Declared>

type InputFit<Machine extends AnyStateMachine, InputSchema> = InputSchema extends StandardSchemaV1
  ? [Parsed<InputSchema>] extends [InputFrom<Machine>]
    ? unknown
    : Misfit<
        "the machine's types.input should take what the input schema gives",
        Parsed<InputSchema>,
        InputFrom<Machine>
      >
  : unknown

type OutputFit<Machine extends AnyStateMachine, OutputSchema> =
  unknown extends OutputFrom<Machine>
    ? unknown
    : OutputSchema extends StandardSchemaV1
      ? [OutputFrom<Machine>] extends [Given<OutputSchema>]
        ? unknown
        : Misfit<
            "the output schema should take what the machine's types.output gives",
            Given<OutputSchema>,
            OutputFrom<Machine>
          >
      : StoredAs<OutputFrom<Machine>, "the machine's types.output should be JSON, since it is stored">

type EventsFit<Machine extends AnyStateMachine, Declared extends Commands> = [Untaken<Machine, Declared>] extends [
  never,
]
  ? unknown
  : Misfit<"the machine's types.events should take each command", Untaken<Machine, Declared>, EventFrom<Machine>>

/** The events of the commands that the machine's `types.events` do not take. */
type Untaken<Machine extends AnyStateMachine, Declared extends Commands> = {
  [Name in keyof Declared & string]: CommandEvent<Name, Parsed<SchemasOf<Declared>[Name]>> extends EventFrom<Machine>
    ? never
    : CommandEvent<Name, Parsed<SchemasOf<Declared>[Name]>>
}[keyof Declared & string]
