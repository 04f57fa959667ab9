import type { DescribedEvent, Description } from 'jobchart'
import { assign, type PromiseActorLogic, setup, stateIn } from 'xstate'

/** What an agent sends while it works, beside its end. */
export const AGENT_EVENTS = ['outputReady', 'valid', 'invalid'] as const

/** The context of the chart of a tool's job. */
interface Context {
  readonly input: unknown
  /** How often an agent was lost before it had begun. */
  readonly losses: number
  readonly outputs: unknown
}

/** The parts of the lifecycle in which the job types differ. */
export interface ToolParts {
  readonly work: PromiseActorLogic<unknown, unknown>
  /** How often a job is given to another agent after one was lost before it had begun. */
  readonly redeliveriesMax: number
  /** How long a job may wait for an agent, in milliseconds. Absent: for ever. */
  readonly pendingTimeoutMs?: number
}

const ID = 'tool'

// XState uses these only for their types. The values are never used.
const TYPES = {
  context: {} as Context,
  input: {} as unknown,
  tags: {} as 'active' | 'success' | 'failure' | 'cancelled',
  meta: {} as { readonly status?: string },
}

/**
 * The lifecycle of a tool's job, which an agent runs.
 *
 * ```
 *  Pending ─ claimed ─▶ Claimed ─ started ─▶ Running ─ outputReady ─▶ Validating ─ valid ─▶ Uploading ─ done ─▶ Completed
 *   │   ▲                  │
 *   │   └── agent lost ────┘ (once)           a failure, an invalid output, or a lost agent from Running on ─▶ Failed
 *   └─ cancel ─▶ Canceled
 * ```
 *
 * The work is invoked in the parent state of these five, so it continues while the status changes. Only Pending takes
 * the command `cancel`. The end of the work is taken only in Uploading.
 */
export function toolLifecycle({ work, redeliveriesMax, pendingTimeoutMs }: ToolParts) {
  return setup({
    types: TYPES,
    actors: { work },
    delays: { pendingTimeout: pendingTimeoutMs ?? 0 },
    guards: { mayRedeliver: ({ context }) => context.losses < redeliveriesMax },
    actions: {
      countLoss: assign({ losses: ({ context }) => context.losses + 1 }),
      keepOutputs: assign({ outputs: ({ event }) => event.output }),
    },
  }).createMachine({
    id: ID,
    context: ({ input }) => ({ input, losses: 0, outputs: null }),
    output: ({ context }) => context.outputs,
    initial: 'open',
    states: {
      open: {
        invoke: {
          id: 'work',
          src: 'work',
          input: ({ context }: { readonly context: Context }) => context.input,
          onDone: { guard: stateIn({ open: 'uploading' }), target: 'completed', actions: 'keepOutputs' },
          onError: 'failed',
        },
        initial: 'pending',
        states: {
          pending: {
            tags: 'active',
            meta: { status: 'Pending' },
            on: { cancel: `#${ID}.canceled`, 'task.claimed': 'claimed' },
            ...(pendingTimeoutMs === undefined ? {} : { after: { pendingTimeout: `#${ID}.failed` } }),
          },
          claimed: {
            tags: 'active',
            meta: { status: 'Claimed' },
            on: {
              'task.started': 'running',
              // The agent gave it back before it had begun. That is no loss.
              'task.released': 'pending',
              'task.lost': [
                { guard: 'mayRedeliver', target: 'pending', actions: 'countLoss' },
                { target: `#${ID}.failed` },
              ],
            },
          },
          running: { tags: 'active', meta: { status: 'Running' }, on: { outputReady: 'validating', ...LEFT } },
          validating: {
            tags: 'active',
            meta: { status: 'Validating' },
            on: { valid: 'uploading', invalid: `#${ID}.failed`, ...LEFT },
          },
          uploading: { tags: 'active', meta: { status: 'Uploading' }, on: LEFT },
        },
      },
      completed: { type: 'final', tags: 'success', meta: { status: 'Completed' } },
      failed: { type: 'final', tags: 'failure', meta: { status: 'Failed' } },
      canceled: { type: 'final', tags: 'cancelled', meta: { status: 'Canceled' } },
    },
  })
}

// Once the work has begun it may have had effects, so it is not given to another agent.
const LEFT = { 'task.lost': `#${ID}.failed`, 'task.released': `#${ID}.failed` }

/** Texts of jobs. They are fixed, so that they tell nothing of the input. */
const TEXTS: { readonly [event: string]: string } = {
  'task.lost': 'agent lost',
  'task.released': 'the agent gave the job back',
  invalid: 'the output is not valid',
  cancel: 'canceled before an agent took it',
}

/** Says what became of a job, in a fixed text. */
export function describeToolJob(
  { value }: { readonly value: unknown },
  event: DescribedEvent,
): Description | undefined {
  const text = textOf(value, event)
  if (text === undefined) return { message: '' }
  // A lost agent has sent no error of its own.
  return event.type === 'task.lost' && value === 'failed'
    ? { message: text, error: new Error(text) }
    : { message: text }
}

function textOf(value: unknown, event: DescribedEvent): string | undefined {
  const { type } = event
  if (type.startsWith('xstate.after.') && value === 'failed') return 'no agent took the job in time'
  return type.startsWith('xstate.error.') ? 'the agent reported an error' : TEXTS[type]
}
