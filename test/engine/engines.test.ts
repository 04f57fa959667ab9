import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { type VirtualClock, virtualClock } from 'jobchart/testing'
import { expect, test } from 'vitest'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

test('two engines of one storage share the work, and no task runs twice', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type], concurrency: 2 })
  const two = await bench.start({ jobs: [type], concurrency: 2 })
  for (let index = 0; index < 20; index++) await one.ada.submit(type, index)
  await bench.clock.advance(200)
  expect(one.engine.running()).toHaveLength(2)
  expect(two.engine.running()).toHaveLength(2)
  for (let ended = 0; ended < 20; ended++) {
    work.run(ended).finish()
    await bench.clock.advance(200)
  }
  const inputs = work.runs.map(({ context }) => Number(context.input)).sort((a, b) => a - b)
  expect(inputs).toEqual(Array.from({ length: 20 }, (_, index) => index))
  expect((await two.ada.list({ phase: 'settled', limit: 100 })).items).toHaveLength(20)
})

test('I29 a cancel on another engine reaches the code after one poll', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type], work: false })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.advance(100)
  await two.ada.cancel(id)
  expect(work.run().context.signal.aborted).toBe(false)
  await bench.clock.advance(100)
  expect(work.run().context.signal.aborted).toBe(true)
  work.run().finish()
  await bench.clock.settle()
  expect((await bench.row(id)).tasks).toEqual([])
})

test('work that ends before its engine hears of a cancel on another engine ends by the stored row, at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type], work: false })
  const { id } = await one.ada.submit(type, 1)
  await two.ada.cancel(id)
  const commits = one.faults.calls('commit')
  work.run().finish('late')
  await bench.clock.settle()
  expect(await bench.row(id)).toMatchObject({ status: 'cancelled', tasks: [] })
  expect(one.faults.calls('commit') - commits).toBe(2)
})

test.each(['cancel', 'delete', 'replace'] as const)(
  '%s of a job that ended on another engine, and whose code still runs here, is answered from its row, at once',
  async (how) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute, killGrace: 0 })
    const one = await bench.start({ jobs: [type], poll: '1h', sweep: '1h' })
    const two = await bench.start({ jobs: [type], work: false })
    const { id } = await one.ada.submit(type, 1, { pipeline: 'p' })
    await two.ada.cancel(id)
    const asked = {
      cancel: () => one.ada.cancel(id),
      delete: () => one.ada.delete(id),
      replace: () => one.ada.submit(type, 2, { pipeline: 'p', overlap: 'replace' }),
    }
    const code = codeOf(asked[how]())
    await bench.clock.settle()
    expect(await code).toBe(how === 'cancel' ? 'ALREADY_SETTLED' : 'ok')
  },
)

test.each(['events', 'get'] as const)(
  'I18 a cancel on another engine reaches the code also if %s fails at that poll',
  async (method) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const one = await bench.start({ jobs: [type] })
    const two = await bench.start({ jobs: [type], work: false })
    const { id } = await one.ada.submit(type, 1)
    await bench.clock.advance(100)
    await two.ada.cancel(id)
    one.faults.plan(method, 'refused')
    // One heartbeat and one poll.
    await bench.clock.advance(2_100)
    expect(work.run().context.signal.aborted).toBe(true)
  },
)

test('I36 a caller who waits for a result on another engine gets it after one poll, even if that poll fails once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  // Without a sweep, only the poll makes the others read the row.
  const one = await bench.start({ jobs: [type], sweep: '1h' })
  const two = await bench.start({ jobs: [type], sweep: '1h', work: false })
  for (const fails of [false, true]) {
    const { id } = await one.ada.submit(type, 1)
    let status = 'waits'
    void two.ada.result(id).then((view) => {
      status = view.status
    })
    await bench.clock.advance(200)
    if (fails) two.faults.plan('events', 'refused')
    work.run().finish()
    await bench.clock.advance(fails ? 2_100 : 100)
    expect({ fails, status }).toEqual({ fails, status: 'completed' })
  }
})

