/** What it takes for a job to enter a pipeline. */
import { type Pipeline, unpaused } from '../model/pipeline.ts'
import type { Principal } from '../port/policy.ts'
import { authorizePipeline } from './authorization.ts'
import type { Core } from './core.ts'
import { untilUnchanged } from './tick.ts'

/** Which pipeline is entered. */
interface Entry {
  readonly tenant: string
  readonly pipeline?: string
}

/**
 * The stored pipeline that a job is about to enter; undefined: none is stored under the name, which anybody may use.
 *
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not run; `INVALID_STATE` it is
 *   paused.
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
  return unpaused(pipeline, mask.hidden.has('paused'))
}

/**
 * Stores a job in the pipeline that it names. Where that is stored, it must stand as it was read: else it is read again.
 *
 * @param store  throws {@link ChangedMeanwhile} where the pipeline was changed meanwhile.
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
