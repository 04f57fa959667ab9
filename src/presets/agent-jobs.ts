import {
  agentTask,
  type Duration,
  defineJob,
  durationMs,
  type HistoryEntry,
  type JobType,
  type JobView,
  type NotifyRule,
  type Policy,
  type Session,
} from 'jobchart'
import { z } from 'zod'
import { checkBy, passedOn, type Schema, type Types } from './preset-options.ts'
import { AGENT_EVENTS, describeToolJob, type ToolParts, toolLifecycle } from './tool-lifecycle.ts'
import { type ToolRoles, toolPolicy } from './tool-policy.ts'
import {
  shortId,
  type ToolFile,
  type ToolHistoryEntry,
  type ToolJobRow,
  type ToolOutput,
  toolHistoryEntry,
  toolJobRow,
} from './tool-row.ts'

/** A tool: its functions by name. */
export interface Tool {
  readonly functions: { readonly [name: string]: ToolFunction }
  /** The versions that may be asked for. Default: any text. */
  readonly versions?: readonly string[]
}

/** A function of a tool. Agents know the function `extract` of the tool `viewer` as `@viewer/extract`. */
export interface ToolFunction {
  /** Checks the parameters. Default: the function takes none. */
  readonly parameters?: Schema
  /** True: the function extracts from a system. The input must name the system, and its creator needs a role there. */
  readonly extracts?: boolean
}

/** The options of {@link agentJobs}. */
export interface AgentJobsOptions<Tools extends { readonly [name: string]: Tool }> extends ToolRoles {
  /** The tools by name. Names consist of letters, digits, `-` and `_`. */
  readonly tools: Tools
  /**
   * How often a job is given to another agent after one was lost before it had begun: 0 to 2. Default 1. A task that is
   * lost three times in a row is not given to any agent again.
   */
  readonly redeliveriesMax?: number
  /** How long a job may wait for an agent; then it fails. Default: for ever. */
  readonly pendingTimeout?: Duration
}

/** The input of a tool's job. `system` is required if the function extracts from a system. */
export type ToolInput<Of extends ToolFunction> = {
  readonly file: ToolFile
  /** The id of the system to which the file belongs. */
  readonly system?: string
  /** Which version of the tool to use. Default: any. */
  readonly version?: string
} & (Of extends { readonly parameters: infer Parameters extends Schema }
  ? { readonly parameters: Types<Parameters>['input'] }
  : { readonly parameters?: never })

const commands = { cancel: z.object({}) }

/** The job type of a function. */
export type ToolJobType<Input = unknown> = JobType<string, Input, readonly ToolOutput[], typeof commands>

/** The jobs of tools that agents run: their types, who may see and start them, and their rows. */
export interface AgentJobs<Tools extends { readonly [name: string]: Tool }> {
  /** The policy for these jobs. Pass it to `createEngine`. */
  readonly policy: Policy
  /** All job types. Pass them to `createEngine`. */
  readonly types: readonly ToolJobType[]
  /** The job types by tool and function, for `session.submit`. */
  readonly jobs: {
    readonly [Name in keyof Tools]: {
      readonly [Called in keyof Tools[Name]['functions']]: ToolJobType<ToolInput<Tools[Name]['functions'][Called]>>
    }
  }
  /** Shows a job as a row. Accepts any view, also one with redacted fields. */
  readonly present: (view: JobView) => ToolJobRow
  /** Shows an entry of `session.history` of a job. */
  readonly presentEntry: (jobId: string, entry: HistoryEntry) => ToolHistoryEntry
  /** The tabs that a person has: own jobs, and for an administrator also those of the whole organization. */
  readonly views: (session: Session) => Promise<readonly ('mine' | 'all')[]>
  /** The beginning of a job's id, for a narrow column: `3f2a9c…`. */
  readonly shortId: (id: string) => string
}

