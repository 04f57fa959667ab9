import { type AnyJobType, defineJob, type Policy, rolePolicy } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, shownError, Work } from './bench.ts'

/** Two engines on one disk with two job types. */
async function started() {
  const bench = new Bench()
  const one = defineJob({ type: 'one', execute: () => {} })
  const two = defineJob({ type: 'two', execute: () => {} })
  const host = await bench.start({ jobs: [one, two] })
  const other = await bench.start({ jobs: [one, two] })
  /**
   * The next read of a pipeline by this engine gives its present value, but answers only when this function is called.
   */
  const slowRead = () => {
    let isHeard = () => {}
    host.faults.plan('pipeline', new Promise((resolve) => (isHeard = resolve)))
    return () => isHeard()
  }
  return { bench, one, two, other, slowRead, ...host }
}

// Regression: both began at revision 1, so an engine that had read the old one took the new one for it.
test('a pipeline that is redefined while a run begins is run by the new definition', async () => {
  const { ada, bench, one, two, other, slowRead } = await started()
  await ada.pipelines.define({ id: 'p', job: one, input: 'old' })
  const isHeard = slowRead()
  const run = ada.pipelines.run('p')
  await bench.clock.settle()
  await other.ada.pipelines.delete('p')
  await other.ada.pipelines.define({ id: 'p', job: two, input: 'new' })
  isHeard()
  expect(await run).toMatchObject({ type: 'two', input: 'new' })
})

test('a pipeline that was deleted and defined by another owner is not taken over by its former owner', async () => {
  const { ada, bench, one, other, slowRead } = await started()
  await ada.pipelines.define({ id: 'p', job: one, input: 'old' })
  const isHeard = slowRead()
  const change = codeOf(ada.pipelines.define({ id: 'p', job: one, input: 'changed' }))
  await bench.clock.settle()
  await other.ada.pipelines.delete('p')
  await other.bob.pipelines.define({ id: 'p', job: one, input: 'of bob' })
  isHeard()
  expect(await change).toBe('INVALID_INPUT')
  expect(await other.bob.pipelines.get('p')).toMatchObject({ createdBy: 'bob', input: 'of bob' })
})

// Regression: defining a hidden id gave another error than defining any other id.
test('I52 a caller who may not define pipelines learns of none by trying', async () => {
  const { ada, engine, one } = await started()
  await ada.pipelines.define({ id: 'hidden', job: one })
  const { pipelines } = engine.as({ id: 'vera', role: 'viewer' })
  const absent = shownError(await errorOf(pipelines.define({ id: 'none', job: one })), 'none')
  expect(shownError(await errorOf(pipelines.define({ id: 'hidden', job: one })), 'hidden')).toBe(absent)
})

