import {
  type AnyJobType,
  defineJob,
  type Policy,
  rolePolicy,
  type Session,
  type SessionEvent,
  type Target,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

const command = z.object({})

/** A job that waits for a person: the assignee decides, the creator may remind. */
const approval = defineJob({
  type: 'approval',
  input: z.object({ euros: z.number() }),
  lifecycle: createMachine({
    initial: 'open',
    states: {
      open: { on: { approve: 'approved', cancel: 'dismissed', remind: { actions: () => {} } } },
      approved: { type: 'final' },
      dismissed: { type: 'final', tags: 'cancelled' },
    },
  }),
  commands: {
    approve: { schema: command, by: { relation: 'assignee' } },
    cancel: { schema: command, by: { relation: 'assignee' } },
    remind: { schema: command, by: { relation: 'creator' } },
  },
})

const plain = defineJob({ type: 'plain', execute: () => 1 })

async function started(
  jobs: readonly AnyJobType[] = [approval, plain],
  policy: Policy = rolePolicy({ assignee: ['approver'] }),
) {
  const bench = new Bench()
  const host = await bench.start({ jobs, policy })
  const max = host.engine.as({ id: 'max', role: 'approver' })
  return { bench, max, jobs, policy, ...host }
}

async function idsOf(who: Session, options: Parameters<Session['list']>[0] = {}): Promise<readonly string[]> {
  return (await who.list({ order: 'oldest', ...options })).items.map(({ id }) => id)
}

describe('the assignee of a job', () => {
  test('sees it and its events, and sends the commands meant for the assignee', async () => {
    const { ada, bob, max } = await started()
    const { id, assignee } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    expect(assignee).toBe('max')
    expect(await max.get(id)).toMatchObject({ createdBy: 'ada', assignee: 'max', input: { euros: 5 } })
    expect(await codeOf(bob.get(id))).toBe('JOB_NOT_FOUND')
    expect((await max.actions(id)).commands).toEqual(['approve', 'cancel'])
    expect((await ada.actions(id)).commands).toEqual(['remind'])
    expect(await codeOf(ada.send(id, { type: 'approve' }))).toBe('FORBIDDEN')
    expect((await max.send(id, { type: 'approve' })).status).toBe('approved')
    expect((await max.history(id)).map(({ to, by }) => [to, by.id])).toEqual([
      ['open', 'ada'],
      ['approved', 'max'],
    ])
    const events = max.events({ after: 0 })
    expect((await events.next()).value).toMatchObject({ type: 'job.created', jobId: id, assignee: 'max' })
    expect((await events.next()).value).toMatchObject({ to: 'approved', assignee: 'max', by: { id: 'max' } })
  })

  test('dismisses it by a cancel command that is meant for the assignee', async () => {
    const { ada, max } = await started()
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    expect(await codeOf(ada.cancel(id))).toBe('FORBIDDEN')
    expect((await max.cancel(id)).outcome).toBe('cancelled')
  })

  test('is told by explain to everyone who sees it, with the commands that the caller may send', async () => {
    const { ada, max, admin } = await started()
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    const other = await ada.submit(approval, { euros: 5 })
    expect(await max.explain(id)).toEqual([{ kind: 'command', commands: ['approve', 'cancel'], assignee: 'max' }])
    expect(await ada.explain(id)).toEqual([{ kind: 'command', commands: ['remind'], assignee: 'max' }])
    expect(await admin.explain(id)).toEqual([{ kind: 'command', commands: [], assignee: 'max' }])
    expect(await ada.explain(other.id)).toEqual([{ kind: 'command', commands: ['remind'] }])
  })

  test('lists assigned jobs by a view of its own, which narrows and counts like any list', async () => {
    const { ada, max, admin } = await started()
    const first = await ada.submit(approval, { euros: 1 }, { assignee: 'max' })
    const second = await ada.submit(approval, { euros: 2 }, { assignee: 'max', labels: { team: 'red' } })
    await ada.submit(approval, { euros: 3 }, { assignee: 'root' })
    await ada.submit(approval, { euros: 4 })
    await max.send(first.id, { type: 'approve' })
    expect(await max.views()).toEqual(['mine', 'assigned'])
    expect(await idsOf(max)).toEqual([first.id, second.id])
    expect(await idsOf(max, { view: 'assigned' })).toEqual([first.id, second.id])
    expect(await idsOf(max, { view: 'assigned', phase: 'active' })).toEqual([second.id])
    expect(await idsOf(max, { view: 'assigned', labels: { team: 'red' } })).toEqual([second.id])
    expect(await idsOf(max, { view: 'assigned', assignee: 'max', createdBy: 'ada' })).toEqual([first.id, second.id])
    expect(await idsOf(max, { view: 'assigned', assignee: 'root' })).toEqual([])
    expect(await idsOf(max, { view: 'mine' })).toEqual([])
    expect(await max.counts({ by: 'status' }, { view: 'assigned' })).toEqual({ open: 1, approved: 1 })
    expect(await admin.count({ view: 'assigned' })).toBe(1)
    expect(await admin.count({ assignee: 'max' })).toBe(2)
    expect(await ada.count({ assignee: 'max' })).toBe(2)
    expect(await ada.count({ view: 'mine', assignee: 'root' })).toBe(1)
  })

  test('is kept in the log when the job is deleted, and still sees its events', async () => {
    const { ada, bob, max, engine } = await started()
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    await engine.system.delete(id)
    const read = async (who: Session) => {
      const given = new AbortController()
      const told: SessionEvent[] = []
      const events = who.events({ after: 0, signal: given.signal })
      for (let count = 0; count < 2; count++) told.push((await events.next()).value)
      given.abort()
      return told
    }
    expect(await read(max)).toMatchObject([{ type: 'job.created', assignee: 'max' }, { type: 'job.deleted' }])
    const none = bob.events({ after: 0 })
    const first = none.next()
    await ada.submit(approval, { euros: 6 }, { assignee: 'bob' })
    expect((await first).value).toMatchObject({ type: 'job.created', assignee: 'bob' })
  })

  test('narrows a stream of events', async () => {
    const { ada, admin } = await started()
    await ada.submit(approval, { euros: 1 })
    await ada.submit(approval, { euros: 2 }, { assignee: 'eve' })
    const { id } = await ada.submit(approval, { euros: 3 }, { assignee: 'max' })
    for (const from of [0, undefined]) {
      const events = admin.events({ assignee: 'max', ...(from === undefined ? {} : { after: from }) })
      const next = events.next()
      const later = from === undefined ? await ada.submit(approval, { euros: 4 }, { assignee: 'max' }) : { id }
      expect((await next).value).toMatchObject({ jobId: later.id })
    }
  })

  test('in another tenant sees nothing', async () => {
    const { ada, engine } = await started()
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    const abroad = engine.as({ id: 'max', tenant: 'other', role: 'approver' })
    expect(await codeOf(abroad.get(id))).toBe('JOB_NOT_FOUND')
    expect(await abroad.count({ view: 'assigned' })).toBe(0)
  })

  test('survives a restart, moves of the chart, and is inherited by child jobs', async () => {
    const family = defineJob({
      type: 'family',
      lifecycle: createMachine({
        initial: 'on',
        states: { on: { invoke: { id: 'kid', src: 'kid', onDone: 'done' } }, done: { type: 'final' } },
      }).provide({ actors: { kid: createMachine({ initial: 'a', states: { a: {} } }) } }),
    })
    const jobs = [approval, family]
    const { bench, ada, crash, policy } = await started(jobs)
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    const parent = await ada.submit(family, undefined, { assignee: 'max' })
    await bench.clock.settle()
    await crash()
    const { engine } = await bench.start({ jobs, policy })
    const max = engine.as({ id: 'max', role: 'approver' })
    expect((await max.send(id, { type: 'approve' })).assignee).toBe('max')
    expect((await max.list({ parentId: parent.id })).items).toMatchObject([{ assignee: 'max', type: 'family/kid' }])
  })

  test('that is redacted is in no view, event or reason, and cannot be filtered by', async () => {
    const policy: Policy = {
      authorize: () => ({ redact: ['assignee'] }),
      scope: ({ tenant }) => [{ tenant, redact: ['assignee'] }],
    }
    const { ada, max } = await started([approval], policy)
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    await max.send(id, { type: 'approve' })
    const told = [await ada.get(id), await ada.explain(id), await ada.history(id), (await ada.list()).items]
    const events = ada.events({ after: 0 })
    for (let count = 0; count < 2; count++) told.push((await events.next()).value)
    // Another person's act is told without its author, who may be the assignee.
    expect(JSON.stringify(told)).not.toContain('max')
    const refusal = await errorOf(ada.list({ assignee: 'max' }))
    expect(refusal).toMatchObject({ code: 'FORBIDDEN', issues: [{ path: ['assignee'] }] })
    expect(await codeOf(ada.events({ assignee: 'max' }).next())).toBe('FORBIDDEN')
  })

  test('is shown the input, where a policy redacts it for others', async () => {
    const { ada, max, admin } = await started(undefined, rolePolicy({ assignee: ['approver'], redact: ['input'] }))
    const { id } = await ada.submit(approval, { euros: 5 }, { assignee: 'max' })
    expect((await max.get(id)).input).toEqual({ euros: 5 })
    expect(await admin.get(id)).toMatchObject({ redacted: expect.arrayContaining(['input']) })
    expect(await max.count({ view: 'assigned', labels: {} })).toBe(1)
  })
})

describe('defineJob({ assignee })', () => {
  const routed = defineJob({
    type: 'routed',
    input: z.object({ euros: z.number() }),
    execute: () => 1,
    assignee: ({ input, createdBy, labels, tenant }) =>
      input.euros < 0 ? undefined : `${labels.team ?? 'no team'} ${createdBy} ${tenant} ${input.euros}`,
  })

  test('decides it from the parsed input, and the option of the submitter is ignored', async () => {
    const { ada } = await started([routed])
    const labels = { team: 'red' }
    expect((await ada.submit(routed, { euros: 5 }, { labels })).assignee).toBe('red ada default 5')
    expect((await ada.submit(routed, { euros: 5 }, { assignee: 'eve' })).assignee).toBe('no team ada default 5')
    expect((await ada.submit(routed, { euros: -5 }, { assignee: 'eve' })).assignee).toBeUndefined()
    const many = await ada.submitMany([{ type: routed, input: { euros: 7 } }], { atomic: true })
    expect(many).toMatchObject([{ job: { assignee: 'no team ada default 7' } }])
  })

  test('decides it for runs of a pipeline, too', async () => {
    const { ada } = await started([routed, plain])
    await ada.pipelines.define({ id: 'p', job: routed, input: { euros: 1 }, labels: { team: 'red' } })
    expect((await ada.pipelines.run('p')).assignee).toBe('red ada default 1')
    await ada.pipelines.define({ id: 'q', job: plain })
    expect((await ada.pipelines.run('q', { assignee: 'max' })).assignee).toBe('max')
  })

  test('decides it for scheduled runs, and for jobs that a definition submits', async () => {
    const { bench, ada } = await started([routed, plain])
    const schedule = { every: '1m' } as const
    await ada.pipelines.define({
      ...{ id: 'p', job: plain, schedule, labels: { team: 'red' } },
      onDefine: () => [{ kind: 'submit', job: routed, input: { euros: 9 } }],
    })
    await ada.pipelines.define({ id: 'q', job: routed, input: { euros: 3 }, schedule, labels: { team: 'blue' } })
    await bench.clock.advance(120_000)
    const found = (await ada.list({ type: 'routed' })).items.map(({ trigger, assignee }) => [trigger, assignee])
    expect(found).toContainEqual(['manual', 'red ada default 9'])
    expect(found).toContainEqual(['schedule', 'blue ada default 3'])
  })

  test('that throws skips a scheduled run, and the next one is tried again', async () => {
    let isBroken = true
    const odd = defineJob({
      type: 'odd',
      execute: () => 1,
      assignee: () => {
        if (isBroken) throw new Error('no')
        return 'max'
      },
    })
    const { bench, ada } = await started([odd])
    await ada.pipelines.define({ id: 'p', job: odd, schedule: { every: '1m' } })
    await bench.clock.advance(180_000)
    expect(await ada.count()).toBe(0)
    isBroken = false
    await bench.clock.advance(120_000)
    expect((await ada.list()).items[0]).toMatchObject({ trigger: 'schedule', assignee: 'max' })
  })

  test('asks the policy about the submit with the assignee that the job will have', async () => {
    const asked: (string | undefined)[] = []
    const policy: Policy = {
      authorize: (_, action, { assignee }: Target) => {
        if (action === 'submit') asked.push(assignee)
        return assignee?.startsWith('red') === true ? 'deny' : 'allow'
      },
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada } = await started([routed, plain], policy)
    expect(await codeOf(ada.submit(routed, { euros: 5 }, { labels: { team: 'red' } }))).toBe('FORBIDDEN')
    expect(await codeOf(ada.submit(plain, undefined, { assignee: 'red' }))).toBe('FORBIDDEN')
    expect(await codeOf(ada.submit(plain, undefined, { assignee: 'blue' }))).toBe('ok')
    expect(asked).toEqual(['red ada default 5', 'red', 'blue'])
  })

  test.each<[what: string, assignee: () => unknown]>([
    ['a number', () => 5],
    ['empty text', () => ''],
    ['a promise', async () => 'max'],
    ['a promise that fails', async () => Promise.reject(new Error('no'))],
    [
      'a throw',
      () => {
        throw new Error('no')
      },
    ],
  ])('that gives %s refuses the submit, and nothing is stored', async (_, assignee) => {
    const odd = defineJob({ type: 'odd', execute: () => 1, assignee: assignee as () => string })
    const { ada } = await started([odd])
    const error = await errorOf(ada.submit(odd))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['assignee'] }] })
    expect(error.message).toContain('assignee of job type "odd"')
    expect(await ada.count()).toBe(0)
  })
})

