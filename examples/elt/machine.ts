import { assign, setup } from 'xstate'
import type { Context, Settings } from './context.ts'
import { summarize } from './summary.ts'
import { cleanTask, extractTask, loadTask, verifyTask } from './tasks.ts'

/**
 * The lifecycle of a run.
 *
 * ```
 *  extracting ──▶ cleaning ──▶ loading ──▶ verifying ──▶ completed
 *      └─────────────┴────────────┴────────────┴── error ──▶ failed
 *      └─────────────┴────────────┴────────────┴── cancel ─▶ cancelled
 * ```
 */
export const eltMachine = setup({
  types: {
    // XState reads only the types here and never the values.
    context: {} as Context,
    input: {} as Settings,
    events: {} as { readonly type: 'cancel' },
    tags: {} as 'success' | 'failure' | 'cancelled',
  },
  actors: { extract: extractTask, clean: cleanTask, load: loadTask, verify: verifyTask },
}).createMachine({
  id: 'elt',
  context: ({ input }) => ({ settings: input, extracted: null, cleaned: null, loaded: null, verified: null }),
  initial: 'extracting',
  on: { cancel: '.cancelled' },
  states: {
    extracting: {
      invoke: {
        src: 'extract',
        input: ({ context }) => ({ settings: context.settings }),
        onDone: { target: 'cleaning', actions: assign({ extracted: ({ event }) => event.output }) },
        onError: 'failed',
      },
    },
    cleaning: {
      invoke: {
        src: 'clean',
        input: ({ context }) => ({ settings: context.settings, extracted: passed(context.extracted) }),
        onDone: { target: 'loading', actions: assign({ cleaned: ({ event }) => event.output }) },
        onError: 'failed',
      },
    },
    loading: {
      invoke: {
        src: 'load',
        input: ({ context }) => ({ settings: context.settings, cleaned: passed(context.cleaned) }),
        onDone: { target: 'verifying', actions: assign({ loaded: ({ event }) => event.output }) },
        onError: 'failed',
      },
    },
    verifying: {
      invoke: {
        src: 'verify',
        input: ({ context }) => ({ settings: context.settings }),
        onDone: { target: 'completed', actions: assign({ verified: ({ event }) => event.output }) },
        onError: 'failed',
      },
    },
    completed: { type: 'final', tags: 'success' },
    failed: { type: 'final', tags: 'failure' },
    cancelled: { type: 'final', tags: 'cancelled' },
  },
  output: ({ context }) => summarize(context),
})

/** The result of a state that the chart has passed. */
function passed<Result>(result: Result | null): Result {
  if (result === null) throw new Error('a state was entered before the one it builds on was passed')
  return result
}
