import { createEngine, defineJob, memoryStorage, type Policy, queueExecutor, type Storage, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, type Host, textsOf, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'
import { passing } from './passing-storage.ts'

/** Stops an engine while time passes. Returns the time at which it had stopped. */
async function stop(bench: Bench, { engine }: Host, timeout: number): Promise<number> {
  const start = bench.clock.now()
  let ended = -1
  void engine.stop({ timeout }).then(() => {
    ended = bench.clock.now() - start
  })
  await bench.clock.advance(timeout)
  return ended
}

test('I45 a stop lets running work finish and claims nothing more', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type], concurrency: 1 })
  const first = await host.ada.submit(type, 1)
  const second = await host.ada.submit(type, 2)
  let isStopped = false
  void host.engine.stop().then(() => {
    isStopped = true
  })
  await bench.clock.advance(5_000)
  expect([isStopped, work.run().context.signal.aborted]).toEqual([false, false])
  work.run().finish('done')
  await bench.clock.settle()
  expect([isStopped, work.runs.length]).toEqual([true, 1])
  expect((await bench.row(first.id)).status).toBe('completed')
  expect((await bench.row(second.id)).status).toBe('queued')
  expect(bench.clock.pendingTimers()).toBe(0)
})

test('I45 work that has not finished by the timeout is given back uncounted, and its code is signalled', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1, { pipeline: 'p' })
  expect(await stop(bench, host, 3_000)).toBe(3_000)
  expect(work.run().context.signal.aborted).toBe(true)
  expect(work.run().context.signal.reason).toMatchObject({ code: 'ENGINE_STOPPED' })
  expect(bench.clock.pendingTimers()).toBe(0)
  const next = await bench.start({ jobs: [type] })
  expect(work.run().context.attempt).toBe(1)
  // The late end of the old code is stale, with any result.
  const before = await bench.row(id)
  work.run(0).fail(new Error('aborted'))
  await bench.clock.advance(1_000)
  expect(await bench.row(id)).toEqual(before)
  work.run(1).fail(new Error('first failure'))
  await bench.clock.advance(1_000)
  expect(work.run().context.attempt).toBe(2)
  work.run().finish('done')
  await bench.clock.settle()
  expect((await next.ada.get(id)).output).toBe('done')
})

test('work that is given back keeps its place before what waits', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type], concurrency: 1 })
  for (const n of [1, 2, 3]) {
    await host.ada.submit(type, n)
    await bench.clock.advance(1_000)
  }
  await stop(bench, host, 3_000)
  await bench.start({ jobs: [type], concurrency: 1 })
  for (let run = 1; run <= 3; run++) {
    work.run(run).finish('done')
    await bench.clock.settle()
  }
  expect(work.runs.map(({ context }) => context.input)).toEqual([1, 1, 2, 3])
})

test('the last lines and progress of work that is given back are stored', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  work.run().context.progress({ completed: 1, total: 3 })
  await bench.clock.settle()
  const stopping = host.engine.stop({ timeout: 100 })
  await bench.clock.advance(99)
  work.run().context.progress({ completed: 2 })
  work.run().context.log('so far')
  await bench.clock.advance(1)
  await stopping
  expect(bench.clock.pendingTimers()).toBe(0)
  const next = await bench.start({ jobs: [type], work: false })
  expect((await next.ada.get(id)).progress?.completed).toBe(2)
  expect(await textsOf(next.ada.logs(id))).toEqual(['so far'])
})

test('I46 a stop without running work resolves at once, and leaves no timer', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await engine.idle()
  await engine.stop()
  expect(bench.clock.pendingTimers()).toBe(0)
})

test('a stop ends the wait for idle, although work is left', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: new Work().execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await bench.clock.settle()
  let isIdle = false
  const idle = engine.idle().then(() => {
    isIdle = true
  })
  await bench.clock.advance(1_000)
  expect(isIdle).toBe(false)
  await engine.stop({ timeout: 0 })
  await idle
  expect(isIdle).toBe(true)
})

test('idle resolves with a storage whose commits take many turns of the event loop', async () => {
  const memory = memoryStorage()
  const storage: Storage = {
    open: async (host) =>
      passing(await memory.open(host), async (method, run) => {
        const turns = method === 'commit' || method === 'claim' ? 10 : 0
        for (let turn = 0; turn < turns; turn++) await new Promise((resume) => setImmediate(resume))
        return run()
      }),
  }
  const type = defineJob({ type: 'w', execute: () => 1 })
  const engine = await createEngine({ jobs: [type], storage })
  const { id } = await engine.system.submit(type, undefined)
  await engine.idle()
  expect((await engine.system.get(id)).output).toBe(1)
  await engine.stop()
})