describe('defineJob({ facts })', () => {
  const tool = defineJob({
    type: 'tool',
    input: z.object({ system: z.string(), fails: z.boolean().default(false) }),
    execute: ({ input }) => {
      if (input.fails) throw new Error('no')
    },
    facts: ({ input }) => ({ system: input.system }),
  })
  const policy = rolePolicy({ resources: { system: { see: ['owner'], submit: ['owner'] } } })

  test('sets labels over those that the caller gave, so that leaving one out avoids no rule', async () => {
    const { ada, engine } = await started([tool], policy)
    const owner = engine.as({ id: 'otto', relations: { 'system:7': 'owner' } })
    expect(await codeOf(ada.submit(tool, { system: '7' }))).toBe('FORBIDDEN')
    expect(await codeOf(owner.submit(tool, { system: '8' }, { labels: { system: '7' } }))).toBe('FORBIDDEN')
    const { labels } = await owner.submit(tool, { system: '7' }, { labels: { system: '8', team: 'red' } })
    expect(labels).toEqual({ system: '7', team: 'red' })
  })

  test('sets them for runs and retries, too', async () => {
    const { bench, ada, engine } = await started([tool], policy)
    const owner = engine.as({ id: 'otto', relations: { 'system:7': 'owner' } })
    await engine.system.pipelines.define({ id: 'p', job: tool, input: { system: '7' }, owner: 'otto' })
    expect(await codeOf(ada.pipelines.run('p'))).toBe('PIPELINE_NOT_FOUND')
    expect((await engine.system.pipelines.run('p')).labels).toEqual({ system: '7' })
    const { id } = await owner.submit(tool, { system: '7', fails: true })
    await bench.clock.settle()
    expect((await owner.actions(id)).retry).toBe(true)
    expect((await owner.retry(id)).labels).toEqual({ system: '7' })
  })

  test.each<[what: string, facts: () => unknown]>([
    ['a list', () => ['a']],
    ['a number as a label', () => ({ a: 5 })],
    ['a promise', async () => ({ a: 'b' })],
    [
      'a throw',
      () => {
        throw new Error('no')
      },
    ],
  ])('that give %s refuse the submit, and nothing is stored', async (_, facts) => {
    const odd = defineJob({ type: 'odd', execute: () => 1, facts: facts as () => Record<string, string> })
    const { ada } = await started([odd])
    expect(await errorOf(ada.submit(odd))).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['facts'] }] })
    expect(await ada.count()).toBe(0)
  })

  test('may give nothing', async () => {
    const none = defineJob({ type: 'none', execute: () => 1, facts: () => undefined })
    const { ada } = await started([none])
    expect((await ada.submit(none, undefined, { labels: { a: 'b' } })).labels).toEqual({ a: 'b' })
  })
})

