/**
 * Checks at compile time that the parts of a job type fit each other: its schemas, its machine, and what can be stored.
 *
 * A part that fits is given the type `unknown`, which accepts anything. A part that does not fit is given the type
 * {@link Misfit}, and the compiler shows its text.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, EventFrom, InputFrom, OutputFrom } from 'xstate'
import type { CommandEvent, Commands, SchemasOf } from './command.ts'
import type { Storable } from './storable.ts'

declare const misfit: unique symbol

/** A type that no value has. The compiler shows it where two types do not fit, with the expected and the found type. */
export interface Misfit<Rule extends string, Expected = unknown, Found = unknown> {
  readonly [misfit]: { readonly rule: Rule; readonly expected: Expected; readonly found: Found }
}

/** The input type of a schema; without a schema, anything. */
export type Given<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferInput<Schema> : unknown

/** The output type of a schema; without a schema, anything. */
export type Parsed<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Schema> : unknown

/** The `types.input` of a machine; without it, anything. */
export type MachineInput<Machine extends AnyStateMachine> = Known<InputFrom<Machine>>

/** The `types.output` of a machine; without it, anything. */
export type MachineOutput<Machine extends AnyStateMachine> = Known<OutputFrom<Machine>>

// XState uses `{} | null | undefined` if a machine does not say its type. That becomes `unknown` here.
type Known<Type> = unknown extends Type ? unknown : Type

type StoredAs<Value, Rule extends string> = [Value] extends [Storable<Value>]
  ? unknown
  : Misfit<Rule, Storable<Value>, Value>

/** Refuses input and output schemas whose result is not JSON. */
export interface StorableSchemas<InputSchema, OutputSchema> {
  readonly input?: StoredAs<Parsed<InputSchema>, 'the result of the input schema should be JSON, since it is stored'>
  readonly output?: StoredAs<Parsed<OutputSchema>, 'the result of the output schema should be JSON, since it is stored'>
}

/** Refuses commands whose schemas return a value that is not JSON. */
export interface StorableCommands<Declared extends Commands> {
  readonly commands?: StoredAs<Fields<Declared>, 'the result of a command schema should be JSON, since it is stored'>
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
        "the machine's types.input should accept the result of the input schema",
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
        : Misfit<"the output schema should accept the machine's types.output", Given<OutputSchema>, OutputFrom<Machine>>
      : StoredAs<OutputFrom<Machine>, "the machine's types.output should be JSON, since it is stored">

type EventsFit<Machine extends AnyStateMachine, Declared extends Commands> = [Untaken<Machine, Declared>] extends [
  never,
]
  ? unknown
  : Misfit<"the machine's types.events should include each command", Untaken<Machine, Declared>, EventFrom<Machine>>

/** The command events that are missing in the machine's `types.events`. */
type Untaken<Machine extends AnyStateMachine, Declared extends Commands> = {
  [Name in keyof Declared & string]: CommandEvent<Name, Parsed<SchemasOf<Declared>[Name]>> extends EventFrom<Machine>
    ? never
    : CommandEvent<Name, Parsed<SchemasOf<Declared>[Name]>>
}[keyof Declared & string]
