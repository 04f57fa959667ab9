import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { taskExecutions } from 'jobchart/presets'
import { z } from 'zod'

/** The executions of a workspace: their rights, and the rows of its screen. */
export const executions = taskExecutions()

/** Loads a source into the warehouse file of its name, in a process of its own. */
export const elt = executions.defineJob({
  type: 'elt',
  input: z.object({ source: z.string(), folder: z.string(), pauseMs: z.int().default(0) }),
  run: ({ source, folder, pauseMs }) => ({
    command: process.execPath,
    args: [
      '--disable-warning=ExperimentalWarning',
      fileURLToPath(new URL('./elt.ts', import.meta.url)),
      ...[source, join(folder, `${source}.db`)],
      ...(pauseMs === 0 ? [] : ['--pause', `${pauseMs}`]),
    ],
  }),
})

/** Who is who in the workspace. */
export const people = {
  adam: { id: 'adam', tenant: 'acme', role: 'Administrator' },
  mia: { id: 'mia', tenant: 'acme', role: 'Member' },
  max: { id: 'max', tenant: 'acme', role: 'Member' },
} as const
