import { defineJob, JobchartError, type Policy, rolePolicy } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { ABSENT, allOf, answerText, errorText, Stage, textOf } from './stage.ts'

const slow = defineJob({ type: 'slow', execute: () => new Promise<never>(() => {}) })

test('I52 history with an aborted signal answers alike for a hidden and a missing job, also where the policy throws to deny', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const { id } = await stage.freely({ id: 'ada', tenant: 'acme' }, (session) => session.submit(slow, 1))
  const throwing: Policy = {
    authorize: ({ tenant }, _, target) => {
      if (tenant !== target.tenant) throw new Error('another tenant')
      return 'allow'
    },
    scope: () => false,
  }
  stage.policy = throwing
  const eve = stage.engine.as({ id: 'eve', tenant: 'other', role: 'admin' })
  const options = { signal: AbortSignal.abort() }
  const hidden = await answerText(() => eve.history(id, options), id)
  expect(hidden).toBe(await answerText(() => eve.history(ABSENT, options), ABSENT))
})

const root = { id: 'root', tenant: 'acme', role: 'admin' }
const ada = { id: 'ada', tenant: 'acme', role: 'editor' }

test('I58 running a job again does not show the input to a caller for whom it is redacted', async () => {
  const quick = defineJob({ type: 'quick', execute: () => 1 })
  const stage = await Stage.open({ jobs: [quick] })
  const { id } = await stage.freely(ada, (session) => session.submit(quick, 'secret'))
  await stage.bench.clock.settle()
  stage.policy = rolePolicy({ redact: ['input'], retry: 'creatorOrAdmin' })
  const session = stage.engine.as(root)
  expect(textOf(await session.get(id))).not.toContain('secret')
  const again = await session.retry(id).catch(() => undefined)
  const copy = again === undefined ? undefined : await session.get(again.id)
  expect(textOf(copy)).not.toContain('secret')
})

test('I58 running a pipeline does not show the input to a caller for whom it is redacted', async () => {
  const quick = defineJob({ type: 'quick', execute: () => 1 })
  const stage = await Stage.open({ jobs: [quick] })
  await stage.freely(ada, ({ pipelines }) => pipelines.define({ id: 'p', job: quick, input: 'secret' }))
  stage.policy = rolePolicy({ redact: ['input'] })
  const session = stage.engine.as(root)
  expect(textOf(await session.pipelines.get('p'))).not.toContain('secret')
  const run = await session.pipelines.run('p').catch(() => undefined)
  const copy = run === undefined ? undefined : await session.get(run.id)
  expect(textOf(copy)).not.toContain('secret')
})

test('I58 explain does not tell the start time to a caller for whom startAt is redacted', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const startAt = '2031-02-03T04:05:06.007Z'
  const { id } = await stage.freely(ada, (session) => session.submit(slow, 1, { startAt }))
  stage.policy = rolePolicy({ redact: ['startAt'] })
  const session = stage.engine.as(root)
  expect(textOf(await session.get(id))).not.toContain(startAt)
  expect(textOf(await session.explain(id))).not.toContain(startAt)
})

test('I58 the history does not tell the version to a caller for whom version is redacted', async () => {
  const lifecycle = createMachine({ initial: 'on', states: { on: { on: { note: {} } } } })
  const note = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const
  const old = defineJob({ type: 'm', version: 'one', lifecycle, commands: { note } })
  const stage = await Stage.open({ jobs: [old] })
  const { id } = await stage.freely(ada, (session) => session.submit(old, 1))
  await stage.bench.end()
  const moved = createMachine({ initial: 'off', states: { off: { on: { note: { actions: () => {} } } } } })
  const next = defineJob({
    type: 'm',
    version: 'secret-two',
    lifecycle: moved,
    commands: { note },
    previous: [old],
    migrate: () => ({ state: 'off', context: {} }),
  })
  const later = await Stage.open({ jobs: [next] }, stage.bench.disk)
  await later.freely(ada, (session) => session.send(id as string, { type: 'note' }))
  later.policy = rolePolicy({ redact: ['version'] })
  const session = later.engine.as(root)
  expect(textOf(await session.get(id))).not.toContain('secret-two')
  expect((await session.history(id)).length).toBe(2)
  expect(textOf(await session.history(id))).not.toContain('secret-two')
})

test('I52 a key used with another input does not name a job that the caller may no longer see', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const { id } = await stage.freely(ada, (session) => session.submit(slow, 1, { idempotencyKey: 'k' }))
  stage.policy = { authorize: (_, action) => (action === 'submit' ? 'allow' : 'hide'), scope: () => false }
  const refusal = await stage.engine.as(ada).submit(slow, 2, { idempotencyKey: 'k' }).catch(errorText)
  expect(refusal).toContain('INVALID_INPUT')
  expect(refusal).not.toContain(id)
})

// Values that a program in JavaScript may pass.
const odd = <Value>(value: unknown) => value as Value

async function codeOf(call: () => Promise<unknown>): Promise<string> {
  return await call().then(
    () => 'ok',
    (error: unknown) => (error instanceof JobchartError ? error.code : `not typed: ${String(error)}`),
  )
}

test('null as options is refused by a typed error', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const session = stage.engine.as(ada)
  const { id } = await session.submit(slow, 1)
  expect(await codeOf(() => session.get(id, odd(null)))).not.toContain('not typed')
  expect(await codeOf(() => session.list(odd(null)))).not.toContain('not typed')
  expect(await codeOf(() => allOf(session.logs(id, odd(null))))).not.toContain('not typed')
})

test('a signal that is no AbortSignal is refused by a typed error', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const session = stage.engine.as(ada)
  const { id } = await session.submit(slow, 1)
  const options = { signal: odd<AbortSignal>('now') }
  expect(await codeOf(() => session.get(id, options))).not.toContain('not typed')
  expect(await codeOf(() => session.list(options))).not.toContain('not typed')
  expect(await codeOf(() => session.events(options).next())).not.toContain('not typed')
})

test('a job type that is no job type is refused by a typed error', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  expect(await codeOf(() => stage.engine.as(ada).submit(odd<typeof slow>(null), 1))).not.toContain('not typed')
})

test('the error for an id that is no text can be logged', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const error = await stage.engine
    .as(ada)
    .get(odd<string>(1n))
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'INVALID_INPUT' })
  expect(() => JSON.stringify(error)).not.toThrow()
})

test('I54 paging continues where names have their maximum length', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const session = stage.engine.as({ id: 'ü'.repeat(200), tenant: 'ü'.repeat(200), role: 'editor' })
  for (const input of [1, 2]) await session.submit(slow, input)
  const { nextCursor = '' } = await session.list({ limit: 1 })
  expect(nextCursor).not.toBe('')
  expect(await codeOf(() => session.list({ limit: 1, cursor: nextCursor }))).toBe('ok')
})
