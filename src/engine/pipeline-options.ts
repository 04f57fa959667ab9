/** Checks of the options of operations on pipelines. */
import { z } from 'zod'
import { isOptions } from '../model/option-checks.ts'
import { OVERLAP_DEFAULTS } from '../model/pipeline.ts'
import { type Duration, durationMs } from '../model/time.ts'
import type { OnDefineOf } from './operations/on-define.ts'
import {
  assigneeSchema,
  assignmentSchema,
  cursorSchema,
  jobType,
  labelsSchema,
  limitSchema,
  name,
  newAssignmentSchema,
  outcomeSchema,
  prioritySchema,
  returned,
  time,
  typeName,
} from './options.ts'

const pipelineOverlap = z.enum(['reject', 'queue', 'replace', 'skip'])

/** An object whose unknown keys are refused with a list of the known ones. `expected`: what it should be. */
function exactly<Shape extends z.ZodRawShape>(shape: Shape, expected?: string) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === 'invalid_type') return expected
      const { keys = [] } = issue as { readonly keys?: readonly string[] }
      return `has the unknown key ${keys.join(', ')}; the keys are ${Object.keys(shape).join(', ')}`
    },
  })
}

/** The overlap option of a pipeline, as the rule for each trigger. */
const overlapRules = z
  .union(
    [
      pipelineOverlap.transform((rule) => ({ manual: rule, schedule: rule, dependency: rule, retry: rule })),
      exactly({
        manual: pipelineOverlap.exactOptional(),
        schedule: pipelineOverlap.exactOptional(),
        dependency: pipelineOverlap.exactOptional(),
        retry: pipelineOverlap.exactOptional(),
      }).transform((rules) => ({ ...OVERLAP_DEFAULTS, ...rules })),
    ],
    {
      error:
        "should be 'reject', 'queue', 'replace' or 'skip'; or an object of these by manual, schedule, dependency and retry",
    },
  )
  .default(OVERLAP_DEFAULTS)

const catchUpSchema = z
  .union([z.enum(['skip', 'one']), z.strictObject({ max: z.int().min(1).max(100) })], {
    error: "should be 'skip', 'one', or { max } with 1 to 100 runs",
  })
  .default('one')

const everySchema = z.unknown().transform((given, context): number => {
  try {
    const ms = durationMs(given as Duration, 'every')
    if (ms >= 1_000) return ms
  } catch {
    // The value is no duration. It is refused below, like a duration that is too short.
  }
  context.issues.push({ code: 'custom', message: "should be a duration of at least '1s'", input: given })
  return z.NEVER
})

const whenever = { catchUp: catchUpSchema, enabled: z.boolean().default(true) }

/** The kinds of schedules, by the option that names their times. */
const SCHEDULES = {
  cron: exactly({
    cron: z.string().max(200),
    timeZone: z.string().max(100).default('UTC'),
    fields: z.union([z.literal(5), z.literal(6)]).default(5),
    ...whenever,
  }),
  every: exactly({ every: everySchema, from: time.optional(), ...whenever }),
  at: exactly({ at: time, ...whenever }),
}

type ParsedSchedule = z.output<(typeof SCHEDULES)[keyof typeof SCHEDULES]>

/** A schedule as it is given. Exactly one of `cron`, `every` and `at` says when it is due. */
export const scheduleSchema = z.unknown().transform((given, context): ParsedSchedule => {
  const kinds = isOptions(given) ? ['cron', 'every', 'at'].filter((kind) => Object.hasOwn(Object(given), kind)) : []
  const [kind, another] = kinds as (keyof typeof SCHEDULES)[]
  if (kind === undefined || another !== undefined) {
    const message =
      "should have exactly one of cron, every and at, e.g. { cron: '0 2 * * *', timeZone: 'Europe/Paris' }"
    context.issues.push({ code: 'custom', message, input: given })
    return z.NEVER
  }
  const read = SCHEDULES[kind].safeParse(given)
  if (read.success) return read.data
  for (const { message, path } of read.error.issues)
    context.issues.push({ code: 'custom', message, path, input: given })
  return z.NEVER
})

const dependencySchema = z
  .array(
    exactly(
      {
        pipeline: name.exactOptional(),
        job: jobType.exactOptional(),
        outcome: outcomeSchema.default('success'),
      },
      "should be an object, e.g. { pipeline: 'nightly' } or { job: deploy }",
    ),
  )
  .max(100)
  .refine((all) => all.every(({ pipeline, job }) => (pipeline === undefined) !== (job === undefined)), {
    error: 'each should have either pipeline or job',
  })

const onDefineOf = z.custom<OnDefineOf>((given) => typeof given === 'function', { error: 'should be a function' })

/** The options of `pipelines.define`. */
export const pipelineSchema = z.strictObject({
  id: name,
  job: z.union([name, jobType], { error: 'should be a job type made by defineJob, or its name' }),
  input: z.unknown().exactOptional(),
  overlap: overlapRules,
  priority: prioritySchema.default(0),
  labels: labelsSchema.default({}),
  assignment: assignmentSchema.optional(),
  schedule: scheduleSchema.optional(),
  dependsOn: dependencySchema.optional(),
  onDefine: onDefineOf.optional(),
  tenant: name.optional(),
  owner: name.optional(),
})

/** The status of a pipeline, as code may set it. */
export const pipelineStatus = z.enum(['ready', 'provisioning', 'failed'])

/** The return value of `onDefine`. */
export const onDefineSchema = z
  .array(returned)
  .max(100)
  .pipe(
    z.array(
      z.discriminatedUnion('kind', [
        z.strictObject({
          kind: z.literal('submit'),
          job: jobType,
          input: z.unknown().exactOptional(),
          priority: prioritySchema.exactOptional(),
          labels: labelsSchema.exactOptional(),
          assignment: newAssignmentSchema.exactOptional(),
        }),
        z.strictObject({ kind: z.literal('status'), status: pipelineStatus }),
        z.strictObject({
          kind: z.literal('send'),
          to: z.strictObject({ type: name, createdBy: name.exactOptional() }),
          event: z.looseObject({ type: name }),
        }),
      ]),
    ),
  )

/** The options of `pipelines.history`. */
export const pipelineHistorySchema = z.strictObject({
  after: z.int().min(0).default(0),
  limit: z.int().min(1).max(1_000).default(100),
  tenant: name.optional(),
})

/** The options of `pipelines.preview`. */
export const previewSchema = z.strictObject({ count: z.int().min(1).max(1_000).default(5), after: time.optional() })

/** The options of `pipelines.run`. */
export const runSchema = z.strictObject({
  input: z.unknown().exactOptional(),
  overlap: pipelineOverlap.optional(),
  priority: prioritySchema.optional(),
  labels: labelsSchema.default({}),
  assignee: assigneeSchema,
  assignment: newAssignmentSchema.optional(),
  startAt: time.optional(),
  idempotencyKey: name.optional(),
  uniqueKey: name.optional(),
  tenant: name.optional(),
})

/** The argument of a pause. The reason is shown to those who may see the pipeline. */
export const pauseSchema = z.object({ reason: name })

/** The options of `pipelines.list`. */
export const pipelineListSchema = z.strictObject({
  type: typeName.optional(),
  limit: limitSchema,
  cursor: cursorSchema,
})