describe('a job that comes after another', () => {
  test('by retry keeps the assignee, whoever retries', async () => {
    const failing = defineJob({ type: 'failing', execute: () => Promise.reject(new Error('no')) })
    const { bench, ada } = await started([failing])
    const { id } = await ada.submit(failing, undefined, { assignee: 'max' })
    await bench.clock.settle()
    expect(await ada.retry(id)).toMatchObject({ retryOf: id, assignee: 'max' })
  })

  test('by a follow-up has the assignee that the follow-up gives, and a retry keeps its own by default', async () => {
    const work = new Work()
    const after = defineJob({ type: 'after', execute: () => 1 })
    const owned = defineJob({ type: 'owned', execute: () => 1, assignee: () => 'olga' })
    const first = defineJob({
      type: 'first',
      execute: work.execute,
      followUp: ({ outcome, retries, assignee }) => {
        if (outcome === 'success') {
          const given = { kind: 'submit', assignee: `after ${assignee}` } as const
          return [
            { ...given, job: after },
            { ...given, job: owned },
            { kind: 'submit', job: after },
          ]
        }
        return [retries === 0 ? { kind: 'retry' } : { kind: 'retry', assignee: 'boss' }]
      },
    })
    const { bench, ada, admin } = await started([first, after, owned])
    await ada.submit(first, undefined, { assignee: 'max' })
    for (const fails of [true, true, false]) {
      if (fails) work.run().fail(new Error('no'))
      else work.run().finish()
      await bench.clock.settle()
    }
    const found = (await admin.list({ order: 'oldest' })).items.map(({ type, retries = 0, assignee }) => {
      return `${type} ${retries}: ${assignee}`
    })
    expect(found.sort()).toEqual([
      'after 0: after boss',
      'after 0: undefined',
      'first 0: max',
      'first 1: max',
      'first 2: boss',
      'owned 0: olga',
    ])
  })
})

