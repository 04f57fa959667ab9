import { defineJob, type PipelineOptions, type Policy, type SessionPrincipal } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, codeOf, errorOf, shownError, Work } from './bench.ts'

/** A type whose runs end when the test says so, and two editors of one tenant. */
async function started() {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'elt', input: z.object({ day: z.string() }), execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  return { bench, work, type, ...host, nightly: { id: 'nightly', job: type, input: { day: 'monday' } } as const }
}

describe('defining', () => {
  test('stores a pipeline with its defaults, and every engine reads it back', async () => {
    const { ada, bench, type, nightly } = await started()
    const at = new Date(bench.clock.now()).toISOString()
    const pipeline = {
      id: 'nightly',
      tenant: 'default',
      createdBy: 'ada',
      type: 'elt',
      input: { day: 'monday' },
      overlap: { manual: 'reject', schedule: 'skip', dependency: 'queue', retry: 'queue' },
      priority: 0,
      labels: {},
      status: 'ready',
      createdAt: at,
      updatedAt: at,
    }
    expect(await ada.pipelines.define(nightly)).toEqual(pipeline)
    const other = await bench.start({ jobs: [type] })
    expect(await other.ada.pipelines.get('nightly')).toEqual(pipeline)
    expect(await other.ada.pipelines.list()).toEqual({ items: [pipeline] })
  })

  test('again changes the pipeline, keeps its owner and creation time, and writes nothing if nothing changed', async () => {
    const { ada, bench, faults, nightly } = await started()
    const first = await ada.pipelines.define(nightly)
    await bench.clock.advance(1_000)
    const commits = faults.calls('commit')
    expect(await ada.pipelines.define({ ...nightly, labels: {} })).toEqual(first)
    expect(faults.calls('commit')).toBe(commits)
    const next = await ada.pipelines.define({ ...nightly, priority: 3, overlap: 'queue', labels: { team: 'data' } })
    const overlap = { manual: 'queue', schedule: 'queue', dependency: 'queue', retry: 'queue' }
    expect(next).toMatchObject({ priority: 3, overlap, createdAt: first.createdAt, createdBy: 'ada' })
    expect(next.updatedAt).toBe(new Date(bench.clock.now()).toISOString())
  })

  test('the job type may be given by its name, and the input is checked by the type', async () => {
    const { ada, nightly } = await started()
    const first = await ada.pipelines.define(nightly)
    expect(await ada.pipelines.define({ ...nightly, job: 'elt' })).toEqual(first)
    expect(await codeOf(ada.pipelines.define({ id: 'p', job: 'elt', input: { day: 5 } }))).toBe('INVALID_INPUT')
  })

  test('an invalid definition is refused and stores nothing', async () => {
    const { ada, nightly, bench } = await started()
    const stranger = defineJob({ type: 'stranger', execute: () => {} })
    const wrong: readonly (readonly [object, string])[] = [
      [{ id: '' }, 'INVALID_INPUT'],
      [{ id: 7 }, 'INVALID_INPUT'],
      [{ job: 'stranger' }, 'UNKNOWN_TYPE'],
      [{ job: 5 }, 'INVALID_INPUT'],
      [{ job: stranger, input: undefined }, 'UNKNOWN_TYPE'],
      [{ input: { day: 7 } }, 'INVALID_INPUT'],
      [{ overlap: 'wait' }, 'INVALID_INPUT'],
      [{ overlap: { nightly: 'skip' } }, 'INVALID_INPUT'],
      [{ priority: 0.5 }, 'INVALID_INPUT'],
      [{ labels: { a: 1 } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '* * * * * *' } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '* * * * *', fields: 6 } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '0 0 30 2 *' } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '0 25 * * *' } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '* * * * *', timeZone: 'Mars/Olympus' } }, 'INVALID_INPUT'],
      [{ schedule: { cron: '* * * * *', every: '1h' } }, 'INVALID_INPUT'],
      [{ schedule: { every: '500ms' } }, 'INVALID_INPUT'],
      [{ schedule: { every: '1h', catchUp: { max: 0 } } }, 'INVALID_INPUT'],
      [{ schedule: { at: 'tomorrow' } }, 'INVALID_INPUT'],
      [{ schedule: {} }, 'INVALID_INPUT'],
      [{ dependsOn: [{}] }, 'INVALID_INPUT'],
      [{ dependsOn: [{ job: stranger }] }, 'INVALID_INPUT'],
      [{ dependsOn: [{ pipeline: 'a', outcome: 'maybe' }] }, 'INVALID_INPUT'],
    ]
    for (const [change, code] of wrong) {
      const options = { ...nightly, ...change } as unknown as PipelineOptions
      expect([change, await codeOf(ada.pipelines.define(options))]).toEqual([change, code])
    }
    expect((await (await bench.probe()).pipelines({ scopes: [{}] }, { limit: 9 })).length).toBe(0)
  })

  test('by two engines at once gives one pipeline, and both get an answer', async () => {
    const { ada, bench, type, nightly } = await started()
    const other = await bench.start({ jobs: [type] })
    await Promise.all([ada.pipelines.define(nightly), other.ada.pipelines.define({ ...nightly, priority: 5 })])
    expect((await ada.pipelines.list()).items).toHaveLength(1)
  })

  test('repeated after its answer was lost succeeds: define, pause and delete', async () => {
    const { ada, faults, nightly } = await started()
    faults.plan('commit', 'unheard')
    expect(await ada.pipelines.define(nightly)).toMatchObject({ id: 'nightly' })
    faults.plan('commit', 'unheard')
    expect(await ada.pipelines.pause('nightly', 'it rains')).toMatchObject({ paused: 'it rains' })
    faults.plan('commit', 'unheard')
    await ada.pipelines.delete('nightly')
    expect(await codeOf(ada.pipelines.get('nightly'))).toBe('PIPELINE_NOT_FOUND')
  })
})

