import { defineJob } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, Work } from './bench.ts'

async function running() {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'render', execute: work.execute })
  const other = defineJob({ type: 'other', execute: () => 'done' })
  return { bench, work, type, other, jobs: [type, other], ...(await bench.start({ jobs: [type, other] })) }
}

describe('a paused job type', () => {
  test('starts no task until it is resumed; running tasks go on, and other types are not affected', async () => {
    const { ada, bench, engine, work, type, other } = await running()
    const first = await ada.submit(type, 1)
    await engine.types.pause('render', 'the renderer is too slow')
    const second = await ada.submit(type, 2)
    expect(await ada.result((await ada.submit(other)).id)).toMatchObject({ status: 'completed' })
    await bench.clock.advance(60_000)
    expect(await ada.get(second.id)).toMatchObject({ status: 'queued' })
    expect(await ada.explain(second.id)).toEqual([
      { kind: 'typePaused', task: 'execute', reason: 'the renderer is too slow' },
    ])
    work.run().finish('done')
    await bench.clock.settle()
    expect(await ada.get(first.id)).toMatchObject({ status: 'completed' })
    expect(await ada.get(second.id)).toMatchObject({ status: 'queued' })
    await engine.types.resume('render')
    await bench.clock.settle()
    expect(await ada.get(second.id)).toMatchObject({ status: 'running' })
  })

  test('is paused for all engines and over restarts', async () => {
    const { ada, bench, engine, type, jobs } = await running()
    await engine.types.pause('render', 'stop')
    const other = await bench.start({ jobs })
    const { id } = await other.ada.submit(type, 1)
    await engine.stop()
    await engine.start()
    await bench.clock.advance(60_000)
    expect(await ada.get(id)).toMatchObject({ status: 'queued' })
    const since = (await engine.types.paused())[0]?.since
    expect(await other.engine.types.paused()).toEqual([{ type: 'render', reason: 'stop', since }])
    await engine.stop()
    // The other engine finds it by its poll.
    await other.engine.types.resume('render')
    await bench.clock.settle()
    expect(await other.ada.get(id)).toMatchObject({ status: 'running' })
    expect(await other.engine.types.paused()).toEqual([])
  })

  test('is claimed again by another engine than the one that resumed it', async () => {
    const { bench, engine, type, jobs } = await running()
    const front = await bench.start({ jobs, work: false })
    await front.engine.types.pause('render', 'stop')
    const { id } = await front.ada.submit(type, 1)
    await bench.clock.advance(5_000)
    expect(engine.running()).toEqual([])
    await front.engine.types.resume('render')
    await bench.clock.advance(200)
    expect(engine.running()).toEqual([id])
  })

  test('can still be submitted, cancelled and deleted', async () => {
    const { ada, engine, type } = await running()
    await engine.types.pause('render', 'stop')
    const [one, two] = [await ada.submit(type, 1), await ada.submit(type, 2)]
    expect(await ada.cancel(one.id)).toMatchObject({ status: 'cancelled' })
    await ada.delete(two.id)
    expect(await codeOf(ada.get(two.id))).toBe('JOB_NOT_FOUND')
  })

  test('must be known by the engine, and its pause needs a reason', async () => {
    const { engine } = await running()
    expect(await codeOf(engine.types.pause('rendr', 'stop'))).toBe('UNKNOWN_TYPE')
    expect(await codeOf(engine.types.pause('render', ''))).toBe('INVALID_INPUT')
    expect(await codeOf(engine.types.resume(5 as never))).toBe('INVALID_INPUT')
    await engine.types.resume('render')
    await engine.stop()
    expect(await codeOf(engine.types.paused())).toBe('ENGINE_STOPPED')
  })
})
