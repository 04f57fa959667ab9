/** Checks that each task of the job types has an executor that can run it. */
import { type AnyJobType, withVersions } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { TaskSettings } from '../model/task.ts'
import type { Executor } from '../port/executor.ts'

/**
 * Refuses a task that its executor cannot run.
 *
 * @param work  False: this engine runs no tasks, so what an executor runs does not matter here.
 * @throws {JobchartError} `INVALID_DEFINITION` names the task, and says what to change.
 */
export function checkExecutors(
  jobs: readonly AnyJobType[],
  executors: { readonly [name: string]: Executor },
  work: boolean,
): void {
  for (const { type, tasks } of jobs.flatMap((each) => [...withVersions(each)])) {
    for (const [src, settings] of tasks) {
      const { executor } = settings
      const named = Object.hasOwn(executors, executor) ? executors[executor] : undefined
      const known = Object.keys(executors).join(', ')
      const missing = `which is not among createEngine({ executors }); there are ${known}`
      const wrong = named === undefined ? missing : misfitOf(settings, named, work)
      if (wrong === undefined) continue
      throw new JobchartError(
        'INVALID_DEFINITION',
        `task "${src}" of job type "${type}" names the executor "${executor}", ${wrong}`,
      )
    }
  }
}

// Why the executor cannot run the task. `undefined`: it can, or nobody knows.
function misfitOf(settings: TaskSettings, { leaseMs, runs }: Executor, work: boolean): string | undefined {
  const { isForAgents, batch, program } = settings
  if (leaseMs !== undefined) return isForAgents ? undefined : forAgents(settings)
  if (isForAgents) return 'which is not one for agents: agents() of jobchart/executors is'
  if (runs === undefined || !work) return undefined
  if (program !== undefined) return runs === 'programs' ? undefined : `which runs ${runs}, and no programs`
  if (batch === undefined || runs === (batch.isElsewhere ? 'modules' : 'functions')) return undefined
  if (batch.isElsewhere) {
    return `which runs ${runs}: a batch without each needs an executor with a module, or agents; give each, or name such an executor`
  }
  const hint = runs === 'modules' ? 'leave out each, and export batchRun({ each }) from the module; or ' : ''
  return `which runs ${runs}, and would not call each: ${hint}name another executor`
}

function forAgents({ batch }: TaskSettings): string {
  if (batch === undefined) return 'which is for agents: make the task with agentTask(), or name another executor'
  return batch.isElsewhere
    ? 'which is for agents: those that run batches are under the name "agents" in createEngine({ executors })'
    : 'which is for agents: leave out each, and give batchRun({ each }) to the agent; or name another executor'
}
