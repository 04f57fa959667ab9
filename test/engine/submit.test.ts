import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

test('a function runs from start to end: queued, running, completed', async () => {
  const bench = new Bench()
  const double = defineJob({
    type: 'double',
    input: z.object({ n: z.number() }),
    output: z.number(),
    execute: ({ input }) => input.n * 2,
  })
  const { ada, heard } = await bench.start({ jobs: [double] })
  const job = await ada.submit(double, { n: 21 }, { labels: { team: 'red' }, priority: 3, pipeline: 'nightly' })
  const ended = await ada.result(job.id)
  expect(ended).toEqual({
    id: job.id,
    type: 'double',
    version: '1',
    tenant: 'default',
    createdBy: 'ada',
    trigger: 'manual',
    pipeline: 'nightly',
    labels: { team: 'red' },
    status: 'completed',
    phase: 'settled',
    outcome: 'success',
    input: { n: 21 },
    output: 42,
    priority: 3,
    admittedAt: '2026-01-01T00:00:00.000Z',
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:00.000Z',
  })
  const by = (await ada.history(job.id)).map(({ sequence, from, to, by }) => [sequence, from, to, by.kind, by.id])
  expect(by).toEqual([
    [1, undefined, 'queued', 'user', 'ada'],
    [3, 'queued', 'running', 'system', 'engine'],
    [4, 'running', 'completed', 'system', 'engine'],
  ])
  expect(heard.map(({ type }) => type)).toEqual(['job.created', 'task.started', 'job.transitioned', 'job.transitioned'])
})

test('a function that throws ends its job as failed, with the error but without its stack', async () => {
  const bench = new Bench()
  const broken = defineJob({
    type: 'broken',
    execute: () => {
      throw Object.assign(new RangeError('too far'), { code: 'E_FAR' })
    },
  })
  const { ada } = await bench.start({ jobs: [broken] })
  const { id } = await ada.submit(broken, null)
  const { status, outcome, error } = await ada.result(id)
  expect({ status, outcome, error }).toEqual({
    status: 'failed',
    outcome: 'failure',
    error: { name: 'RangeError', message: 'too far', code: 'E_FAR' },
  })
  expect((await bench.row(id)).error?.stack).toContain('submit.test.ts')
})

test.each([
  ['null', null, 'null'],
  ['nothing', undefined, 'undefined'],
  ['a string', 'boom', 'boom'],
  ['an object', { reason: 'full' }, '{"reason":"full"}'],
  ['a lone surrogate', new Error('\ud800'), '\ufffd'],
  ['a value with throwing getters', Object.defineProperty({}, 'message', { get: () => assertNever() }), undefined],
])('whatever is thrown is recorded: %s', async (_, thrown, message) => {
  const bench = new Bench()
  const broken = defineJob({ type: 'broken', execute: () => Promise.reject(thrown) })
  const { ada } = await bench.start({ jobs: [broken] })
  const { id } = await ada.submit(broken, null)
  await bench.clock.settle()
  const { status, error } = await ada.get(id)
  expect(status).toBe('failed')
  if (message !== undefined) expect(error?.message).toBe(message)
})

function assertNever(): never {
  throw new Error('the getter was read')
}

test('the value that the schema gives for the input is stored, and passed to the code', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({
    type: 'w',
    input: z.object({ path: z.string(), depth: z.number().default(3) }),
    execute: work.execute,
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { input } = await ada.submit(type, { path: 'a' })
  expect(input).toEqual({ path: 'a', depth: 3 })
  expect(work.run().context.input).toEqual({ path: 'a', depth: 3 })
})

test('an invalid input is refused with its path, before anything is stored', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', input: z.object({ a: z.array(z.number()) }), execute: () => 1 })
  const { ada, heard } = await bench.start({ jobs: [type] })
  const hostile: { a: unknown } = { a: [1, 'two'] }
  const error = await errorOf(ada.submit(type, hostile as { a: number[] }))
  expect(error.code).toBe('INVALID_INPUT')
  expect(error.issues?.map(({ path }) => path)).toEqual([['a', 1]])
  expect(await bench.log()).toEqual([])
  expect(heard).toEqual([])
})

