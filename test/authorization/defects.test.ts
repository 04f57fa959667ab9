import { defineJob, type Policy, rolePolicy } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { ABSENT, answerText, errorText, Stage, textOf } from './stage.ts'

const slow = defineJob({ type: 'slow', execute: () => new Promise<never>(() => {}) })

test('I52 history with an aborted signal tells a hidden job from none, where the policy throws for a denial: it alone does not look at its signal first, and a failed answer is followed by a look at it', async () => {
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

test('I58 whoever runs a job again is shown the input that was redacted for him: the copy is a job of his own', async () => {
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

test('I58 whoever runs a pipeline is shown the input that was redacted for him: the run is a job of his own', async () => {
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

test('I58 explain tells when a job starts to whom startAt is redacted: the field of the reason is called otherwise', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const startAt = '2031-02-03T04:05:06.007Z'
  const { id } = await stage.freely(ada, (session) => session.submit(slow, 1, { startAt }))
  stage.policy = rolePolicy({ redact: ['startAt'] })
  const session = stage.engine.as(root)
  expect(textOf(await session.get(id))).not.toContain(startAt)
  expect(textOf(await session.explain(id))).not.toContain(startAt)
})

test('I58 the history tells the version to whom version is redacted: it stands in the reason of the move', async () => {
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

test('I52 a key that was used with another input names the job, though it may not be seen any more', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const { id } = await stage.freely(ada, (session) => session.submit(slow, 1, { idempotencyKey: 'k' }))
  stage.policy = { authorize: (_, action) => (action === 'submit' ? 'allow' : 'hide'), scope: () => false }
  const refusal = await stage.engine.as(ada).submit(slow, 2, { idempotencyKey: 'k' }).catch(errorText)
  expect(refusal).toContain('INVALID_INPUT')
  expect(refusal).not.toContain(id)
})
