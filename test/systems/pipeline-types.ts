import { pipelineJobs } from 'jobchart/presets'
import { z } from 'zod'

export const workspaces = pipelineJobs()

/** A run whose end the test decides. */
export interface Going {
  readonly input: unknown
  readonly signal: AbortSignal
  readonly exit: (code: number) => void
}

/** The types of a workspace. Each run goes on until the test ends it. */
export function types() {
  const going: Going[] = []
  const execute = ({ input, signal }: { readonly input: unknown; readonly signal: AbortSignal }) =>
    new Promise<null>((resolve, reject) => {
      const exit = (exitCode: number) => {
        if (exitCode === 0) resolve(null)
        else reject(Object.assign(new Error(`exited with ${exitCode}`), { name: 'ExitError', exitCode }))
      }
      going.push({ input, signal, exit })
    })
  const input = z.object({
    timeout: z.number().default(0),
    maxRetries: z.number().default(0),
    pipeline: z.string().optional(),
  })
  const common = { input, execute, timeout: (of: z.output<typeof input>) => of.timeout }
  const retried = { ...common, maxRetries: (of: z.output<typeof input>) => of.maxRetries }
  return {
    going,
    run: workspaces.defineJob({ type: 'PIPELINE_RUN', ...retried }),
    config: workspaces.defineJob({ type: 'PIPELINE_CONFIG', ...common }),
    init: workspaces.defineJob({ type: 'WORKSPACE_INIT', ...common }),
    verify: workspaces.defineJob({ type: 'PIPELINE_VERFIY', aliases: ['PIPELINE_VERIFY'], ...common }),
    deploy: workspaces.defineJob({ type: 'WORKSPACE_DEPLOY', startsPipelines: true, ...common }),
  }
}
