import type { ChartEvent } from '../model/chart.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import { errorValue } from '../model/record.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import type { Task } from '../model/task.ts'

/** Example values for what `explore` cannot take from the schemas. An empty list leaves the event out. */
export interface ExampleOptions<Input = unknown> {
  /** Inputs to submit. Default: `undefined`, or `{}` if the type's schema does not accept `undefined`. */
  readonly inputs?: readonly Input[]
  /**
   * Fields of commands, and of events that tasks and children send, by event type. Without an example, an event is
   * tried without fields if it is a command whose schema accepts that, or an event that a task declares.
   */
  readonly events?: { readonly [event: string]: readonly { readonly [field: string]: unknown }[] }
  /**
   * Outputs of tasks and child machines, by the invoke's id or by the name of its logic. Default: no output; for a
   * batch: counts. A batch also tells its chart these counts as `task.progress`, if the chart names that event.
   */
  readonly outputs?: { readonly [task: string]: readonly unknown[] }
  /** Errors of tasks and child machines, by the invoke's id or by the name of its logic. Default: an `Error`. */
  readonly errors?: { readonly [task: string]: readonly unknown[] }
}

/** An event that the walk left out, with the reason. */
export interface Untried {
  readonly event: string
  readonly reason: string
}

/** The example values, read and checked. */
export interface Examples {
  readonly inputs: readonly (Json | undefined)[]
  readonly commands: readonly ChartEvent[]
  readonly outputs: (task: Task) => readonly (Json | undefined)[]
  readonly errors: (task: Task) => readonly Json[]
  /** The events that a task or a child may send while it runs. */
  readonly sent: (task: Task) => readonly ChartEvent[]
  /** Whether the walk left out an event that could happen to this job. */
  readonly isOpen: (job: Job) => boolean
  /** The events that the walk has left out so far. */
  readonly untried: () => readonly Untried[]
}

/** The counts with which a batch may end: all items completed, all failed, all skipped, or some of each. */
const BATCH_ENDS: readonly Json[] = [
  { total: 4, completed: 4, failed: 0, skipped: 0 },
  { total: 4, completed: 0, failed: 4, skipped: 0 },
  { total: 4, completed: 0, failed: 0, skipped: 4 },
  { total: 4, completed: 2, failed: 1, skipped: 1 },
]

const DEFAULT_ERROR: Json = { name: 'Error', message: 'an example of a failure' }

/**
 * Reads and checks the examples for a type.
 *
 * @throws {JobchartError} `INVALID_INPUT` an example does not fit its schema, or nothing can send its event.
 */
export function readExamples(type: AnyJobType, options: ExampleOptions): Examples {
  const untried = new Map<string, string>()
  const inputs = valuesFor(type.input, {
    what: 'input',
    option: '{ inputs: […] }',
    given: options.inputs,
    defaults: [undefined, {}],
  })
  if ('reason' in inputs) throw new JobchartError('INVALID_INPUT', `inputs should have an example: ${inputs.reason}`)
  checkEvents(type, options)
  const commands = Object.keys(type.commands).flatMap((name) => commandEvents(type, name, options, untried))
  const isCommandLeftOut = untried.size > 0
  return {
    inputs: inputs.values.map((value) => copied(value, 'input')),
    commands,
    outputs: (task) => outputsOf(type, task, options, untried),
    errors: (task) => (givenFor(task, options.errors) ?? [DEFAULT_ERROR]).map(errorValue),
    sent: (task) => sentBy(type, task, options),
    isOpen: ({ tasks }) => isCommandLeftOut || tasks.some((task) => untried.has(doneType(task))),
    untried: () => [...untried].map(([event, reason]) => ({ event, reason })),
  }
}

function commandEvents(
  type: AnyJobType,
  name: string,
  { events = {} }: ExampleOptions,
  untried: Map<string, string>,
): readonly ChartEvent[] {
  const given = Object.hasOwn(events, name) ? events[name] : undefined
  const read = valuesFor(type.commands[name], {
    what: `command "${name}"`,
    option: `{ events: { ${JSON.stringify(name)}: […] } }`,
    given,
    defaults: [{}],
  })
  if ('values' in read) return read.values.map((fields) => eventOf(name, fields))
  untried.set(name, read.reason)
  return []
}

function outputsOf(
  type: AnyJobType,
  task: Task,
  { outputs }: ExampleOptions,
  untried: Map<string, string>,
): readonly (Json | undefined)[] {
  const what = `output of "${task.id}"`
  const settings = type.tasks.get(task.src)
  // A callback has no output: it runs until the chart leaves it, or until it throws.
  if (settings?.kind === 'callback') return []
  if (settings?.batch !== undefined && givenFor(task, outputs) === undefined) return BATCH_ENDS
  const read = valuesFor(settings?.output, {
    what,
    option: `{ outputs: { ${JSON.stringify(task.src)}: […] } }`,
    given: givenFor(task, outputs),
    defaults: [undefined],
  })
  if ('values' in read) return read.values.map((value) => copied(value, what))
  untried.set(doneType(task), read.reason)
  return []
}

