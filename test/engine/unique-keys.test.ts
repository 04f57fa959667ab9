import { defineJob, type EndedJob, type FollowUp, memoryStorage, type SubmitOptions } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, errorOf, sqliteDisk, Work } from './bench.ts'

const disks = { memory: () => memoryStorage(), sqlite: sqliteDisk }

describe.each(['memory', 'sqlite'] as const)('in %s, a unique key', (disk) => {
  const started = async (followUp?: (job: EndedJob) => readonly FollowUp[]) => {
    const bench = new Bench(disks[disk]())
    const work = new Work()
    const more = followUp === undefined ? {} : { followUp }
    const type = defineJob({ type: 'sync', execute: work.execute, limits: { queued: 3 }, ...more })
    const other = defineJob({ type: 'other', execute: work.execute })
    const host = await bench.start({ jobs: [type, other] })
    return { bench, work, type, other, ...host }
  }

  test('gives the running job for any input, and a new one after that has ended', async () => {
    const { ada, work, type, bench } = await started()
    const first = await ada.submit(type, 1, { uniqueKey: 'k' })
    const same = await ada.submit(type, 2, { uniqueKey: 'k' })
    expect(same).toEqual(await ada.get(first.id))
    expect(same.input).toBe(1)
    work.run().finish()
    await bench.clock.settle()
    const next = await ada.submit(type, 2, { uniqueKey: 'k' })
    expect(next.id).not.toBe(first.id)
    expect(await ada.count()).toBe(2)
  })

  test('is freed by an end of any kind, and by a deletion', async () => {
    const { ada, work, type, bench } = await started()
    const ids = new Set<string>()
    const ends = [
      () => work.run().fail(new Error('no')),
      (id: string) => ada.cancel(id),
      (id: string) => ada.delete(id),
      () => work.run().finish(),
    ]
    for (const end of ends) {
      const { id } = await ada.submit(type, 1, { uniqueKey: 'k' })
      ids.add(id)
      await end(id)
      await bench.clock.settle()
      work.run().finish()
      await bench.clock.settle()
    }
    expect(ids.size).toBe(4)
  })

  test('is held by a job that waits for its time or its turn', async () => {
    const { ada, other, type, bench } = await started()
    const later = { uniqueKey: 'k', startAt: bench.clock.now() + 60_000 }
    const waiting = await ada.submit(type, 1, later)
    expect((await ada.submit(type, 2, { uniqueKey: 'k' })).id).toBe(waiting.id)
    expect((await ada.submit(type, 3, { ...later, startAt: later.startAt + 1 })).startAt).toBe(waiting.startAt)
    await ada.submit(other, 1, { pipeline: 'p' })
    const queued = await ada.submit(type, 1, { uniqueKey: 'l', pipeline: 'p', overlap: 'queue' })
    expect(queued.phase).toBe('waiting')
    for (const overlap of ['reject', 'queue', 'replace'] as const) {
      // The key is checked before the slot: nothing is refused or replaced.
      expect((await ada.submit(type, 1, { uniqueKey: 'l', pipeline: 'p', overlap })).id).toBe(queued.id)
    }
    expect((await ada.list({ pipeline: 'p' })).items.map(({ phase }) => phase)).toEqual(['waiting', 'active'])
  })

  test('of a job that the caller may not see is ALREADY_RUNNING, and names none', async () => {
    const { ada, bob, admin, type } = await started()
    const { id } = await ada.submit(type, 1, { uniqueKey: 'k' })
    const error = await errorOf(bob.submit(type, 1, { uniqueKey: 'k' }))
    expect(error).toMatchObject({ code: 'ALREADY_RUNNING', jobId: undefined })
    expect(JSON.stringify({ ...error, text: error.message })).not.toContain(id)
    expect((await admin.submit(type, 1, { uniqueKey: 'k' })).id).toBe(id)
  })

  test('is separate for each type and each tenant', async () => {
    const { ada, engine, type, other } = await started()
    const ids = [
      (await ada.submit(type, 1, { uniqueKey: 'k' })).id,
      (await ada.submit(other, 1, { uniqueKey: 'k' })).id,
      (await ada.submit(type, 1, { uniqueKey: 'l' })).id,
      (await engine.as({ id: 'ada', tenant: 'acme', role: 'editor' }).submit(type, 1, { uniqueKey: 'k' })).id,
    ]
    expect(new Set(ids).size).toBe(4)
    expect((await engine.system.submit(type, 1, { uniqueKey: 'k', tenant: 'acme' })).id).toBe(ids[3])
  })

  test('works with an idempotency key, which is checked first', async () => {
    const { ada, work, type, bench } = await started()
    const options = { uniqueKey: 'k', idempotencyKey: 'i' }
    const first = await ada.submit(type, 1, options)
    expect((await ada.submit(type, 1, options)).id).toBe(first.id)
    expect((await ada.submit(type, 1, { ...options, idempotencyKey: 'j' })).id).toBe(first.id)
    work.run().finish()
    await bench.clock.settle()
    // The first submit's answer, although that job has ended; 'j' was never used.
    expect((await ada.submit(type, 1, options)).id).toBe(first.id)
    const next = await ada.submit(type, 2, { ...options, idempotencyKey: 'j' })
    expect(next.id).not.toBe(first.id)
    expect(await codeOf(ada.submit(type, 2, options))).toBe('INVALID_INPUT')
  })

  test('is checked before a full queue', async () => {
    const { ada, type, bench } = await started()
    const options = { startAt: bench.clock.now() + 1_000, uniqueKey: 'k' }
    const { id } = await ada.submit(type, 1, options)
    for (const n of [2, 3]) await ada.submit(type, n, { startAt: options.startAt })
    expect(await codeOf(ada.submit(type, 4, { startAt: options.startAt }))).toBe('QUEUE_FULL')
    expect((await ada.submit(type, 4, options)).id).toBe(id)
  })

  test('gives a new job if its holder ends before it could be read', async () => {
    const { ada, work, type, other, bench } = await started()
    const holder = await ada.submit(type, 1, { uniqueKey: 'k' })
    await bench.clock.settle()
    const slow = await bench.start({ jobs: [type, other] })
    const answer = Promise.withResolvers<void>()
    slow.faults.plan('commit', answer.promise)
    const submitting = slow.ada.submit(type, 2, { uniqueKey: 'k' })
    await bench.clock.settle()
    work.run().finish()
    await bench.clock.settle()
    answer.resolve()
    const { id, input } = await submitting
    expect(input).toBe(2)
    expect(id).not.toBe(holder.id)
  })

  test('of a job that cannot be read now is no ALREADY_RUNNING', async () => {
    const { ada, type, faults } = await started()
    const { id } = await ada.submit(type, 1, { uniqueKey: 'k' })
    faults.plan('get', 'refused')
    expect(await codeOf(ada.submit(type, 2, { uniqueKey: 'k' }))).toBe('STORAGE_UNAVAILABLE')
    expect((await ada.submit(type, 2, { uniqueKey: 'k' })).id).toBe(id)
  })

  test('gives one job to a hundred submits at once, over three engines', async () => {
    const { ada, type, other, bench } = await started()
    const more = await Promise.all([bench.start({ jobs: [type, other] }), bench.start({ jobs: [type, other] })])
    const all = [ada, ...more.map((host) => host.ada)]
    const given = await Promise.all(
      Array.from({ length: 99 }, (_, n) => all[n % 3]?.submit(type, n, { uniqueKey: 'k' })),
    )
    expect(new Set(given.map((job) => job?.id)).size).toBe(1)
    expect(await ada.count()).toBe(1)
  })

  test('gives each job of submitMany its answer; with atomic, all or none', async () => {
    const { ada, type, other } = await started()
    const twice = [1, 2].map((input) => ({ type, input, uniqueKey: 'k' }))
    const outcomes = await ada.submitMany([...twice, { type: other, input: 1, uniqueKey: 'k' }])
    expect(outcomes.map(({ job }) => job?.input)).toEqual([1, 1, 1])
    expect(new Set(outcomes.map(({ job }) => job?.id)).size).toBe(2)
    for (const key of ['k', 'new']) {
      const jobs = [{ type, input: 5 }, ...twice.map((each) => ({ ...each, uniqueKey: key }))]
      expect(await codeOf(ada.submitMany(jobs, { atomic: true }))).toBe('ALREADY_RUNNING')
    }
    expect(await ada.count()).toBe(2)
  })

  test('gives the existing run for a run of a pipeline', async () => {
    const { ada, type, work, bench } = await started()
    await ada.pipelines.define({ id: 'p', job: type, input: 1 })
    const first = await ada.pipelines.run('p', { uniqueKey: 'k' })
    expect((await ada.pipelines.run('p', { uniqueKey: 'k' })).id).toBe(first.id)
    expect(await codeOf(ada.pipelines.run('p', { uniqueKey: 'l' }))).toBe('ALREADY_RUNNING')
    work.run().finish()
    await bench.clock.settle()
    expect((await ada.pipelines.run('p', { uniqueKey: 'k' })).id).not.toBe(first.id)
  })

  test('is kept by a retry, which is ALREADY_RUNNING while another job holds it', async () => {
    const { ada, bob, type, work, bench } = await started()
    const first = await ada.submit(type, 1, { uniqueKey: 'k' })
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    const again = await ada.retry(first.id)
    expect((await ada.submit(type, 1, { uniqueKey: 'k' })).id).toBe(again.id)
    expect(await errorOf(ada.retry(first.id))).toMatchObject({ code: 'ALREADY_RUNNING', jobId: again.id })
    work.run().finish()
    await bench.clock.settle()
    const other = await bob.submit(type, 1, { uniqueKey: 'k' })
    const error = await errorOf(ada.retry(first.id))
    expect([error.code, error.jobId]).toEqual(['ALREADY_RUNNING', undefined])
    expect(error.message).not.toContain(other.id)
  })

  test('passes from a job that ends to its retry by a follow-up, also in a pipeline and with a delay', async () => {
    for (const way of [{ kind: 'retry' }, { kind: 'retry', delay: '10s' }] as const) {
      for (const options of [{}, { pipeline: 'p' }] satisfies SubmitOptions[]) {
        const { ada, type, work, bench } = await started(({ retries }) => (retries === 0 ? [way] : []))
        const { id } = await ada.submit(type, 1, { uniqueKey: 'k', ...options })
        work.run().fail(new Error('no'))
        await bench.clock.settle()
        const found = await ada.submit(type, 2, { uniqueKey: 'k', ...options })
        expect(found).toMatchObject({ retryOf: id, input: 1 })
        await bench.clock.advance(10_000)
        expect((await ada.get(found.id)).status).toBe('running')
      }
    }
  })

  test('is still held after a restart', async () => {
    const { ada, type, other, bench, crash } = await started()
    const { id } = await ada.submit(type, 1, { uniqueKey: 'k' })
    await crash()
    const two = await bench.start({ jobs: [type, other] })
    expect((await two.ada.submit(type, 2, { uniqueKey: 'k' })).id).toBe(id)
  })
})

test.each(['', 'x'.repeat(201), 7, null, '\ud800'])('an invalid key is refused by name: %j', async (key) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  for (const option of ['uniqueKey', 'idempotencyKey']) {
    const options = { [option]: key } as SubmitOptions
    for (const call of [ada.submit(type, 1, options), ada.pipelines.run('p', options)]) {
      expect(await errorOf(call)).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(option) })
    }
  }
})

test.each(['x'.repeat(200), '__proto__', '1 k', "'; drop table jobs; --", '💥', ' '])(
  'a key may be any text of 1 to 200 characters: %j',
  async (uniqueKey) => {
    const bench = new Bench(sqliteDisk())
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const first = await ada.submit(type, 1, { uniqueKey })
    expect((await ada.submit(type, 2, { uniqueKey })).id).toBe(first.id)
    expect((await ada.submit(type, 2, { uniqueKey: 'another' })).id).not.toBe(first.id)
  },
)
