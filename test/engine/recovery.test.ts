import { defineJob, queueExecutor, type Storage, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'

test('I47 the next start takes over the tasks of a dead engine at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1, { pipeline: 'p' })
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  expect([two.engine.running(), work.run().context.attempt]).toEqual([[id], 2])
  expect(two.heard.map(({ type }) => type)).toEqual([])
  expect((await two.ada.history(id)).map(({ to, reason }) => [to, reason])).toEqual([
    ['queued', undefined],
    ['running', undefined],
    ['queued', 'its process died'],
    ['running', undefined],
  ])
  work.run().finish('done')
  work.run(0).finish('from the grave')
  await bench.clock.advance(1_000)
  expect((await two.ada.get(id)).output).toBe('done')
})

test('I47 the sweep of a living engine takes over the tasks of a dead one', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type] })
  const jobs = await Promise.all([one.ada.submit(type, 1), one.ada.submit(type, 2)])
  await one.crash()
  await bench.clock.advance(1_000)
  expect(new Set(two.engine.running())).toEqual(new Set(jobs.map(({ id }) => id)))
  expect(two.heard.filter(({ type }) => type === 'task.lost')).toHaveLength(2)
})

test('an engine that does not work takes tasks over too, for others to run', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  await one.crash()
  const two = await bench.start({ jobs: [type], work: false })
  expect([(await two.ada.get(id)).status, work.runs.length]).toEqual(['queued', 1])
  await bench.start({ jobs: [type] })
  expect(work.runs).toHaveLength(2)
})

test('with deadAfter, a frozen engine loses its tasks after that time, learns it when it thaws, and its late reports are stale', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  const two = await bench.start({ jobs: [type], deadAfter: '10s' })
  one.faults.isMute = true
  await bench.clock.advance(10_000)
  expect(two.engine.running()).toEqual([])
  await bench.clock.advance(2_000)
  expect(two.engine.running()).toEqual([id])
  expect(work.run(0).context.signal.aborted).toBe(true)
  const before = await bench.row(id)
  work.run(0).context.progress({ completed: 5 })
  work.run(0).context.log('late')
  work.run(0).finish('late')
  await bench.clock.advance(1_000)
  expect(await bench.row(id)).toEqual(before)
  work.run(1).finish('in time')
  await bench.clock.settle()
  expect((await two.ada.get(id)).output).toBe('in time')
})

test('I19 tasks that a thawed engine claims are recovered too if it dies before its next heartbeat', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type], work: false, deadAfter: '10s' })
  one.faults.isMute = true
  // The other engine declares it dead and forgets it.
  await bench.clock.advance(12_000)
  const { id } = await one.ada.submit(type, 1)
  expect(one.engine.running()).toEqual([id])
  await one.crash()
  await bench.clock.advance(20_000)
  expect((await two.ada.get(id)).status).toBe('queued')
})

test("recovery 'fail' ends the job as TASK_LOST instead", async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', recovery: 'fail', retry: { limit: 3 }, execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await bench.clock.advance(60_000)
  expect(await two.ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'TASK_LOST' } })
  expect(work.runs).toHaveLength(1)
})

test('I20 work that crashes its process three times in a row is POISON, and not tried again', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (const attempt of [1, 2, 3]) {
    expect(work.run().context.attempt).toBe(attempt)
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  expect(await host.ada.get(id)).toMatchObject({ status: 'failed', outcome: 'failure', error: { code: 'POISON' } })
  expect(work.runs).toHaveLength(3)
})

test('work whose process was ended by a signal each time is not poison, and the log names the reason', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  // As a storage reports an engine whose process was ended by SIGTERM.
  const ended: Storage = {
    open: async (host) => {
      const connection = await bench.disk.open(host)
      const others = async () => (await connection.others()).map((other) => ({ ...other, isEnded: other.isGone }))
      return { ...connection, others }
    },
  }
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (let end = 0; end < 4; end++) {
    await host.crash()
    host = await bench.start({ jobs: [type] }, new FaultyStorage(ended))
  }
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'claimed', attempt: 5, losses: 4, crashes: 0 }])
  const lost = (await bench.log(id)).flatMap(({ events }) => events).filter(({ type }) => type === 'task.lost')
  expect(lost).toMatchObject(Array(4).fill({ reason: 'its process was ended' }))
})

