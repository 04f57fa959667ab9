import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { BATCH_RUN_PLACE, isBatchRun } from './batch-settings.ts'
import { chartHash } from './chart-hash.ts'
import { type Commands, cancelCommand, parseCommands } from './command.ts'
import { DEFAULT_LIFECYCLE, defaultLifecycle, reasonSchema } from './default-lifecycle.ts'
import type { DefinedJob, JobOptions, NoMachine } from './defined-job.ts'
import { checkAccepts, checkCommand, checkMachine, checkStatuses } from './definition-checks.ts'
import { checkJobOptions } from './definition-options.ts'
import { endLabels } from './end-labels.ts'
import { JobchartError } from './error.ts'
import { stateNodes } from './inert-machine.ts'
import type { AnyFunctionOptions, AnyJobOptions, AnyLifecycleOptions, CommonOptions } from './job-options.ts'
import type { AnyJobType } from './job-type.ts'
import { limitedTasks } from './limits.ts'
import { type AnyLogic, isLogic, isMachine, kindOf } from './logic.ts'
import { parseRules } from './notification-rule.ts'
import { parseJobRetention } from './retention.ts'
import { parseSafe } from './safe.ts'
import {
  parseAgentTask,
  parseProgramTask,
  parseTask,
  settingsOfLogic,
  type TaskOptions,
  type TaskSettings,
} from './task.ts'
import { createChart } from './transition.ts'

export type { AnyJobType, CommandsOf, InputOf, JobType, OutputOf } from './job-type.ts'

/**
 * Defines a job type: from a function, a program, a function that agents have, or an XState machine whose invokes are
 * promise logic, `task()`, `program()` or `agentTask()`.
 *
 * These mistakes do not compile: a result, input or command that is not JSON; a machine whose `types.input` does not
 * accept what the input schema returns; a machine whose `types.events` does not accept a command.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` for everything that is known to be broken: an unknown option or a value of the wrong kind; an invoke of missing logic; a spawn of logic without a name; a missing guard or delay; a command that no state takes; an invalid duration. The message says what to do.
 */
export function defineJob<
  const Type extends string,
  InputSchema extends StandardSchemaV1 | undefined = undefined,
  OutputSchema extends StandardSchemaV1 | undefined = undefined,
  Output = unknown,
  Command = unknown,
  Machine extends AnyStateMachine = NoMachine,
  const Declared extends Commands = Record<never, never>,
>(
  options: JobOptions<Type, InputSchema, OutputSchema, Output, Command, Machine, Declared>,
): DefinedJob<Type, InputSchema, OutputSchema, Output, Command, Machine, Declared>
export function defineJob(options: AnyJobOptions): AnyJobType {
  checkJobOptions(options)
  const { type, version = '1' } = options
  const common = {
    type,
    version,
    input: options.input,
    endLabels: endLabels(options.labels),
    safe: parseSafe(type, options.safe),
    // The cast is safe: it is called only with snapshots and events of the machine that it was typed for.
    describe: options.describe as AnyJobType['describe'],
    followUp: options.followUp,
    startsPipelines: options.startsPipelines ?? false,
    aliases: options.aliases ?? [],
    notify: parseRules(type, options.notify),
    // Called only with inputs that the type's own schema has parsed, so the casts are safe.
    facts: options.facts as AnyJobType['facts'],
    assignee: options.assignee as AnyJobType['assignee'],
    retention: parseJobRetention(`job type "${type}"`, options.retention),
    ...earlier(type, version, options),
  }
  const made = { ...common, ...(isOfMachine(options) ? fromMachine(options) : fromFunction(options)) }
  checkStatuses(type, made.lifecycle, made.endLabels, made.notify)
  return made
}

type Life = Omit<
  AnyJobType,
  | 'type'
  | 'version'
  | 'input'
  | 'endLabels'
  | 'safe'
  | 'describe'
  | 'followUp'
  | 'retention'
  | 'startsPipelines'
  | 'aliases'
  | 'notify'
  | 'facts'
  | 'assignee'
  | 'previous'
  | 'migrate'
>

type AnyOptions = CommonOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined>

