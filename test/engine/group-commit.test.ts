import { createEngine, defineJob, memoryStorage, type Storage, systemClock } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'
import { passing } from './passing-storage.ts'

test('100 submits of one turn are one commit', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, faults } = await bench.start({ jobs: [type], work: false })
  const jobs = await Promise.all(Array.from({ length: 100 }, (_, index) => ada.submit(type, index)))
  expect(faults.calls('commit')).toBe(1)
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(100)
})

test('a submit and its first claim are one commit where there is room', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults, heard } = await bench.start({ jobs: [type], concurrency: 2, sweep: '1h' })
  const claims = faults.calls('claim')
  const { status } = await ada.submit(type, 1)
  expect([status, work.runs.length, faults.calls('commit'), faults.calls('claim')]).toEqual(['running', 1, 1, claims])
  expect(heard.map(({ type, by, jobSequence }) => `${jobSequence} ${type} by ${by.id}`)).toEqual([
    '1 job.created by ada',
    '2 task.started by engine',
    '3 job.transitioned by engine',
  ])
})

test('the ends and starts of many jobs share commits', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type], concurrency: 50 })
  await Promise.all(Array.from({ length: 50 }, (_, index) => ada.submit(type, index)))
  expect(faults.calls('commit')).toBe(1)
  for (const { finish } of work.runs) finish()
  await bench.clock.settle()
  expect(faults.calls('commit')).toBe(2)
  expect((await ada.list({ phase: 'settled', limit: 100 })).items).toHaveLength(50)
})

test('instant handlers do not starve submits', async () => {
  const bench = new Bench()
  let ran = 0
  const type = defineJob({ type: 'w', execute: () => ++ran })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 5 })
  await Promise.all(Array.from({ length: 500 }, (_, index) => ada.submit(type, index)))
  const { id } = await ada.submit(type, 'last')
  expect(ran).toBeLessThan(501)
  await engine.idle()
  expect([ran, (await ada.get(id)).status]).toEqual([501, 'completed'])
})

test('each changeset of one commit has its own result', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const settled = await ada.submit(type, 0, { pipeline: 'p' })
  const commits = faults.calls('commit')
  const codes = await Promise.all([
    codeOf(ada.submit(type, 1, { pipeline: 'p' })),
    codeOf(ada.submit(type, 1, { pipeline: 'q' })),
    codeOf(ada.submit(type, 2, { pipeline: 'q' })),
    codeOf(ada.submit(type, 3, { idempotencyKey: 'k' })),
    codeOf(ada.submit(type, 4, { idempotencyKey: 'k' })),
    codeOf(ada.cancel(settled.id)),
  ])
  expect(codes).toEqual(['ALREADY_RUNNING', 'ok', 'ALREADY_RUNNING', 'ok', 'INVALID_INPUT', 'ok'])
  expect(faults.calls('commit') - commits).toBe(1)
})

test('other work of the process goes on between a long decision and its commit', async () => {
  const order: string[] = []
  const memory = memoryStorage()
  const storage: Storage = {
    open: async (host) =>
      passing(await memory.open(host), (method, run) => {
        if (method === 'commit') order.push('commit')
        return run()
      }),
  }
  let lateMs = 0
  const system = systemClock()
  const clock = { ...system, elapsed: () => system.elapsed() + lateMs }
  // The chart's code seems to take 100 ms.
  const takeLong = assign(() => {
    lateMs += 100
    setImmediate(() => order.push('other work'))
    return {}
  })
  const lifecycle = createMachine({ context: {}, on: { go: { actions: takeLong } } })
  const type = defineJob({ type: 'w', lifecycle, commands: { go: z.object({}) } })
  const engine = await createEngine({ jobs: [type], storage, clock })
  const { id } = await engine.system.submit(type, undefined)
  order.length = 0
  await engine.system.send(id, { type: 'go' })
  expect(order).toEqual(['other work', 'commit'])
  await engine.stop()
})