test('fields of a pipeline that the policy redacts appear in no list, refusal or change', async () => {
  const bench = new Bench()
  const job = defineJob({ type: 'one', execute: () => {} })
  const policy: Policy = {
    authorize: () => ({ redact: ['type', 'paused'] }),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { engine } = await bench.start({ jobs: [job], policy })
  await engine.system.pipelines.define({ id: 'p', job })
  await engine.system.pipelines.pause('p', 'secret')
  const { pipelines } = engine.as({ id: 'vera' })
  expect((await pipelines.list()).items).toHaveLength(1)
  expect((await pipelines.list({ type: 'one' })).items).toEqual([])
  expect((await errorOf(pipelines.run('p'))).message).toBe('pipeline "p" is paused')
  for (const priority of [0, 1]) {
    expect(await pipelines.define({ id: 'p', job, priority })).not.toHaveProperty('paused')
  }
})

test('a redacted status is told by no skipped run and no refusal', async () => {
  const bench = new Bench()
  const job = defineJob({
    type: 'one',
    execute: () => {},
    notify: [{ on: { event: 'run.skipped' }, channels: ['inApp'], audience: { role: 'viewer' } }],
  })
  const policy: Policy = { authorize: () => ({ redact: ['status'] }), scope: ({ tenant }) => [{ tenant }] }
  const { engine } = await bench.start({ jobs: [job], policy })
  const onDefine = () => [{ kind: 'status', status: 'provisioning' }] as const
  await engine.system.pipelines.define({ id: 'p', job, schedule: { every: '1h' }, onDefine })
  await bench.clock.advance(0)
  const vera = engine.as({ id: 'vera', role: 'viewer' })
  const told = [
    await vera.pipelines.history('p'),
    (await vera.notifications.list()).items,
    (await errorOf(vera.pipelines.run('p'))).message,
    (await errorOf(vera.submit(job, undefined, { pipeline: 'p' }))).message,
  ]
  expect(told.map(({ length }) => length > 0)).toEqual([true, true, true, true])
  expect(JSON.stringify(told)).toContain('run.skipped')
  expect(JSON.stringify(told)).not.toContain('provisioning')
})

test('I48 a label named __proto__ is refused, and not dropped', async () => {
  const { ada, one } = await started()
  const labels: { [name: string]: string } = JSON.parse('{"__proto__":"red","team":"blue"}')
  expect(await codeOf(ada.pipelines.define({ id: 'p', job: one, labels }))).toBe('INVALID_INPUT')
  await ada.pipelines.define({ id: 'p', job: one })
  expect(await codeOf(ada.pipelines.run('p', { labels }))).toBe('INVALID_INPUT')
})

// Regression: such a pipeline was stored, but neither it nor a list with it could be shown.
test('a time without a date is refused', async () => {
  const { ada, one } = await started()
  await ada.pipelines.define({ id: 'p', job: one })
  const startAt = 8_640_000_000_000_001
  expect(await codeOf(ada.pipelines.run('p', { startAt }))).toBe('INVALID_INPUT')
  expect(await codeOf(ada.submit(one, 1, { startAt }))).toBe('INVALID_INPUT')
  expect((await ada.list()).items).toEqual([])
})

test.each(['get', 'run', 'resume', 'delete'] as const)('an invalid id names no pipeline: %s', async (method) => {
  const { ada, one } = await started()
  await ada.pipelines.define({ id: '\ufffd', job: one })
  const throwing = { toString: () => JSON.parse('no JSON') }
  for (const id of ['\ud800', Symbol('p'), Object.create(null), throwing]) {
    const expected = typeof id === 'string' ? 'PIPELINE_NOT_FOUND' : 'INVALID_INPUT'
    expect(await codeOf(ada.pipelines[method](id as string))).toBe(expected)
  }
})

test('an `onDefine` whose promise rejects is refused, and the rejection does not end the process', async () => {
  const { ada, one } = await started()
  const onDefine = (async () => {
    throw new Error('later')
  }) as unknown as () => undefined
  expect(await codeOf(ada.pipelines.define({ id: 'p', job: one, onDefine }))).toBe('INVALID_INPUT')
  expect(await codeOf(ada.pipelines.get('p'))).toBe('PIPELINE_NOT_FOUND')
})

test('a command that `onDefine` sends reaches another person’s job only if the caller may send it', async () => {
  const bench = new Bench()
  const run = defineJob({ type: 'run', execute: () => {} })
  const waiting = defineJob({
    type: 'waiting',
    lifecycle: createMachine({
      initial: 'open',
      states: { open: { on: { own: 'done', poke: 'poked' } }, poked: { on: { own: 'done' } }, done: { type: 'final' } },
    }),
    commands: { own: z.object({}), poke: { schema: z.object({}), by: { relation: 'others' } } },
  })
  const { ada, bob } = await bench.start({ jobs: [run, waiting], policy: rolePolicy({ member: ['editor'] }) })
  const { id } = await bob.submit(waiting)
  const sending = (type: 'own' | 'poke') => () => {
    return [{ kind: 'send', to: { type: 'waiting', createdBy: 'bob' }, event: { type } }] as const
  }
  await ada.pipelines.define({ id: 'a', job: run, onDefine: sending('own') })
  expect((await bob.get(id)).status).toBe('open')
  await ada.pipelines.define({ id: 'b', job: run, onDefine: sending('poke') })
  expect((await bob.get(id)).status).toBe('poked')
  // The job takes no such command any more, so nothing is sent.
  await ada.pipelines.define({ id: 'c', job: run, onDefine: sending('poke') })
  expect((await bob.get(id)).status).toBe('poked')
})

test('a pipeline that waits for the retry of a job is failed when the retry is deleted', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'run', execute: () => {} })
  const config = defineJob({
    type: 'config',
    retry: { limit: 0 },
    execute: work.obedient,
    followUp: ({ outcome, retries }) => (outcome === 'failure' && retries < 1 ? [{ kind: 'retry' }] : []),
  })
  const { ada } = await bench.start({ jobs: [type, config] })
  const onDefine = () => [{ kind: 'status', status: 'provisioning' } as const, { kind: 'submit', job: config } as const]
  await ada.pipelines.define({ id: 'p', job: type, onDefine })
  await bench.clock.settle()
  work.run().fail(new Error('the source is down'))
  await bench.clock.settle()
  const [retry] = (await ada.list({ pipeline: 'p', phase: 'active' })).items
  expect([retry?.retries, (await ada.pipelines.get('p')).status]).toEqual([1, 'provisioning'])
  // The status still belongs to that job after another definition.
  await ada.pipelines.define({ id: 'p', job: type, priority: 3 })
  expect(await ada.pipelines.get('p')).toMatchObject({ status: 'provisioning', priority: 3 })
  await ada.delete(retry?.id ?? '')
  expect((await ada.pipelines.get('p')).status).toBe('failed')
})

