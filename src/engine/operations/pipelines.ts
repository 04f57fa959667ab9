/** Operations on stored pipelines, and manual runs of them. */

import { parseWith } from '../../context/parse-with.ts'
import type { Assignment } from '../../model/agent.ts'
import type { NewJob } from '../../model/decision.ts'
import { defined } from '../../model/defined.ts'
import type { AnyJobType, InputOf } from '../../model/definition.ts'
import { hasCode, JobchartError, pipelineNotFound } from '../../model/error.ts'
import {
  type OverlapRules,
  overlapFor,
  type Pipeline,
  type PipelineFields,
  type PipelineOverlap,
  pausedAs,
  startable,
  withFields,
} from '../../model/pipeline.ts'
import { canonicalText } from '../../model/storable.ts'
import type { Principal, Target } from '../../port/policy.ts'
import type { PipelinePage } from '../../port/storage.ts'
import { authorizeDefine, authorizeMany, authorizePipeline, searchedBy } from '../authorization.ts'
import { type CallOptions, parseOptions, refuseOfPerson, tenantOf } from '../call-options.ts'
import type { Core } from '../core.ts'
import { readCursor } from '../cursor.ts'
import { authorizeNew, type FactsScope, factsOf } from '../facts.ts'
import { type FieldMask, narrower, WHOLE } from '../field-mask.ts'
import { newId } from '../ids.ts'
import { labelsSchema } from '../options.ts'
import { type Page, shownPage } from '../page.ts'
import { parseInput } from '../parse.ts'
import { turn } from '../pause.ts'
import { reachPipeline } from '../pipeline-entry.ts'
import { pauseSchema, pipelineListSchema, pipelineSchema, runSchema } from '../pipeline-options.ts'
import { actorOf } from '../principal.ts'
import { pastStandstill } from '../schedule-times.ts'
import { type Change, ChangedMeanwhile } from '../tick.ts'
import { type JobView, type PipelineView, pipelineViewOf } from '../view.ts'
import { changeWith, consequencesOf, type OnDefineOf, withConsequences } from './on-define.ts'
import { asked as askedRule } from './runs.ts'
import { checkSources, type DependencyOptions, dependencyOf, type ScheduleOptions, scheduled } from './schedules.ts'
import { insertFirst } from './submit.ts'

/** The options of `pipelines.define`. */
export type PipelineOptions<Type extends AnyJobType | string = AnyJobType | string> = {
  /** Unique in the tenant: 1 to 200 characters. */
  readonly id: string
  /** The job type of the pipeline's runs, or its name. Each run uses the newest version that the engine knows. */
  readonly job: Type
  /**
   * What happens to a run while another run holds the slot: `'reject'`, `'queue'`, `'replace'`, or `'skip'` (no run,
   * and a `run.skipped` event). A text holds for all runs; an object has a rule for each cause of a run. Default:
   * `{ manual: 'reject', schedule: 'skip', dependency: 'queue', retry: 'queue' }`.
   */
  readonly overlap?: PipelineOverlap | Partial<OverlapRules>
  /** When the pipeline runs by itself. Default: never. */
  readonly schedule?: ScheduleOptions
  /**
   * The pipeline also runs when one of these jobs ends: a run of another pipeline, or a job of a type with
   * `startsPipelines`. `outcome`: how that job must end, default `'success'`.
   */
  readonly dependsOn?: readonly DependencyOptions[]
  /** Called when this definition stores or changes something. What it returns is committed with the definition. */
  readonly onDefine?: OnDefineOf
  /** The priority of the pipeline's runs: a whole number, default 0. */
  readonly priority?: number
  /** Added to the labels of each run. Policies and lists may read them. */
  readonly labels?: { readonly [name: string]: string }
  /** Which agents may run the tasks of the pipeline's runs. Default: any that are able. */
  readonly assignment?: Assignment
  /** Only for the engine's own session: the pipeline's tenant. */
  readonly tenant?: string
  readonly owner?: string
} & (undefined extends InputOf<Type> ? { readonly input?: InputOf<Type> } : { readonly input: InputOf<Type> })

/** Options of an operation on one pipeline. */
export interface PipelineCallOptions extends CallOptions {
  /** Only for the engine's own session. */
  readonly tenant?: string
}

