/** Every place for a value in every method of a session. */
import type { AnyJobType, Session } from 'jobchart'
import { allOf } from './stage.ts'

/** Ids that a call may name besides the value. */
export interface Named {
  /** Id of a job of the caller. */
  readonly own: string
  /** Id of a job that is hidden from the caller. */
  readonly hidden: string
  readonly pipeline: string
  readonly type: AnyJobType
}

/** A call with the value in one place. */
export interface PlacedCall {
  readonly name: string
  readonly run: (session: Session, value: unknown, named: Named) => Promise<unknown>
}

// A program in JavaScript, or JSON of a request, may put a value of any type there.
type Loose = { readonly [method: string]: (...args: readonly unknown[]) => Promise<unknown> }
type LooseStreams = { readonly [method: string]: (...args: readonly unknown[]) => AsyncIterable<unknown> }
const loose = (session: Session) => session as unknown as Loose
const streams = (session: Session) => session as unknown as LooseStreams
const pipelines = (session: Session) => session.pipelines as unknown as Loose

const byId = ['get', 'cancel', 'retry', 'delete', 'history', 'result', 'explain', 'actions']
const streamsById = ['logs', 'items']
const ofPipeline = ['get', 'run', 'pause', 'resume', 'delete']
const submitFields = [
  'pipeline',
  'overlap',
  'startAt',
  'priority',
  'labels',
  'assignee',
  'idempotencyKey',
  'tenant',
  'signal',
  'unknown',
]
const listFields = [
  'view',
  'type',
  'phase',
  'status',
  'pipeline',
  'createdBy',
  'assignee',
  'parentId',
  'labels',
  'limit',
  'cursor',
  'signal',
  'unknown',
]
const eventFields = ['after', 'job', 'type', 'pipeline', 'createdBy', 'assignee', 'labels', 'signal', 'unknown']
const defineFields = ['id', 'job', 'input', 'overlap', 'priority', 'labels', 'tenant', 'owner', 'signal', 'unknown']
const runFields = [
  'input',
  'overlap',
  'priority',
  'labels',
  'assignee',
  'startAt',
  'idempotencyKey',
  'tenant',
  'signal',
]

function with_(fields: readonly string[], call: (field: string) => PlacedCall): readonly PlacedCall[] {
  return fields.map(call)
}

/** The first event, or undefined if there is none. */
async function first(events: AsyncIterable<unknown>): Promise<unknown> {
  const iterator = events[Symbol.asyncIterator]()
  const told = await Promise.race([iterator.next(), quiet()])
  await iterator.return?.()
  return told
}

// Long enough for every stored event; no real time passes.
async function quiet(): Promise<undefined> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resume) => setImmediate(resume))
  return undefined
}

