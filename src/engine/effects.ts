/** The machines' own actions, run once after the commit that decided them. */
import type { Effect } from '../model/chart.ts'
import { send } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import { storableCopy } from '../model/storable.ts'
import type { ChartEvent } from '../model/transition.ts'
import { type Core, ENGINE } from './core.ts'

/** Runs actions best effort: one that throws, or rejects, harms neither the job nor the next action. */
export function runEffects(
  core: Core,
  { job, effects }: { readonly job: Job; readonly effects: readonly Effect[] },
): void {
  for (const run of effects) {
    const sendToSelf = (event: ChartEvent) => tellJob(core, job.id, event)
    try {
      Promise.resolve(run(sendToSelf)).catch(() => {})
    } catch {
      // A lasting effect belongs in an invoke, whose failure the chart hears of.
    }
  }
}

// What an action sends by `self.send` is taken in a later tick: a chart whose actions send without end would else let
// nothing else of its process run.
function tellJob(core: Core, jobId: string, event: ChartEvent): void {
  let stored: ChartEvent
  try {
    stored = storableCopy(event, 'event', true) as unknown as ChartEvent
  } catch {
    return
  }
  core.ticks.add(
    {
      by: ENGINE,
      jobs: [jobId],
      decide: (jobs, context) => {
        const job = jobs.require(jobId)
        return send(jobs.typeOf(job), job, stored, context, jobs)
      },
    },
    { done: () => {}, failed: () => {} },
  )
}
