/** Operations on stored pipelines, and manual runs of them. */
import type { AnyJobType, InputOf } from '../../model/definition.ts'
import { JobchartError, pipelineNotFound } from '../../model/error.ts'
import type { Overlap } from '../../model/job.ts'
import {
  type Pipeline,
  type PipelineChange,
  type PipelineFields,
  pausedAs,
  unpaused,
  withFields,
} from '../../model/pipeline.ts'
import { canonicalText } from '../../model/storable.ts'
import type { PipelineAction, Principal, Target } from '../../port/policy.ts'
import type { PipelinePage } from '../../port/storage.ts'
import { authorizeDefine, authorizeMany, authorizePipeline, authorizeSubmit, searchedBy } from '../authorization.ts'
import { type CallOptions, parseOptions, refuseOfPerson, tenantOf } from '../call-options.ts'
import { pipelineWrite } from '../changeset.ts'
import { type Core, ENGINE } from '../core.ts'
import { readCursor } from '../cursor.ts'
import { type FieldMask, narrower, WHOLE } from '../field-mask.ts'
import { newId } from '../ids.ts'
import { labelsSchema, pauseSchema, pipelineListSchema, pipelineSchema, runSchema } from '../options.ts'
import { type Page, shownPage } from '../page.ts'
import { parseInput, parseWith } from '../parse.ts'
import { ChangedMeanwhile } from '../tick.ts'
import { type JobView, type PipelineView, pipelineViewOf } from '../view.ts'
import { insertFirst } from './submit.ts'

/** The options of `pipelines.define`. */
export type PipelineOptions<Type extends AnyJobType = AnyJobType> = {
  /** Unique in the tenant: 1 to 200 characters. */
  readonly id: string
  /** The job type of its runs. Each run uses the newest version that the engine knows. */
  readonly job: Type
  /** What happens to a new run while another run holds the slot. Default `'reject'`. */
  readonly overlap?: Overlap
  /** The priority of its runs: a whole number, default 0. */
  readonly priority?: number
  /** Added to the labels of each run. Policies and lists may read them. */
  readonly labels?: { readonly [name: string]: string }
  /** Only for the engine's own session: the pipeline's tenant. */
  readonly tenant?: string
  readonly owner?: string
} & (undefined extends InputOf<Type> ? { readonly input?: InputOf<Type> } : { readonly input: InputOf<Type> })

/** Options of an operation on one pipeline. */
export interface PipelineCallOptions extends CallOptions {
  /** Only for the engine's own session. */
  readonly tenant?: string
}

/** The options of `pipelines.run`. Absent options default to the pipeline's. */
export interface RunOptions extends PipelineCallOptions {
  readonly input?: unknown
  readonly overlap?: Overlap
  readonly priority?: number
  /** Added to the pipeline's labels. */
  readonly labels?: { readonly [name: string]: string }
  /** The earliest start: milliseconds UTC, ISO 8601, or a `Date`. */
  readonly startAt?: number | string | { readonly getTime: () => number }
  readonly idempotencyKey?: string
  /** As in `submit`. */
  readonly uniqueKey?: string
}

/** The options of `pipelines.list`. Each given field narrows the list. */
export interface PipelineListOptions extends CallOptions {
  /** The name of a job type. */
  readonly type?: string
  /** 1 to 100; default 20. */
  readonly limit?: number
  readonly cursor?: string
}

/** Stores a pipeline, or changes the pipeline with this id. */
export async function definePipeline(
  core: Core,
  who: Principal,
  options: PipelineOptions,
  { signal }: CallOptions = {},
): Promise<PipelineView> {
  signal?.throwIfAborted()
  const { id, job, overlap, priority, labels, ...rest } = await parseOptions(pipelineSchema, options)
  const tenant = tenantOf(who, rest.tenant)
  refuseOfPerson(who, 'owner', rest.owner)
  const type = core.types.require(job)
  const given = await parseInput(type, rest.input)
  const input = given === undefined ? {} : { input: given }
  const asked = { type: type.type, overlap, priority, labels, ...input }
  for (;;) {
    const before = await core.storage.pipeline(tenant, id)
    const createdBy = before?.createdBy ?? rest.owner ?? who.id
    const target: Target = { tenant, type: type.type, createdBy, pipeline: id, labels }
    const mask = before === undefined ? WHOLE : await authorizeChange(core, who, before, target, signal)
    await authorizeDefine(core, who, target, signal)
    signal?.throwIfAborted()
    const after = next(core, before, { tenant, id, createdBy }, asked)
    if (before !== undefined && isSame(before, after)) return pipelineViewOf(before, mask)
    if (await changed(core, before, after)) return pipelineViewOf(after, mask)
  }
}

