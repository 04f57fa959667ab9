import { fromPromise, setup } from 'xstate'

/** The job's input, for its work. */
interface Context {
  readonly input: unknown
}

/**
 * The life of a member's job.
 *
 * ```
 *  Waiting ── task.started ──▶ Running
 *     └────────────┬──────────────┘
 *                  ├── the work is done ──▶ Successful
 *                  ├── it threw, or its process was lost ──▶ Failed
 *                  └── cancel ──▶ Cancelled
 * ```
 *
 * The work is invoked at the root, so that it goes on while the label changes. A cancel leaves it at once: its signal is
 * aborted, and what it still reports is dropped. The chart only names the work; each job type provides its own.
 */
export const memberLifecycle = setup({
  types: {
    // XState reads these as types only; the values are never used.
    context: {} as Context,
    input: {} as unknown,
    events: {} as { readonly type: 'cancel' } | { readonly type: 'task.started' },
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
    running: { meta: { status: 'Running' } },
    successful: { meta: { status: 'Successful' }, type: 'final', tags: 'success', output: outputOf },
    failed: { meta: { status: 'Failed' }, type: 'final', tags: 'failure' },
    cancelled: { meta: { status: 'Cancelled' }, type: 'final', tags: 'cancelled' },
  },
  output: outputOf,
})

// Of the work's done event, and then of the machine's own, which XState makes of the final state's output.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}