test('an engine’s listeners hear only its own commits, with sequence numbers of the whole log', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type] })
  const mine = await one.ada.submit(type, 1)
  const theirs = await two.ada.submit(type, 2)
  await bench.clock.advance(1_000)
  expect(new Set(one.heard.map(({ jobId }) => jobId))).toEqual(new Set([mine.id]))
  expect(new Set(two.heard.map(({ jobId }) => jobId))).toEqual(new Set([theirs.id]))
  const numbers = [...one.heard, ...two.heard].map(({ sequence }) => sequence).sort((a, b) => a - b)
  expect(numbers).toEqual(numbers.map((_, index) => index + 1))
})

test('an engine that does not work submits, commands and reads, and never runs code', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine, faults } = await bench.start({ jobs: [type], work: false })
  const { id, status } = await ada.submit(type, 1)
  await bench.clock.advance(30_000)
  await engine.idle()
  expect([status, work.runs.length, faults.calls('claim'), engine.running()]).toEqual(['queued', 0, 0, []])
  expect((await ada.cancel(id)).status).toBe('cancelled')
})

test('a task made available by one engine is claimed by another with room after one poll', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const face = await bench.start({ jobs: [type], work: false })
  const { id } = await face.ada.submit(type, 1)
  const worker = await bench.start({ jobs: [type] })
  expect(worker.engine.running()).toEqual([id])
  work.run().finish()
  await bench.clock.settle()
  const second = await face.ada.submit(type, 2)
  await bench.clock.advance(100)
  expect(worker.engine.running()).toEqual([second.id])
})

test('I14 a pipeline has one slot over all engines', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type] })
  const codes = await Promise.all(
    [one, two, one, two].map(({ ada }, index) => codeOf(ada.submit(type, index, { pipeline: 'p' }))),
  )
  expect(codes.filter((code) => code === 'ok')).toHaveLength(1)
  expect(codes.filter((code) => code === 'ALREADY_RUNNING')).toHaveLength(3)
})

test('I4 reading an older row does not stop the attempt that a newer row has started', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type], work: false })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.advance(100)
  // The other engine writes, so that the next poll reads the row of the running job; that read is slow.
  let answer = () => {}
  one.faults.plan(
    'get',
    new Promise<void>((resolve) => {
      answer = resolve
    }),
  )
  await two.ada.submit(type, 2)
  work.run(0).context.progress({ completed: 1 })
  await bench.clock.advance(100)
  work.run(0).fail(new Error('again'))
  await bench.clock.advance(100)
  const retried = work.runs.findIndex(({ context }) => context.job.id === id && context.attempt === 2)
  answer()
  await bench.clock.settle()
  expect(work.run(retried).context.signal.aborted).toBe(false)
})

test('I4 reading older rows does not restart ended work', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  // After a failed claim the next sweep reads the tasks that are held here; that read is slow.
  let answer = () => {}
  faults.plan('claim', 'refused')
  faults.plan(
    'held',
    new Promise<void>((resolve) => {
      answer = resolve
    }),
  )
  await bench.clock.advance(2_000)
  work.run().finish()
  await bench.clock.settle()
  answer()
  await bench.clock.settle()
  expect(work.runs).toHaveLength(1)
})

test('I35 of two simultaneous submits of one key at two engines one is stored', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const hosts = [await bench.start({ jobs: [type] }), await bench.start({ jobs: [type] })]
  const jobs = await Promise.all(hosts.map(({ ada }) => ada.submit(type, 1, { idempotencyKey: 'k' })))
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
})

test('a new job whose id another engine has drawn too is refused, and the error says why', async () => {
  const type = defineJob({ type: 'w', execute: () => 1 })
  const storage = memoryStorage()
  const engineWith = (clock: VirtualClock) => createEngine({ jobs: [type], storage, clock, work: false })
  const clocks = [virtualClock(), virtualClock()] as const
  const [one, two] = [await engineWith(clocks[0]), await engineWith(clocks[1])]
  const sessions = [one.as({ id: 'ada', role: 'editor' }), two.as({ id: 'ada', role: 'editor' })] as const
  const { id } = await sessions[0].submit(type)
  const error = await errorOf(sessions[1].submit(type))
  expect(error).toMatchObject({ code: 'INVALID_DEFINITION' })
  expect(error.message).toContain(`has the id ${id}, which another job has: two engines draw the same ids`)
  const next = await sessions[0].submit(type)
  expect((await errorOf(sessions[1].submitMany([{ type }], { atomic: true }))).message).toContain(next.id)
  await one.stop()
  await two.stop()
})
