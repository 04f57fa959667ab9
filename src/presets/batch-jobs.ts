import {
  type BatchRunOptions,
  batch,
  type CommandSchemas,
  defineJob,
  type Engine,
  type JobType,
  type JobView,
  type NotifyRule,
  type PipelineOptions,
  type PipelineView,
  type Policy,
  rolePolicy,
  type StorableReturn,
  type TaskContext,
  task,
} from 'jobchart'
import { z } from 'zod'
import { type BatchParts, batchLifecycle } from './batch-lifecycle.ts'
import { type BatchJobRow, batchJobRow } from './batch-row.ts'
import { type DigestType, defineDigest, digestPipeline } from './digest.ts'
import { checkBy, given, passedOn } from './preset-options.ts'
import { EACH_RUN, PROJECT, type ProjectOptions, type ProjectRow, projectPipeline, projectRow } from './project.ts'

/** The input of a batch job: its items. */
export interface BatchJobInput<Item = unknown> {
  readonly list: readonly Item[]
}

/** The counts of a batch that has ended, and the input of its job. */
export interface FinalizeInput {
  readonly input: unknown
  readonly counts: {
    readonly total?: number
    readonly completed: number
    readonly failed: number
    readonly skipped: number
  }
}

/** The options of {@link batchJobs}. */
export interface BatchJobsOptions<Item, Output>
  extends Pick<
    BatchRunOptions<Item, Output, BatchJobInput>,
    'item' | 'key' | 'source' | 'concurrency' | 'retry' | 'timeout'
  > {
  /** The name of the job type. Default `'batch'`. */
  readonly type?: string
  /** Runs one item. Its result is stored as the item's output. */
  readonly each: NonNullable<BatchRunOptions<Item, Output, BatchJobInput>['each']> & StorableReturn<Output>
  /**
   * Prepares the results when the items have ended; also of a cancelled job, if an item of it has ended. If it throws,
   * the job ends as Error, or as Cancelled after a cancel.
   */
  readonly finalize?: (context: TaskContext<FinalizeInput>) => unknown
  /** Roles that see all jobs and projects of the account. Default `['admin']`. */
  readonly administrator?: readonly string[]
  /** Roles that see and run their own. Default `['editor']`. */
  readonly editor?: readonly string[]
  /** The channels on which people are told of ends and digests. Default `['inApp']`; others need a notifier. */
  readonly channels?: readonly string[]
  /** The engine. Only for digests, whose job reads the runs of a day or a week. */
  readonly engine?: () => Engine
}

/** The commands of a batch job. */
export type BatchJobCommands = { readonly cancel: z.ZodObject }

/** The job type of {@link batchJobs}. */
export type BatchJobType<Item = unknown> = JobType<
  string,
  BatchJobInput<Item>,
  FinalizeInput['counts'],
  BatchJobCommands & CommandSchemas
>

/** Batch jobs of an account: their type, their policy, their projects, and their rows. */
export interface BatchJobs<Item = unknown> {
  /** The policy for these jobs. Pass it to `createEngine`. */
  readonly policy: Policy
  /** The job type of the runs. */
  readonly job: BatchJobType<Item>
  /** The job type of digests. */
  readonly digest: DigestType
  /** All job types. Pass them to `createEngine`. */
  readonly types: readonly JobType[]
  /**
   * The pipeline of a project, for `session.pipelines.define`.
   *
   * @throws {JobchartError} `INVALID_INPUT` an option is invalid.
   */
  readonly project: (options: ProjectOptions) => PipelineOptions<BatchJobType<Item>>
  /** The pipeline that sends a person digests of a day or a week; for `session.pipelines.define` of that person. */
  readonly digests: (options: {
    readonly id: string
    readonly period: 'daily' | 'weekly'
    readonly owner: string
    readonly tenant?: string
  }) => PipelineOptions<DigestType>
  /** Shows a job as a row. Accepts any view, also one with redacted fields. */
  readonly present: (view: JobView) => BatchJobRow
  /** Shows a project as a row. */
  readonly presentProject: (view: PipelineView) => ProjectRow
}