/** The options of `pipelines.run`. For an absent option, the pipeline's own value counts. */
export interface RunOptions extends PipelineCallOptions {
  readonly input?: unknown
  readonly overlap?: PipelineOverlap
  readonly priority?: number
  /** The labels of the run, added to those of the pipeline. */
  readonly labels?: { readonly [name: string]: string }
  /** As in `submit`. */
  readonly assignee?: string
  /** Which agents may run the tasks of the run; null: any that are able. */
  readonly assignment?: Assignment | null
  /** The earliest start: milliseconds UTC, ISO 8601, or a `Date`. */
  readonly startAt?: number | string | { readonly getTime: () => number }
  readonly idempotencyKey?: string
  /** As in `submit`. */
  readonly uniqueKey?: string
}

/** The options of `pipelines.list`. Each given field narrows the list. */
export interface PipelineListOptions extends CallOptions {
  /** A job type, or its name. */
  readonly type?: AnyJobType | string
  /** The size of a page: 1 to 100, default 20. */
  readonly limit?: number
  readonly cursor?: string | undefined
}

/** Stores a pipeline, or changes the pipeline with this id. */
export async function definePipeline(
  core: Core,
  who: Principal,
  options: PipelineOptions,
  { signal }: CallOptions = {},
): Promise<PipelineView> {
  const { id, job, overlap, priority, labels, assignment, schedule, dependsOn, onDefine, ...rest } = await parseOptions(
    pipelineSchema,
    options,
  )
  const tenant = tenantOf(who, rest.tenant)
  refuseOfPerson(who, 'owner', rest.owner)
  const jobType = typeof job === 'string' ? core.types.named(job) : core.types.require(job)
  const given = await parseInput(jobType, rest.input)
  const input = given === undefined ? {} : { input: given }
  const sources = dependsOn?.map((each) => dependencyOf(each))
  const asked = {
    type: jobType.type,
    overlap,
    priority,
    labels,
    ...input,
    ...(assignment === undefined ? {} : { assignment }),
    ...(sources === undefined || sources.length === 0 ? {} : { dependsOn: sources }),
  }
  for (;;) {
    const before = await core.storage.pipeline(tenant, id)
    const createdBy = before?.createdBy ?? rest.owner ?? who.id
    const target: Target = { tenant, type: jobType.type, createdBy, pipeline: id, labels }
    const mask = before === undefined ? WHOLE : await authorizeChange(core, who, before, target, signal)
    await authorizeDefine(core, who, target, signal)
    await checkSources(core, who, { before, tenant: rest.tenant, sources }, signal)
    signal?.throwIfAborted()
    const timed = { ...asked, ...scheduled(core, before, schedule) }
    const after = next(core, before, { tenant, id, createdBy }, timed)
    if (before !== undefined && isSame(before, after)) return pipelineViewOf(before, mask)
    const type = before === undefined ? 'pipeline.defined' : 'pipeline.changed'
    const asks = onDefine ?? (() => undefined)
    const consequences = await consequencesOf(core, who, asks, { before, after }, signal)
    const stored = withConsequences(after, consequences)
    const event = { type } as const
    const change = {
      ...(before === undefined ? {} : { before }),
      after: stored.after,
      events: [event, ...stored.events],
    }
    if (await changed(core, who, changeWith(consequences, after, [change]))) return pipelineViewOf(stored.after, mask)
  }
}

/** Shows a pipeline. */
export async function getPipeline(
  core: Core,
  who: Principal,
  id: string,
  { signal, tenant }: PipelineCallOptions = {},
): Promise<PipelineView> {
  const { pipeline, mask } = await reachPipeline(core, who, { id, tenant }, 'getPipeline', signal)
  return pipelineViewOf(pipeline, mask)
}