export const placedCalls: readonly PlacedCall[] = [
  ...with_(byId, (method) => ({
    name: `${method}(V)`,
    run: (session, value) => raw(() => loose(session)[method]?.(value)),
  })),
  ...with_(byId, (method) => ({
    name: `${method}(own, V)`,
    run: (session, value, { own }) => raw(() => loose(session)[method]?.(own, value)),
  })),
  ...with_(byId, (method) => ({
    name: `${method}(hidden, V)`,
    run: (session, value, { hidden }) => raw(() => loose(session)[method]?.(hidden, value)),
  })),
  ...with_(streamsById, (method) => ({
    name: `${method}(V)`,
    run: async (session, value) => await allOf(streams(session)[method]?.(value) ?? none()),
  })),
  ...with_(streamsById, (method) => ({
    name: `${method}(own, V)`,
    run: async (session, value, { own }) => await allOf(streams(session)[method]?.(own, value) ?? none()),
  })),
  ...with_(['after', 'outcome', 'signal'], (field) => ({
    name: `items(own, { ${field}: V })`,
    run: async (session, value, { own }) => await allOf(streams(session).items?.(own, { [field]: value }) ?? none()),
  })),
  ...with_(['reason', 'signal', 'type', 'unknown'], (field) => ({
    name: `cancel(hidden, { ${field}: V })`,
    run: (session, value, { hidden }) => raw(() => loose(session).cancel?.(hidden, { [field]: value })),
  })),
  { name: 'actions([V, own])', run: (session, value, { own }) => raw(() => loose(session).actions?.([value, own])) },
  { name: 'send(V, note)', run: (session, value) => raw(() => loose(session).send?.(value, { type: 'note' })) },
  { name: 'send(own, V)', run: (session, value, { own }) => raw(() => loose(session).send?.(own, value)) },
  { name: 'send(hidden, V)', run: (session, value, { hidden }) => raw(() => loose(session).send?.(hidden, value)) },
  {
    name: 'send(own, { type: V })',
    run: (session, value, { own }) => raw(() => loose(session).send?.(own, { type: value })),
  },
  {
    name: 'send(own, { type: note, text: V })',
    run: (session, value, { own }) => raw(() => loose(session).send?.(own, { type: 'note', text: value })),
  },
  {
    name: 'send(own, note, V)',
    run: (session, value, { own }) => raw(() => loose(session).send?.(own, { type: 'note' }, value)),
  },
  { name: 'submit(V, 1)', run: (session, value) => raw(() => loose(session).submit?.(value, 1)) },
  { name: 'submit(type, V)', run: (session, value, { type }) => raw(() => loose(session).submit?.(type, value)) },
  { name: 'submit(type, 1, V)', run: (session, value, { type }) => raw(() => loose(session).submit?.(type, 1, value)) },
  ...with_(submitFields, (field) => ({
    name: `submit(type, 1, { ${field}: V })`,
    run: (session, value, { type }) => raw(() => loose(session).submit?.(type, 1, { [field]: value })),
  })),
  ...with_(['list', 'count'], (method) => ({
    name: `${method}(V)`,
    run: (session, value) => raw(() => loose(session)[method]?.(value)),
  })),
  ...with_(listFields, (field) => ({
    name: `list({ ${field}: V })`,
    run: (session, value) => raw(() => loose(session).list?.({ limit: 5, [field]: value })),
  })),
  ...with_(['cancelMany', 'retryMany', 'deleteMany'], (method) => ({
    name: `${method}(V)`,
    run: (session, value) => raw(() => loose(session)[method]?.(value)),
  })),
  ...with_(['ids', 'filter', 'limit', 'cursor', 'signal', 'unknown'], (field) => ({
    name: `cancelMany({ filter, ${field}: V })`,
    run: (session, value) => raw(() => loose(session).cancelMany?.({ filter: { type: 'none' }, [field]: value })),
  })),
  { name: 'retryMany({ ids: [V] })', run: (session, value) => raw(() => loose(session).retryMany?.({ ids: [value] })) },
  ...with_(['format', 'status', 'columns', 'signal', 'unknown'], (field) => ({
    name: `report(own, { ${field}: V })`,
    run: async (session, value, { own }) =>
      await allOf(streams(session).report?.(own, { format: 'csv', [field]: value }) ?? none()),
  })),
  ...with_(listFields.slice(0, 8), (field) => ({
    name: `count({ ${field}: V })`,
    run: (session, value) => raw(() => loose(session).count?.({ [field]: value })),
  })),
  { name: 'events(V)', run: async (session, value) => await first(streams(session).events?.(value) ?? none()) },
  ...with_(eventFields, (field) => ({
    name: `events({ ${field}: V })`,
    run: async (session, value) => await first(streams(session).events?.({ after: 0, [field]: value }) ?? none()),
  })),
  ...with_(ofPipeline, (method) => ({
    name: `pipelines.${method}(V)`,
    run: (session, value) => raw(() => pipelines(session)[method]?.(value, method === 'pause' ? 'so' : undefined)),
  })),
  ...with_(ofPipeline, (method) => ({
    name: `pipelines.${method}(hidden, V)`,
    run: (session, value, { pipeline }) =>
      raw(() => pipelines(session)[method]?.(pipeline, ...(method === 'pause' ? ['so', value] : [value]))),
  })),
  { name: 'pipelines.pause(mine, V)', run: (session, value) => raw(() => pipelines(session).pause?.('mine', value)) },
  { name: 'pipelines.list(V)', run: (session, value) => raw(() => pipelines(session).list?.(value)) },
  ...with_(['type', 'limit', 'cursor', 'signal'], (field) => ({
    name: `pipelines.list({ ${field}: V })`,
    run: (session, value) => raw(() => pipelines(session).list?.({ [field]: value })),
  })),
  { name: 'pipelines.define(V)', run: (session, value) => raw(() => pipelines(session).define?.(value)) },
  ...with_(defineFields, (field) => ({
    name: `pipelines.define({ ${field}: V })`,
    run: (session, value, { type }) =>
      raw(() => pipelines(session).define?.({ id: 'mine', job: type, input: 1, [field]: value })),
  })),
  ...with_(runFields, (field) => ({
    name: `pipelines.run(mine, { ${field}: V })`,
    run: (session, value) => raw(() => pipelines(session).run?.('mine', { [field]: value })),
  })),
]

async function raw(call: () => Promise<unknown> | undefined): Promise<unknown> {
  return await call()
}

async function* none(): AsyncGenerator<never> {}
