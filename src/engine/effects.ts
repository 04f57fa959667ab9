/** Runs the custom actions of machines, once, after the commit of their decision. */
import type { Address, ChartEvent } from '../model/chart.ts'
import { type JobDecision, tell } from '../model/decision.ts'
import { type Core, ENGINE, ofJob } from './core.ts'

/** Runs the actions of a decision. An action that throws or rejects affects neither the job nor the next action. */
export function runEffects(core: Core, { effects }: Pick<JobDecision, 'effects'>): void {
  for (const { jobId, run } of effects) {
    try {
      Promise.resolve(run((to, event) => send(core, jobId, to, event))).catch(() => {})
    } catch {
      // An error of the action is ignored: work that must not fail silently belongs in an invoke, whose errors reach
      // the chart.
    }
  }
}

// Events sent by an action are handled in a later tick. Otherwise charts that send in a cycle would block the process.
function send(core: Core, jobId: string, to: Address, event: ChartEvent): void {
  core.ticks.add(
    { by: ENGINE, ...ofJob(jobId, (type, job, context, jobs) => tell(type, job, to, event, context, jobs)) },
    { done: () => {}, failed: () => {} },
  )
}