function earlier(type: string, version: string, options: AnyOptions): Pick<AnyJobType, 'previous' | 'migrate'> {
  const { previous = [], migrate } = options
  for (const each of previous) {
    if (each.type === type && each.version !== version) continue
    const found = `"${each.type}" version "${each.version}"`
    throw new JobchartError(
      'INVALID_DEFINITION',
      `job type "${type}" version "${version}": previous should list other versions of the same type; found ${found}`,
    )
  }
  if (migrate === undefined || previous.length > 0) return { previous, migrate }
  throw new JobchartError(
    'INVALID_DEFINITION',
    `job type "${type}": migrate needs previous: list there the versions that it migrates`,
  )
}

function fromFunction(options: AnyFunctionOptions): Life {
  const { retry, recovery, timeout, killGrace, executor, limits } = options
  const output = 'output' in options ? options.output : undefined
  const { queued, ...ofTask } = limits ?? {}
  const taskLimits = Object.keys(ofTask).length === 0 ? undefined : ofTask
  const given = { retry, recovery, timeout, killGrace, executor, output, limits: taskLimits }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return {
    // The task checks the output, so that a schema may be asynchronous, and a mismatch fails only the attempt.
    output: undefined,
    commands: { cancel: reasonSchema },
    by: {},
    cancel: 'cancel',
    queuedMax: queued ?? null,
    lifecycle: defaultLifecycle,
    chart: createChart(defaultLifecycle),
    hash: DEFAULT_LIFECYCLE,
    chartTakesInput: false,
    tasks: new Map([['execute', workOf(options, set)]]),
    inline: new Map(),
    children: new Map(),
  }
}

// The code of a job type without a machine.
function workOf(options: AnyFunctionOptions, settings: TaskOptions): TaskSettings {
  if ('run' in options && options.run !== undefined) return parseProgramTask(settings, options.run, true)
  if ('agent' in options && options.agent !== undefined) {
    const { function: named = options.type, version } = options.agent
    return parseAgentTask({ ...settings, function: named, ...(version === undefined ? {} : { version }) }, true)
  }
  // The cast is safe: the options were checked, and have one of the three.
  return parseTask(settings, (options as Extract<AnyFunctionOptions, { readonly execute: unknown }>).execute, true)
}

function isOfMachine(options: AnyJobOptions): options is AnyLifecycleOptions {
  return 'lifecycle' in options && options.lifecycle !== undefined
}

function fromMachine(options: AnyLifecycleOptions): Life {
  const { type, version = '1', lifecycle, labels = {} } = options
  const { commands, by } = parseCommands(type, options.commands ?? {})
  for (const command of Object.keys(commands)) checkCommand(type, lifecycle, command)
  checkAccepts(type, lifecycle, commands)
  const actors = fromActors({
    type,
    version,
    machine: lifecycle,
    endLabels: endLabels(labels),
    safe: parseSafe(type, options.safe),
    above: [],
  })
  return {
    ...fromChart(type, lifecycle),
    ...actors,
    queuedMax: options.limits?.queued ?? null,
    tasks: limitedTasks(actors.tasks, options.limits),
    output: options.output,
    commands,
    by,
    cancel: cancelCommand(options.type, commands, options.cancel),
  }
}

function fromChart(
  type: string,
  machine: AnyStateMachine,
): Pick<Life, 'lifecycle' | 'chart' | 'hash' | 'chartTakesInput'> {
  checkMachine(type, machine)
  return { lifecycle: machine, chart: createChart(machine), hash: chartHash(machine), chartTakesInput: true }
}

/** The machine that is being defined. `above`: the types of the machines that invoke it, outermost first. */
interface Lineage {
  readonly type: string
  readonly version: string
  readonly machine: AnyStateMachine
  readonly endLabels: AnyJobType['endLabels']
  readonly safe: AnyJobType['safe']
  readonly above: readonly { readonly machine: AnyStateMachine; readonly type: AnyJobType }[]
}

function fromActors(lineage: Lineage): Pick<Life, 'tasks' | 'inline' | 'children'> {
  const tasks = new Map<string, TaskSettings>()
  const inline = new Map<string, AnyLogic>()
  const children = new Map<string, AnyJobType>()
  for (const [src, logic] of logicsOf(lineage)) {
    if (isMachine(logic)) children.set(src, childType(lineage, src, logic))
    else if (kindOf(logic) === 'pure') inline.set(src, logic)
    else tasks.set(src, settingsOfLogic(logic))
  }
  return { tasks, inline, children }
}