test('I36 a suspect that waits until another one ends is not requested repeatedly', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  let asked = 0
  // There is far more room than work. The loop ends if it makes too many requests, or no other code would run.
  const roomy = { ...queueExecutor({ concurrency: 500 }), room: () => (asked++ < 5_000 ? 500 : 0) }
  let host = await bench.start({ jobs: [type], executors: { default: roomy } })
  const jobs = await Promise.all([1, 2].map((input) => host.ada.submit(type, input)))
  for (let crash = 0; crash < 2; crash++) {
    await host.crash()
    host = await bench.start({ jobs: [type], executors: { default: roomy } })
  }
  await bench.clock.advance(2_000)
  expect(host.engine.running()).toHaveLength(1)
  expect(asked).toBeLessThan(500)
  work.run().finish()
  await bench.clock.settle()
  work.run().finish()
  await bench.clock.settle()
  const ends = await Promise.all(jobs.map(async ({ id }) => (await host.ada.get(id)).status))
  expect(ends).toEqual(['completed', 'completed'])
})

test('work that records a further step each time is not poison', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({
    type: 'w',
    execute: async (context) => {
      for (let part = 1; part <= context.attempt; part++) await context.step(`part ${part}`, () => part)
      return await work.execute(context)
    },
  })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (let crash = 0; crash < 6; crash++) {
    await bench.clock.settle()
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  await bench.clock.settle()
  work.run().finish('at last')
  await bench.clock.settle()
  expect((await host.ada.get(id)).output).toBe('at last')
})

test('lost attempts do not use up the retries', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (let crash = 0; crash < 2; crash++) {
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  work.run().fail(new Error('first failure'))
  await bench.clock.advance(1_000)
  expect(work.run().context.attempt).toBe(4)
  work.run().fail(new Error('second failure'))
  await bench.clock.settle()
  expect((await host.ada.get(id)).error?.message).toBe('second failure')
})

test('a chart that names task.lost hears of it, and decides', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done' }, on: { 'task.lost': 'stranded' } },
      stranded: { tags: ['indeterminate'] },
      done: { type: 'final' },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  expect(await two.ada.get(id)).toMatchObject({ status: 'stranded', phase: 'indeterminate' })
  expect((await bench.row(id)).tasks).toEqual([])
  expect(work.runs).toHaveLength(1)
})

test('a machine with a wildcard is not moved by events of the executor', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done' }, on: { '*': 'surprised', 'task.*': 'surprised' } },
      surprised: {},
      done: { type: 'final' },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  expect((await two.ada.get(id)).status).toBe('working')
  work.run().finish()
  await bench.clock.settle()
  expect((await two.ada.get(id)).status).toBe('done')
})

test('I14 a cancelled job whose process died frees its slot at the next sweep', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 'never', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1, { pipeline: 'p' })
  await one.ada.cancel(id)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  expect(await codeOf(two.ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
  expect((await two.ada.get(id)).status).toBe('cancelled')
})

test('jobs of an unknown type are left for an engine that knows it', async () => {
  const bench = new Bench()
  const work = new Work()
  const known = defineJob({ type: 'known', execute: work.execute })
  const unknown = defineJob({ type: 'unknown', execute: work.execute })
  const one = await bench.start({ jobs: [known, unknown] })
  const held = await one.ada.submit(unknown, 'held')
  const own = await one.ada.submit(known, 'own')
  await one.crash()
  const before = await bench.row(held.id)
  const two = await bench.start({ jobs: [known] })
  await bench.clock.advance(20_000)
  expect(await bench.row(held.id)).toEqual(before)
  expect(two.engine.running()).toEqual([own.id])
  expect((await two.ada.get(held.id)).status).toBe('running')
  expect(await codeOf(two.ada.cancel(held.id))).toBe('UNKNOWN_TYPE')
  const three = await bench.start({ jobs: [known, unknown] })
  expect(three.engine.running()).toEqual([held.id])
})

// The other engine's heartbeat is every 2 s, and it is checked every second: sometimes there is no beat since the last
// check.
test.each([3_000, 4_000, 5_000])(
  'I17 a process suspended while it checked the others, after %i ms, declares none dead',
  async (ms) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const looking = await bench.start({ jobs: [type], work: false, deadAfter: '10s' })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await bench.clock.advance(ms)
    let goOn = () => {}
    looking.faults.plan(
      'others',
      new Promise<void>((resolve) => {
        goOn = resolve
      }),
    )
    await bench.clock.advance(20_000)
    goOn()
    await bench.clock.advance(3_000)
    expect((await bench.row(id)).tasks).toMatchObject([{ status: 'claimed', attempt: 1, losses: 0 }])
  },
)