describe('running', () => {
  test('submits a job of its type, input, priority and labels, whose creator is the caller', async () => {
    const { ada, admin, nightly, work } = await started()
    await ada.pipelines.define({ ...nightly, priority: 4, labels: { team: 'data', kind: 'full' } })
    const run = await admin.pipelines.run('nightly', { labels: { kind: 'test' } })
    expect(run).toMatchObject({
      type: 'elt',
      pipeline: 'nightly',
      createdBy: 'root',
      trigger: 'manual',
      input: { day: 'monday' },
      priority: 4,
      labels: { team: 'data', kind: 'test' },
    })
    expect(work.run().context.input).toEqual({ day: 'monday' })
  })

  test('follows the overlap rule of the pipeline, unless the call gives one', async () => {
    const { ada, nightly, work, bench } = await started()
    await ada.pipelines.define(nightly)
    const first = await ada.pipelines.run('nightly')
    expect(await codeOf(ada.pipelines.run('nightly'))).toBe('ALREADY_RUNNING')
    expect(await ada.pipelines.run('nightly', { overlap: 'queue' })).toMatchObject({ phase: 'waiting' })
    await ada.pipelines.define({ ...nightly, overlap: 'queue' })
    expect(await ada.pipelines.run('nightly')).toMatchObject({ phase: 'waiting' })
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(first.id)).toMatchObject({ phase: 'settled' })
    expect(work.runs).toHaveLength(2)
  })

  test('whose rule for it is `skip` is refused while another runs, because a caller waits for the answer', async () => {
    const { ada, nightly } = await started()
    await ada.pipelines.define({ ...nightly, overlap: { manual: 'skip' } })
    const { id } = await ada.pipelines.run('nightly')
    expect(await errorOf(ada.pipelines.run('nightly'))).toMatchObject({ code: 'ALREADY_RUNNING', jobId: id })
  })

  test('of a submitMany in one commit replaces no run', async () => {
    const { ada, nightly, type } = await started()
    await ada.pipelines.define({ ...nightly, overlap: 'replace' })
    const { id } = await ada.pipelines.run('nightly')
    const jobs = [{ type, input: { day: 'friday' }, pipeline: 'nightly' }] as const
    const error = await errorOf(ada.submitMany(jobs, { atomic: true }))
    expect(error).toMatchObject({ code: 'ALREADY_RUNNING', jobId: id })
    expect((await ada.get(id)).phase).not.toBe('settled')
  })

  test('takes an input, a time and an idempotency key of its own', async () => {
    const { ada, nightly, bench } = await started()
    await ada.pipelines.define(nightly)
    const startAt = bench.clock.now() + 5_000
    const options = { input: { day: 'sunday' }, startAt, idempotencyKey: 'k' }
    const run = await ada.pipelines.run('nightly', options)
    expect(run).toMatchObject({ phase: 'waiting', input: { day: 'sunday' } })
    expect(await ada.pipelines.run('nightly', options)).toMatchObject({ id: run.id })
    expect(await codeOf(ada.pipelines.run('nightly', { ...options, input: { day: 'x' } }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.pipelines.run('nightly', { input: { day: 5 } }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.pipelines.run('nightly', { speed: 'fast' } as object))).toBe('INVALID_INPUT')
  })

  test('is refused while paused, with the reason, and a pause interrupts no run', async () => {
    const { ada, bench, type, nightly, faults } = await started()
    const other = await bench.start({ jobs: [type] })
    await ada.pipelines.define(nightly)
    await ada.pipelines.pause('nightly', 'the source is down')
    const refused = await errorOf(ada.pipelines.run('nightly'))
    expect([refused.code, refused.message]).toEqual([
      'INVALID_STATE',
      'pipeline "nightly" is paused: the source is down',
    ])
    expect(await ada.pipelines.define(nightly)).toMatchObject({ paused: 'the source is down' })
    expect(await ada.pipelines.resume('nightly')).not.toHaveProperty('paused')
    // Another engine pauses it after this one has read it, and before the run is written.
    let isRead = () => {}
    faults.plan('pipeline', new Promise((resolve) => (isRead = resolve)))
    const run = codeOf(ada.pipelines.run('nightly'))
    await other.ada.pipelines.pause('nightly', 'again')
    isRead()
    await bench.clock.settle()
    expect(await run).toBe('INVALID_STATE')
    expect((await ada.list()).items).toEqual([])
  })

  test('the jobs of a deleted pipeline remain', async () => {
    const { ada, nightly, work, bench } = await started()
    await ada.pipelines.define(nightly)
    const run = await ada.pipelines.run('nightly')
    await ada.pipelines.delete('nightly')
    expect(await codeOf(ada.pipelines.run('nightly'))).toBe('PIPELINE_NOT_FOUND')
    expect((await ada.pipelines.list()).items).toEqual([])
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(run.id)).toMatchObject({ pipeline: 'nightly', outcome: 'success' })
  })

  test('of a type that this engine does not know is refused by name', async () => {
    const { ada, bench, nightly } = await started()
    await ada.pipelines.define(nightly)
    const other = await bench.start({ jobs: [defineJob({ type: 'other', execute: () => {} })] })
    expect(await codeOf(other.ada.pipelines.run('nightly'))).toBe('UNKNOWN_TYPE')
  })
})

