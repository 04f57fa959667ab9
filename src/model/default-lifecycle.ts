import type { StandardSchemaV1 } from '@standard-schema/spec'
import { createMachine, fromPromise } from 'xstate'

/**
 * The chart hash that is stored for the default lifecycle. It stays the same if a later version of jobchart changes
 * this lifecycle; jobchart itself then migrates the stored jobs.
 */
export const DEFAULT_LIFECYCLE = 'default'

/**
 * The lifecycle of job types with `execute`, `run` or `agent`. Its one invoke is at the root, so that the task continues while
 * the state changes.
 */
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
  // A placeholder: each job type provides its own function.
  actors: { execute: fromPromise(() => Promise.reject(new Error("the code is the job type's"))) },
})

// XState calls this for the final state with the done event of the task. XState calls it again for the machine, with
// the done event of the final state, which carries the output.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}

/** Whether `output` is the output function of the default lifecycle, which only passes on the output of the event. */
export function isEventOutput(output: unknown): boolean {
  return output === outputOf
}

const REASON_CHARACTERS_MAX = 500

/** The fields of `cancel`: an optional reason. */
export const reasonSchema: StandardSchemaV1<{ readonly reason?: string }> = {
  '~standard': {
    version: 1,
    vendor: 'jobchart',
    validate: (value) => {
      const reason = (value as { readonly reason?: unknown } | null)?.reason
      if (reason === undefined) return { value: {} }
      if (typeof reason === 'string' && reason.length <= REASON_CHARACTERS_MAX) return { value: { reason } }
      return {
        issues: [{ message: `reason should be text of at most ${REASON_CHARACTERS_MAX} characters`, path: ['reason'] }],
      }
    },
  },
}
