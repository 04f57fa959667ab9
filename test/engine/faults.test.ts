import { createEngine, defineJob, type JobEvent, type Storage, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, textsOf, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'
import { passing } from './passing-storage.ts'

const plain = defineJob({ type: 'plain', execute: () => 1 })

test('I2 a definite error rejects the submit, and nothing is stored, published or run', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults, heard } = await bench.start({ jobs: [type] })
  faults.plan('commit', 'refused')
  expect(await codeOf(ada.submit(type, 1, { pipeline: 'p', idempotencyKey: 'k' }))).toBe('STORAGE_UNAVAILABLE')
  await bench.clock.advance(2_000)
  expect([await bench.log(), heard, work.runs]).toEqual([[], [], []])
  // Neither the slot nor the key is used up, and the place is free again.
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p', idempotencyKey: 'k' }))).toBe('ok')
  expect(work.runs).toHaveLength(1)
})

test('I2 a refused claim frees its place: the executor still takes as many tasks as it has places', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type], concurrency: 2 })
  for (const fault of ['refused', 'unsent', 'refused', 'unsent'] as const) {
    faults.plan('commit', fault)
    if (fault === 'unsent') faults.plan('landed', 'refused')
    await codeOf(ada.submit(type, 'lost'))
  }
  await Promise.all([1, 2, 3].map((input) => ada.submit(type, input)))
  await bench.clock.advance(1_000)
  expect(work.runs.map(({ context }) => context.input)).toEqual([1, 2])
})

test('one bad changeset does not fail the others of its commit', async () => {
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [plain], work: false })
  // First the commit of all three is refused, then, of three single commits, the second one.
  faults.plan('commit', 'refused', Promise.resolve(), 'refused')
  const codes = await Promise.all([1, 2, 3].map((input) => codeOf(ada.submit(plain, input))))
  expect(codes).toEqual(['ok', 'STORAGE_UNAVAILABLE', 'ok'])
  expect((await ada.list()).items.map(({ input }) => input).sort()).toEqual([1, 3])
})

test('I2 a submit of unknown outcome that was stored resolves, and is stored once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults, heard } = await bench.start({ jobs: [type] })
  faults.plan('commit', 'unheard')
  const job = await ada.submit(type, 1)
  expect([job.status, work.runs.length, (await ada.list()).items.length]).toEqual(['running', 1, 1])
  expect(heard.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
})

test('an event of a commit whose answer was lost is published like any other', async () => {
  const bench = new Bench()
  const { ada, faults, heard } = await bench.start({ jobs: [plain], work: false })
  faults.plan('commit', 'unheard')
  await ada.submit(plain, 1)
  await ada.submit(plain, 2)
  const [unheard, other] = heard.map((event) => Object.keys(event).sort())
  expect(unheard).toEqual(other)
})

test('I2 a submit of unknown outcome that was not stored is repeated', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  faults.plan('commit', 'unsent')
  await ada.submit(type, 1)
  await bench.clock.settle()
  expect([work.runs.length, (await ada.list()).items.length]).toEqual([1, 1])
})

test('I2 each changeset of a commit of unknown outcome learns its own result', async () => {
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [plain], work: false })
  for (const fault of ['unheard', 'unsent'] as const) {
    faults.plan('commit', fault)
    await Promise.all([1, 2, 3].map((input) => ada.submit(plain, input, { labels: { fault } })))
    expect((await ada.list({ labels: { fault } })).items).toHaveLength(3)
  }
})

test('I2 an outcome is unknown only while the storage cannot be asked for it', async () => {
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [plain], work: false })
  // The answer of the second try is lost too, but `landed` could still tell.
  faults.plan('commit', 'unsent', 'unheard')
  expect(await codeOf(ada.submit(plain, 1))).toBe('ok')
  expect((await ada.list()).items).toHaveLength(1)
})

test('I2 an outcome that cannot be asked for is OUTCOME_UNKNOWN, with its cause', async () => {
  const bench = new Bench()
  const { ada, faults, heard } = await bench.start({ jobs: [plain] })
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  const error = await errorOf(ada.submit(plain, 1))
  expect([error.code, error.cause]).toEqual(['OUTCOME_UNKNOWN', expect.any(Error)])
  expect(heard).toEqual([])
})

test('I19 a job whose claim was stored but not answered is run by the next sweep', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  expect(await codeOf(ada.submit(type, 1, { idempotencyKey: 'k' }))).toBe('OUTCOME_UNKNOWN')
  const { id } = await ada.submit(type, 1, { idempotencyKey: 'k' })
  await bench.clock.advance(2_000)
  expect(work.runs).toHaveLength(1)
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('completed')
})

test('I4 a cancel that was stored but not answered reaches the code at the next sweep', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  expect(await codeOf(ada.cancel(id))).toBe('OUTCOME_UNKNOWN')
  expect(await codeOf(ada.cancel(id))).toBe('ALREADY_SETTLED')
  await bench.clock.advance(2_100)
  expect(work.run().context.signal.aborted).toBe(true)
})

test('I4 an end that was stored but not answered resolves the result and frees its place', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults, engine } = await bench.start({ jobs: [type], sweep: '1h' })
  const { id } = await ada.submit(type, 1)
  let status = 'waits'
  void ada.result(id).then((view) => {
    status = view.status
  })
  await bench.clock.settle()
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  work.run().finish()
  await bench.clock.advance(2_000)
  expect([status, engine.running()]).toEqual(['completed', []])
})

