/** Every answer that a session can give. */
import type { AnyJobType, CancelOptions, Session } from 'jobchart'
import { errorText, type Stage, textOf } from './stage.ts'

/** Received texts, each with its source. */
export interface Told {
  readonly by: string
  readonly text: string
}

type Calls = readonly (readonly [
  name: string,
  call: (signal: AbortSignal) => Promise<unknown> | AsyncIterable<unknown>,
])[]

const odd = <Options>(options: unknown) => options as Options

/** All reads of some jobs, and of everything that may be listed. */
export function reads(session: Session, ids: readonly string[]): Calls {
  return [
    ...ids.flatMap(
      (id): Calls => [
        ['get', () => session.get(id)],
        ['history', () => session.history(id)],
        ['logs', () => session.logs(id)],
        ['logs after', () => session.logs(id, { after: 1 })],
        ['items', () => session.items(id)],
        ['failed items', () => session.items(id, { status: 'failed' })],
        ['report as CSV', () => session.report(id, { format: 'csv' })],
        ['report as JSON', () => session.report(id, { format: 'json' })],
        ['explain', () => session.explain(id)],
        ['actions', () => session.actions(id)],
        ['result', (signal) => session.result(id, { signal })],
        ['events of one', (signal) => session.events({ job: id, after: 0, signal })],
        ['children', () => session.list({ parentId: id })],
        ['count of children', () => session.count({ parentId: id })],
      ],
    ),
    ['actions of many', () => session.actions(ids)],
    ['list', () => session.list({ limit: 100 })],
    ['a page', () => session.list({ limit: 1 })],
    ['next pages', () => pages((cursor) => session.list({ limit: 2, ...cursor }))],
    ['mine', () => session.list({ view: 'mine' })],
    ['count', () => session.count()],
    ['counts by type', () => session.counts({ by: 'type' })],
    ['counts by status', () => session.counts({ by: 'status' })],
    ['events', (signal) => session.events({ after: 0, signal })],
    ['pipelines.list', () => session.pipelines.list()],
    ['a page of pipelines', () => session.pipelines.list({ limit: 1 })],
  ]
}

/** Refusals of all kinds, and calls that change a job. */
export function writes(session: Session, ids: readonly string[]): Calls {
  return ids.flatMap(
    (id): Calls => [
      ['send of no command', () => session.send(id, { type: 'nonsense' })],
      ['send of nothing', () => session.send(id, odd<{ readonly type: string }>({}))],
      ['send with odd fields', () => session.send(id, { type: 'cancel', reason: 5 })],
      ['cancel with an odd reason', () => session.cancel(id, odd<CancelOptions>({ reason: 5 }))],
      ['retry of what runs', () => session.retry(id, { signal: AbortSignal.abort() })],
      ['cancelMany with an odd reason', () => session.cancelMany({ ids: [id], reason: 'x'.repeat(501) })],
      ['retryMany of what runs', () => session.retryMany({ ids: [id], signal: AbortSignal.abort() })],
      ['deleteMany of what is not there', () => session.deleteMany({ ids: [`not ${id}`] })],
      ['send', () => session.send(id, { type: 'nudge' })],
      ['cancel', () => session.cancel(id)],
      ['cancel again', () => session.cancel(id)],
      ['cancelMany again', () => session.cancelMany({ ids: [id] })],
      ['send to what has ended', () => session.send(id, { type: 'nudge' })],
    ],
  )
}

/** Calls about one pipeline that is refused. */
export function pipelineCalls({ pipelines, submit }: Session, id: string, type: AnyJobType, input: unknown): Calls {
  return [
    ['pipelines.get', () => pipelines.get(id)],
    ['pipelines.run', () => pipelines.run(id)],
    ['pipelines.run with an odd input', () => pipelines.run(id, { input: { bad: 1 } })],
    ['pipelines.pause', () => pipelines.pause(id, 'so')],
    ['pipelines.resume', () => pipelines.resume(id)],
    ['pipelines.delete', () => pipelines.delete(id)],
    ['pipelines.define', () => pipelines.define({ id, job: type, input })],
    ['submit into a taken slot', () => submit(type, input, { pipeline: id })],
    ['submit of an odd input', () => submit(type, 5, { pipeline: id })],
  ]
}

/** Everything that the calls return, yield or throw, until nothing happens any more. */
export async function tell(stage: Stage, calls: Calls): Promise<readonly Told[]> {
  const told: Told[] = []
  const given = new AbortController()
  const all = calls.map(async ([by, call]) => {
    const keep = (text: string) => told.push({ by, text })
    try {
      const answer = call(given.signal)
      if (!(Symbol.asyncIterator in answer)) keep(withCursors(await answer))
      else for await (const each of answer) keep(textOf(each))
    } catch (error) {
      keep(errorText(error))
    }
  })
  await stage.bench.clock.settle()
  given.abort()
  await Promise.all(all)
  return told
}

// Clients treat a cursor as opaque; the test decodes it.
function withCursors(answer: unknown): string {
  const text = textOf(answer)
  const cursors = [...text.matchAll(/"nextCursor":"([^"]*)"/g)].map(([, cursor = '']) => cursor)
  return [text, ...cursors.map((cursor) => Buffer.from(cursor, 'base64url').toString())].join('\n')
}

async function pages(
  next: (from: { readonly cursor?: string }) => Promise<{ readonly nextCursor?: string }>,
): Promise<readonly unknown[]> {
  const all: unknown[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await next(cursor === undefined ? {} : { cursor })
    all.push(page)
    cursor = page.nextCursor
    if (cursor === undefined) return all
  }
}