test.each([
  ['a key that is unknown', { pipline: 'p' }],
  ['an empty pipeline', { pipeline: '' }],
  ['a pipeline of 201 characters', { pipeline: 'p'.repeat(201) }],
  ['a priority that is no whole number', { priority: 1.5 }],
  ['a priority that is no number', { priority: Number.NaN }],
  ['labels that are no text', { labels: { a: 1 } }],
  ['an empty key', { idempotencyKey: '' }],
])('options are checked: %s', async (_, options) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  expect(await codeOf(ada.submit(type, null, options as object))).toBe('INVALID_INPUT')
  expect(await bench.log()).toEqual([])
})

test('a type that the engine does not have is refused', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [defineJob({ type: 'w', execute: () => 1 })] })
  const other = defineJob({ type: 'w', version: '2', execute: () => 1 })
  expect(await codeOf(ada.submit(other, null))).toBe('UNKNOWN_TYPE')
  expect(await bench.log()).toEqual([])
})

test('an output that does not fit its schema fails the job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', output: z.object({ n: z.number() }), execute: () => ({ n: 'one' }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, null)
  const { status, error, output } = await ada.result(id)
  expect([status, error?.code, output]).toEqual(['failed', 'INVALID_INPUT', undefined])
})

test('an output that cannot be stored fails the job, with the path', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: (): unknown => ({ rows: [{ at: new Date(0) }] }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, null)
  const { status, error } = await ada.result(id)
  expect([status, error?.code]).toEqual(['failed', 'NOT_STORABLE'])
  expect(error?.message).toContain('output.rows.0.at')
})

test('input and output are both optional', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: ({ input }) => input })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const ended = await ada.result(id)
  expect(['input' in ended, 'output' in ended, ended.status]).toEqual([false, false, 'completed'])
})

test('I59 ids are UUIDv7, which sort by their time, or v4 where the option asks for it', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const first = await ada.submit(type, null)
  await bench.clock.advance(5)
  const second = await ada.submit(type, null)
  expect(first.id < second.id).toBe(true)
  expect(first.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  const other = await bench.start({ jobs: [type], ids: 'uuidv4' })
  expect((await other.ada.submit(type, null)).id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/)
})

test('the engine’s own session submits for any tenant, a person only for their own', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  expect((await engine.system.submit(type, null, { tenant: 'acme' })).tenant).toBe('acme')
  const refusal = await errorOf(ada.submit(type, null, { tenant: 'acme' }))
  expect(refusal).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['tenant'] }] })
  expect((await ada.submit(type, null)).tenant).toBe('default')
})

test("a schema's issues are reported with their path, in any form that a schema library gives", async () => {
  const issues = [
    { message: 'nowhere' },
    { message: 'deep', path: [{ key: 'rows' }, 0, { key: Symbol('name') }, 'text'] },
  ]
  const input = {
    '~standard': { version: 1, vendor: 'own', validate: (): { issues: typeof issues } => ({ issues }) },
  } as const
  const type = defineJob({ type: 'checked', input, execute: () => 1 })
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const error = await errorOf(ada.submit(type, undefined as never))
  expect(error.issues).toEqual([
    { message: 'nowhere', path: [] },
    { message: 'deep', path: ['rows', 0, 'Symbol(name)', 'text'] },
  ])
  expect(error.message).toContain('nowhere; rows.0.Symbol(name).text: deep')
})

test.each([
  [
    'throws',
    () => {
      throw new Error('the schema is broken')
    },
  ],
  ['rejects', () => Promise.reject(new Error('the schema is broken'))],
])('an input whose schema %s is refused, and nothing is stored', async (_, validate) => {
  const input = { '~standard': { version: 1, vendor: 'own', validate: validate as () => never } } as const
  const type = defineJob({ type: 'checked', input, execute: () => 1 })
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const error = await errorOf(ada.submit(type, undefined as never))
  expect([error.code, error.message]).toEqual(['INVALID_INPUT', 'input could not be parsed: its schema threw'])
  expect(error.cause).toMatchObject({ message: 'the schema is broken' })
  expect(await ada.count()).toBe(0)
})
