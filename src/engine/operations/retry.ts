/** Retries a job that has ended. */

import type { Assignment } from '../../model/agent.ts'
import type { ItemsToRetry } from '../../model/batch-piece.ts'
import type { NewJob } from '../../model/decision.ts'
import { defined } from '../../model/defined.ts'
import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import { overlapFor } from '../../model/pipeline.ts'
import { continued } from '../../model/step-key.ts'
import type { Principal } from '../../port/policy.ts'
import { authorizeSubmit, maskOfAnswer, withoutHiddenJob } from '../authorization.ts'
import { retriedItems } from '../batch-items.ts'
import { type CallOptions, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { factsOfRetry } from '../facts.ts'
import { type FieldMask, maskedError, narrower } from '../field-mask.ts'
import { newId } from '../ids.ts'
import { retrySchema } from '../options.ts'
import { intoPipeline } from '../pipeline-entry.ts'
import { actorOf } from '../principal.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'
import { asked, insertRun, ofParent } from './runs.ts'

/** The options of `retry`. */
export interface RetryCallOptions extends CallOptions {
  /**
   * False (the default): the new job continues the old one, with its recorded steps, and with the step keys and
   * `idempotencyKey`s of the first try. True, or without `items` after a success: it has no recorded steps, and new keys.
   */
  readonly fresh?: boolean
  /**
   * For a job with a batch: which items run again, also after a success. `'failed'`: those that failed. `'unfinished'`:
   * all that were not completed, so also those that were skipped or wait. Default: `'unfinished'`; but all items if the
   * job succeeded, or with `fresh`. Together with `fresh`: these items only, under new `idempotencyKey`s.
   */
  readonly items?: ItemsToRetry
  /** Which agents may run the tasks of the new job; null: any that are able. Default: as for the old job. */
  readonly assignment?: Assignment | null
}

/** {@inheritDoc Session.retry} */
export async function retry(
  core: Core,
  who: Principal,
  id: JobId,
  { signal, ...options }: RetryCallOptions = {},
): Promise<JobView> {
  const { fresh, items, assignment } = await parseOptions(retrySchema, options)
  const { job, mask } = await readable(core, who, id, { action: 'retry', signal })
  const shown = await maskOfAnswer(core, who, job, mask)
  try {
    return await retryOf(core, who, job, { shown, fresh, items, assignment, signal })
  } catch (error) {
    throw maskedError(error, shown)
  }
}

async function retryOf(
  core: Core,
  who: Principal,
  job: Job,
  {
    shown,
    fresh,
    items,
    assignment = job.assignment,
    signal,
  }: {
    shown: FieldMask
    fresh: boolean
    items: ItemsToRetry | undefined
    assignment: Assignment | null | undefined
    signal: AbortSignal | undefined
  },
): Promise<JobView> {
  const { id, tenant, pipeline, priority, input, parentId, uniqueKey, retries = 0 } = job
  // The caller would be the creator of the new job, and could read its input.
  if (shown.hidden.has('input')) throw copyRefused(who, id)
  const type = core.types.require(job)
  if (parentId !== undefined) throw ofParent(job)
  if (job.phase !== 'settled') {
    throw new JobchartError('INVALID_STATE', `the job is ${job.status}; only a job that has ended can be retried`, {
      jobId: id,
    })
  }
  const owned = { tenant, createdBy: who.id, ...(pipeline === undefined ? {} : { pipeline }) }
  const { labels, assignee: kept } = job
  const fixed = { ...owned, ...factsOfRetry(type, { ...owned, input }, { labels, kept }) }
  const granted = await authorizeSubmit(core, who, { ...fixed, type: job.type }, signal)
  const given = defined({ input, uniqueKey, assignment: assignment ?? undefined })
  const own = { ...continued(job, fresh, items), ...(await retriedItems(core.storage, job, fresh, items)) }
  const link = { trigger: 'retry', retryOf: job.id, retries: retries + 1, ...own } as const
  const seed: NewJob = { ...fixed, ...given, ...link, id: newId(core), priority }
  const by = actorOf(who)
  const again = await intoPipeline(core, who, fixed, signal, async (run) => {
    const overlap = run.run === undefined ? 'reject' : overlapFor(run.run, 'retry')
    const inserted = insertRun(core, { who, by, type, seed, overlap: asked(overlap), retried: id, ...run })
    return await inserted.catch(async (error: unknown) => {
      throw await withoutHiddenJob(core, who, error)
    })
  })
  return viewOf(again, await maskOfAnswer(core, who, again, narrower(shown, granted)))
}

function copyRefused(who: Principal, jobId: string): JobchartError {
  return new JobchartError('FORBIDDEN', `"${who.id}" may not read the input of this job, and therefore not retry it`, {
    jobId,
  })
}
