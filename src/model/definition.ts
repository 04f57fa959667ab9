import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { chartHash } from './chart-hash.ts'
import { type Commands, cancelCommand, parseCommands, type SchemasOf } from './command.ts'
import { DEFAULT_LIFECYCLE, defaultLifecycle, reasonSchema } from './default-lifecycle.ts'
import { checkAccepts, checkCommand, checkMachine } from './definition-checks.ts'
import { checkJobOptions } from './definition-options.ts'
import { type EndLabels, endLabels } from './end-labels.ts'
import { JobchartError } from './error.ts'
import { stateNodes } from './inert-machine.ts'
import type {
  AnyJobType,
  AssigneeOf,
  Describe,
  DescribedEvent,
  DescribedFunction,
  Description,
  FactsOf,
  FollowUpOf,
  JobType,
  Migrated,
  MigratingJob,
} from './job-type.ts'
import { type JobLimits, limitedTasks, parseQueued, type TaskLimits } from './limits.ts'
import { type AnyLogic, isLogic, isMachine, kindOf } from './logic.ts'
import { type NotifyRule, parseRules } from './notification-rule.ts'
import type { ProgramOptions } from './program.ts'
import { type JobRetention, parseJobRetention } from './retention.ts'
import type { RetryOptions } from './retry.ts'
import { parseSafe, type SafePart } from './safe.ts'
import type {
  FittingMachine,
  Given,
  MachineInput,
  MachineOutput,
  Parsed,
  StorableCommands,
  StorableSchemas,
} from './schema-fit.ts'
import type { StorableReturn } from './storable.ts'
import {
  type ProgramOutput,
  parseProgramTask,
  parseTask,
  type Recovery,
  settingsOfLogic,
  type TaskContext,
  type TaskOptions,
  type TaskSettings,
} from './task.ts'
import type { Duration } from './time.ts'
import { createChart } from './transition.ts'

export type { AnyJobType, CommandsOf, InputOf, JobType, OutputOf } from './job-type.ts'

interface CommonOptions<Type extends string, InputSchema, OutputSchema> {
  /** The name of the type: 1 to 200 characters. */
  readonly type: Type
  /**
   * Change the version when the chart's states or invokes change: a stored job runs only on the chart that it began
   * with. Default `'1'`.
   */
  readonly version?: string
  /** Any Standard Schema. Checks the input at submit; the parsed value is stored. */
  readonly input?: InputSchema
  /** Any Standard Schema. Checks the result of a job that succeeded. */
  readonly output?: OutputSchema
  readonly labels?: EndLabels
  /**
   * The parts of the job that, as you promise, never contain anything of the input. They stay visible when a policy
   * redacts the input. Default: none.
   */
  readonly safe?: readonly SafePart[]
  /**
   * Earlier versions. Their jobs continue, or move by `migrate`. Jobs of versions not listed wait for other engines.
   */
  readonly previous?: readonly AnyJobType[]
  /**
   * Moves a stored job of a previous version to this version, at its next change and only while none of its tasks runs.
   * Must be pure. `undefined` keeps the job on its version. If `migrate` throws, the job stays as it is.
   */
  readonly migrate?: (job: MigratingJob) => Migrated | undefined
  /** Returns what comes after a job has ended, e.g. a retry or other jobs. Committed together with the job's end. */
  readonly followUp?: FollowUpOf
  /** True: pipelines may name this type in `dependsOn`. Default false, because each end then costs one more read. */
  readonly startsPipelines?: boolean
  /** Other names that `submit`, lists, counts and streams accept for this type, e.g. a misspelt one of older clients. */
  readonly aliases?: readonly string[]
  /** Whom to notify of what. Each rule notifies once per job. Default: nobody. */
  readonly notify?: readonly NotifyRule[]
  /**
   * Labels that decide rights, computed from the parsed input. They replace labels of the same names that a caller gave,
   * at each submit, run and retry. Must be pure. If it throws, or returns anything but labels, the job is not stored
   * (`INVALID_INPUT`). With `facts` or `assignee`, the input is parsed before the policy is asked about the submit.
   */
  readonly facts?: FactsOf<Parsed<InputSchema>>
  /**
   * The id of the person who is to act on the job, or `undefined` for nobody. Decided once, at the submit or run; then
   * the submitter's option `assignee` is ignored. Must be pure. If it throws, or returns anything else, the job is not
   * stored (`INVALID_INPUT`). Default: the submitter's option.
   */
  readonly assignee?: AssigneeOf<Parsed<InputSchema>>
  /** How long its ended jobs are kept. Each field replaces that of the engine's `retention`. */
  readonly retention?: JobRetention
}

/** A job type made from one function: queued → running → completed, failed or cancelled. */
export interface ExecuteOptions<Type extends string, InputSchema, OutputSchema, Input, Output>
  extends CommonOptions<Type, InputSchema, OutputSchema> {
  readonly execute: (context: TaskContext<Input>) => Output | PromiseLike<Output>
  /** Returns the message, reason, exit code and error to store. Called after each transition; must be pure. */
  readonly describe?: (snapshot: DescribedFunction, event: DescribedEvent) => Description | undefined
  readonly retry?: RetryOptions
  readonly recovery?: Recovery
  /** The maximum time of one attempt, from its start; see {@link TaskOptions.timeout}. Default: no limit. */
  readonly timeout?: Duration
  readonly killGrace?: Duration | 'never'
  readonly executor?: string
  /** How many tasks of this type run at once, over all engines of one storage. Default: no limit. */
  readonly limits?: JobLimits & Partial<TaskLimits<NoInfer<Input>>>
}