test('I46 no timer remains after a stop, whatever was in progress', async () => {
  const bench = new Bench()
  const work = new Work()
  const silent: Policy = {
    authorize: (_, action) => (action === 'history' ? new Promise(() => {}) : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const type = defineJob({ type: 'w', retry: { limit: 5, backoff: '1h' }, execute: work.execute })
  const host = await bench.start({ jobs: [type], policy: silent })
  const retried = await host.ada.submit(type, 'retried')
  work.run().fail(new Error('again'))
  await host.ada.submit(type, 'reporting')
  const asking = codeOf(host.ada.history(retried.id))
  const stopping = host.engine.stop({ timeout: 1_000 })
  await bench.clock.advance(900)
  work.run(1).context.progress({ completed: 1 })
  await bench.clock.advance(100)
  await stopping
  expect(bench.clock.pendingTimers()).toBe(0)
  expect(['ENGINE_STOPPED', 'JOB_NOT_FOUND']).toContain(await asking)
})

test('I45 stop may be called repeatedly, also at the same time', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  const both = Promise.all([engine.stop({ timeout: 500 }), engine.stop({ timeout: 60_000 })])
  await bench.clock.advance(500)
  await both
  await engine.stop()
  await engine[Symbol.asyncDispose]()
  expect(bench.clock.pendingTimers()).toBe(0)
})

test('I46 a start after a stop resumes, with the listeners and sessions of before', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  await stop(bench, host, 0)
  expect(host.engine.running()).toEqual([])
  await host.engine.start()
  await host.engine.start()
  expect(host.engine.running()).toEqual([id])
  const before = host.heard.length
  work.run().finish('done')
  expect((await host.ada.result(id)).output).toBe('done')
  expect(host.heard.slice(before).map(({ type }) => type)).toEqual(['job.transitioned'])
})

test('after a stop every call is ENGINE_STOPPED, also a waiting result', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { ada, engine } = host
  const { id } = await ada.submit(type, 1)
  const waiting = [codeOf(ada.result(id)), codeOf(ada.result(id))]
  await bench.clock.settle()
  await stop(bench, host, 0)
  expect(await Promise.all(waiting)).toEqual(['ENGINE_STOPPED', 'ENGINE_STOPPED'])
  const calls = [
    ada.submit(type, 1),
    ada.get(id),
    ada.list(),
    ada.cancel(id),
    ada.send(id, { type: 'cancel' }),
    ada.history(id),
    textsOf(ada.logs(id)),
    ada.result(id),
    engine.idle(),
  ]
  expect(new Set(await Promise.all(calls.map(codeOf)))).toEqual(new Set(['ENGINE_STOPPED']))
})

test('a submit in progress when the stop begins is either stored or refused', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const submits = [1, 2, 3].map((input) => codeOf(ada.submit(type, input)))
  const stopping = engine.stop()
  const codes = await Promise.all(submits)
  await stopping
  const rows = await bench.log()
  expect(rows.filter(({ jobSequence }) => jobSequence === 1)).toHaveLength(codes.filter((code) => code === 'ok').length)
  for (const code of codes) expect(['ok', 'ENGINE_STOPPED', 'STORAGE_UNAVAILABLE']).toContain(code)
  expect(bench.clock.pendingTimers()).toBe(0)
})

test('I45 work claimed by a commit in progress when the stop begins finishes or is given back', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  for (const isQuick of [true, false]) {
    const host = await bench.start({ jobs: [type] })
    const answer = Promise.withResolvers<void>()
    host.faults.plan('commit', answer.promise)
    const submitted = host.ada.submit(type, 1)
    await bench.clock.settle()
    const stopped = host.engine.stop({ timeout: '5s' })
    await bench.clock.settle()
    answer.resolve()
    const { id } = await submitted
    await bench.clock.settle()
    if (isQuick) work.run().finish('done')
    await bench.clock.advance(5_000)
    await stopped
    const [task] = (await bench.row(id)).tasks
    expect(task).toEqual(isQuick ? undefined : expect.objectContaining({ status: 'available', attempt: 0 }))
  }
})

test('I46 work whose claim is answered after the stop is not begun, and belongs to the next engine', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const answer = Promise.withResolvers<void>()
  host.faults.plan('commit', answer.promise)
  const code = codeOf(host.ada.submit(type, 1))
  await bench.clock.settle()
  expect(await stop(bench, host, 2_000)).toBe(2_000)
  answer.resolve()
  await bench.clock.settle()
  expect([await code, work.runs.length]).toEqual(['ok', 0])
  await bench.start({ jobs: [type] })
  await bench.clock.settle()
  expect(work.runs).toHaveLength(1)
})