/**
 * Jobs of tools that agents run on files, as on the jobs page of Istari Digital: Pending, Claimed, Running, Validating,
 * Uploading, then Completed, Failed or Canceled. An agent claims a job, says that it has `started`, sends the events
 * `outputReady` and `valid` or `invalid`, and ends the work with its outputs: a list of `{ type, id, revision? }`.
 *
 * A job can be canceled only while it is Pending. If an agent is lost before it has begun, the job is Pending again,
 * once; from Running on, it fails. Only its creator sees a job's inputs and parameters. A person is told once of each
 * end: by `browser` and `audio` if the job is completed, otherwise by `toast`.
 *
 * ```ts
 * const tools = agentJobs({ tools: { viewer: { functions: { extract: { extracts: true } } } } })
 * const engine = await createEngine({ jobs: tools.types, policy: tools.policy, storage: sqliteStorage('jobs.db') })
 * const uma = engine.as({ id: 'uma', role: 'User', tenant: 'acme', relations: { 'system:7': 'Editor' } })
 * const file = { id: 'f1', name: 'wing.zip', type: 'application/zip', size: 52_311 }
 * const job = await uma.submit(tools.jobs.viewer.extract, { file, system: '7', version: '2.1' })
 * const row = tools.present(job)
 * ```
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function agentJobs<const Tools extends { readonly [name: string]: Tool }>(
  options: AgentJobsOptions<Tools>,
): AgentJobs<Tools> {
  checkBy(optionsSchema, options, 'agentJobs')
  const { tools, redeliveriesMax = 1, pendingTimeout, ...roles } = options
  const parts = {
    redeliveriesMax,
    ...(pendingTimeout === undefined ? {} : { pendingTimeoutMs: durationMs(pendingTimeout, 'pendingTimeout') }),
  }
  const jobs = Object.entries(tools).map(([tool, { functions, versions }]) => {
    const types = Object.entries(functions).map(([name, made]) => {
      return [name, defineToolJob({ tool, name, versions, made, parts })] as const
    })
    return [tool, Object.fromEntries(types)] as const
  })
  const extracting = jobs.flatMap(([tool, types]) => {
    return Object.entries(types).flatMap(([name, { type }]) => (tools[tool]?.functions[name]?.extracts ? [type] : []))
  })
  return {
    policy: toolPolicy(roles, new Set(extracting)),
    types: jobs.flatMap(([, types]) => Object.values(types)),
    // The cast is safe: the types have the names of the tools and functions, and schemas check each input.
    jobs: Object.fromEntries(jobs) as unknown as AgentJobs<Tools>['jobs'],
    present: toolJobRow,
    // Nobody is assigned a job, so there is no tab for assigned jobs.
    views: async (session) => (await session.views()).filter((view) => view !== 'assigned'),
    presentEntry: toolHistoryEntry,
    shortId,
  }
}

const roleNames = z.array(z.string()).optional()
const nameSchema = z.string().regex(/^[A-Za-z0-9_-]{1,50}$/, 'should be 1 to 50 letters, digits, - or _')
const functionSchema = z.strictObject({ parameters: passedOn, extracts: z.boolean().optional() })
const toolSchema = z.strictObject({
  functions: z.record(nameSchema, functionSchema),
  versions: z.array(z.string().min(1).max(200)).min(1).optional(),
})
const optionsSchema = z.strictObject({
  tools: z.record(nameSchema, toolSchema),
  redeliveriesMax: z.int().min(0).max(2).optional(),
  pendingTimeout: passedOn,
  ...{ administrator: roleNames, user: roleNames, systemEditor: roleNames },
  cancel: z.enum(['creator', 'creatorOrAdmin']).optional(),
  mayUse: z.function().optional(),
})

const text = z.string().min(1).max(200)
const fileSchema = z.strictObject({
  id: text,
  name: z.string().min(1).max(1_000),
  type: text,
  size: z.int().min(0),
})
const outputsSchema = z.array(
  z.strictObject({ type: z.enum(['artifact', 'model']), id: text, revision: text.exactOptional() }),
)

interface Made {
  readonly tool: string
  readonly name: string
  readonly versions: readonly string[] | undefined
  readonly made: ToolFunction
  readonly parts: Omit<ToolParts, 'work'>
}

interface ToolJobInput {
  readonly file: ToolFile
  readonly system?: string
  readonly version?: string
}

function defineToolJob({ tool, name, versions, made, parts }: Made): ToolJobType {
  const called = `@${tool}/${name}`
  // The cast is safe: the lifecycle only passes the input and the output on, whatever their types are.
  const work = agentTask({
    function: called,
    // The cast is safe: the input of the job type has been parsed by the schema below.
    version: ({ input }) => (input as ToolJobInput).version,
    output: outputsSchema,
    events: [...AGENT_EVENTS],
  }) as ToolParts['work']
  return defineJob({
    type: `${tool}.${name}`,
    input: z.strictObject({
      file: fileSchema,
      system: made.extracts === true ? text : text.exactOptional(),
      version: (versions === undefined ? text : z.enum(versions)).exactOptional(),
      ...(made.parameters === undefined ? {} : { parameters: checkedBy(made.parameters) }),
    }),
    lifecycle: toolLifecycle({ ...parts, work }),
    commands,
    labels: { error: 'Failed', stopped: 'Canceled', waiting: 'Pending' },
    facts: ({ input }) => {
      const { file, system, version } = input
      return {
        ...{ tool, function: called, file: file.id },
        ...(version === undefined ? {} : { version }),
        ...(system === undefined ? {} : { system }),
      }
    },
    describe: describeToolJob,
    safe: ['message', 'reason', 'output'],
    notify: RULES,
  }) as unknown as ToolJobType
}

// One notification for each job: its end has one outcome.
const RULES: readonly NotifyRule[] = [
  { name: 'COMPLETED', on: { outcome: 'success' }, channels: ['browser', 'audio'], audience: 'creator' },
  { name: 'FAILED', on: { outcome: 'failure' }, channels: ['toast'], audience: 'creator' },
  { name: 'CANCELED', on: { outcome: 'cancelled' }, channels: ['toast'], audience: 'creator' },
]

// A zod schema that checks by any Standard Schema.
function checkedBy(schema: Schema) {
  return z.unknown().transform(async (value, context): Promise<unknown> => {
    const result = await schema['~standard'].validate(value)
    if (result.issues === undefined) return result.value
    for (const { message, path = [] } of result.issues) {
      const keys = path.map((part) => (typeof part === 'object' ? part.key : part))
      context.issues.push({ code: 'custom', message, path: keys, input: value })
    }
    return z.NEVER
  })
}
