import type { BatchCounts } from 'jobchart'
import { and, assign, type PromiseActorLogic, sendTo, setup, stateIn } from 'xstate'

/** The context of a batch job's chart. */
interface Context {
  readonly input: unknown
  readonly counts: BatchCounts
}

/** The parts of the lifecycle in which the job types differ. */
export interface BatchParts {
  readonly batch: PromiseActorLogic<BatchCounts, unknown>
  readonly finalize: PromiseActorLogic<unknown, { readonly input: unknown; readonly counts: BatchCounts }>
}

const NONE: BatchCounts = { completed: 0, failed: 0, skipped: 0 }
const ID = 'batch-job'

// XState uses these only for their types. The values are never used.
const TYPES = {
  context: {} as Context,
  input: {} as unknown,
  tags: {} as 'success' | 'failure' | 'cancelled',
  meta: {} as { readonly status?: string; readonly accepts?: readonly string[] },
}

/**
 * The lifecycle of a batch job.
 *
 * ```
 *  Started ─ all items have ended ─▶ Finalizing ─▶ Completed, or Error if more than half of the items failed
 *     └── cancel ─▶ Cancelling: what runs goes on to its end, then the results are prepared ─▶ Cancelled
 * ```
 *
 * A cancelled job of which no item has ended has no results to prepare. So a job that is cancelled while it waits for its
 * start or its turn ends at once.
 *
 * The batch is invoked in the parent state of Started and the draining part of Cancelling, so a cancel does not stop what
 * runs. A second cancel is accepted, and does nothing. The share of failed items is judged only in Finalizing.
 */
export function batchLifecycle({ batch, finalize }: BatchParts) {
  return setup({
    types: TYPES,
    actors: { batch, finalize },
    guards: {
      hasResults: ({ event }) => hasEnded(countsIn(event) ?? NONE),
      isMostlyFailed: ({ context: { counts } }) =>
        2 * counts.failed > counts.completed + counts.failed + counts.skipped,
    },
    actions: {
      drain: sendTo('items', { type: 'task.drain' }),
      keepCounts: assign({ counts: ({ event, context }) => countsIn(event) ?? context.counts }),
    },
  }).createMachine({
    id: ID,
    context: ({ input }) => ({ input, counts: NONE }),
    output: ({ context }) => context.counts,
    initial: 'working',
    states: {
      working: {
        invoke: {
          id: 'items',
          src: 'batch',
          input: ({ context }: { readonly context: Context }) => context.input,
          onDone: [
            { guard: and([isCancelling, 'hasResults']), target: 'preparing', actions: 'keepCounts' },
            { guard: isCancelling, target: 'cancelled', actions: 'keepCounts' },
            { target: 'finalizing', actions: 'keepCounts' },
          ],
          onError: [
            { guard: isCancelling, target: 'preparing', actions: 'keepCounts' },
            { target: 'error', actions: 'keepCounts' },
          ],
        },
        initial: 'started',
        states: {
          started: { meta: { status: 'Started' }, on: { cancel: { target: 'cancelling', actions: 'drain' } } },
          cancelling: { meta: CANCELLING },
        },
      },
      finalizing: {
        meta: { status: 'Finalizing' },
        invoke: {
          src: 'finalize',
          input: inputOf,
          onDone: [{ guard: 'isMostlyFailed', target: 'error' }, { target: 'completed' }],
          onError: 'error',
        },
      },
      preparing: {
        meta: CANCELLING,
        invoke: { src: 'finalize', input: inputOf, onDone: 'cancelled', onError: 'cancelled' },
      },
      completed: { type: 'final', tags: 'success', meta: { status: 'Completed' } },
      error: { type: 'final', tags: 'failure', meta: { status: 'Error' } },
      cancelled: { type: 'final', tags: 'cancelled', meta: { status: 'Cancelled' } },
    },
  })
}

const CANCELLING = { status: 'Cancelling', accepts: ['cancel'] } as const

const isCancelling = stateIn({ working: 'cancelling' })

function hasEnded({ completed, failed }: BatchCounts): boolean {
  return completed + failed > 0
}

function inputOf({ context: { input, counts } }: { readonly context: Context }) {
  return { input, counts }
}

// The counts in the event that ends a batch: its output, or a field of its error event.
function countsIn(event: { readonly type: string }): BatchCounts | undefined {
  const { output, counts } = event as { readonly output?: BatchCounts; readonly counts?: BatchCounts }
  return output ?? counts
}
