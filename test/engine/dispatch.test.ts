import { defineJob, type Executor, queueExecutor } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, type HostOptions, Work } from './bench.ts'

test('I15 no more tasks run at once than the executor has places, and a backlog of 1,000 drains', async () => {
  const bench = new Bench()
  let running = 0
  let most = 0
  const order: number[] = []
  const type = defineJob({
    type: 'w',
    execute: async ({ input }) => {
      most = Math.max(most, ++running)
      order.push(Number(input))
      await new Promise<void>((resume) => bench.clock.turn(resume))
      running--
    },
  })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 3 })
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => ada.submit(type, index)))
  await engine.idle()
  expect(most).toBe(3)
  // I38: in the order of their submits, because nothing else differs.
  expect(order).toEqual(Array.from({ length: 1_000 }, (_, index) => index))
  expect((await ada.list({ phase: 'active' })).items).toEqual([])
})

test('I15 nor are more tasks claimed, if people are told of each claim', async () => {
  const bench = new Bench()
  let most = 0
  const execute = async () => {
    most = Math.max(most, engine.running().length)
    await new Promise<void>((resume) => bench.clock.turn(resume))
  }
  const told = { name: 'begun', on: { status: 'running' }, channels: ['inApp'], audience: 'creator' } as const
  const jobs = [defineJob({ type: 'told', notify: [told], execute }), defineJob({ type: 'quiet', execute })]
  const { ada, engine } = await bench.start({ jobs, concurrency: 3 })
  const all = Array.from({ length: 300 }, (_, index) => ({ type: index % 3 === 0 ? 'quiet' : 'told' }))
  await ada.submitMany(all)
  await ada.submitMany(all)
  await engine.idle()
  expect(most).toBe(3)
  expect(await ada.count({ outcome: 'success' })).toBe(600)
  expect((await ada.notifications.list({ limit: 1 })).items).toMatchObject([{ rule: 'begun' }])
})

test('I38 a higher priority goes first, then the earlier submit', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const other = defineJob({ type: 'o', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type, other], concurrency: 1 })
  await ada.submit(type, 'first')
  for (const priority of [0, -5, 7, 0, 7]) {
    await bench.clock.advance(1)
    await ada.submit(priority === 0 ? other : type, priority, { priority })
  }
  for (let ended = 0; ended < 6; ended++) {
    work.run(ended).finish()
    await bench.clock.settle()
  }
  expect(work.runs.map(({ context }) => context.input)).toEqual(['first', 7, 7, 0, 0, -5])
})

test('I38 a job that could be claimed with its submit waits for jobs that were ready before', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const worker = await bench.start({ jobs: [type], concurrency: 1 })
  const face = await bench.start({ jobs: [type], work: false })
  await face.ada.submit(type, 'first')
  // The worker has room, but has not polled yet.
  await worker.ada.submit(type, 'second')
  await bench.clock.settle()
  expect(work.runs.map(({ context }) => context.input)).toEqual(['first'])
})

test('a task runs on the executor that it names, and a full executor does not delay another', async () => {
  const bench = new Bench()
  const work = new Work()
  const slow = defineJob({ type: 'slow', executor: 'slow', execute: work.execute })
  const fast = defineJob({ type: 'fast', execute: () => 'done' })
  const { ada, engine } = await bench.start({
    jobs: [slow, fast],
    executors: { slow: queueExecutor({ concurrency: 1 }) },
  })
  await ada.submit(slow, 1)
  await ada.submit(slow, 2)
  const { id } = await ada.submit(fast, 3)
  await bench.clock.settle()
  expect([(await ada.get(id)).status, work.runs.length]).toEqual(['completed', 1])
  work.run().finish()
  await bench.clock.settle()
  expect(work.runs).toHaveLength(2)
  work.run().finish()
  await engine.idle()
})

