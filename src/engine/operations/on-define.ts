/** What happens in the changeset that defines a pipeline, or changes it. */

import { parseWith } from '../../context/parse-with.ts'
import type { Assignment } from '../../model/agent.ts'
import type { ChartEvent } from '../../model/chart.ts'
import { create, type Decision, type JobDecision, type NewJob, send } from '../../model/decision.ts'
import { defined } from '../../model/defined.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { PipelineEventDraft } from '../../model/event.ts'
import { type Pipeline, type PipelineStatus, withStatus } from '../../model/pipeline.ts'
import type { PipelineChange } from '../../model/pipeline-change.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed, commandOf } from '../authorization.ts'
import type { Core } from '../core.ts'
import { authorizeNew, type FactsScope, factsOf } from '../facts.ts'
import { newId } from '../ids.ts'
import { parseCommand, parseInput } from '../parse.ts'
import { onDefineSchema } from '../pipeline-options.ts'
import type { Change } from '../tick.ts'
import { type PipelineView, pipelineViewOf } from '../view.ts'
import type { WorkingSet } from '../working-set.ts'

/** One thing that happens together with the definition of a pipeline. */
export type OnDefine =
  /** A new job of the caller in the pipeline. It waits for the slot, and runs whatever the pipeline's status is. */
  | {
      readonly kind: 'submit'
      readonly job: AnyJobType
      readonly input?: unknown
      readonly priority?: number
      /** The labels of the job, added to those of the pipeline. */
      readonly labels?: { readonly [name: string]: string }
      /** Which agents may run the tasks of the job; null: any that are able. Default: as for the pipeline. */
      readonly assignment?: Assignment | null
    }
  /**
   * The pipeline gets this status. If jobs are submitted too, the status belongs to the first of them: if that job is
   * deleted before its end, or what should follow its end fails, `provisioning` becomes `failed`. Change the status at
   * the job's end by its `followUp`.
   */
  | { readonly kind: 'status'; readonly status: PipelineStatus }
  /**
   * A command to a job of this type and creator: to the oldest one that runs, or else to the oldest one that waits.
   * Nothing happens if there is none, if the caller may not send the command, if the job does not take it, or if this
   * engine does not know the job's type. Without `createdBy`: a job that the caller created or is assigned to.
   */
  | {
      readonly kind: 'send'
      readonly to: { readonly type: string; readonly createdBy?: string }
      readonly event: { readonly type: string; readonly [field: string]: unknown }
    }

/**
 * Called when a definition stores or changes something. `before` is absent for a new pipeline. Must be pure: after a
 * write conflict it is called again.
 */
export type OnDefineOf = (definition: {
  readonly before: PipelineView | undefined
  readonly pipeline: PipelineView
}) => readonly OnDefine[] | undefined

/** What `onDefine` asked for, read and parsed. */
export interface Consequences {
  readonly status: PipelineStatus | undefined
  readonly jobs: readonly { readonly type: AnyJobType; readonly seed: NewJob }[]
  readonly sends: readonly { readonly jobId: string; readonly event: ChartEvent }[]
}

/**
 * Asks `onDefine`, and reads and parses its answer.
 *
 * @throws {JobchartError} `INVALID_INPUT`, `FORBIDDEN` (the caller may not submit such a job), `UNKNOWN_TYPE`
 */
export async function consequencesOf(
  core: Core,
  who: Principal,
  onDefine: OnDefineOf,
  { before, after }: { readonly before: Pipeline | undefined; readonly after: Pipeline },
  signal: AbortSignal | undefined,
): Promise<Consequences> {
  const views = { before: before && pipelineViewOf(before), pipeline: pipelineViewOf(after) }
  const given: unknown = onDefine(views) ?? []
  // `parseWith` refuses a promise. Its rejection is ignored here, so that it does not end the process.
  if (given instanceof Promise) given.catch(() => {})
  const asked = (await parseWith(onDefineSchema, given, 'what onDefine gives')) as readonly OnDefine[]
  const jobs: Consequences['jobs'][number][] = []
  const sends: Consequences['sends'][number][] = []
  let status: PipelineStatus | undefined
  for (const each of asked) {
    if (each.kind === 'status') status = each.status
    else if (each.kind === 'submit') jobs.push(await submission(core, who, each, after, signal))
    else sends.push(...(await receiver(core, who, each, after.tenant, signal)))
  }
  return { status, jobs, sends }
}