test('an engine that is silent while its process lives keeps its work, and health and explain say since when', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1, { pipeline: 'p' })
  const two = await bench.start({ jobs: [type] })
  await bench.clock.advance(4_000)
  expect([two.engine.health.silent, one.engine.health.silent]).toEqual([undefined, undefined])
  one.faults.isMute = true
  await bench.clock.advance(9_000)
  expect(two.engine.health.silent).toBe(undefined)
  await bench.clock.advance(600_000)
  const since = expect.any(String)
  expect(two.engine.health).toMatchObject({ status: 'ok', silent: [{ instance: expect.any(String), since }] })
  expect(await two.ada.explain(id)).toEqual([
    { kind: 'running', task: 'execute', attempt: 1 },
    { kind: 'silent', task: 'execute', since },
  ])
  const own = await two.ada.submit(type, 3)
  await bench.clock.settle()
  expect(await two.ada.explain(own.id)).toEqual([{ kind: 'running', task: 'execute', attempt: 1 }])
  await two.ada.delete(own.id)
  work.runs.pop()?.finish()
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'claimed', attempt: 1, losses: 0 }])
  expect(await codeOf(two.ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  expect([two.engine.running(), work.runs.length]).toEqual([[], 1])
  one.faults.isMute = false
  await bench.clock.advance(4_000)
  expect([two.engine.health.silent, (await two.ada.explain(id)).length]).toEqual([undefined, 1])
  work.run().finish('at last')
  await bench.clock.settle()
  expect((await two.ada.get(id)).output).toBe('at last')
})

test('tasks that deadAfter takes from a living engine do not count towards POISON, and are not reported as a death', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const options = { jobs: [type], deadAfter: '5s', heartbeat: '1s' }
  const one = await bench.start(options)
  const { id } = await one.ada.submit(type, 1)
  let held = one
  for (let loss = 1; loss <= 5; loss++) {
    const next = await bench.start(options)
    held.faults.isMute = true
    await bench.clock.advance(8_000)
    expect(next.engine.running()).toEqual([id])
    held = next
  }
  expect((await bench.row(id)).tasks).toMatchObject([{ attempt: 6, losses: 5, crashes: 0 }])
  const lost = (await bench.log(id)).flatMap(({ events }) => events).filter(({ type }) => type === 'task.lost')
  expect(new Set(lost.map((event) => ('reason' in event ? event.reason : '')))).toEqual(
    new Set(['its engine was silent for longer than deadAfter']),
  )
  work.run().finish('done')
  await bench.clock.settle()
  expect((await held.ada.get(id)).output).toBe('done')
})

test('a death after losses that do not count is the first towards POISON', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  const two = await bench.start({ jobs: [type], deadAfter: '5s' })
  one.faults.isMute = true
  await bench.clock.advance(8_000)
  await two.crash()
  one.faults.isMute = false
  await bench.clock.advance(2_000)
  expect((await bench.row(id)).tasks).toMatchObject([{ losses: 2, crashes: 1 }])
})

test('work that records a further item each time is not poison', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({
    type: 'w',
    execute: async (context) => {
      await context.item(`row ${context.attempt}`)
      return await work.execute(context)
    },
  })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (let crash = 0; crash < 6; crash++) {
    await bench.clock.settle()
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  await bench.clock.settle()
  work.run().finish('at last')
  await bench.clock.settle()
  expect((await host.ada.get(id)).output).toBe('at last')
})

test('work that reports the same items each time makes no progress, and is poison', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({
    type: 'w',
    execute: async (context) => {
      for (const key of ['a', 'b']) await context.item(key)
      return await work.execute(context)
    },
  })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  for (let crash = 0; crash < 4; crash++) {
    await bench.clock.settle()
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  await bench.clock.settle()
  expect((await host.ada.get(id)).error).toMatchObject({ code: 'POISON' })
})

test('a wall clock that steps back makes no engine silent, and loses no work', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', timeout: '1h', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  const two = await bench.start({ jobs: [type], deadAfter: '10s' })
  bench.clock.jump(-86_400_000)
  await bench.clock.advance(60_000)
  bench.clock.jump(2 * 86_400_000)
  await bench.clock.advance(2_000)
  expect(two.engine.health.silent).toBe(undefined)
  const [task] = (await bench.row(id)).tasks
  expect(task).toMatchObject({ losses: 0 })
})