/** Shows a pipeline. */
export async function getPipeline(
  core: Core,
  who: Principal,
  id: string,
  { signal, tenant }: PipelineCallOptions = {},
): Promise<PipelineView> {
  signal?.throwIfAborted()
  const { pipeline, mask } = await reachPipeline(core, who, { id, tenant }, 'getPipeline', signal)
  return pipelineViewOf(pipeline, mask)
}

/** Lists the pipelines that the caller may see, by id. */
export async function listPipelines(
  core: Core,
  who: Principal,
  { signal, ...options }: PipelineListOptions = {},
): Promise<Page<PipelineView>> {
  signal?.throwIfAborted()
  const { type, limit, cursor } = await parseOptions(pipelineListSchema, options)
  const scopes = await authorizeMany(core, who, 'listPipelines', signal)
  const narrow = type === undefined ? {} : { type }
  const filter = { scopes: searchedBy(who, scopes, Object.keys(narrow)), ...narrow }
  return await shownPage(who, {
    limit,
    after: cursor === undefined ? undefined : afterOf(cursor, who),
    find: async (page: PipelinePage) => {
      // Read one more than needed, to know whether there is a next page.
      const found = await core.storage.pipelines(filter, { ...page, limit: page.limit + 1 })
      const rows = found.slice(0, page.limit)
      const last = found.length > rows.length ? rows.at(-1) : undefined
      return { rows, after: last && { tenant: last.tenant, id: last.id } }
    },
    turn: () => new Promise<void>((resume) => core.clock.turn(resume)),
    positionOf: ({ tenant, id }) => ({ tenant, id }),
    show: async (pipeline) => {
      const view = await shown(core, who, pipeline, signal)
      // If the type is redacted, a match would reveal it.
      return type !== undefined && view?.redacted?.includes('type') === true ? undefined : view
    },
    cursorOf: ({ tenant, id }) => [tenant, id],
  })
}