test('the end of an attempt survives 5 seconds without storage, with its last lines and progress', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  work.run().context.progress({ completed: 1, total: 3 })
  await bench.clock.settle()
  faults.isDown = true
  work.run().context.progress({ completed: 3 })
  work.run().context.log('the last line')
  work.run().finish('done')
  await bench.clock.advance(5_000)
  faults.isDown = false
  await bench.clock.advance(1_000)
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 'done', progress: { completed: 3 } })
  expect(await textsOf(ada.logs(id))).toEqual(['the last line'])
  expect(work.runs).toHaveLength(1)
})

test('progress and lines that the storage refused are written with the end', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  faults.isDown = true
  work.run().context.progress({ completed: 3, total: 3 })
  work.run().context.log('a line')
  await bench.clock.advance(1_000)
  faults.isDown = false
  work.run().finish('done')
  await bench.clock.settle()
  expect((await ada.get(id)).progress?.completed).toBe(3)
  expect(await textsOf(ada.logs(id))).toEqual(['a line'])
})

test.each(['refused', 'unsent', 'unheard'] as const)(
  'a job whose claim failed is claimed by the next sweep: %s',
  async (fault) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const face = await bench.start({ jobs: [type], work: false })
    const { engine, faults } = await bench.start({ jobs: [type] })
    const { id } = await face.ada.submit(type, 1)
    faults.plan('claim', fault)
    await bench.clock.advance(2_000)
    expect([work.runs.length, engine.running()]).toEqual([1, [id]])
    expect(work.run().context.attempt).toBe(1)
    work.run().finish()
    await bench.clock.advance(1_000)
    expect([(await face.ada.get(id)).status, work.runs.length]).toEqual(['completed', 1])
  },
)

test('a command is refused while the storage is down, and works when it is back', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  faults.isDown = true
  const calls = [ada.get(id), ada.list(), ada.cancel(id), ada.history(id), textsOf(ada.logs(id))]
  const codes = await Promise.all([...calls, ada.submit(type, 2)].map(codeOf))
  // A result of work that runs here is given without a read, until a call has failed.
  codes.push(await codeOf(ada.result(id)))
  expect(new Set(codes)).toEqual(new Set(['STORAGE_UNAVAILABLE']))
  await bench.clock.advance(30_000)
  expect(engine.running()).toEqual([id])
  faults.isDown = false
  expect((await ada.cancel(id)).status).toBe('cancelled')
})

test('I41 listeners hear of commits only, of each commit, and after it', async () => {
  const bench = new Bench()
  const { ada, faults, engine } = await bench.start({ jobs: [plain], work: false })
  const stored: boolean[] = []
  const seen: JobEvent[] = []
  engine.on('job.created', async (event) => {
    seen.push(event)
    stored.push((await (await bench.probe()).get(event.jobId)) !== undefined)
  })
  for (const fault of ['refused', 'unsent', 'unheard'] as const) {
    faults.plan('commit', fault)
    await codeOf(ada.submit(plain, fault))
  }
  await bench.clock.settle()
  const inputs = await Promise.all(seen.map(async ({ jobId }) => (await ada.get(jobId)).input))
  expect([inputs, stored]).toEqual([
    ['unsent', 'unheard'],
    [true, true],
  ])
})

test.each(['lastSequence', 'others', 'due'] as const)(
  'an engine that cannot start closes its storage: %s',
  async (method) => {
    const bench = new Bench()
    const faults = new FaultyStorage(bench.disk)
    faults.plan(method, 'refused')
    await expect(bench.start({ jobs: [plain] }, faults)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    expect([faults.isClosed, bench.clock.pendingTimers()]).toEqual([true, 0])
  },
)

test('I46 an engine that fails to start after taking work over leaves no timer and no work', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done' }, after: { 60000: 'late' } },
      done: { type: 'final' },
      late: { type: 'final' },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.obedient) } }) })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const timers = bench.clock.pendingTimers()
  const faults = new FaultyStorage(bench.disk)
  faults.plan('due', 'refused')
  await expect(bench.start({ jobs: [type] }, faults)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  for (const { finish } of work.runs.slice(1)) finish()
  await bench.clock.advance(5_000)
  expect(bench.clock.pendingTimers()).toBe(timers)
  const two = await bench.start({ jobs: [type] })
  await bench.clock.settle()
  work.run().finish('done')
  await bench.clock.settle()
  expect((await two.ada.get(id)).status).toBe('done')
})

test('I14 work that is stopped before its claim is known is not begun, and frees its slot', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 'never', execute: work.execute })
  const { ada, engine, faults } = await bench.start({ jobs: [type] })
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  faults.plan('many', 'refused')
  const options = { pipeline: 'p', idempotencyKey: 'k' }
  expect(await codeOf(ada.submit(type, 1, options))).toBe('OUTCOME_UNKNOWN')
  // It was stored as claimed, but this engine does not know it.
  const { id } = await ada.submit(type, 1, options)
  await ada.cancel(id)
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'stopping' }])
  await bench.clock.advance(2_000)
  expect((await bench.row(id)).tasks).toEqual([])
  expect([work.runs.length, engine.running()]).toEqual([0, []])
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
})

test('a storage that answers too few changesets leaves no caller waiting', async () => {
  const bench = new Bench()
  const broken: Storage = {
    open: async (host) => {
      const inner = await bench.disk.open(host)
      return { ...passing(inner, (_, run) => run()), commit: async () => ({ results: [], claimed: [] }) }
    },
  }
  const engine = await createEngine({ jobs: [plain], storage: broken, clock: bench.clock })
  await expect(engine.system.submit(plain, 1)).rejects.toThrow('fewer results than changesets')
  const stopped = engine.stop()
  await bench.clock.advance(10_000)
  await stopped
})
