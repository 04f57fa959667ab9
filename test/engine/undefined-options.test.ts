import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf } from './bench.ts'

const type = defineJob({ type: 'w', execute: () => 1 })

test('an option that is undefined counts as absent, in every call', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  // As an app without `exactOptionalPropertyTypes` may pass them.
  const absent = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, undefined])) as never
  const told = ada.events(absent('after', 'job', 'type', 'labels')).next()
  const notified = ada.notifications.events(absent('after')).next()
  const { id } = await ada.submit(type, undefined, absent('pipeline', 'startAt', 'labels', 'priority', 'uniqueKey'))
  const pipeline = { id: 'p', job: type, ...(absent('overlap', 'schedule', 'labels', 'priority', 'input') as object) }
  expect(await codeOf(ada.pipelines.define(pipeline))).toBe('ok')
  await bench.clock.settle()
  const codes = [
    codeOf(ada.list(absent('cursor', 'type', 'status', 'limit'))),
    codeOf(ada.get(id, absent('signal'))),
    codeOf(ada.retry(id, absent('fresh', 'items', 'assignment'))),
    codeOf(ada.pipelines.history('p', absent('after', 'limit'))),
    codeOf(ada.notifications.subscribe({ level: 'all', ...(absent('job', 'pipeline') as object) })),
    codeOf(ada.notifications.list(absent('unread', 'cursor'))),
  ]
  expect(await Promise.all(codes)).toEqual(codes.map(() => 'ok'))
  expect((await told).value).toMatchObject({ type: 'job.created' })
  await ada.notifications.unsubscribe()
  void notified
})

test('a pause needs a reason', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  await ada.pipelines.define({ id: 'p', job: type })
  await ada.pipelines.pause('p', 'the source is down')
  expect(await codeOf(ada.pipelines.pause('p', undefined as never))).toBe('INVALID_INPUT')
  expect((await ada.pipelines.get('p')).paused).toBe('the source is down')
})

test('a field of a follow-up, or of what a definition submits, that is undefined counts as absent', async () => {
  const bench = new Bench()
  const fields = { delay: undefined, priority: undefined, labels: undefined, pipeline: undefined } as object
  const first = defineJob({
    type: 'first',
    execute: () => 1,
    followUp: () => [{ kind: 'submit', job: type, ...fields }],
  })
  const { ada } = await bench.start({ jobs: [type, first] })
  await ada.submit(first)
  const given = { priority: undefined, labels: undefined } as object
  await ada.pipelines.define({ id: 'p', job: type, onDefine: () => [{ kind: 'submit', job: type, ...given }] })
  await bench.clock.settle()
  expect(await ada.count({ type, outcome: 'success' })).toBe(2)
})

test('what a page or a caller may not have is passed on as it is', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const read = async (last: number | undefined, signal: AbortSignal | undefined) => {
    const { nextCursor } = await ada.list({ signal })
    // These lines are about the types: the repository compiles with `exactOptionalPropertyTypes`.
    void ada.events({ after: last, signal })
    return await ada.list({ cursor: nextCursor, signal })
  }
  expect((await read(undefined, undefined)).items).toEqual([])
})