/** Lists the pipelines that the caller may see, ordered by id. */
export async function listPipelines(
  core: Core,
  who: Principal,
  { signal, ...options }: PipelineListOptions = {},
): Promise<Page<PipelineView>> {
  const { type: named, limit, cursor } = await parseOptions(pipelineListSchema, options)
  const type = named === undefined ? undefined : core.types.nameOf(named)
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
    turn: () => turn(core),
    positionOf: ({ tenant, id }) => ({ tenant, id }),
    show: async (pipeline) => {
      const view = await shown(core, who, pipeline, signal)
      // If this list is filtered by type, a match would reveal the type. So pipelines with a redacted type are left
      // out.
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
  const { tenant, overlap, priority, labels, assignee, ...asked } = await parseOptions(runSchema, options)
  const hasInput = Object.hasOwn(options, 'input')
  for (;;) {
    const { pipeline: run, mask: shown } = await reachPipeline(core, who, { id, tenant }, 'runPipeline', signal)
    if (!hasInput && shown.hidden.has('input')) throw notReadable(who, id)
    const type = core.types.named(startable(run, shown.hidden).type)
    const both = await parseWith(labelsSchema, { ...run.labels, ...labels }, 'labels')
    const owned = { tenant: run.tenant, createdBy: who.id, pipeline: id }
    const parsed = async () => (hasInput ? await parseInput(type, options.input) : run.input)
    // A run is checked like any new job, because the caller may have chosen its labels.
    const decided = (scope: FactsScope) => factsOf(type, scope, { labels: both, assignee })
    const { facts, input, mask: granted } = await authorizeNew(core, who, type, owned, decided, parsed, signal)
    const { assignment = run.assignment, idempotencyKey, uniqueKey, startAt } = asked
    const seed: NewJob = {
      ...owned,
      ...facts,
      id: newId(core),
      trigger: 'manual',
      priority: priority ?? run.priority,
      ...defined({ input, assignment: assignment ?? undefined, idempotencyKey, uniqueKey, startAt }),
    }
    signal?.throwIfAborted()
    try {
      const mask = narrower(shown, granted)
      const rule = askedRule(overlap ?? overlapFor(run, 'manual'))
      return await insertFirst(core, { who, by: actorOf(who), type, seed, overlap: rule, run }, mask)
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error
    }
  }
}

function notReadable(who: Principal, id: string): JobchartError {
  const hint = 'and so not run it; an input of your own may be given'
  return new JobchartError('FORBIDDEN', `"${who.id}" may not read the input of pipeline "${id}", ${hint}`)
}

/**
 * Pauses a pipeline if a reason is given, otherwise resumes it. The reason is shown to those who may see the pipeline.
 */
export async function pausePipeline(
  core: Core,
  who: Principal,
  id: string,
  asked: { readonly reason: string } | undefined,
  { signal, tenant }: PipelineCallOptions = {},
): Promise<PipelineView> {
  const reason = asked === undefined ? undefined : (await parseOptions(pauseSchema, asked)).reason
  for (;;) {
    const { pipeline: before, mask } = await reachPipeline(core, who, { id, tenant }, 'pausePipeline', signal)
    const isPersons = before.paused === undefined || before.pausedBy !== 'followUp'
    if (before.paused === reason && isPersons) return pipelineViewOf(before, mask)
    const now = core.clock.now()
    const paused = pausedAs(before, reason, 'person', now)
    const next =
      reason === undefined
        ? pastStandstill(paused, { event: { type: 'pipeline.resumed' }, reason: 'paused', now })
        : { after: paused, events: [{ type: 'pipeline.paused', reason }] as const }
    const change = { before, ...next }
    if (await changed(core, who, { decide: () => ({ pipelines: [change] }) })) return pipelineViewOf(next.after, mask)
  }
}

/** Deletes a pipeline. Its jobs go on. */
export async function deletePipeline(
  core: Core,
  who: Principal,
  id: string,
  { signal, tenant }: PipelineCallOptions = {},
): Promise<void> {
  for (let isRepeated = false; ; isRepeated = true) {
    const before = await core.storage.pipeline(tenantOf(who, tenant), id)
    // Already deleted: by another caller, or by an earlier try of this call whose answer was lost.
    if (before === undefined && isRepeated) return
    if (before === undefined) throw pipelineNotFound(id)
    await authorizePipeline(core, who, before, 'deletePipeline', signal)
    const change = { before, events: [{ type: 'pipeline.deleted' }] } as const
    if (await changed(core, who, { decide: () => ({ pipelines: [change] }) })) return
  }
}

/** Writes a pipeline. `false`: it was changed meanwhile. */
async function changed(core: Core, who: Principal, change: Omit<Change, 'by' | 'isAskedAgain'>): Promise<boolean> {
  try {
    await core.ticks.submit({ by: actorOf(who), ...change, isAskedAgain: true })
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
    if (!hasCode(error, 'PIPELINE_NOT_FOUND')) throw error
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
  const { paused, pausedBy, status, statusJob, owed } = before
  const stays = defined({ paused, pausedBy, status, statusJob, owed })
  return withFields(before, { ...asked, ...stays }, at)
}

// Random, so that a pipeline that was deleted and defined again has another revision than the deleted one. The new
// pipeline may have another owner, so a change based on the old one must be refused.
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
    if (hasCode(error, 'PIPELINE_NOT_FOUND')) return undefined
    throw error
  }
}

function afterOf(cursor: string, who: Principal): NonNullable<PipelinePage['after']> {
  const [tenant, id] = readCursor(cursor, who, ['string', 'string'])
  return { tenant: String(tenant), id: String(id) }
}
