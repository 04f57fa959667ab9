import { defineJob, type Engine, type JobType, type PipelineOptions, task } from 'jobchart'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { PROJECT } from './project.ts'

/** The runs of one person that ended in a day or a week, as far as their projects ask for a digest. */
export interface Digest {
  readonly completed: readonly string[]
  readonly failed: readonly string[]
}

/** The input of a digest: whose projects, and of which period. */
export interface DigestInput {
  readonly period: 'daily' | 'weekly'
  readonly owner: string
  readonly tenant: string
}

/** The job type of digests. */
export type DigestType = JobType<string, DigestInput, Digest>

interface Options {
  /** The name of the job type of the runs. */
  readonly job: string
  readonly channels: readonly string[]
  readonly engine: (() => Engine) | undefined
}

const TYPES = {
  // XState uses these only for their types. The values are never used.
  context: {} as { readonly input: DigestInput; readonly digest: Digest },
  input: {} as DigestInput,
  tags: {} as 'success' | 'failure',
  meta: {} as { readonly status?: string },
}
const EMPTY: Digest = { completed: [], failed: [] }

/** Defines the job type of digests. A digest with runs in it is told on the channels; an empty one is not. */
export function defineDigest(type: string, options: Options): DigestType {
  const collect = task<Digest, DigestInput>({ retry: { limit: 3 } }, ({ input, job }) => collected(options, input, job))
  const lifecycle = setup({ types: TYPES, actors: { collect } }).createMachine({
    id: 'digest',
    context: ({ input }) => ({ input, digest: EMPTY }),
    output: ({ context }) => context.digest,
    initial: 'collecting',
    states: {
      collecting: {
        meta: { status: 'Collecting' },
        invoke: {
          src: 'collect',
          input: ({ context }: { readonly context: { readonly input: DigestInput } }) => context.input,
          onDone: [
            {
              guard: ({ event }) => event.output.completed.length + event.output.failed.length > 0,
              target: 'sent',
              actions: assign({ digest: ({ event }) => event.output }),
            },
            { target: 'empty' },
          ],
          onError: 'failed',
        },
      },
      sent: { type: 'final', tags: 'success', meta: { status: 'Sent' } },
      empty: { type: 'final', tags: 'success', meta: { status: 'Empty' } },
      failed: { type: 'final', tags: 'failure', meta: { status: 'Failed' } },
    },
  })
  return defineJob({
    type,
    input: z.strictObject({ period: z.enum(['daily', 'weekly']), owner: z.string(), tenant: z.string() }),
    lifecycle,
    notify: [{ name: 'Digest', on: { status: 'Sent' }, channels: options.channels, audience: 'creator' }],
  }) as unknown as DigestType
}

const DAY_MS = 86_400_000
const PERIOD_MS = { daily: DAY_MS, weekly: 7 * DAY_MS }
/** A run that began at most so long before the period is found, if it ended in the period. */
const RUN_MS_MAX = 30 * DAY_MS

// The runs that ended since the digest before this one was created, and before this one was. A run that ends in the same
// millisecond is in the next digest: this one may come before it is stored.
async function collected({ job: type, engine }: Options, input: DigestInput, { id }: { id: string }): Promise<Digest> {
  if (engine === undefined) throw new Error('batchJobs({ engine }) is needed for digests')
  const { owner, tenant, period } = input
  const { system } = engine()
  const { pipeline, createdAt } = await system.get(id)
  const until = Date.parse(createdAt)
  const mine = { createdBy: owner, limit: 100 }
  const digests = await system.list({ ...mine, ...(pipeline === undefined ? {} : { pipeline }), outcome: 'success' })
  const earlier = digests.items.find((each) => each.tenant === tenant && each.pipeline === pipeline)
  const since = earlier === undefined ? until - PERIOD_MS[period] : Date.parse(earlier.createdAt)
  const ended: { readonly completed: string[]; readonly failed: string[] } = { completed: [], failed: [] }
  for (let cursor: string | undefined; ; ) {
    const page = await system.list({
      ...{ ...mine, type, phase: 'settled', createdAfter: since - RUN_MS_MAX },
      ...(cursor === undefined ? {} : { cursor }),
    })
    for (const { id: run, outcome, labels, endedAt = '', tenant: of } of page.items) {
      const at = Date.parse(endedAt)
      if (of !== tenant || !(at >= since && at < until)) continue
      if (outcome === 'success' && labels[PROJECT.onSuccess] === period) ended.completed.push(run)
      if (outcome === 'failure' && labels[PROJECT.onFailure] === period) ended.failed.push(run)
    }
    cursor = page.nextCursor
    if (cursor === undefined) return ended
  }
}

/** The pipeline that sends a person digests: each day at midnight, or each Monday, in UTC. */
export function digestPipeline(
  job: DigestType,
  {
    id,
    period,
    owner,
    tenant = 'default',
  }: { id: string; period: DigestInput['period']; owner: string; tenant?: string },
): PipelineOptions<DigestType> {
  const cron = period === 'daily' ? '0 0 * * *' : '0 0 * * 1'
  return { id, job, input: { period, owner, tenant }, schedule: { cron, fields: 5, timeZone: 'UTC' }, overlap: 'skip' }
}