/** The pipeline waits for a job of this type. */
function configuredBy(job: AnyJobType) {
  return [
    { kind: 'status', status: 'provisioning' },
    { kind: 'submit', job },
  ] as const
}

test.each(['a retry is refused by a pause', 'the code throws', 'its creator has left'])(
  'a pipeline that waits for a job is failed when what follows its end fails: %s',
  async (why) => {
    const bench = new Bench()
    const work = new Work()
    const run = defineJob({ type: 'run', execute: () => {} })
    const config = defineJob({
      type: 'config',
      execute: work.obedient,
      followUp: ({ outcome, retries }) => {
        if (why === 'the code throws') throw new Error('broken')
        if (outcome === 'failure' && retries < 1) return [{ kind: 'retry' }]
        return [{ kind: 'status', pipeline: 'p', status: 'ready' }]
      },
    })
    let role: string | undefined = 'editor'
    const { ada, engine } = await bench.start({ jobs: [run, config], principal: () => role })
    await ada.pipelines.define({ id: 'p', job: run, onDefine: () => configuredBy(config) })
    await bench.clock.settle()
    if (why === 'its creator has left') role = undefined
    if (why === 'a retry is refused by a pause') {
      await ada.pipelines.pause('p', 'the source is down')
      work.run().fail(new Error('the source is down'))
    } else work.run().finish('done')
    await bench.clock.settle()
    const { status } = await engine.system.pipelines.get('p', { tenant: 'default' })
    expect(status).toBe('failed')
    const told = (await ada.pipelines.history('p')).filter(({ type }) => type === 'pipeline.statusChanged')
    expect(told.at(-1)).toMatchObject({ from: 'provisioning', to: 'failed' })
  },
)

test('a follow-up that fails after another has set the status leaves that status', async () => {
  const bench = new Bench()
  const run = defineJob({ type: 'run', execute: () => {} })
  const config = defineJob({
    type: 'config',
    execute: () => {},
    followUp: () => [
      { kind: 'run', pipeline: 'missing' },
      { kind: 'status', pipeline: 'p', status: 'ready' },
      { kind: 'run', pipeline: 'missing' },
    ],
  })
  const { ada } = await bench.start({ jobs: [run, config] })
  await ada.pipelines.define({ id: 'p', job: run, onDefine: () => configuredBy(config) })
  await bench.clock.settle()
  expect((await ada.pipelines.get('p')).status).toBe('ready')
})

