import { defineJob, type JobId, task } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

async function running() {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'run', execute: work.execute })
  return { bench, work, type, ...(await bench.start({ jobs: [type] })) }
}

describe('delete', () => {
  test('deleting a settled job removes it and its log lines, and keeps its events in the log', async () => {
    const { ada, bench, type, work } = await running()
    const { id } = await ada.submit(type, 1, { idempotencyKey: 'k' })
    work.run().context.log('a line')
    work.run().finish()
    await bench.clock.settle()
    await ada.delete(id)
    expect(await (await bench.probe()).get(id)).toBeUndefined()
    expect(await (await bench.probe()).logs(id, 0, 10)).toEqual([])
    expect((await bench.log(id)).flatMap(({ events }) => events.map((event) => event.type)).at(-1)).toBe('job.deleted')
    expect((await ada.submit(type, 1, { idempotencyKey: 'k' })).id).not.toBe(id)
  })

  test('I52 every method answers for a deleted job as for a job that never existed', async () => {
    const { ada, bench, type } = await running()
    const { id } = await ada.submit(type, 1)
    await ada.delete(id)
    // It still runs, so its row is still there.
    expect(await bench.row(id)).toMatchObject({ deletedAt: expect.any(Number) })
    const calls = (of: JobId) => [
      ada.get(of),
      ada.cancel(of),
      ada.send(of, { type: 'cancel' }),
      ada.history(of),
      ada.logs(of)[Symbol.asyncIterator]().next(),
      ada.result(of),
      ada.retry(of),
      ada.delete(of),
    ]
    for (const call of calls(id)) expect(await codeOf(call)).toBe('JOB_NOT_FOUND')
    expect((await ada.list()).items).toEqual([])
  })

  test('deleting a running job signals its code, holds its slot until the code stops, then removes the row', async () => {
    const { ada, bench, type, work, engine } = await running()
    const { id } = await ada.submit(type, 1, { pipeline: 'p' })
    const next = await ada.submit(type, 2, { pipeline: 'p', overlap: 'queue' })
    await ada.delete(id)
    expect(work.run().context.signal.aborted).toBe(true)
    expect(await ada.get(next.id)).toMatchObject({ phase: 'waiting' })
    work.run().finish('too late')
    await bench.clock.settle()
    expect(await (await bench.probe()).get(id)).toBeUndefined()
    expect(engine.running()).toEqual([next.id])
  })

  test('work of a deleted job that ignores its stop is abandoned after its grace, and the row is removed', async () => {
    const { ada, bench, type } = await running()
    const { id } = await ada.submit(type, 1)
    await ada.delete(id)
    await bench.clock.advance(7_000)
    expect(await (await bench.probe()).get(id)).toBeUndefined()
  })

  test('a job that is deleted while its engine is dead is removed when its work is taken over', async () => {
    const { ada, bench, type, crash } = await running()
    const front = await bench.start({ jobs: [type], work: false })
    const { id } = await ada.submit(type, 1)
    await crash()
    await front.ada.delete(id)
    await bench.clock.advance(2_000)
    expect(await (await bench.probe()).get(id)).toBeUndefined()
  })

  test('a caller who waits for the result of a deleted job gets JOB_NOT_FOUND', async () => {
    const { ada, bench, type } = await running()
    const { id } = await ada.submit(type, 1)
    const result = codeOf(ada.result(id))
    await bench.clock.settle()
    await ada.delete(id)
    expect(await result).toBe('JOB_NOT_FOUND')
  })

  test('only its creator may delete a job, and a child job cannot be deleted alone', async () => {
    const bench = new Bench()
    const work = new Work()
    const child = createMachine({ invoke: { src: 'work' } }).provide({ actors: { work: task({}, work.execute) } })
    const lifecycle = createMachine({ invoke: { src: 'child' } }).provide({ actors: { child } } as never)
    const parent = defineJob({ type: 'parent', lifecycle })
    const { ada, bob, admin, engine } = await bench.start({ jobs: [parent] })
    const { id } = await ada.submit(parent, undefined)
    const part = (await engine.system.list({ type: 'parent/child' })).items[0]?.id ?? ''
    expect(await codeOf(bob.delete(id))).toBe('JOB_NOT_FOUND')
    expect(await codeOf(admin.delete(id))).toBe('FORBIDDEN')
    expect(await codeOf(ada.delete(part))).toBe('INVALID_STATE')
    await ada.delete(id)
    expect(await codeOf(ada.get(part))).toBe('JOB_NOT_FOUND')
    expect(work.run().context.signal.aborted).toBe(true)
    work.run().finish()
    await bench.clock.settle()
    for (const gone of [id, part]) expect(await (await bench.probe()).get(gone)).toBeUndefined()
  })

  test('a waiting job is deleted at once', async () => {
    const { ada, bench, type } = await running()
    const { id } = await ada.submit(type, 1, { startAt: bench.clock.now() + 5_000 })
    await ada.delete(id)
    expect(await (await bench.probe()).get(id)).toBeUndefined()
  })
})

describe('retry', () => {
  test('retrying an ended job makes a new job with the same input, linked to the first', async () => {
    const { ada, bench, type, work } = await running()
    const labels = { team: 'blue' }
    const first = await ada.submit(type, { path: 'a' }, { labels, priority: 3, pipeline: 'p', idempotencyKey: 'k' })
    work.run().fail(new Error('broken'))
    await bench.clock.settle()
    const again = await ada.retry(first.id)
    const same = { input: { path: 'a' }, labels, priority: 3, pipeline: 'p', createdBy: 'ada' }
    expect(again).toMatchObject({ ...same, retryOf: first.id, trigger: 'retry', status: 'running' })
    expect(again.id).not.toBe(first.id)
    expect(await ada.get(first.id)).toMatchObject({ status: 'failed' })
    expect(work.run().context).toMatchObject({ attempt: 1, input: { path: 'a' } })
    expect(await codeOf(ada.retry(first.id))).toBe('ALREADY_RUNNING')
  })

  test('I52 a retry refused because of a hidden run does not name that run', async () => {
    const { ada, bob, bench, type, work } = await running()
    const { id } = await bob.submit(type, 1, { pipeline: 'p' })
    work.run().finish()
    await bench.clock.settle()
    const holder = await ada.submit(type, 2, { pipeline: 'p' })
    expect(await errorOf(bob.retry(id))).toMatchObject({ code: 'ALREADY_RUNNING', jobId: undefined })
    expect(await errorOf(bob.submit(type, 1, { pipeline: 'p' }))).toMatchObject({ jobId: undefined })
    expect(await errorOf(ada.submit(type, 1, { pipeline: 'p' }))).toMatchObject({ jobId: holder.id })
  })

  test('a job that has not ended is not retried, and neither is another caller’s job', async () => {
    const { ada, bob, admin, type } = await running()
    const { id } = await ada.submit(type, 1)
    expect(await codeOf(ada.retry(id))).toBe('INVALID_STATE')
    expect(await codeOf(bob.retry(id))).toBe('JOB_NOT_FOUND')
    expect(await codeOf(admin.retry(id))).toBe('FORBIDDEN')
  })
})