function logicsOf({ type, machine }: Lineage): ReadonlyMap<string, AnyLogic> {
  const logics = new Map<string, AnyLogic>()
  const actors = new Map(Object.entries(machine.implementations.actors as { readonly [src: string]: unknown }))
  for (const [src, actor] of actors) {
    if (isLogic(actor)) logics.set(src, actor)
    else if (isBatchRun(actor)) throw noLogic(type, `the actor "${src}"`, actor)
  }
  for (const node of stateNodes(machine.root)) {
    const configs = [node.config.invoke].flat()
    for (const [index, invoke] of node.invoke.entries()) {
      // XState names inline invokes itself, so `src` is always a string.
      const src = String(invoke.src)
      const configured: unknown = configs[index]?.src
      if (typeof configured === 'function') throw noLogic(type, `an invoke of state "${node.id}"`, configured)
      const logic = isLogic(configured) ? configured : logics.get(src)
      const actor = actors.get(src)
      if (logic === undefined && actor !== undefined) throw noLogic(type, `the actor "${src}"`, actor)
      if (logic === undefined) throw unknownLogic(type, node, src)
      logics.set(src, logic)
    }
  }
  return logics
}

function unknownLogic(type: string, node: AnyStateNode, src: string): JobchartError {
  return new JobchartError(
    'INVALID_DEFINITION',
    `job type "${type}": state "${node.id}" invokes "${src}", which is not defined. ` +
      'Provide it in setup({ actors }), made by task(), fromPromise() or other XState actor logic.',
  )
}

function noLogic(type: string, what: string, actor: unknown): JobchartError {
  const found = isBatchRun(actor) ? 'what batchRun() makes' : `a ${typeof actor}`
  const hint = isBatchRun(actor) ? BATCH_RUN_PLACE : 'For a function, use task({}, run) or fromPromise(run)'
  return new JobchartError(
    'INVALID_DEFINITION',
    `job type "${type}": ${what} should be actor logic; found ${found}. ${hint}.`,
  )
}

// A machine that invokes itself, at any depth, reuses its own type. Otherwise there would be endless types.
function childType(
  { type, version, endLabels, safe, above }: Lineage,
  src: string,
  child: AnyStateMachine,
): AnyJobType {
  const known = above.find((each) => each.machine === child)
  if (known !== undefined) return known.type
  const made: Mutable<AnyJobType> = {
    type: `${type}/${src}`,
    version,
    input: undefined,
    output: undefined,
    endLabels,
    safe,
    ...NO_HOOKS,
    startsPipelines: false,
    aliases: [],
    facts: undefined,
    assignee: undefined,
    commands: {},
    by: {},
    cancel: null,
    queuedMax: null,
    ...fromChart(`${type}/${src}`, child),
    tasks: new Map(),
    inline: new Map(),
    children: new Map(),
  }
  const lineage = { type: made.type, version, machine: child, endLabels, safe }
  return Object.assign(made, fromActors({ ...lineage, above: [...above, { machine: child, type: made }] }))
}

const NO_HOOKS = { describe: undefined, followUp: undefined, notify: [], previous: [], migrate: undefined }
type Mutable<Record> = { -readonly [Key in keyof Record]: Record[Key] }

/** The type of the child job for an invoke of `src`. `undefined`: `src` is not a machine. */
export function childTypeOf(type: AnyJobType, src: string): AnyJobType | undefined {
  return type.children.get(src)
}

/** A type, its earlier versions, and the types of all machines that these invoke; each once. */
export function withVersions(type: AnyJobType): ReadonlySet<AnyJobType> {
  return new Set([...withChildren(type), ...type.previous.flatMap((each) => [...withVersions(each)])])
}

/** A type and the types of all machines that it invokes; each once. */
export function withChildren(type: AnyJobType, known: Set<AnyJobType> = new Set()): ReadonlySet<AnyJobType> {
  if (known.has(type)) return known
  known.add(type)
  for (const child of type.children.values()) withChildren(child, known)
  return known
}
