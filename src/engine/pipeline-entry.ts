/** Finds stored pipelines for a caller, and checks that a job may enter one. */
import { pipelineNotFound } from '../model/error.ts'
import { type Pipeline, startable } from '../model/pipeline.ts'
import type { PipelineAction, Principal } from '../port/policy.ts'
import { authorizePipeline } from './authorization.ts'
import { tenantOf } from './call-options.ts'
import type { Core } from './core.ts'
import type { FieldMask } from './field-mask.ts'
import { untilUnchanged } from './tick.ts'

/** The pipeline to enter. */
interface Entry {
  readonly tenant: string
  readonly pipeline?: string
}

/**
 * Returns the stored pipeline that a job is about to enter. `undefined`: none is stored under this name, so anyone may
 * use the name.
 *
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` it is hidden; `FORBIDDEN` the caller may see it, but not run it; `INVALID_STATE` it is paused, or not ready.
 */
export async function enteredPipeline(
  core: Core,
  who: Principal,
  { tenant, pipeline: id }: Entry,
  signal?: AbortSignal,
): Promise<Pipeline | undefined> {
  const pipeline = id === undefined ? undefined : await core.storage.pipeline(tenant, id)
  if (pipeline === undefined) return undefined
  const mask = await authorizePipeline(core, who, pipeline, 'runPipeline', signal)
  return startable(pipeline, mask.hidden)
}

/**
 * Stores a job in its pipeline. If the stored pipeline was changed since it was read, it is read and checked again.
 *
 * @param store  stores the job. Throws {@link ChangedMeanwhile} if the pipeline was changed.
 * @throws {JobchartError} as {@link enteredPipeline}
 */
export function intoPipeline<Stored>(
  core: Core,
  who: Principal,
  entry: Entry,
  signal: AbortSignal | undefined,
  store: (run: { readonly run?: Pipeline }) => Promise<Stored>,
): Promise<Stored> {
  if (entry.pipeline === undefined) return store({})
  return untilUnchanged(async () => {
    const run = await enteredPipeline(core, who, entry, signal)
    return await store(run === undefined ? {} : { run })
  })
}

/**
 * A pipeline that the caller may act on, and the mask of what is shown of it.
 *
 * @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN`
 */
export async function reachPipeline(
  core: Core,
  who: Principal,
  { id, tenant }: { readonly id: string; readonly tenant: string | undefined },
  action: PipelineAction,
  signal: AbortSignal | undefined,
): Promise<{ readonly pipeline: Pipeline; readonly mask: FieldMask }> {
  const pipeline = await core.storage.pipeline(tenantOf(who, tenant), id)
  if (pipeline === undefined) throw pipelineNotFound(id)
  return { pipeline, mask: await authorizePipeline(core, who, pipeline, action, signal) }
}