test('a stop ends by its deadline although the storage is down', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  host.faults.isDown = true
  work.run().finish('unheard')
  await bench.clock.settle()
  expect(await stop(bench, host, 2_000)).toBe(2_000)
  expect(bench.clock.pendingTimers()).toBe(0)
  const next = await bench.start({ jobs: [type] })
  work.run().finish('heard')
  await bench.clock.settle()
  expect((await next.ada.get(id)).output).toBe('heard')
})

test('abandoned code does not delay a stop, and its late end is ignored', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 0, execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  await host.ada.cancel(id)
  await bench.clock.advance(3_000)
  await host.engine.stop()
  const before = await bench.contents()
  work.run().finish('late')
  await bench.clock.settle()
  expect([await bench.contents(), bench.clock.pendingTimers()]).toEqual([before, 0])
})

test('I14 a stop while cancelled code still runs leaves its slot to the next engine’s recovery', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 'never', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1, { pipeline: 'p' })
  await host.ada.cancel(id)
  expect(await stop(bench, host, 1_000)).toBe(1_000)
  const next = await bench.start({ jobs: [type] })
  expect(await codeOf(next.ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
})

test('Symbol.asyncDispose stops the engine at the end of its block', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  let after: Host['ada'] | undefined
  {
    const { engine, ada } = await bench.start({ jobs: [type] })
    await using scoped = engine
    await ada.submit(type, 1)
    after = ada
    await scoped.idle()
  }
  expect(await codeOf(after.list())).toBe('ENGINE_STOPPED')
  expect(bench.clock.pendingTimers()).toBe(0)
})

test.each(['soon', -1, Number.NaN])(
  'a timeout that is no duration is refused, and the engine runs on: %s',
  async (timeout) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada, engine } = await bench.start({ jobs: [type] })
    expect(await codeOf(engine.stop({ timeout }))).toBe('INVALID_DEFINITION')
    expect(await codeOf(ada.submit(type, 1))).toBe('ok')
  },
)

test('I46 a start called during a stop begins after that stop', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const stopping = engine.stop()
  await engine.start()
  await stopping
  expect(await codeOf(ada.submit(type, 1))).toBe('ok')
})

test('I45 code that stops its own engine is given back by the deadline', async () => {
  const bench = new Bench()
  let host: Host | undefined
  const type = defineJob({ type: 'w', execute: async () => await host?.engine.stop({ timeout: '2s' }) })
  host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  await bench.clock.advance(2_000)
  expect(await codeOf(host.ada.list())).toBe('ENGINE_STOPPED')
  expect((await bench.row(id)).tasks.map(({ status, attempt }) => [status, attempt])).toEqual([['available', 0]])
})

test('I43 the number of timers returns to its baseline, whatever jobs have run', async () => {
  const bench = new Bench()
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: '100ms' },
    execute: async ({ progress, log, step, attempt, input }) => {
      progress({ completed: attempt })
      log('a line')
      await step('once', () => 1)
      if (attempt === 1 && input === 'again') throw new Error('again')
    },
  })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const baseline = bench.clock.pendingTimers()
  const jobs = await Promise.all(
    Array.from({ length: 60 }, (_, index) => ada.submit(type, index % 2 ? 'again' : 'once')),
  )
  const results = Promise.all(jobs.map(({ id }) => ada.result(id)))
  await codeOf(ada.cancel(jobs[0]?.id ?? ''))
  await bench.clock.advance(10_000)
  await results
  await engine.idle()
  expect(bench.clock.pendingTimers()).toBe(baseline)
})

test('I46 an engine whose storage cannot be closed has stopped, and can be started again', async () => {
  const bench = new Bench()
  const disk = { open: async (host: Parameters<typeof bench.disk.open>[0]) => unclosable(await bench.disk.open(host)) }
  const host = await bench.start({ jobs: [] }, new FaultyStorage(disk))
  await expect(host.engine.stop()).rejects.toThrow('cannot be closed')
  expect(() => host.engine.running()).not.toThrow()
  expect(await codeOf(host.ada.list())).toBe('ENGINE_STOPPED')
  await host.engine.start()
  expect((await host.ada.list()).items).toEqual([])
})

let closings = 0

function unclosable<Connection extends { readonly close: () => Promise<void> }>(connection: Connection): Connection {
  const close = async () => {
    await connection.close()
    if (closings++ === 0) throw new Error('the storage cannot be closed')
  }
  return { ...connection, close }
}

test('of several stops the earliest deadline wins: a second signal stops at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  const first = engine.stop({ timeout: '30d' })
  await bench.clock.advance(5_000)
  await Promise.all([engine.stop({ timeout: 0 }), first])
  expect(work.run().context.signal.reason).toMatchObject({ code: 'ENGINE_STOPPED' })
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'available', attempt: 0 }])
  expect(bench.clock.pendingTimers()).toBe(0)
})