test('a job of a deleted pipeline neither readies nor enters the pipeline that has its name now', async () => {
  const bench = new Bench()
  const work = new Work()
  const run = defineJob({
    type: 'run',
    execute: work.obedient,
    followUp: ({ outcome }) => {
      return outcome === 'failure' ? [{ kind: 'retry' }] : [{ kind: 'status', pipeline: 'p', status: 'ready' }]
    },
  })
  const { ada } = await bench.start({ jobs: [run] })
  const onDefine = () => configuredBy(run)
  for (const isRetried of [false, true]) {
    await ada.pipelines.define({ id: 'p', job: run, onDefine })
    await bench.clock.settle()
    const old = work.run()
    await ada.pipelines.delete('p')
    await bench.clock.advance(1)
    await ada.pipelines.define({ id: 'p', job: run, onDefine })
    if (isRetried) old.fail(new Error('the source is down'))
    else old.finish('done')
    await bench.clock.settle()
    expect((await ada.pipelines.get('p')).status).toBe('provisioning')
    const [retries, unended] = [await ada.list({ phase: 'waiting' }), await ada.list({ phase: 'active' })]
    expect([retries.items.length, unended.items.length]).toEqual([0, 1])
    // Its own job decides.
    work.run().finish('done')
    await bench.clock.settle()
    expect((await ada.pipelines.get('p')).status).toBe('ready')
    await ada.pipelines.delete('p')
  }
})

test('a definition does not fail because of a job of a type that this engine does not know', async () => {
  const bench = new Bench()
  const run = defineJob({ type: 'run', execute: () => {} })
  const lifecycle = createMachine({
    initial: 'open',
    states: { open: { on: { done: 'closed' } }, closed: { type: 'final' } },
  })
  const task = defineJob({ type: 'task', lifecycle, commands: { done: z.object({}) } })
  const [knows, other] = [await bench.start({ jobs: [run, task] }), await bench.start({ jobs: [run] })]
  const { id } = await knows.ada.submit(task)
  const onDefine = () => [{ kind: 'send', to: { type: 'task' }, event: { type: 'done' } }] as const
  await other.ada.pipelines.define({ id: 'p', job: run, onDefine })
  expect((await knows.ada.get(id)).status).toBe('open')
  await knows.ada.pipelines.define({ id: 'q', job: run, onDefine })
  expect((await knows.ada.get(id)).status).toBe('closed')
})

test('the retry of the job that a pipeline waits for also waits for its turn, whatever the rule for retries is', async () => {
  const bench = new Bench()
  const work = new Work()
  const run = defineJob({ type: 'run', execute: work.obedient })
  const config = defineJob({
    type: 'config',
    execute: work.obedient,
    followUp: ({ outcome }) => {
      return outcome === 'failure' ? [{ kind: 'retry' }] : [{ kind: 'status', pipeline: 'p', status: 'ready' }]
    },
  })
  const { ada } = await bench.start({ jobs: [run, config] })
  const onDefine = () => {
    const first = { kind: 'submit', job: config } as const
    return [{ kind: 'status', status: 'provisioning' } as const, first, { ...first, job: run }]
  }
  await ada.pipelines.define({ id: 'p', job: run, overlap: 'skip', onDefine })
  await bench.clock.settle()
  work.run().fail(new Error('the source is down'))
  for (let n = 0; n < 2; n++) {
    await bench.clock.settle()
    expect((await ada.pipelines.get('p')).status).toBe('provisioning')
    work.run().finish('done')
  }
  await bench.clock.settle()
  expect((await ada.pipelines.get('p')).status).toBe('ready')
})
