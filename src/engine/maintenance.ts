/**
 * What an engine does without a caller, in this order:
 *
 * | duty | found by | at most |
 * |---|---|---|
 * | losses: tasks of dead engines are taken back | `others`, `held` | all jobs of the dead engines |
 * | leases: tasks of agents whose lease has ended are taken back | `expiredLeases` | 1,000 leases per read, until none has ended |
 * | timers: due timers fire, and late attempts are stopped | `due` | 1,000 jobs per read, until none is due |
 * | admissions: waiting jobs whose turn has come may start | `admissible` | 1,000 jobs per read, until none is left |
 * | schedules: runs of pipelines whose time has come | `duePipelines` | 1,000 pipelines per read, until none is due |
 * | held: after a lost answer, tasks that are claimed here but do not run are started | `held` | all jobs of this engine |
 * | claims: ready tasks are claimed by the next tick | the claim of a commit | 100 tasks per executor and tick |
 * | retention: old jobs, log lines and rows of the log are pruned | `prune` | commits of about 200 rows, for 200 ms |
 *
 * A sweep does all these duties. The start of an engine leaves out retention. If something falls due between two
 * sweeps, the engine then does the duties leases, timers, admissions and schedules. Any number of engines may do these duties
 * at once: if one has done something, the others find nothing left to do.
 */
import type { Core } from './core.ts'
import { admitWaiting, fireDue } from './sweeps.ts'

/** When an engine does its duties: at its start, at a sweep, or when something falls due between two sweeps. */
export type Occasion = 'start' | 'sweep' | 'due'

interface Duty {
  readonly on: readonly Occasion[]
  readonly run: (core: Core) => unknown
}

const DUTIES: readonly Duty[] = [
  { on: ['start', 'sweep'], run: (core) => core.losses.run(core) },
  { on: ['start', 'sweep', 'due'], run: (core) => core.leases.run(core) },
  { on: ['start', 'sweep', 'due'], run: fireDue },
  { on: ['start', 'sweep', 'due'], run: admitWaiting },
  { on: ['start', 'sweep', 'due'], run: (core) => core.dueRuns.start(core) },
  { on: ['start', 'sweep'], run: (core) => core.dispatcher.reconcile() },
  { on: ['start', 'sweep'], run: (core) => core.ticks.claimSoon() },
  { on: ['sweep'], run: (core) => core.pruning.run(core) },
]

/** Does the duties of an occasion, one after the other. An error comes from the storage, and the next sweep tries again. */
export async function maintain(core: Core, occasion: Occasion): Promise<void> {
  for (const { on, run } of DUTIES) if (on.includes(occasion)) await run(core)
}