/** A job type that runs a program of the operating system: queued → running → completed, failed or cancelled. */
export interface ProgramJobOptions<Type extends string, InputSchema, Input>
  extends Omit<ExecuteOptions<Type, InputSchema, undefined, Input, ProgramOutput>, 'execute' | 'output'> {
  /**
   * The program. Exit code 0 means success. With any other exit code the attempt fails; if `retry` allows no further
   * attempt, the job fails with an `ExitError`. Lines that the program prints go to the job's log.
   */
  readonly run: ProgramOptions<Input>
}

/** A job type made from an XState v5 machine. */
export interface LifecycleOptions<
  Type extends string,
  InputSchema,
  OutputSchema,
  Declared extends Commands,
  Machine extends AnyStateMachine = AnyStateMachine,
> extends CommonOptions<Type, InputSchema, OutputSchema> {
  readonly lifecycle: Machine
  /** Returns the message, reason, exit code and error to store. Called after each transition; must be pure. */
  readonly describe?: Describe<Machine>
  /**
   * The events that a person may send: for each, the schema of its fields, or `{ schema, by }` to limit who may send
   * it. Some state must take each command. In a state whose `meta.accepts` lists a command, sending it returns the job
   * and writes nothing, and `actions` does not offer it.
   */
  readonly commands?: Declared
  /** The command that `cancel` sends. Default: `'cancel'`, if there is such a command. `null`: none. */
  readonly cancel?: (keyof Declared & string) | null
  readonly limits?: JobLimits
}

/** The commands of the default lifecycle. */
export interface DefaultCommands {
  readonly cancel: StandardSchemaV1<{ readonly reason?: string | undefined }>
}

/**
 * Defines a job type from a function, or from an XState machine whose invokes are promise logic or `task()`.
 *
 * These mistakes do not compile: a result, input or command that is not JSON; a machine whose `types.input` does not
 * accept what the input schema returns; a machine whose `types.events` does not accept a command.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` for everything that is known to be broken: an unknown option or a value of the wrong kind; an invoke of missing logic; a spawn of logic without a name; a missing guard or delay; a command that no state takes; an invalid duration. The message says what to do.
 */
export function defineJob<
  const Type extends string,
  Output,
  InputSchema extends StandardSchemaV1 | undefined = undefined,
  OutputSchema extends StandardSchemaV1 | undefined = undefined,
>(
  options: ExecuteOptions<Type, InputSchema, OutputSchema, Parsed<InputSchema>, Output> &
    StorableSchemas<InputSchema, OutputSchema> & { readonly execute: StorableReturn<Output> },
): JobType<
  Type,
  Given<InputSchema>,
  OutputSchema extends StandardSchemaV1 ? Parsed<OutputSchema> : Awaited<Output>,
  DefaultCommands
>
export function defineJob<const Type extends string, InputSchema extends StandardSchemaV1 | undefined = undefined>(
  options: ProgramJobOptions<Type, InputSchema, Parsed<InputSchema>>,
): JobType<Type, Given<InputSchema>, ProgramOutput, DefaultCommands>
export function defineJob<
  const Type extends string,
  Machine extends AnyStateMachine,
  InputSchema extends StandardSchemaV1 | undefined = undefined,
  OutputSchema extends StandardSchemaV1 | undefined = undefined,
  const Declared extends Commands = Record<never, never>,
>(
  options: LifecycleOptions<Type, InputSchema, OutputSchema, Declared, Machine> &
    StorableSchemas<InputSchema, OutputSchema> &
    StorableCommands<Declared> & { readonly lifecycle: FittingMachine<Machine, InputSchema, OutputSchema, Declared> },
): JobType<
  Type,
  InputSchema extends StandardSchemaV1 ? Given<InputSchema> : MachineInput<Machine>,
  OutputSchema extends StandardSchemaV1 ? Parsed<OutputSchema> : MachineOutput<Machine>,
  SchemasOf<Declared>
>
export function defineJob(
  options:
    | ExecuteOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, unknown, unknown>
    | ProgramJobOptions<string, StandardSchemaV1 | undefined, unknown>
    | LifecycleOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, Commands>,
): AnyJobType {
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
  if ('lifecycle' in options) return { ...common, ...fromMachine(options) }
  return { ...common, ...fromFunction(options) }
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

function fromFunction(
  options:
    | ExecuteOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, unknown, unknown>
    | ProgramJobOptions<string, StandardSchemaV1 | undefined, unknown>,
): Life {
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
    queuedMax: parseQueued(limits),
    lifecycle: defaultLifecycle,
    chart: createChart(defaultLifecycle),
    hash: DEFAULT_LIFECYCLE,
    chartTakesInput: false,
    tasks: new Map([
      ['execute', 'run' in options ? parseProgramTask(set, options.run, true) : parseTask(set, options.execute, true)],
    ]),
    inline: new Map(),
    children: new Map(),
  }
}

function fromMachine(
  options: LifecycleOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, Commands>,
): Life {
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
    queuedMax: parseQueued(options.limits),
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
  const named = Object.entries(machine.implementations.actors as { readonly [src: string]: unknown })
  const logics = new Map(named.filter((each): each is [string, AnyLogic] => isLogic(each[1])))
  for (const node of stateNodes(machine.root)) {
    const configs = [node.config.invoke].flat()
    for (const [index, invoke] of node.invoke.entries()) {
      // XState names inline invokes itself, so `src` is always a string.
      const src = String(invoke.src)
      const configured: unknown = configs[index]?.src
      const logic = isLogic(configured) ? configured : logics.get(src)
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
