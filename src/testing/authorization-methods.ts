/** The methods of a session that name a job or a pipeline, and their answers as text. */
import { type JobAnswer, JobchartError, type Page, type Session } from 'jobchart'
import type { Action, Target } from '../port/policy.ts'

/** A call of a session's method with the id of a job or a pipeline. */
export interface Method {
  readonly name: string
  /** The action that the policy is asked about. */
  readonly action: Action
  readonly command?: NonNullable<Target['command']>
  readonly call: (session: Session, id: string) => Promise<unknown>
}

const cancel = { name: 'cancel', isCancel: true }
const note = { name: 'note', isCancel: false }
const nonsense = { name: 'nonsense', isCancel: false }

/** Every method that takes the id of a job. */
export const jobMethods: readonly Method[] = [
  { name: 'get', action: 'get', call: (session, id) => session.get(id) },
  { name: 'cancel', action: 'command', command: cancel, call: (session, id) => session.cancel(id) },
  { name: 'send', action: 'command', command: note, call: (session, id) => session.send(id, { type: 'note' }) },
  {
    name: 'send of no command',
    action: 'command',
    command: nonsense,
    call: (session, id) => session.send(id, { type: 'nonsense' }),
  },
  { name: 'retry', action: 'retry', call: (session, id) => session.retry(id) },
  { name: 'delete', action: 'delete', call: (session, id) => session.delete(id) },
  {
    name: 'cancelMany',
    action: 'command',
    command: cancel,
    call: (session, id) => answerOf(session.cancelMany({ ids: [id] })),
  },
  { name: 'retryMany', action: 'retry', call: (session, id) => answerOf(session.retryMany({ ids: [id] })) },
  { name: 'deleteMany', action: 'delete', call: (session, id) => answerOf(session.deleteMany({ ids: [id] })) },
  { name: 'history', action: 'history', call: (session, id) => session.history(id) },
  { name: 'logs', action: 'logs', call: (session, id) => allOf(session.logs(id)) },
  { name: 'items', action: 'items', call: (session, id) => allOf(session.items(id)) },
  { name: 'report', action: 'items', call: (session, id) => allOf(session.report(id, { format: 'json' })) },
  { name: 'result', action: 'result', call: (session, id) => session.result(id) },
  { name: 'explain', action: 'explain', call: (session, id) => session.explain(id) },
  { name: 'actions', action: 'get', call: (session, id) => session.actions(id) },
  { name: 'actions of many', action: 'get', call: (session, id) => session.actions([id]) },
  { name: 'events', action: 'events', call: (session, id) => allOf(session.events({ job: id, after: 0 })) },
]

/**
 * Every method that takes the id of a pipeline, except `define`: it must answer differently for an id that is taken.
 */
export const pipelineMethods: readonly Method[] = [
  { name: 'pipelines.get', action: 'getPipeline', call: ({ pipelines }, id) => pipelines.get(id) },
  { name: 'pipelines.run', action: 'runPipeline', call: ({ pipelines }, id) => pipelines.run(id) },
  { name: 'pipelines.pause', action: 'pausePipeline', call: ({ pipelines }, id) => pipelines.pause(id, 'why') },
  { name: 'pipelines.resume', action: 'pausePipeline', call: ({ pipelines }, id) => pipelines.resume(id) },
  { name: 'pipelines.delete', action: 'deletePipeline', call: ({ pipelines }, id) => pipelines.delete(id) },
]

async function allOf<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

/** The only answer of a call for many jobs. @throws {JobchartError} the error of the answer. */
async function answerOf(call: Promise<Page<JobAnswer>>): Promise<JobAnswer | undefined> {
  const [answer] = (await call).items
  if (answer?.error === undefined) return answer
  throw new JobchartError(answer.error.code, answer.error.message)
}

/** The result of a call as text. The id is replaced, so that the answers for two ids can be compared. */
export async function answerText(call: Promise<unknown>, id: string): Promise<string> {
  const text = await call.then(
    (value) => `gives ${textOf(value)}`,
    (error: unknown) => `rejects with ${errorText(error)}`,
  )
  return text.replaceAll(id, '<id>')
}

/** The error code of a call; `ok` if the call succeeds. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    return error instanceof JobchartError ? error.code : `no error of jobchart: ${String(error)}`
  }
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return textOf(error)
  const { name, message, cause } = error
  return textOf({ ...error, name, message, cause: cause === undefined ? 'none' : String(cause) })
}

/** A value as text. Maps are shown as lists of their entries. */
export function textOf(value: unknown): string {
  const plain = (_: string, each: unknown) => (each instanceof Map ? [...each] : each)
  return JSON.stringify(value, plain) ?? String(value)
}
