/** Calls of every method that names a job or a pipeline, with many options. */
import type { AnyJobType, CancelOptions, EventOptions, ItemOptions, LogOptions, Session } from 'jobchart'
import { allOf } from './stage.ts'

/** A call about one id. */
export interface Call {
  readonly name: string
  readonly run: (session: Session, id: string) => Promise<unknown>
}

// Values that a caller in JavaScript may pass.
const odd = <Options>(options: unknown) => options as Options

const cancels: readonly CancelOptions[] = [
  {},
  { reason: 'enough' },
  odd({ reason: 5 }),
  { reason: 'x'.repeat(501) },
  { more: { deep: [1] } },
  { signal: AbortSignal.abort() },
]
const commands = [
  { type: 'note' },
  { type: 'note', text: 'a' },
  { type: 'note', text: 5 },
  { type: 'cancel' },
  { type: 'nonsense' },
  { type: '' },
  { type: 'toString' },
  { type: 'task.started' },
  odd<{ readonly type: string }>({}),
  odd<{ readonly type: string }>(null),
]
const logs: readonly LogOptions[] = [{}, { after: 0 }, { after: 7 }, { after: -1 }, odd({ after: 'x' })]
const items: readonly ItemOptions[] = [{}, { after: 3 }, { status: 'failed' }, odd({ outcome: 'none' }), { after: 0.5 }]
const events: readonly EventOptions[] = [
  { after: 0 },
  {},
  { after: 1_000_000 },
  { after: 0, type: 'slow' },
  { after: 0, createdBy: 'ada', labels: { team: 'data' } },
  odd({ after: -1 }),
  odd({ unknown: 1 }),
]

function each<Options>(
  method: string,
  all: readonly Options[],
  run: (session: Session, id: string, options: Options) => Promise<unknown>,
): readonly Call[] {
  return all.map((options, index) => ({
    name: `${method} ${index}`,
    run: (session, id) => run(session, id, options),
  }))
}

const aborted = { signal: AbortSignal.abort() }

/** Every method that names a job, with valid and invalid options. */
export const jobCalls: readonly Call[] = [
  ...each('get', [{}, aborted], (session, id, options) => session.get(id, options)),
  ...each('cancel', cancels, (session, id, options) => session.cancel(id, options)),
  ...each('send', commands, (session, id, command) => session.send(id, command)),
  ...each('retry', [{}, aborted], (session, id, options) => session.retry(id, options)),
  ...each('delete', [{}, aborted], (session, id, options) => session.delete(id, options)),
  ...each('cancelMany', [{}, { reason: 'enough' }, { reason: 'x'.repeat(501) }], (session, id, options) =>
    session.cancelMany({ ids: [id, id], ...options }),
  ),
  ...each('retryMany', [{}, { fresh: true }], (session, id, options) => session.retryMany({ ids: [id], ...options })),
  ...each('deleteMany', [{}, aborted], (session, id, options) => session.deleteMany({ ids: [id], ...options })),
  ...each('deleteMany', [{}], (session, id) => session.deleteMany({ filter: { parentId: id } })),
  ...each('history', [{}, aborted], (session, id, options) => session.history(id, options)),
  ...each('logs', logs, (session, id, options) => allOf(session.logs(id, options))),
  ...each('items', items, (session, id, options) => allOf(session.items(id, options))),
  ...each('report', ['csv', 'json'] as const, (session, id, format) => allOf(session.report(id, { format }))),
  ...each('result', [{}, aborted], (session, id, options) => session.result(id, options)),
  ...each('explain', [{}, aborted], (session, id, options) => session.explain(id, options)),
  ...each('actions', [{}, aborted], (session, id, options) => session.actions(id, options)),
  ...each('actions of many', [{}], (session, id) => session.actions([id, id])),
  ...each('events', events, (session, id, options) => allOf(session.events({ ...options, job: id }))),
  ...each('list', [{}, { limit: 1 }], (session, id, options) => session.list({ ...options, parentId: id })),
  ...each('count', [{}], (session, id) => session.count({ parentId: id })),
  ...each('count', [{}], (session, id) => session.counts({ by: 'status' }, { parentId: id })),
]

const runs = [
  {},
  { input: 1 },
  { input: { bad: () => 1 } },
  { overlap: 'replace' as const },
  { overlap: 'queue' as const, priority: 3 },
  { labels: { team: 'data' }, idempotencyKey: 'k' },
  { startAt: 1 },
  odd<object>({ unknown: 1 }),
]

/** Every method that names a pipeline. `define` is included only if the principal may define no pipelines at all. */
export function pipelineCalls(type: AnyJobType): readonly Call[] {
  return [
    ...each('pipelines.get', [{}, aborted], ({ pipelines }, id, options) => pipelines.get(id, options)),
    ...each('pipelines.run', runs, ({ pipelines }, id, options) => pipelines.run(id, options)),
    ...each('pipelines.pause', ['so', '', odd<string>(5)], ({ pipelines }, id, why) => pipelines.pause(id, why)),
    ...each('pipelines.resume', [{}], ({ pipelines }, id) => pipelines.resume(id)),
    ...each('pipelines.delete', [{}, aborted], ({ pipelines }, id, options) => pipelines.delete(id, options)),
    ...each('list', [{}], (session, id) => session.list({ pipeline: id })),
    ...each('count', [{}], (session, id) => session.count({ pipeline: id })),
    ...each('pipelines.define', [{ input: 1 }, { input: undefined, priority: 1 }], ({ pipelines }, id, options) =>
      pipelines.define({ ...options, id, job: type }),
    ),
  ]
}
