import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

// Reads in pages continue after the first page.

const plain = defineJob({ type: 'plain', execute: () => 1 })
/** More than the sweeps read at once. */
const MANY = 250

test('more timers than one page that fall due at once all fire in one sweep', async () => {
  const machine = createMachine({
    initial: 'waiting',
    states: { waiting: { after: { 60000: 'done' } }, done: { type: 'final' } },
  })
  const timed = defineJob({ type: 'timed', lifecycle: machine })
  const bench = new Bench()
  const { ada, heard } = await bench.start({ jobs: [timed] })
  await Promise.all(Array.from({ length: MANY }, () => ada.submit(timed, undefined)))
  await bench.clock.advance(59_999)
  const before = heard.length
  await bench.clock.advance(1)
  expect(heard.length - before).toBe(MANY)
})

test('more waiting jobs than one page whose time has come are all admitted in one sweep', async () => {
  const bench = new Bench()
  const { ada, heard } = await bench.start({ jobs: [plain], work: false })
  const startAt = bench.clock.now() + 60_000
  await Promise.all(Array.from({ length: MANY }, () => ada.submit(plain, 1, { startAt })))
  await bench.clock.advance(59_999)
  expect(heard.filter(({ type }) => type === 'job.admitted')).toEqual([])
  await bench.clock.advance(1)
  expect(heard.filter(({ type }) => type === 'job.admitted')).toHaveLength(MANY)
})

test('an engine reads a long log that other engines wrote to its end', async () => {
  const bench = new Bench()
  const front = await bench.start({ jobs: [plain], work: false })
  const { ada } = await bench.start({ jobs: [plain], work: false })
  const jobs = await Promise.all(Array.from({ length: 3 * MANY }, () => front.ada.submit(plain, 1)))
  const last = jobs.at(-1)
  if (last === undefined) throw new Error('there are no jobs')
  let status = 'waits'
  void ada.result(last.id).then((view) => {
    status = view.status
  })
  await bench.clock.settle()
  await front.ada.cancel(last.id)
  await bench.clock.advance(200)
  expect(status).toBe('cancelled')
})

test('an engine is not idle while its storage fails, and is once it has recovered', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const front = await bench.start({ jobs: [type], work: false })
  const { engine, ada, faults } = await bench.start({ jobs: [type] })
  faults.failing('write')
  expect(await codeOf(ada.submit(type, 1))).toBe('STORAGE_UNAVAILABLE')
  await front.ada.submit(type, 2)
  let isIdle = false
  void engine.idle().then(() => {
    isIdle = true
  })
  await bench.clock.advance(5_000)
  expect([isIdle, work.runs.length]).toEqual([false, 0])
  faults.heal()
  await bench.clock.advance(2_000)
  expect([isIdle, work.runs.length]).toEqual([false, 1])
  work.run().finish()
  await bench.clock.advance(2_000)
  expect(isIdle).toBe(true)
})

test('I2 a write that is never answered is reported as unknown after a few tries', async () => {
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [plain], work: false })
  faults.plan('commit', ...new Array<'unsent'>(20).fill('unsent'))
  const before = faults.calls('commit')
  expect((await errorOf(ada.submit(plain, 1))).code).toBe('OUTCOME_UNKNOWN')
  expect(faults.calls('commit') - before).toBe(4)
  faults.heal()
  expect((await ada.list()).items).toEqual([])
})

test('waiting for an engine to be idle ends when it stops', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.obedient })
  const { engine, ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  const idle = engine.idle()
  const stopped = engine.stop({ timeout: '1s' })
  await bench.clock.advance(1_100)
  await Promise.all([idle, stopped])
  expect(engine.health.status).toBe('stopped')
})

test('jobs of one millisecond are listed in the order of their submits', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const ids: string[] = []
  for (let n = 0; n < 50; n++) ids.push((await ada.submit(type, n)).id)
  expect((await ada.list({ limit: 50 })).items.map(({ id }) => id)).toEqual(ids.reverse())
})