test('idle resolves only when no task is ready or running and no write is pending', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 1 })
  let isIdle = false
  const wait = () => {
    isIdle = false
    void engine.idle().then(() => {
      isIdle = true
    })
  }
  wait()
  await bench.clock.settle()
  expect(isIdle).toBe(true)
  const submitted = [ada.submit(type, 1), ada.submit(type, 2)]
  wait()
  await Promise.all(submitted)
  await bench.clock.advance(5_000)
  expect(isIdle).toBe(false)
  work.run().finish()
  await bench.clock.advance(5_000)
  expect([isIdle, work.runs.length]).toEqual([false, 2])
  work.run().finish()
  await bench.clock.settle()
  expect(isIdle).toBe(true)
})

test('idle waits for code that is stopping, but not for abandoned code', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await ada.cancel(id)
  let isIdle = false
  void engine.idle().then(() => {
    isIdle = true
  })
  await bench.clock.advance(4_999)
  expect(isIdle).toBe(false)
  await bench.clock.advance(1)
  expect(isIdle).toBe(true)
})

test('idle does not resolve after a failed claim while ready tasks still wait', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const face = await bench.start({ jobs: [type], work: false })
  const worker = await bench.start({ jobs: [type] })
  const { id } = await face.ada.submit(type, 1)
  worker.faults.plan('claim', 'refused')
  let status = 'waits'
  void worker.engine.idle().then(async () => {
    status = (await worker.ada.get(id)).status
  })
  await bench.clock.settle()
  expect(['waits', 'completed']).toContain(status)
  await bench.clock.advance(3_000)
  expect(status).toBe('completed')
})

const unruly: readonly (readonly [string, Partial<Executor>])[] = [
  ['start throws', { start: () => raise() }],
  ['start rejects', { start: async () => raise() }],
  ['room throws', { room: () => raise() }],
]

function raise(): never {
  throw new Error('the executor is broken')
}

test.each(unruly)(
  'an executor that breaks the contract of its port harms no job of another executor: %s',
  { timeout: 5_000 },
  async (_, broken) => {
    const bench = new Bench()
    const executors = { odd: { ...queueExecutor(), ...broken } }
    const odd = defineJob({ type: 'odd', executor: 'odd', execute: () => 1 })
    const plain = defineJob({ type: 'plain', execute: () => 'done' })
    const { ada } = await bench.start({ jobs: [odd, plain], executors })
    expect(await codeOf(ada.submit(odd, 1))).toBe('ok')
    const { id } = await ada.submit(plain, 2)
    await bench.clock.advance(2_000)
    expect((await ada.get(id)).output).toBe('done')
  },
)

test('running names the jobs whose code runs here', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 1 })
  expect(engine.running()).toEqual([])
  const { id } = await ada.submit(type, 1)
  await ada.submit(type, 2)
  expect(engine.running()).toEqual([id])
})

const bad: readonly (readonly [string, Partial<HostOptions>])[] = [
  ['an executor that is not there', { jobs: [defineJob({ type: 'w', executor: 'gpu', execute: () => 1 })] }],
  ['an executor of an inherited name', { jobs: [defineJob({ type: 'w', executor: 'toString', execute: () => 1 })] }],
  [
    'one type twice',
    { jobs: [defineJob({ type: 'w', execute: () => 1 }), defineJob({ type: 'w', execute: () => 2 })] },
  ],
  ['ids of no kind', { ids: 'serial' as 'uuidv4' }],
  ['maxAbandoned of 0', { maxAbandoned: 0 }],
  ['a poll that is no duration', { poll: 'often' }],
  ['a negative sweep', { sweep: -1 }],
  ['a death before the next heartbeat', { heartbeat: '2s', deadAfter: '2s' }],
]

test.each(bad)('an invalid option is refused before anything is opened: %s', async (_, options) => {
  const bench = new Bench()
  await expect(bench.start({ jobs: [], ...options })).rejects.toMatchObject({ code: 'INVALID_DEFINITION' })
})
