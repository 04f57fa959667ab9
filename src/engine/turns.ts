import { admit, type Decision, type JobDecision } from '../model/decision.ts'
import { mayBeFollowed } from '../model/follow-up.ts'
import { holdsSlot, type Job } from '../model/job.ts'
import type { Core } from './core.ts'
import { byEngine, decideWith, moment, nextInTurn } from './deciding.ts'
import { withFollowUps } from './follow-ups.ts'

/** A decision as a whole unit: with what follows the jobs that it ends, and the next runs of the slots that it frees. */
export async function asUnit(core: Core, decision: Decision): Promise<Decision> {
  return await withNextRuns(core, await withFollowUps(core, decision))
}

/** A decision with the admission of whoever is next in the pipelines whose slots it frees: one unit. */
async function withNextRuns(core: Core, decision: Decision): Promise<Decision> {
  const decided = [decision, ...decision.others]
  const next: JobDecision[] = []
  const free = decided.filter((each) => freesSlot(each) && !decided.some((other) => takesSlot(other, each)))
  for (const { job } of free) next.push(...(await nextRun(core, job)))
  // One that the unit itself changes, such as a waiting run that it cancels, would be written twice, and never be.
  if (next.some(({ job }) => decided.some((each) => each.job.id === job.id))) return decision
  return next.length === 0 ? decision : { ...decision, others: [...decision.others, ...next] }
}

function freesSlot({ before, job }: JobDecision): boolean {
  return before !== undefined && holdsSlot(before) && !holdsSlot(job)
}

// Something that follows the end has its slot already.
function takesSlot({ before, job }: JobDecision, { job: freed }: JobDecision): boolean {
  return before === undefined && job.pipeline === freed.pipeline && holdsSlot(job)
}

async function nextRun(core: Core, { tenant, pipeline }: Job): Promise<readonly JobDecision[]> {
  if (pipeline === undefined) return []
  try {
    const job = await nextInTurn(core, tenant, pipeline)
    if (job === undefined) return []
    const type = core.types.require(job)
    const decision = await decideWith(core, (relatives) => admit(type, job, moment(core), relatives))
    const decided = [decision, ...decision.others]
    // What ends as it is let in is followed by others: that takes a unit of its own, which the next sweep makes.
    if (decided.some((each) => mayBeFollowed(each.type, each.before, each.job))) return []
    return decided.map(byEngine)
  } catch {
    // What ends must not wait for what could begin: the next sweep admits it.
    return []
  }
}
