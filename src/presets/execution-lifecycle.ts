import type { DescribedEvent, Description } from 'jobchart'
import { type PromiseActorLogic, setup } from 'xstate'

/** What the chart of an execution stores. */
interface Context {
  readonly input: unknown
  /** Shown among the details. */
  readonly arguments: readonly string[]
}

/** What differs between the types of executions. */
export interface ExecutionParts {
  readonly work: PromiseActorLogic<unknown, unknown>
  readonly launchTimeoutMs: number
  /** Makes the arguments that the details show, from the input. */
  readonly argumentsOf: (input: unknown) => readonly string[]
}

const ID = 'task-execution'

/**
 * The life of a task execution.
 *
 * ```
 *  UNKNOWN                                       RUNNING
 *   requested ── task.claimed ──▶ launching ──┐
 *       ▲                            lost ────┴─ task.started ──▶ running
 *       │                             ▲                             │
 *       │                             └────────── task.lost ────────┤
 *       └────────────────────── task.released ──────────────────────┘
 *
 *  exit code 0 ──▶ COMPLETE        another code, or launchTimeout in launching or in lost ──▶ ERROR
 * ```
 *
 * The time-out of a launch counts from its claim, so an execution may wait for room in its executor. The work is invoked at
 * the root: it continues while the status changes, and its end is taken in every state.
 */
export function executionLifecycle({ work, launchTimeoutMs, argumentsOf }: ExecutionParts) {
  return setup({
    types: {
      // XState reads these as types only; the values are never used.
      context: {} as Context,
      input: {} as unknown,
      events: {} as { readonly type: 'task.claimed' | 'task.started' | 'task.lost' | 'task.released' },
      tags: {} as 'success' | 'failure' | 'indeterminate',
      meta: {} as { readonly status: string },
    },
    actors: { work },
    delays: { launchTimeout: launchTimeoutMs },
  }).createMachine({
    id: ID,
    context: ({ input }) => ({ input, arguments: argumentsOf(input) }),
    initial: 'unknown',
    invoke: {
      id: 'work',
      src: 'work',
      input: ({ context }: { readonly context: Context }) => context.input,
      onDone: '.complete',
      onError: '.error',
    },
    on: { 'task.lost': '.unknown.lost', 'task.released': '.unknown.requested' },
    states: {
      unknown: {
        meta: { status: 'UNKNOWN' },
        tags: 'indeterminate',
        initial: 'requested',
        on: { 'task.started': 'running' },
        states: {
          requested: { on: { 'task.claimed': 'launching' } },
          launching: { after: { launchTimeout: `#${ID}.error` } },
          lost: { after: { launchTimeout: `#${ID}.error` } },
        },
      },
      running: { meta: { status: 'RUNNING' } },
      complete: { meta: { status: 'COMPLETE' }, type: 'final', tags: 'success', output: outputOf },
      error: { meta: { status: 'ERROR' }, type: 'final', tags: 'failure' },
    },
    output: outputOf,
  })
}

// Called with the work's done event, and again with the machine's own done event, which has the final state's output.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}

/** Describes an end: its exit code, how it ended, and for a time-out, which no code threw, its error. */
export function describeEnd(
  { value, status }: { readonly value: unknown; readonly status: string },
  event: DescribedEvent,
  launchTimeoutMs: number,
): Description | undefined {
  if (status !== 'done') return undefined
  if (value === 'complete') return { exitCode: 0, message: 'exited with code 0' }
  if (event.type.startsWith('xstate.after.')) {
    const error = timeoutError(event.type.endsWith('.lost'), launchTimeoutMs)
    return { exitCode: 1, message: `ended by ${error.name}`, error }
  }
  const { exitCode, signal, name } = failureOf(event)
  return {
    exitCode: exitCode ?? 1,
    message:
      signal === undefined && exitCode !== undefined ? `exited with code ${exitCode}` : `ended by ${signal ?? name}`,
  }
}

function timeoutError(isLost: boolean, ms: number) {
  return isLost
    ? { name: 'ExecutionLost', message: `its process was lost, and nothing was heard of it for ${ms} ms` }
    : { name: 'LaunchTimeout', message: `its launch was not confirmed within ${ms} ms` }
}

// An error may have an `exitCode` of its own. 0 would not be a failure.
function failureOf(event: { readonly error?: unknown }) {
  const error = Object(event.error) as { readonly [field: string]: unknown }
  const { exitCode, signal, name } = error
  return {
    exitCode: Number.isSafeInteger(exitCode) && exitCode !== 0 ? Number(exitCode) : undefined,
    signal: typeof signal === 'string' ? signal : undefined,
    name: typeof name === 'string' ? name : 'Error',
  }
}
