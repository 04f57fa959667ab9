import type { DescribedEvent, Description } from 'jobchart'
import { assign, type PromiseActorLogic, sendTo, setup } from 'xstate'

/** The context of a run's chart. */
interface Context {
  readonly input: unknown
  /** How long the run may take from its start, in milliseconds. */
  readonly timeoutMs: number
  /** Why the run was told to stop. Null: it was not told to. */
  readonly reason: 'manual' | 'timeout' | null
}

/** The parts of the lifecycle in which the types of runs differ. */
export interface RunParts {
  readonly work: PromiseActorLogic<unknown, unknown>
  /** Computes from the input how long a run may take from its start, in milliseconds. */
  readonly timeoutMsOf: (input: unknown) => number
}

const ID = 'run'

/**
 * The lifecycle of a run: a system task of a pipeline or workspace.
 *
 * ```
 *  QUEUED ── task.started ──▶ RUNNING: executing ── stop, or its time is over ──▶ RUNNING: stopping
 *                                          │                                            │
 *                       exit code 0 ─▶ COMPLETE, another ─▶ ERROR                any end ─▶ STOPPED
 * ```
 *
 * Once a stop is accepted, the exit code no longer decides: a program may end with 0 or 143 when it is told to stop.
 * The work is invoked at the root, so it continues while the status changes. The work is told to stop by `task.stop`,
 * and killed by its executor after its grace.
 */
export function runLifecycle({ work, timeoutMsOf }: RunParts) {
  return setup({
    types: {
      // XState uses these only for their types. The values are never used.
      context: {} as Context,
      input: {} as unknown,
      tags: {} as 'success' | 'failure' | 'cancelled',
      meta: {} as { readonly status?: string; readonly accepts?: readonly string[] },
    },
    actors: { work },
    delays: { timeout: ({ context }) => context.timeoutMs },
    actions: {
      stopWork: sendTo('work', { type: 'task.stop' }),
      byHand: assign({ reason: 'manual' }),
      byTime: assign({ reason: 'timeout' }),
    },
  }).createMachine({
    id: ID,
    context: ({ input }) => ({ input, timeoutMs: timeoutMsOf(input), reason: null }),
    initial: 'queued',
    invoke: { id: 'work', src: 'work', input: ({ context }: { readonly context: Context }) => context.input },
    states: {
      queued: {
        meta: { status: 'QUEUED' },
        on: {
          'task.started': 'running',
          'xstate.done.actor.work': `#${ID}.complete`,
          'xstate.error.actor.work': `#${ID}.error`,
        },
      },
      running: {
        meta: { status: 'RUNNING' },
        initial: 'executing',
        states: {
          executing: {
            on: {
              stop: { target: 'stopping', actions: ['stopWork', 'byHand'] },
              // The engine stops, and gives the run back: another one starts it again.
              'task.released': `#${ID}.queued`,
              'xstate.done.actor.work': `#${ID}.complete`,
              'xstate.error.actor.work': `#${ID}.error`,
            },
            after: { timeout: { target: 'stopping', actions: ['stopWork', 'byTime'] } },
          },
          stopping: {
            // A second stop is accepted, and does nothing.
            meta: { accepts: ['stop'] },
            on: { 'xstate.done.actor.work': `#${ID}.stopped`, 'xstate.error.actor.work': `#${ID}.stopped` },
          },
        },
      },
      complete: { meta: { status: 'COMPLETE' }, type: 'final', tags: 'success', output: outputOf },
      error: { meta: { status: 'ERROR' }, type: 'final', tags: 'failure' },
      stopped: { meta: { status: 'STOPPED' }, type: 'final', tags: 'cancelled' },
    },
    output: outputOf,
  })
}

/** The lifecycle of a user task: a person completes it. It holds no slot, has no time-out, and cannot be stopped. */
export function userTaskLifecycle() {
  return setup({
    types: {
      events: {} as { readonly type: 'done' },
      tags: {} as 'vacates' | 'success',
      meta: {} as { readonly status: string },
    },
  }).createMachine({
    id: 'user-task',
    initial: 'queued',
    states: {
      queued: { meta: { status: 'QUEUED' }, tags: 'vacates', on: { done: 'complete' } },
      complete: { meta: { status: 'COMPLETE' }, type: 'final', tags: 'success' },
    },
  })
}

function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}

/** Describes how a run ended: its exit code, and why it was stopped. A lost run has no exit code. */
export function describeRun(
  { value, context, status }: { readonly value: unknown; readonly context: unknown; readonly status: string },
  event: DescribedEvent,
): Description | undefined {
  // The cast is safe: it is the context of this lifecycle.
  const { reason } = context as Context
  if (status !== 'done') return reason === null ? undefined : { reason }
  const exitCode = exitCodeOf(event)
  const end = exitCode === undefined ? {} : { exitCode }
  return value === 'stopped' && reason !== null ? { ...end, reason } : end
}

function exitCodeOf(event: DescribedEvent): number | undefined {
  if (event.type.startsWith('xstate.done.')) return 0
  if (!('error' in event)) return undefined
  const { exitCode, code } = Object(event.error) as { readonly [field: string]: unknown }
  if (Number.isSafeInteger(exitCode) && exitCode !== 0) return Number(exitCode)
  // Work that was lost, or given up, has no exit code. Any other error of a function counts as exit code 1.
  const isLost = code === 'TASK_LOST' || code === 'TASK_STOPPED' || code === 'POISON'
  return isLost ? undefined : 1
}
