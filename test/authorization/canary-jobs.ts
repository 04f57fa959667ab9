/** Jobs with a distinct text in every field that a job has. */
import { defineJob, type Json, type SafePart, task } from 'jobchart'
import { createMachine, emit, log, sendTo } from 'xstate'
import { z } from 'zod'
import type { Stage } from './stage.ts'

/** The texts to look for in every answer. */
export const canary = {
  type: 'canary-type',
  version: 'canary-version',
  creator: 'canary-creator',
  assignee: 'canary-assignee',
  pipeline: 'canary-pipeline',
  labelName: 'canary-label-name',
  labelValue: 'canary-label-value',
  key: 'canary-key',
  input: 'canary-input',
  context: 'canary-context',
  taskInput: 'canary-task-input',
  inbox: 'canary-inbox',
  emitted: 'canary-emitted',
  output: 'canary-output',
  errorName: 'canary-error-name',
  errorMessage: 'canary-error-message',
  errorCode: 'canary-error-code',
  message: 'canary-said-message',
  reason: 'canary-said-reason',
  cancelReason: 'canary-cancel-reason',
  log: 'canary-log-line',
  chartLog: 'canary-chart-line',
  itemKey: 'canary-item-key',
  itemMessage: 'canary-item-message',
  itemOutput: 'canary-item-output',
  working: 'canary-status-working',
  done: 'canary-status-done',
  failed: 'canary-status-failed',
  cancelled: 'canary-status-cancelled',
  missing: 'canary-missing-pipeline',
  paused: 'canary-paused',
  // Numbers and times are canaries too.
  completed: '7654321',
  total: '8765432',
  exitCode: '4321987',
  priority: '987123',
  startAt: '2031-02-03T04:05:06.007Z',
} as const

/** A field that holds a canary. */
export type Canary = keyof typeof canary

const work = task({}, async ({ input, log: line, item, progress }) => {
  const mode = (input as { readonly mode?: string }).mode
  line(canary.log)
  await item(canary.itemKey, { status: 'failed', message: canary.itemMessage, output: canary.itemOutput })
  progress({ completed: Number(canary.completed), total: Number(canary.total) })
  if (mode === 'succeed') return canary.output
  if (mode === 'fail') {
    const error = Object.assign(new Error(canary.errorMessage), { code: canary.errorCode })
    error.name = canary.errorName
    throw error
  }
  return await new Promise<never>(() => {})
})

const lifecycle = createMachine({
  context: ({ input }) => ({ given: input as Json, own: canary.context }),
  initial: 'working',
  states: {
    working: {
      meta: { status: canary.working },
      entry: [emit({ type: 'told', text: canary.emitted }), log(canary.chartLog)],
      invoke: {
        id: 'work',
        src: 'work',
        input: ({ context }) => ({ ...context.given, text: canary.taskInput }),
        onDone: 'done',
        onError: 'failed',
      },
      on: {
        nudge: { actions: sendTo('work', { type: 'hello', text: canary.inbox }) },
        cancel: 'cancelled',
      },
    },
    done: { type: 'final', meta: { status: canary.done }, output: canary.output },
    failed: { type: 'final', tags: 'failure', meta: { status: canary.failed } },
    cancelled: { type: 'final', tags: 'cancelled', meta: { status: canary.cancelled } },
  },
  output: canary.output,
}).provide({ actors: { work } })

const common = {
  version: canary.version,
  input: z.object({ mode: z.string(), text: z.string() }),
  describe: (_: unknown, { type }: { readonly type: string }) => ({
    message: canary.message,
    exitCode: Number(canary.exitCode),
    // A cancel has a canary of its own.
    ...(type === 'cancel' ? {} : { reason: canary.reason }),
  }),
}

/** A type whose parts are safe to show. */
export function singleOf(safe: readonly SafePart[]) {
  return defineJob({
    ...common,
    safe,
    type: canary.type,
    lifecycle,
    commands: { cancel: z.object({ reason: z.string().optional() }), nudge: z.object({}) },
    followUp: ({ outcome }) => (outcome === 'failure' ? [{ kind: 'run', pipeline: canary.missing }] : []),
  })
}

/** A type without safe parts. */
export const single = singleOf([])

/** A type whose work is another job. */
export const parentType = defineJob({
  ...common,
  type: `${canary.type}-family`,
  lifecycle: createMachine({
    context: ({ input }) => ({ given: input as Json }),
    initial: 'on',
    states: {
      on: {
        meta: { status: canary.working },
        invoke: { id: 'kid', src: 'kid', input: ({ context }) => context.given, onDone: 'done' },
        on: { cancel: 'cancelled' },
      },
      done: { type: 'final', meta: { status: canary.done } },
      cancelled: { type: 'final', tags: 'cancelled', meta: { status: canary.cancelled } },
    },
  }).provide({ actors: { kid: lifecycle } }),
  commands: { cancel: z.object({}) },
})

/** The ids of the jobs. */
export interface Cage {
  readonly jobs: readonly string[]
  readonly parent: string
  readonly succeeded: string
}

/** Jobs in every state, by one creator, and a paused pipeline. */
export async function fill(stage: Stage): Promise<Cage> {
  const labels = { [canary.labelName]: canary.labelValue }
  const fixed = { labels, priority: Number(canary.priority), assignee: canary.assignee }
  const given = (mode: string) => ({ mode, text: canary.input })
  return await stage.freely({ id: canary.creator, tenant: 'acme' }, async (session) => {
    const run = { pipeline: canary.pipeline }
    const held = await session.submit(single, given('wait'), { ...fixed, ...run })
    const waits = await session.submit(single, given('wait'), { ...fixed, ...run, overlap: 'queue' })
    const running = await session.submit(single, given('wait'), { ...fixed, idempotencyKey: canary.key })
    const later = await session.submit(single, given('wait'), { ...fixed, startAt: canary.startAt })
    const cancelled = await session.submit(single, given('wait'), fixed)
    const succeeded = await session.submit(single, given('succeed'), fixed)
    const failed = await session.submit(single, given('fail'), fixed)
    const parent = await session.submit(parentType, given('wait'), fixed)
    await stage.bench.clock.settle()
    await session.send(running.id, { type: 'nudge' })
    await session.cancel(cancelled.id, { reason: canary.cancelReason })
    const again = await session.retry(succeeded.id)
    await session.pipelines.define({
      id: canary.pipeline,
      job: single,
      input: given('wait'),
      labels,
      priority: fixed.priority,
    })
    await session.pipelines.pause(canary.pipeline, canary.paused)
    await stage.bench.clock.settle()
    const [child] = (await stage.engine.system.list({ parentId: parent.id })).items
    if (child === undefined) throw new Error('there is no child job')
    const all = [held, waits, running, later, cancelled, succeeded, failed, parent, again, child]
    return { jobs: all.map(({ id }) => id), parent: parent.id, succeeded: succeeded.id }
  })
}
