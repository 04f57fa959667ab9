import type { StandardSchemaV1 } from '@standard-schema/spec'
import { createMachine, fromPromise } from 'xstate'

/** Stands for the default lifecycle's shape: it changes with a version of jobchart, which knows how jobs follow. */
export const DEFAULT_LIFECYCLE = 'default'

/** The default lifecycle: one invoke at the root, so that its work goes on while the label changes. */
export const defaultLifecycle = createMachine({
  id: 'job',
  initial: 'queued',
  context: {},
  invoke: { id: 'execute', src: 'execute', onDone: '.completed', onError: '.failed' },
  on: { cancel: '.cancelled' },
  states: {
    queued: { on: { 'task.started': 'running' } },
    running: { on: { 'task.lost': 'queued', 'task.released': 'queued' } },
    completed: { type: 'final', tags: ['success'], output: outputOf },
    failed: { type: 'final', tags: ['failure'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: outputOf,
}).provide({
  // The chart only names it; the code is each job type's own.
  actors: { execute: fromPromise(() => Promise.reject(new Error("the code is the job type's"))) },
})

// The done event of the task, and then the machine's own, which XState makes of the final state's output.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}

/** Whether an output is the default lifecycle's: whatever the event carries as its own. */
export function isEventOutput(output: unknown): boolean {
  return output === outputOf
}

const REASON_CHARACTERS_MAX = 500

/** A cancel may say why. */
export const reasonSchema: StandardSchemaV1<{ readonly reason?: string }> = {
  '~standard': {
    version: 1,
    vendor: 'jobchart',
    validate: (value) => {
      const reason = (value as { readonly reason?: unknown } | null)?.reason
      if (reason === undefined) return { value: {} }
      if (typeof reason === 'string' && reason.length <= REASON_CHARACTERS_MAX) return { value: { reason } }
      return { issues: [{ message: `reason should be text of at most ${REASON_CHARACTERS_MAX}`, path: ['reason'] }] }
    },
  },
}
