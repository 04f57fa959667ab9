/** The schemas of the options of `session.agents`. */
import { z } from 'zod'
import { type Duration, durationMs } from '../model/time.ts'
import { cursorSchema, limitSchema, name } from './options.ts'

const POOLS_MAX = 100
const FUNCTIONS_MAX = 1_000
const CLAIMS_MAX = 1_000
const QUEUES_MAX = 5_000
const LINES_MAX = 1_000

/** The longest wait of a claim, in milliseconds. */
const WAIT_MS_MAX = 60_000

const poolsSchema = z.array(name).max(POOLS_MAX)

const wait = z.union([z.string(), z.number()]).transform((given, context): number => {
  try {
    return Math.min(durationMs(given as Duration, 'wait'), WAIT_MS_MAX)
  } catch (error) {
    context.issues.push({
      code: 'custom',
      message: error instanceof Error ? error.message : 'should be a duration',
      input: given,
    })
    return z.NEVER
  }
})

/** What an agent says of itself. */
export const registrationSchema = z
  .strictObject({
    name: name.optional(),
    pools: poolsSchema.default([]),
    functions: z
      .array(z.strictObject({ name, version: name.exactOptional() }))
      .min(1)
      .max(FUNCTIONS_MAX),
  })
  // An agent may take tasks from a queue for each function in each pool. Each claim looks at all of them.
  .refine(({ pools, functions }) => functions.length * (pools.length + 1) <= QUEUES_MAX, {
    message: `should be at most ${QUEUES_MAX} functions, counted once for each pool and once more`,
    path: ['functions'],
  })

/** The options of `claim`. */
export const claimSchema = z.strictObject({
  max: z.int().min(1).max(100).default(1),
  wait: wait.default(0),
  job: name.optional(),
})

/** Names a claim. */
export const claimKeySchema = z.strictObject({ job: name, token: z.int().min(1) })

/** A heartbeat. */
export const heartbeatSchema = z.strictObject({
  claims: z
    .array(
      z.strictObject({
        ...claimKeySchema.shape,
        messages: z.int().min(0).exactOptional(),
        state: z.enum(['held', 'stopping', 'killing', 'gone']).exactOptional(),
      }),
    )
    .max(CLAIMS_MAX),
  wait: wait.default(0),
})

/** Lines for a job's log. */
export const linesSchema = z
  .array(z.strictObject({ text: z.string(), stream: z.enum(['stdout', 'stderr']).exactOptional() }))
  .max(LINES_MAX)

/** The number of a call that adds lines. */
export const lineNumberSchema = z.int().min(1).optional()

const PIECE_MAX = 1_000

const index = z.int().min(1)
const itemKey = z.string().min(1).max(2_000)

/** Items of a batch that are written together. Inputs and outputs are checked when they are copied. */
export const pieceSchema = z.strictObject({
  added: z.array(z.strictObject({ index, key: itemKey, input: z.unknown().exactOptional() })).max(PIECE_MAX),
  ended: z
    .array(
      z.strictObject({
        index,
        status: z.enum(['completed', 'failed', 'skipped']),
        attempts: z.int().min(0),
        output: z.unknown().exactOptional(),
        error: z.looseObject({ name: z.string(), message: z.string() }).exactOptional(),
      }),
    )
    .max(PIECE_MAX),
  counts: z.strictObject({
    total: z.int().min(0).exactOptional(),
    completed: z.int().min(0),
    failed: z.int().min(0),
    skipped: z.int().min(0),
  }),
  running: z.int().min(0),
  begun: z.int().min(0),
  careful: index.exactOptional(),
  isLast: z.boolean().exactOptional(),
})

/** Which items to read. */
export const rangeSchema = z
  .strictObject({ from: index, to: index })
  .refine(({ from, to }) => to - from < PIECE_MAX, { message: `should have at most ${PIECE_MAX} items` })

/** Keys of items. */
export const itemKeysSchema = z.array(itemKey).max(PIECE_MAX)

/** The name of a step. */
export const stepNameSchema = name

/** The options of `fail`. */
export const failSchema = z.strictObject({ isFinal: z.boolean().default(false) })

/** The options of `exit`. */
export const exitSchema = z.strictObject({ exitCode: z.int(), message: z.string().max(10_000).default('') })

/** The options of `enroll`. */
export const enrollSchema = z.strictObject({
  id: name.optional(),
  name: name.optional(),
  pools: poolsSchema.default([]),
  tenant: name.optional(),
})

/** The options of `list`. */
export const agentListSchema = z.strictObject({ limit: limitSchema, cursor: cursorSchema })
