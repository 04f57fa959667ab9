/** The machines' own actions, run once after the commit that decided them. */
import type { Address, ChartEvent } from '../model/chart.ts'
import { type JobDecision, tell } from '../model/decision.ts'
import { type Core, ENGINE } from './core.ts'

/** Runs actions best effort: one that throws, or rejects, harms neither the job nor the next action. */
export function runEffects(core: Core, { effects }: Pick<JobDecision, 'effects'>): void {
  for (const { jobId, run } of effects) {
    try {
      Promise.resolve(run((to, event) => send(core, jobId, to, event))).catch(() => {})
    } catch {
      // A lasting effect belongs in an invoke, whose failure the chart hears of.
    }
  }
}

// What an action sends is taken in a later tick: a chart whose actions send without end would else let nothing else of its
// process run.
function send(core: Core, jobId: string, to: Address, event: ChartEvent): void {
  core.ticks.add(
    {
      by: ENGINE,
      jobs: [jobId],
      decide: (jobs, context) => {
        const job = jobs.require(jobId)
        return tell(jobs.typeOf(job), job, to, event, context, jobs)
      },
    },
    { done: () => {}, failed: () => {} },
  )
}