test('a later stop with a longer timeout does not extend the first', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  await host.ada.submit(type, 1)
  const first = host.engine.stop({ timeout: 1_000 })
  await bench.clock.advance(900)
  const second = host.engine.stop({ timeout: 1_000 })
  await bench.clock.advance(100)
  await Promise.all([first, second])
  expect(bench.clock.pendingTimers()).toBe(0)
  // Each stop has its own timeouts.
  await host.engine.start()
  expect(await stop(bench, host, 3_000)).toBe(3_000)
})

test.each([undefined, 0, '1d'] as const)(
  'under a virtual clock, a stop with timeout %s needs nobody to move time',
  async (timeout) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada, engine } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    const before = bench.clock.now()
    await engine.stop(timeout === undefined ? {} : { timeout })
    expect(bench.clock.now()).toBe(before)
    expect((await bench.row(id)).tasks).toMatchObject([{ status: 'available', attempt: 0 }])
    expect(bench.clock.pendingTimers()).toBe(0)
  },
)

test('a chart that names task.released hears that its work was given back, and why', async () => {
  const bench = new Bench()
  const work = new Work()
  const reasons: unknown[] = []
  const machine = createMachine({
    initial: 'open',
    states: {
      open: {
        invoke: { id: 'work', src: 'work', onDone: 'done' },
        initial: 'waiting',
        states: {
          waiting: { on: { 'task.started': 'running' } },
          running: {
            on: { 'task.released': { target: 'waiting', actions: ({ event }) => reasons.push(event.reason) } },
          },
        },
      },
      done: { type: 'final' },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, undefined)
  expect((await bench.row(id)).state).toEqual({ open: 'running' })
  await stop(bench, host, 0)
  expect([(await bench.row(id)).state, reasons]).toEqual([{ open: 'waiting' }, ['its engine stopped']])
  await bench.start({ jobs: [type] })
  expect((await bench.row(id)).state).toEqual({ open: 'running' })
  work.run().finish()
  await bench.clock.settle()
  expect((await bench.row(id)).status).toBe('done')
})

test('a chart may leave its work by task.released: then no task is available again', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'open',
    states: { open: { invoke: { src: 'work' }, on: { 'task.released': 'stranded' } }, stranded: {} },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, undefined)
  await stop(bench, host, 0)
  expect(await bench.row(id)).toMatchObject({ status: 'stranded', tasks: [] })
})

test('a job of one function that was given back is queued again', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  await stop(bench, host, 0)
  expect((await bench.row(id)).status).toBe('queued')
})

test('executors are closed at the stop, and used again by the next start', async () => {
  const bench = new Bench()
  let closed = 0
  const own = { ...queueExecutor(), close: async () => void closed++ }
  const broken = { ...queueExecutor(), close: () => Promise.reject(new Error('cannot be closed')) }
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type], executors: { default: own, broken } })
  await engine.stop()
  expect(closed).toBe(1)
  await engine.start()
  const { id } = await ada.submit(type, 1)
  expect((await ada.result(id)).output).toBe(1)
  await engine.stop()
  expect(closed).toBe(2)
})

test('an executor that never closes delays a stop by its timeout at most', async () => {
  const bench = new Bench()
  const never = { ...queueExecutor(), close: () => new Promise<void>(() => {}) }
  const type = defineJob({ type: 'w', execute: () => 1 })
  const host = await bench.start({ jobs: [type], executors: { default: never } })
  expect(await stop(bench, host, 2_000)).toBe(2_000)
})

test('a storage that does not answer does not delay a stop forever', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  await host.ada.submit(type, 1)
  host.faults.plan('commit', new Promise(() => {}))
  host.faults.plan('held', new Promise(() => {}))
  let isStopped = false
  void host.engine.stop({ timeout: '1s' }).then(() => {
    isStopped = true
  })
  await bench.clock.advance(20_000)
  expect(isStopped).toBe(true)
})

test('a storage that does not close in time does not delay a stop forever', async () => {
  const bench = new Bench()
  let isHanging = true
  const disk = {
    open: async (host: Parameters<typeof bench.disk.open>[0]) => {
      const connection = await bench.disk.open(host)
      const close = () => (isHanging ? new Promise<void>(() => {}) : connection.close())
      return { ...connection, close }
    },
  }
  const host = await bench.start({ jobs: [] }, new FaultyStorage(disk))
  let isStopped = false
  void host.engine.stop().then(() => {
    isStopped = true
  })
  await bench.clock.advance(20_000)
  expect(isStopped).toBe(true)
  isHanging = false
})