/** Submits a run of a pipeline. If the pipeline was changed since it was read, it is read again. */
export async function runPipeline(
  core: Core,
  who: Principal,
  id: string,
  { signal, ...options }: RunOptions = {},
): Promise<JobView> {
  signal?.throwIfAborted()
  const { tenant, overlap, priority, labels, startAt, idempotencyKey, uniqueKey } = await parseOptions(
    runSchema,
    options,
  )
  const hasInput = Object.hasOwn(options, 'input')
  for (;;) {
    const { pipeline: run, mask: shown } = await reachPipeline(core, who, { id, tenant }, 'runPipeline', signal)
    if (!hasInput && shown.hidden.has('input')) throw notReadable(who, id)
    const type = core.types.named(unpaused(run, shown.hidden.has('paused')).type)
    const both = await parseWith(labelsSchema, { ...run.labels, ...labels }, 'labels')
    const fixed = { tenant: run.tenant, createdBy: who.id, labels: both, pipeline: id }
    // A run is checked like any new job, because the caller may have chosen its labels.
    const granted = await authorizeSubmit(core, who, { ...fixed, type: type.type }, signal)
    const input = hasInput ? await parseInput(type, options.input) : run.input
    const seed = {
      ...fixed,
      id: newId(core),
      trigger: 'manual',
      priority: priority ?? run.priority,
      ...(input === undefined ? {} : { input }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...(uniqueKey === undefined ? {} : { uniqueKey }),
      ...(startAt === undefined ? {} : { startAt }),
    } as const
    signal?.throwIfAborted()
    try {
      const by = { kind: who.kind, id: who.id }
      const mask = narrower(shown, granted)
      return await insertFirst(core, { who, by, type, seed, overlap: overlap ?? run.overlap, run }, mask)
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error
    }
  }
}

function notReadable(who: Principal, id: string): JobchartError {
  const hint = 'and so not run it; an input of your own may be given'
  return new JobchartError('FORBIDDEN', `"${who.id}" may not read the input of pipeline "${id}", ${hint}`)
}

/** Pauses a pipeline with a reason, which is shown; without a reason, resumes it. */
export async function pausePipeline(
  core: Core,
  who: Principal,
  id: string,
  asked: { readonly reason?: string },
  { signal, tenant }: PipelineCallOptions = {},
): Promise<PipelineView> {
  signal?.throwIfAborted()
  const { reason } = await parseWith(pauseSchema, asked, 'options')
  for (;;) {
    const { pipeline: before, mask } = await reachPipeline(core, who, { id, tenant }, 'pausePipeline', signal)
    const isPersons = before.paused === undefined || before.pausedBy !== 'followUp'
    if (before.paused === reason && isPersons) return pipelineViewOf(before, mask)
    const after = pausedAs(before, reason, 'person', core.clock.now())
    if (await changed(core, before, after)) return pipelineViewOf(after, mask)
  }
}

/** Deletes a pipeline. Its jobs go on. */
export async function deletePipeline(
  core: Core,
  who: Principal,
  id: string,
  { signal, tenant }: PipelineCallOptions = {},
): Promise<void> {
  signal?.throwIfAborted()
  for (let isRepeated = false; ; isRepeated = true) {
    const before = await core.storage.pipeline(tenantOf(who, tenant), id)
    // Already deleted: by another caller, or by an earlier try of this call whose answer was lost.
    if (before === undefined && isRepeated) return
    if (before === undefined) throw pipelineNotFound(id)
    await authorizePipeline(core, who, before, 'deletePipeline', signal)
    if (await changed(core, before, undefined)) return
  }
}

async function reachPipeline(
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

/** Writes a pipeline. `false`: it was changed meanwhile. */
async function changed(core: Core, before: Pipeline | undefined, after: Pipeline | undefined): Promise<boolean> {
  const change = { ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }
  try {
    await core.ticks.submit({ by: ENGINE, writes: [pipelineWrite(change as PipelineChange)], isAskedAgain: true })
    return true
  } catch (error) {
    if (error instanceof ChangedMeanwhile) return false
    throw error
  }
}

// Do not reveal a hidden pipeline with this id: the error only says that the id cannot be used. A caller who may not
// define pipelines gets the same error as for any other id.
async function authorizeChange(
  core: Core,
  who: Principal,
  before: Pipeline,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<FieldMask> {
  try {
    return await authorizePipeline(core, who, before, 'definePipeline', signal)
  } catch (error) {
    if (!(error instanceof JobchartError) || error.code !== 'PIPELINE_NOT_FOUND') throw error
    await authorizeDefine(core, who, { ...target, createdBy: who.id }, signal)
    throw new JobchartError('INVALID_INPUT', `the id "${before.id}" cannot be used; choose another`, {
      issues: [{ message: 'cannot be used', path: ['id'] }],
    })
  }
}

function next(
  core: Core,
  before: Pipeline | undefined,
  fixed: Pick<Pipeline, 'tenant' | 'id' | 'createdBy'>,
  asked: PipelineFields,
): Pipeline {
  const at = core.clock.now()
  if (before === undefined) return { ...fixed, ...asked, createdAt: at, updatedAt: at, revision: firstRevision(core) }
  const { paused, pausedBy } = before
  const stays = { ...(paused === undefined ? {} : { paused }), ...(pausedBy === undefined ? {} : { pausedBy }) }
  return withFields(before, { ...asked, ...stays }, at)
}

// Random, so that a pipeline that was deleted and defined again is not mistaken for the one that was read: it may have
// another owner.
function firstRevision({ clock }: Core): number {
  const bytes = clock.randomBytes(4)
  return 1 + new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0)
}

function isSame(before: Pipeline, after: Pipeline): boolean {
  const fields = ({ updatedAt, revision, ...rest }: Pipeline) => canonicalText(rest)
  return fields(before) === fields(after)
}

async function shown(
  core: Core,
  who: Principal,
  pipeline: Pipeline,
  signal: AbortSignal | undefined,
): Promise<PipelineView | undefined> {
  try {
    return pipelineViewOf(pipeline, await authorizePipeline(core, who, pipeline, 'getPipeline', signal))
  } catch (error) {
    if (error instanceof JobchartError && error.code === 'PIPELINE_NOT_FOUND') return undefined
    throw error
  }
}

function afterOf(cursor: string, who: Principal): NonNullable<PipelinePage['after']> {
  const [tenant, id] = readCursor(cursor, who, ['string', 'string'])
  return { tenant: String(tenant), id: String(id) }
}
