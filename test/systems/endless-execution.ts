import { taskExecutions } from 'jobchart/presets'
import { z } from 'zod'

export const executions = taskExecutions()

/**
 * An execution that says by a named pipe that it runs, and never ends.
 *
 * @param launchTimeout  the machine may be busy when it is launched.
 */
export function endlessExecution(launchTimeout: string) {
  return executions.defineJob({
    type: 'endless',
    launchTimeout,
    input: z.object({ up: z.string() }),
    run: ({ up }) => ({ command: '/bin/sh', args: ['-c', `echo $$ > ${up}; exec sleep 1000`] }),
  })
}