async function submission(
  core: Core,
  who: Principal,
  asked: Extract<OnDefine, { kind: 'submit' }>,
  pipeline: Pipeline,
  signal: AbortSignal | undefined,
): Promise<Consequences['jobs'][number]> {
  const { job, priority, labels, assignment = pipeline.assignment, ...given } = asked
  const type = core.types.require(job)
  const { tenant, id } = pipeline
  const owned = { tenant, createdBy: who.id, pipeline: id }
  const decided = (scope: FactsScope) => factsOf(type, scope, { labels: { ...pipeline.labels, ...labels } })
  const parsed = () => parseInput(type, given.input)
  const { facts, input } = await authorizeNew(core, who, type, owned, decided, parsed, signal)
  const seed: NewJob = {
    ...owned,
    ...facts,
    id: newId(core),
    trigger: 'manual',
    priority: priority ?? pipeline.priority,
    ...defined({ input, assignment: assignment ?? undefined }),
  }
  return { type, seed }
}

async function receiver(
  core: Core,
  who: Principal,
  { to, event }: Extract<OnDefine, { kind: 'send' }>,
  tenant: string,
  signal: AbortSignal | undefined,
): Promise<Consequences['sends']> {
  const { type: named, createdBy } = to
  const common = { tenant, type: core.types.nameOf(named) }
  const own = [
    { ...common, createdBy: who.id },
    { ...common, assignee: who.id },
  ]
  const scopes = createdBy === undefined ? own : [{ ...common, createdBy }]
  for (const phase of ['active', 'indeterminate', 'waiting'] as const) {
    const { jobs } = await core.storage.find({ scopes, phase }, { limit: 1, order: 'oldest' })
    for (const job of jobs) {
      const type = core.types.of(job)
      if (type === undefined) return []
      const mask = await allowed(core, who, job, { action: 'command', command: commandOf(type, event.type), signal })
      return mask === undefined ? [] : [{ jobId: job.id, event: await parseCommand(type, { ...event } as ChartEvent) }]
    }
  }
  return []
}

/** The defined pipeline with the status that `onDefine` asked for, and the event of that change. */
export function withConsequences(
  after: Pipeline,
  { status, jobs }: Consequences,
): { readonly after: Pipeline; readonly events: readonly PipelineEventDraft[] } {
  const from = after.status ?? 'ready'
  if (status === undefined || status === from) return { after, events: [] }
  const changed = { ...withStatus(after, status, after.updatedAt, jobs[0]?.seed.id), revision: after.revision }
  return { after: changed, events: [{ type: 'pipeline.statusChanged', from, to: status }] }
}

/** Makes the change that stores the pipeline, submits the jobs and sends the commands that `onDefine` asked for. */
export function changeWith(
  { jobs: asked, sends }: Consequences,
  { tenant, id }: Pipeline,
  pipelines: NonNullable<Decision['pipelines']>,
): Pick<Change, 'jobs' | 'pipelines' | 'decide'> {
  return {
    jobs: sends.map(({ jobId }) => jobId),
    pipelines: asked.length === 0 ? [] : [{ tenant, id }],
    decide: (jobs, context) => {
      const decisions: Decision[] = []
      const add = (decision: Decision) => {
        jobs.apply([decision, ...decision.others])
        decisions.push(decision)
      }
      for (const { type, seed } of asked) add(create(type, inTurn(jobs, seed, { tenant, id }), context, jobs))
      for (const { jobId, event } of sends) {
        const job = jobs.job(jobId)
        if (job === undefined || job.phase === 'settled' || job.deletedAt !== undefined) continue
        const decision = send(jobs.typeOf(job), job, event, context, jobs)
        if (decision.handled) add(decision)
      }
      const [first, ...others] = decisions
      if (first === undefined) return { pipelines }
      const all: JobDecision[] = [...first.others, ...others.flatMap((each) => [each, ...each.others])]
      return { ...first, pipelines, others: all, looked: decisions.flatMap(({ looked }) => looked) }
    },
  }
}

function inTurn(jobs: WorkingSet, seed: NewJob, key: { readonly tenant: string; readonly id: string }): NewJob {
  const { holder, next } = jobs.turn(key)
  return holder === undefined && next === undefined ? seed : { ...seed, isWaiting: true, overlap: 'queue' }
}

/**
 * What happens to a pipeline when its `statusJob` is deleted before its end: a `provisioning` pipeline becomes
 * `failed`. Empty: nothing happens.
 */
export function statusWithout(pipeline: Pipeline | undefined, jobId: string, at: number): readonly PipelineChange[] {
  if (pipeline?.statusJob !== jobId || pipeline.status !== 'provisioning') return []
  const events = [{ type: 'pipeline.statusChanged', from: 'provisioning', to: 'failed' }] as const
  return [{ before: pipeline, after: withStatus(pipeline, 'failed', at), events }]
}
