import { fromPromise, setup } from 'xstate'

/** The context of a job's chart: only the input, which is given to the work. */
interface Context {
  readonly input: unknown
}

/**
 * The lifecycle of a member's job.
 *
 * ```
 *     ┌─────── task.released ─────┐
 *     ▼                           │
 *  Waiting ── task.started ──▶ Running
 *     └────────────┬──────────────┘
 *                  ├── the work is done ──▶ Successful
 *                  ├── it threw, or its process was lost ──▶ Failed
 *                  └── cancel ──▶ Cancelled
 * ```
 *
 * The root of the machine invokes the work, so that the work goes on when the state changes from Waiting to Running. A
 * cancel leaves the invoke at once: the signal of the work is aborted, and its later reports are dropped. A job that an
 * engine gives back at its stop waits again, since nobody works on it. The chart only names the work; each job type
 * provides the code.
 */
export const memberLifecycle = setup({
  types: {
    // XState uses these only for their types. The values are never used.
    context: {} as Context,
    input: {} as unknown,
    events: {} as { readonly type: 'cancel' } | { readonly type: 'task.started' | 'task.released' },
    tags: {} as 'success' | 'failure' | 'cancelled',
    meta: {} as { readonly status: string },
  },
  actors: {
    execute: fromPromise<unknown, unknown>(() => Promise.reject(new Error("the work is the job type's"))),
  },
}).createMachine({
  id: 'member-job',
  context: ({ input }) => ({ input }),
  initial: 'waiting',
  invoke: {
    id: 'execute',
    src: 'execute',
    input: ({ context }: { readonly context: Context }) => context.input,
    onDone: '.successful',
    onError: '.failed',
  },
  on: { cancel: '.cancelled' },
  states: {
    waiting: { meta: { status: 'Waiting' }, on: { 'task.started': 'running' } },
    running: { meta: { status: 'Running' }, on: { 'task.released': 'waiting' } },
    successful: { meta: { status: 'Successful' }, type: 'final', tags: 'success', output: outputOf },
    failed: { meta: { status: 'Failed' }, type: 'final', tags: 'failure' },
    cancelled: { meta: { status: 'Cancelled' }, type: 'final', tags: 'cancelled' },
  },
  output: outputOf,
})

// Returns the output from a done event. For the state `successful`, that is the done event of the work. For the
// machine, it is the done event that XState makes from the output of the final state.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}
