import { type Engine, JobchartError, type JobView, type Session } from 'jobchart'
import type { Settings } from './context.ts'
import { elt, pipeline } from './job.ts'

/** A run as it is shown. */
export type Run = JobView<unknown, unknown>

/** Result of a start: a new run, an interrupted run that this process continues, or another process's run. */
export type Beginning =
  | { readonly kind: 'submitted' | 'resumed'; readonly run: Run }
  | { readonly kind: 'refused'; readonly run: Run | undefined }

/**
 * Continues the run that an earlier process left, or submits a new one. The engine recovers an interrupted run by
 * itself. If it does not, the run is alive in another process, and its slot refuses a second one.
 */
export async function begin(engine: Engine, you: Session, settings: Settings): Promise<Beginning> {
  const unfinished = await findUnfinished(you)
  if (unfinished !== undefined && engine.running().includes(unfinished.id)) return { kind: 'resumed', run: unfinished }
  try {
    return { kind: 'submitted', run: await you.submit(elt, settings, { pipeline }) }
  } catch (error) {
    if (!(error instanceof JobchartError && error.code === 'ALREADY_RUNNING')) throw error
    return { kind: 'refused', run: await findUnfinished(you) }
  }
}

async function findUnfinished(you: Session): Promise<Run | undefined> {
  const { items } = await you.list({ type: elt.type, phase: 'active', limit: 1 })
  return items[0]
}