describe('rights', () => {
  const methods = {
    get: (who, id) => who.get(id),
    run: (who, id) => who.run(id),
    pause: (who, id) => who.pause(id, 'x'),
    resume: (who, id) => who.resume(id),
    delete: (who, id) => who.delete(id),
  } as const satisfies {
    readonly [method: string]: (
      who: Awaited<ReturnType<typeof started>>['ada']['pipelines'],
      id: string,
    ) => Promise<unknown>
  }
  const strangers: readonly SessionPrincipal[] = [
    { id: 'bob', role: 'editor' },
    { id: 'root', tenant: 'acme', role: 'admin' },
    { id: 'ada', tenant: 'acme', role: 'editor' },
    { id: 'ada' },
  ]

  test.each(Object.entries(methods))('I52 %s answers alike for a hidden and a missing pipeline', async (_, call) => {
    const { ada, engine, nightly } = await started()
    await ada.pipelines.define(nightly)
    for (const who of strangers) {
      const { pipelines } = engine.as(who)
      const absent = shownError(await errorOf(call(pipelines, 'none')), 'none')
      expect(shownError(await errorOf(call(pipelines, 'nightly')), 'nightly')).toBe(absent)
    }
    expect(await ada.pipelines.get('nightly')).not.toHaveProperty('paused')
    for (const hostile of [undefined, null, 7, {}, '__proto__', '']) {
      const expected = typeof hostile === 'string' ? 'PIPELINE_NOT_FOUND' : 'INVALID_INPUT'
      expect(await codeOf(call(ada.pipelines, hostile as string))).toBe(expected)
    }
  })

  test('an admin sees and runs a colleague’s pipeline, and may not change it', async () => {
    const { ada, admin, bob, nightly } = await started()
    await ada.pipelines.define(nightly)
    expect((await admin.pipelines.list()).items).toHaveLength(1)
    expect((await bob.pipelines.list()).items).toEqual([])
    expect(await codeOf(admin.pipelines.run('nightly'))).toBe('ok')
    expect(await codeOf(admin.pipelines.define({ ...nightly, priority: 9 }))).toBe('FORBIDDEN')
    for (const method of ['pause', 'resume', 'delete'] as const) {
      expect(await codeOf(methods[method](admin.pipelines, 'nightly'))).toBe('FORBIDDEN')
    }
    expect(await ada.pipelines.get('nightly')).toMatchObject({ priority: 0 })
  })

  test('I52 defining an id that another owner uses is refused, and reveals nothing more', async () => {
    const { ada, bob, nightly } = await started()
    await ada.pipelines.define(nightly)
    const refused = await errorOf(bob.pipelines.define({ ...nightly, input: { day: 'friday' } }))
    expect([refused.code, refused.message]).toEqual([
      'INVALID_INPUT',
      'the id "nightly" cannot be used; choose another',
    ])
    expect(await ada.pipelines.get('nightly')).toMatchObject({ createdBy: 'ada', input: { day: 'monday' } })
  })

  test('tenants share no pipeline, and a list of many pages shows each once', async () => {
    const { engine, nightly } = await started()
    const sessions = ['one', 'two'].map((tenant) => engine.as({ id: 'ada', role: 'editor', tenant }))
    for (const [index, { pipelines }] of sessions.entries()) {
      for (const id of ['c', 'a', 'b']) await pipelines.define({ ...nightly, id, priority: index })
    }
    for (const [index, { pipelines }] of sessions.entries()) {
      const seen: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await pipelines.list({ limit: 1, ...(cursor === undefined ? {} : { cursor }) })
        seen.push(...page.items.map(({ id, priority }) => `${id}${priority}`))
        cursor = page.nextCursor
        if (cursor === undefined) break
      }
      expect(seen).toEqual([`a${index}`, `b${index}`, `c${index}`])
    }
    const { nextCursor = '' } = (await sessions[0]?.pipelines.list({ limit: 1 })) ?? {}
    expect(await codeOf(sessions[1]?.pipelines.list({ cursor: nextCursor }) ?? Promise.resolve())).toBe('INVALID_INPUT')
  })

  test('the engine’s own session defines pipelines for others, and a policy may hide an input', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'elt', execute: () => {} })
    const policy: Policy = {
      authorize: (_, action) => (action === 'submit' ? 'allow' : { redact: ['input'] }),
      scope: ({ tenant }) => [{ tenant }],
    }
    const { engine } = await bench.start({ jobs: [type], policy })
    await engine.system.pipelines.define({ id: 'p', job: type, input: 'secret', tenant: 'acme', owner: 'ada' })
    const viewer = engine.as({ id: 'vera', tenant: 'acme' })
    const [shown] = (await viewer.pipelines.list()).items
    expect(shown).toMatchObject({ createdBy: 'ada', tenant: 'acme', redacted: expect.arrayContaining(['input']) })
    expect(shown).not.toHaveProperty('input')
    // A run would be her own job, with an input that she may not read.
    expect(await codeOf(viewer.pipelines.run('p'))).toBe('FORBIDDEN')
    expect(await viewer.pipelines.run('p', { input: 'her own' })).toMatchObject({ pipeline: 'p', createdBy: 'vera' })
  })
})

test('a submit into a stored pipeline that names no overlap rule follows that of the pipeline', async () => {
  const { ada, type, nightly, work, bench } = await started()
  await ada.pipelines.define({ ...nightly, overlap: 'queue' })
  await ada.pipelines.run('nightly')
  await bench.clock.settle()
  const waiting = await ada.submit(type, { day: 'tuesday' }, { pipeline: 'nightly' })
  expect(waiting.phase).toBe('waiting')
  const [together] = await ada.submitMany([{ type, input: { day: 'friday' }, pipeline: 'nightly' }], { atomic: true })
  expect(together).toMatchObject({ job: { phase: 'waiting' } })
  const refused = ada.submit(type, { day: 'sunday' }, { pipeline: 'nightly', overlap: 'reject' })
  expect(await codeOf(refused)).toBe('ALREADY_RUNNING')
  expect(work.runs).toHaveLength(1)
})