test('a state that waits for a person may free the slot, and is approved into it when it is free', async () => {
  const nightly = defineJob({
    type: 'nightly',
    lifecycle: createMachine({
      initial: 'loading',
      states: {
        loading: { invoke: { src: 'load', onDone: 'asking' } },
        asking: { tags: 'vacates', on: { approve: 'approved' }, after: { 86400000: 'lapsed' } },
        approved: { tags: 'vacates', after: { 1: 'publishing' } },
        publishing: { on: { finish: 'published' } },
        published: { type: 'final' },
        lapsed: { type: 'final', tags: 'cancelled' },
      },
    }).provide({ actors: { load: fromPromise(async () => {}) } }),
    commands: { approve: { schema: command, by: { relation: 'assignee' } }, finish: command },
  })
  const { bench, ada, max } = await started([nightly])
  const run = { pipeline: 'nightly', assignee: 'max' }
  const first = await ada.submit(nightly, undefined, run)
  await bench.clock.settle()
  expect((await ada.get(first.id)).status).toBe('asking')
  // The first run waits for a person and holds up no other.
  const second = await ada.submit(nightly, undefined, run)
  await bench.clock.settle()
  await max.send(second.id, { type: 'approve' })
  await bench.clock.advance(1_000)
  expect((await ada.get(second.id)).status).toBe('publishing')
  // The slot is taken: an approved run waits for it.
  expect((await max.send(first.id, { type: 'approve' })).status).toBe('approved')
  await bench.clock.advance(60_000)
  expect((await ada.get(first.id)).status).toBe('approved')
  await ada.send(second.id, { type: 'finish' })
  await bench.clock.advance(2_000)
  expect((await ada.get(first.id)).status).toBe('publishing')
})
