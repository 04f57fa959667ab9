/** The pipelines that run after a job, because their `dependsOn` names the job's pipeline or type. */
import type { JobDecision } from '../model/decision.ts'
import { pipelineRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import { OWED_MAX, type Pipeline } from '../model/pipeline.ts'
import type { DependencySource, StorageConnection, Write } from '../port/storage.ts'
import { ENGINE } from './core.ts'
import { runSkipped } from './schedule-times.ts'

/** How many dependent pipelines are read at once. */
const DEPENDANTS_AT_ONCE = 100

/** The pipelines that run after an ended job, each once. `own`: the stored pipeline of the job. */
export async function dependantsOf(
  storage: StorageConnection,
  { type: { startsPipelines }, job }: JobDecision,
  own: Pipeline | undefined,
): Promise<readonly Pipeline[]> {
  const { tenant, type, pipeline, outcome } = job
  const found = [
    // Other jobs of a pipeline, e.g. one that configures it, are no runs of it.
    ...(own?.type === type ? await allOf(storage, tenant, { pipeline: own.id }) : []),
    ...(startsPipelines ? await allOf(storage, tenant, { type }) : []),
  ]
  const meant = found.filter(({ dependsOn = [] }) =>
    dependsOn.some(
      (each) => each.outcome === outcome && (each.pipeline ?? pipeline) === pipeline && (each.type ?? type) === type,
    ),
  )
  return [...new Map(meant.map((each) => [each.id, each])).values()]
}

async function allOf(
  storage: StorageConnection,
  tenant: string,
  source: DependencySource,
): Promise<readonly Pipeline[]> {
  const found: Pipeline[] = []
  for (;;) {
    const more = await storage.dependants(tenant, source, DEPENDANTS_AT_ONCE, found.at(-1)?.id)
    found.push(...more)
    if (more.length < DEPENDANTS_AT_ONCE) return found
  }
}

/**
 * The writes that add a run to the `owed` of each pipeline, for an ended job. The engine starts these runs later, as it
 * starts due runs of schedules. If `owed` is full, e.g. because no engine that knows the pipeline's type has run for
 * long, the run is skipped instead.
 */
export function owedTo(pipelines: readonly Pipeline[], { id: jobId, endedAt: at = 0 }: Job, now: number): Write[] {
  return pipelines.map((pipeline): Write => {
    const { tenant, id, owed = [] } = pipeline
    if (owed.length < OWED_MAX) return { op: 'owe', tenant, id, run: { jobId, at } }
    const event = runSkipped({ reason: 'missed', trigger: 'dependency', dueAt: at })
    return { op: 'append', events: pipelineRow(pipeline, ENGINE, [event], now) }
  })
}