function sentBy(type: AnyJobType, task: Task, { events = {} }: ExampleOptions): readonly ChartEvent[] {
  const declared = type.tasks.get(task.src)?.events
  const named = declared ?? Object.keys(events).filter((event) => isFreeToSend(type, event))
  const news = `xstate.snapshot.${task.id}`
  const types = Object.hasOwn(events, news) ? [...named, news] : named
  return types.flatMap((event) => (events[event] ?? [{}]).map((fields) => eventOf(event, fields)))
}

/**
 * Whether the event may be sent by a child, or by a task that declares no events. It may be any event except commands
 * and the engine's own events.
 */
function isFreeToSend(type: AnyJobType, event: string): boolean {
  return !event.startsWith('task.') && !event.startsWith('xstate.') && !Object.hasOwn(type.commands, event)
}

function checkEvents(type: AnyJobType, { events = {} }: ExampleOptions): void {
  const tasks = [...type.tasks.values()]
  const isFree = type.children.size > 0 || tasks.some((settings) => settings.events === undefined)
  for (const event of Object.keys(events)) {
    const isDeclared = tasks.some((settings) => settings.events?.includes(event) === true)
    if (isDeclared || Object.hasOwn(type.commands, event) || event.startsWith('xstate.snapshot.')) continue
    if (isFree && isFreeToSend(type, event)) continue
    const known = Object.keys(type.commands).join(', ') || 'none'
    const why = `events has examples of "${event}", which is no command (${known}) and which no task may send`
    throw new JobchartError('INVALID_INPUT', `job type "${type.type}": ${why}`)
  }
}

function givenFor({ id, src }: Task, given: ExampleOptions['outputs'] = {}): readonly unknown[] | undefined {
  if (Object.hasOwn(given, id)) return given[id]
  return Object.hasOwn(given, src) ? given[src] : undefined
}

function doneType({ id }: Task): string {
  return `xstate.done.actor.${id}`
}

function eventOf(type: string, fields: unknown): ChartEvent {
  const event = { ...(typeof fields === 'object' ? fields : {}), type }
  // The copy has the field `type` too, so the cast is safe.
  return storableCopy(event, `event "${type}"`, true) as unknown as ChartEvent
}

function copied(value: unknown, what: string): Json | undefined {
  return value === undefined ? undefined : storableCopy(value, what, true)
}

type Schema = NonNullable<AnyJobType['input']>

interface Asked {
  readonly what: string
  /** The options of `explore` that give examples, for the reason. */
  readonly option: string
  readonly given: readonly unknown[] | undefined
  /** The values to try if no examples are given. The first one that the schema accepts is used. */
  readonly defaults: readonly unknown[]
}

/** The values as the schema parses them. If there are none, the reason. */
function valuesFor(
  schema: Schema | undefined,
  { what, option, given, defaults }: Asked,
): { readonly values: readonly unknown[] } | { readonly reason: string } {
  if (given !== undefined) return { values: given.map((value) => parsedExample(schema, value, what)) }
  const tried = defaults.map((value) => parseNow(schema, value))
  const fit = tried.find((each) => each.kind === 'value')
  if (fit !== undefined) return { values: [fit.value] }
  if (tried.some(({ kind }) => kind === 'later')) {
    return { reason: `the schema of ${what} answers asynchronously; give examples as it would parse them` }
  }
  const said = tried.at(-1)
  const why = said?.kind === 'misfit' ? `: ${said.message}` : ''
  return { reason: `${what} needs an example${why}; give some by explore(type, ${option})` }
}

function parsedExample(schema: Schema | undefined, value: unknown, what: string): unknown {
  const parsed = parseNow(schema, value)
  if (parsed.kind === 'value') return parsed.value
  // An asynchronous schema cannot be awaited in this synchronous function, so the example is used unparsed.
  if (parsed.kind === 'later') return value
  throw new JobchartError('INVALID_INPUT', `the example of ${what} does not fit its schema: ${parsed.message}`)
}

type Parsed =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'later' }
  | { readonly kind: 'misfit'; readonly message: string }

function parseNow(schema: Schema | undefined, value: unknown): Parsed {
  if (schema === undefined) return { kind: 'value', value }
  const result = schema['~standard'].validate(value)
  if ('then' in result) {
    // The rejection is handled here, because an unhandled one would end the process.
    result.then(undefined, () => {})
    return { kind: 'later' }
  }
  if (result.issues === undefined) return { kind: 'value', value: result.value }
  const said = result.issues.map(({ message, path = [] }) => [...path.map(keyOf), message].join(': '))
  return { kind: 'misfit', message: said.join('; ') }
}

function keyOf(part: unknown): string {
  return String(typeof part === 'object' && part !== null && 'key' in part ? part.key : part)
}
