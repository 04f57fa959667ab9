import type { DescribedEvent, Description } from 'jobchart'
import { type PromiseActorLogic, setup } from 'xstate'

/** The context of an execution's chart. */
interface Context {
  readonly input: unknown
  /** The arguments that the details of a row show. */
  readonly arguments: readonly string[]
}

/** The parts of the lifecycle in which the types of executions differ. */
export interface ExecutionParts {
  readonly work: PromiseActorLogic<unknown, unknown>
  readonly launchTimeoutMs: number
  /** Makes the arguments that the details show, from the input. */
  readonly argumentsOf: (input: unknown) => readonly string[]
}

const ID = 'task-execution'

/**
 * The lifecycle of a task execution.
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
 * The time-out of a launch counts from the claim. So the time in which an execution waits for room in its executor does
 * not count. The work is invoked at the root: it continues while the status changes, and the chart takes its end in
 * every state.
 */
export function executionLifecycle({ work, launchTimeoutMs, argumentsOf }: ExecutionParts) {
  return setup({
    types: {
      // XState uses these only for their types. The values are never used.
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

// XState calls this for the final state with the done event of the work. It calls it again for the machine, with the
// done event of the final state, which carries the output.
function outputOf({ event }: { readonly event: { readonly type: string; readonly output?: unknown } }): unknown {
  return event.output
}

/**
 * Describes how an execution ended: its exit code and a message. If it ended by a time-out, it also gets an error,
 * because no code threw one.
 */
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

// Reads the fields of an error that the work threw. Its `exitCode` counts only if it is not 0, since 0 would mean
// success.
function failureOf(event: { readonly error?: unknown }) {
  const error = Object(event.error) as { readonly [field: string]: unknown }
  const { exitCode, signal, name } = error
  return {
    exitCode: Number.isSafeInteger(exitCode) && exitCode !== 0 ? Number(exitCode) : undefined,
    signal: typeof signal === 'string' ? signal : undefined,
    name: typeof name === 'string' ? name : 'Error',
  }
}
