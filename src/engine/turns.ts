import { admit, type Decision, type JobDecision } from '../model/decision.ts'
import { holdsSlot, type Job } from '../model/job.ts'
import { type Core, ENGINE } from './core.ts'
import { decideWith, moment } from './deciding.ts'

/** A decision with the admission of whoever is next in the pipelines whose slots it frees: one unit. */
export async function withNextRuns(core: Core, decision: Decision): Promise<Decision> {
  const decided = [decision, ...decision.others]
  const next: JobDecision[] = []
  for (const freed of decided.filter(freesSlot)) next.push(...(await nextRun(core, freed.job)))
  // One that the unit itself changes, such as a waiting run that it cancels, would be written twice, and never be.
  if (next.some(({ job }) => decided.some((each) => each.job.id === job.id))) return decision
  return next.length === 0 ? decision : { ...decision, others: [...decision.others, ...next] }
}

function freesSlot({ before, job }: JobDecision): boolean {
  return before !== undefined && holdsSlot(before) && !holdsSlot(job)
}

async function nextRun(core: Core, { tenant, pipeline }: Job): Promise<readonly JobDecision[]> {
  if (pipeline === undefined) return []
  try {
    const job = await core.storage.nextWaiting(core.types.all(), tenant, pipeline, core.clock.now())
    if (job === undefined) return []
    const type = core.types.require(job)
    const decision = await decideWith(core, (relatives) => admit(type, job, moment(core), relatives))
    return [decision, ...decision.others].map((each) => ({ ...each, events: byEngine(each) }))
  } catch {
    // What ends must not wait for what could begin: the next sweep admits it.
    return []
  }
}

function byEngine({ events }: JobDecision): JobDecision['events'] {
  return events.map((event) => ({ ...event, by: ENGINE }))
}