/**
 * Batch jobs, as on the jobs page of ScraperAPI DataPipeline: Started, Finalizing, then Completed, or Error if more than
 * half of the items failed; Cancelling, in which what runs goes on to its end, then Cancelled. The results and the
 * report of a cancelled job hold what ended. A project runs its items again and again, one run at a time.
 *
 * ```ts
 * const scraping = batchJobs({
 *   item: z.url(),
 *   concurrency: 20,
 *   timeout: '30s',
 *   retry: { limit: 2 },
 *   each: async ({ item, signal }) => ({ status: (await fetch(item, { signal })).status }),
 * })
 * const engine = await createEngine({ jobs: scraping.types, policy: scraping.policy, storage: sqliteStorage('jobs.db') })
 * const ada = engine.as({ id: 'ada', role: 'editor', tenant: 'account-1' })
 * await ada.pipelines.define(scraping.project({ id: 'prices', list: urls, scrapingInterval: 'daily' }))
 * for await (const part of ada.report(jobId, { format: 'csv', status: 'failed' })) file.write(part)
 * ```
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function batchJobs<Item = unknown, Output = unknown>(options: BatchJobsOptions<Item, Output>): BatchJobs<Item> {
  checkBy(optionsSchema, options, 'batchJobs')
  const { administrator = ['admin'], editor = ['editor'], channels = ['inApp'], type = 'batch' } = options
  const { scope, authorize } = rolePolicy({ admin: administrator, editor })
  const job = defineBatchJob(type, options, channels)
  const digest = defineDigest(`${type}.digest`, { job: type, channels, engine: options.engine })
  return {
    // A deletion by the page is a cancel. The record stays.
    policy: {
      scope,
      authorize: (principal, action, target) => (action === 'delete' ? 'deny' : authorize(principal, action, target)),
    },
    job,
    digest,
    types: [job, digest],
    project: (project) => projectPipeline(job, project),
    digests: (wanted) => digestPipeline(digest, wanted),
    present: batchJobRow,
    presentProject: projectRow,
  }
}

const roleNames = z.array(z.string()).optional()
const optionsSchema = z.strictObject({
  type: z.string().min(1).max(100).optional(),
  each: z.function(),
  finalize: z.function().optional(),
  ...{ item: passedOn, key: passedOn, source: passedOn, concurrency: passedOn, retry: passedOn, timeout: passedOn },
  ...{ administrator: roleNames, editor: roleNames },
  channels: z.array(z.string()).min(1).optional(),
  engine: z.function().optional(),
})

function defineBatchJob<Item, Output>(
  type: string,
  { item, key, source, concurrency, retry, timeout, each, finalize }: BatchJobsOptions<Item, Output>,
  channels: readonly string[],
): BatchJobType<Item> {
  const items =
    source === undefined ? { items: ({ input }: { readonly input: BatchJobInput }) => input.list } : { source }
  // The cast is safe: the lifecycle passes the job's input on to the batch, and the schema below has parsed it.
  const logic = batch<Item, Output, BatchJobInput>({
    each,
    ...items,
    ...given({ item, key, concurrency, retry, timeout }),
  } as Parameters<typeof batch<Item, Output, BatchJobInput>>[0]) as BatchParts['batch']
  const prepared = task<unknown, FinalizeInput>({}, async (context) => {
    await finalize?.(context)
  })
  return defineJob({
    type,
    input: z.looseObject({ list: z.array(z.unknown()) }),
    lifecycle: batchLifecycle({ batch: logic, finalize: prepared }),
    commands: { cancel: z.object({}) },
    labels: { error: 'Error', stopped: 'Cancelled', waiting: 'Started' },
    notify: rulesOf(channels),
  }) as unknown as BatchJobType<Item>
}

// Mails of each run. A digest tells of the runs of a day or a week, and a cancelled run tells nobody.
function rulesOf(channels: readonly string[]): readonly NotifyRule[] {
  const told = { channels, audience: 'creator' } as const
  return [
    { name: 'Completed', on: { outcome: 'success' }, ...told, labels: { [PROJECT.onSuccess]: EACH_RUN } },
    { name: 'Error', on: { outcome: 'failure' }, ...told, labels: { [PROJECT.onFailure]: EACH_RUN } },
  ]
}
