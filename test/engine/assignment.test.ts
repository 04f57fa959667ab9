import {
  type Assignment,
  agentTask,
  type CreateEngineOptions,
  defineJob,
  type Policy,
  rolePolicy,
  task,
} from 'jobchart'
import type { AgentTransport, ClaimedTask } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { type PromiseActorLogic, setup } from 'xstate'
import { Bench, codeOf, errorOf, type Host } from './bench.ts'

const extract = defineJob({ type: 'extract', agent: { function: 'extract' }, startsPipelines: true })
const jobs = [extract]
const GPU: Assignment = { pool: 'gpu' }
const A1: Assignment = { agent: 'a1' }

async function started(options: Partial<CreateEngineOptions> = {}) {
  const bench = new Bench()
  return { bench, ...(await bench.start({ jobs, ...options })) }
}

async function agentOf({ engine }: Pick<Host, 'engine'>, id: string, pools: readonly string[] = []) {
  const { agents } = engine.asAgent({ id })
  await agents.register({ name: id.toUpperCase(), pools, functions: [{ name: 'extract' }] })
  return agents
}

/** The agent claims a task, which must be there. */
async function claimOf(agent: AgentTransport): Promise<ClaimedTask & { readonly key: { job: string; token: number } }> {
  const [claimed] = await agent.claim()
  if (claimed === undefined) throw new Error('there is no task for this agent')
  return { ...claimed, key: { job: claimed.job.id, token: claimed.token } }
}

describe('the assignment of a job', () => {
  test('is shown with the job, and only agents that it names get the task', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2', ['gpu'])]
    const one = await host.ada.submit(extract, undefined, { assignment: A1 })
    const other = await host.ada.submit(extract, undefined, { assignment: GPU })
    expect([one.assignment, other.assignment]).toEqual([A1, GPU])
    expect((await a2.claim({ max: 9 })).map(({ job }) => job.id)).toEqual([other.id])
    expect((await a1.claim({ max: 9 })).map(({ job }) => job.id)).toEqual([one.id])
    expect(await host.ada.get(one.id)).toMatchObject({ assignment: A1, agent: { id: 'a1', name: 'A1' } })
    expect(await host.ada.get(other.id)).toMatchObject({
      assignment: GPU,
      agent: { id: 'a2', name: 'A2', pool: 'gpu' },
    })
  })

  test('is absent without the option, also from the view, and any able agent gets the task', async () => {
    const host = await started()
    const view = await host.ada.submit(extract)
    expect(view).not.toHaveProperty('assignment')
    expect(view).not.toHaveProperty('agent')
    expect((await claimOf(await agentOf(host, 'a1'))).job.id).toBe(view.id)
  })

  test('may be given to each job of submitMany, and one that is not valid refuses its job alone', async () => {
    const { ada } = await started()
    const [one, other, wrong] = await ada.submitMany([
      { type: extract, assignment: A1 },
      { type: extract, assignment: GPU },
      { type: extract, assignment: { agent: 'a', pool: 'b' } as never },
    ])
    expect([one?.job?.assignment, other?.job?.assignment]).toEqual([A1, GPU])
    expect(wrong?.error).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('assignment') })
    const together = await ada.submitMany([{ type: extract, assignment: GPU }], { atomic: true })
    expect(together.map(({ job }) => job?.assignment)).toEqual([GPU])
  })

  test('is kept by a retry, replaced by one that names another, and dropped by null', async () => {
    const host = await started()
    const { ada } = host
    const agent = await agentOf(host, 'a1', ['gpu'])
    const { id } = await ada.submit(extract, undefined, { assignment: GPU })
    await agent.fail((await claimOf(agent)).key, 'broken')
    expect(await ada.get(id)).toMatchObject({ outcome: 'failure' })
    expect((await ada.retry(id)).assignment).toEqual(GPU)
    expect((await ada.retry(id, { assignment: A1 })).assignment).toEqual(A1)
    expect(await ada.retry(id, { assignment: null })).not.toHaveProperty('assignment')
  })

  test('is the same in every child job', async () => {
    const child = setup({ actors: { work: agentTask({ function: 'extract' }) } }).createMachine({
      initial: 'a',
      states: { a: { invoke: { src: 'work', onDone: 'b' } }, b: { type: 'final' } },
    })
    const lifecycle = setup({ actors: { child } }).createMachine({
      initial: 'a',
      states: { a: { invoke: { src: 'child', onDone: 'b' } }, b: { type: 'final' } },
    })
    const top = defineJob({ type: 'top', lifecycle })
    const host = await started({ jobs: [top] })
    const [a1, a2] = [await agentOf(host, 'a1', ['gpu']), await agentOf(host, 'a2')]
    const { id } = await host.ada.submit(top, undefined, { assignment: GPU })
    expect(await a2.claim()).toEqual([])
    const held = await claimOf(a1)
    const [below] = (await host.ada.list({ parentId: id })).items
    expect(below).toMatchObject({ id: held.job.id, assignment: GPU, agent: { id: 'a1', pool: 'gpu' } })
    await a1.done(held.key)
    expect(await host.ada.get(id)).toMatchObject({ outcome: 'success', assignment: GPU })
  })
})

describe('the assignment of a follow-up', () => {
  const next = (assignment: Assignment | null | undefined, kind: 'retry' | 'submit' | 'run') => {
    const given = assignment === undefined ? {} : { assignment }
    const follow: ReturnType<typeof defineJob> = defineJob({
      type: 'first',
      agent: { function: 'extract' },
      followUp: ({ retries, trigger }) => {
        if (retries > 0 || trigger === 'dependency') return []
        if (kind === 'retry') return [{ kind, ...given }]
        return kind === 'run' ? [{ kind, pipeline: 'nightly', ...given }] : [{ kind, job: extract, ...given }]
      },
    })
    return follow
  }

  test.each([
    ['retry', undefined, A1],
    ['retry', GPU, GPU],
    ['retry', null, undefined],
    ['submit', undefined, undefined],
    ['submit', GPU, GPU],
    ['run', undefined, { pool: 'night' }],
    ['run', GPU, GPU],
    ['run', null, undefined],
  ] as const)('%s with %o is %o', async (kind, given, expected) => {
    const first = next(given, kind)
    const host = await started({ jobs: [extract, first] })
    await host.ada.pipelines.define({ id: 'nightly', job: extract, assignment: { pool: 'night' } })
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(first, undefined, { assignment: A1 })
    await agent.fail((await claimOf(agent)).key, 'broken')
    await host.bench.clock.settle()
    const [made] = (await host.ada.list()).items
    expect(made?.id).not.toBe(id)
    expect(made?.assignment).toEqual(expected)
  })

  test('tells the follow-up which agent ran the job, and to whom the job was assigned', async () => {
    const seen: unknown[] = []
    const told = defineJob({
      type: 'told',
      agent: { function: 'extract' },
      followUp: ({ agent, assignment }) => {
        seen.push({ agent, assignment })
        return []
      },
    })
    const host = await started({ jobs: [told] })
    const agent = await agentOf(host, 'a1', ['gpu'])
    await host.ada.submit(told, undefined, { assignment: GPU })
    await agent.done((await claimOf(agent)).key)
    expect(seen).toEqual([{ agent: { id: 'a1', name: 'A1', pool: 'gpu' }, assignment: GPU }])
  })
})

describe('the assignment of a pipeline', () => {
  test('is that of its runs: by hand unless the caller names another, by schedule, after other jobs', async () => {
    const host = await started()
    const { ada, bench } = host
    const at = bench.clock.now() + 60_000
    const options = { id: 'nightly', job: extract, assignment: GPU, overlap: 'queue' } as const
    const defined = await ada.pipelines.define({ ...options, schedule: { at }, dependsOn: [{ job: extract }] })
    expect(defined.assignment).toEqual(GPU)
    expect((await ada.pipelines.run('nightly')).assignment).toEqual(GPU)
    expect((await ada.pipelines.run('nightly', { assignment: A1 })).assignment).toEqual(A1)
    expect(await ada.pipelines.run('nightly', { assignment: null })).not.toHaveProperty('assignment')
    await bench.clock.advance(60_000)
    await bench.clock.settle()
    const agent = await agentOf(host, 'a1')
    await ada.submit(extract, undefined, { assignment: { agent: 'a1' } })
    await agent.done((await claimOf(agent)).key)
    await bench.clock.advance(2_000)
    const { items } = await ada.list({ pipeline: 'nightly' })
    const own = items
      .filter(({ trigger }) => trigger !== 'manual')
      .map(({ trigger, assignment }) => [trigger, assignment])
    expect(own).toEqual([
      ['dependency', GPU],
      ['schedule', GPU],
    ])
  })

  test('changes with a definition, and is dropped by one without it', async () => {
    const { ada } = await started()
    const define = (assignment?: Assignment) =>
      ada.pipelines.define({ id: 'p', job: extract, ...(assignment === undefined ? {} : { assignment }) })
    await define(GPU)
    expect((await define(A1)).assignment).toEqual(A1)
    expect(await define()).not.toHaveProperty('assignment')
    const error = await errorOf(ada.pipelines.define({ id: 'p', job: extract, assignment: {} as never }))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('assignment') })
  })

  test('is that of jobs that its definition submits, unless these name another', async () => {
    const { ada } = await started()
    const onDefine = () =>
      [
        { kind: 'submit', job: extract },
        { kind: 'submit', job: extract, assignment: A1 },
        { kind: 'submit', job: extract, assignment: null },
      ] as const
    await ada.pipelines.define({ id: 'p', job: extract, assignment: GPU, onDefine })
    const { items } = await ada.list({ order: 'oldest' })
    expect(items.map(({ assignment }) => assignment)).toEqual([GPU, A1, undefined])
  })
})

describe('the agent of a job', () => {
  test('is shown while it holds the task, then not, and again once the job has ended', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    const { id } = await host.ada.submit(extract)
    const shown = async () => (await host.ada.get(id)).agent
    expect(await shown()).toBeUndefined()
    const first = await claimOf(a1)
    expect(await shown()).toEqual({ id: 'a1', name: 'A1' })
    await a1.release(first.key)
    expect(await shown()).toBeUndefined()
    expect((await host.ada.list()).items[0]).not.toHaveProperty('agent')
    const second = await claimOf(a2)
    await a2.started(second.key)
    await a2.done(second.key)
    expect(await shown()).toEqual({ id: 'a2', name: 'A2' })
    expect((await host.ada.list()).items[0]?.agent).toEqual({ id: 'a2', name: 'A2' })
  })

  test('is the cause of what it reports, in the history, and is named by the event of its claim', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1', ['gpu'])
    const events: unknown[] = []
    host.engine.on('task.claimed', ({ by, agent, task }) => void events.push({ by, agent, task }))
    const { id } = await host.ada.submit(extract, undefined, { assignment: GPU })
    const { key } = await claimOf(agent)
    await agent.started(key)
    await agent.done(key)
    const by = { kind: 'agent', id: 'a1' }
    expect(events).toEqual([{ by, task: 'execute', agent: { id: 'a1', name: 'A1', pool: 'gpu' } }])
    const history = (await host.ada.history(id)).map((entry) => [entry.to, entry.by])
    expect(history).toEqual([
      ['queued', { kind: 'user', id: 'ada' }],
      ['running', by],
      ['completed', by],
    ])
  })
})

describe('a policy that redacts', () => {
  const redacting = (...redact: readonly string[]): Policy => {
    const open = rolePolicy()
    return {
      ...open,
      authorize: async (principal, action, target) => {
        const verdict = await open.authorize(principal, action, target)
        return verdict === 'allow' && principal.role === 'admin' ? { redact } : verdict
      },
    }
  }

  async function seen(...redact: readonly string[]) {
    const host = await started({ policy: redacting(...redact) })
    const agent = await agentOf(host, 'a1', ['gpu'])
    const { id } = await host.ada.submit(extract, undefined, { assignment: GPU })
    const { key } = await claimOf(agent)
    await agent.started(key)
    const events: unknown[] = []
    for await (const event of host.admin.events({ after: 0 })) {
      events.push(event)
      if (event.type === 'task.started') break
    }
    return { view: await host.admin.get(id), told: JSON.stringify([events, await host.admin.history(id)]) }
  }

  test('the agent hides it everywhere, also as the cause of events', async () => {
    const { view, told } = await seen('agent')
    expect(view).toMatchObject({ redacted: ['agent'], assignment: GPU })
    expect(view).not.toHaveProperty('agent')
    expect(told).not.toContain('a1')
    expect(told).not.toContain('A1')
  })

  test('the assignment hides the agent too, which would reveal it', async () => {
    const { view, told } = await seen('assignment')
    expect(view.redacted).toEqual(['agent', 'assignment'])
    expect(JSON.stringify(view)).not.toContain('gpu')
    expect(told).not.toContain('gpu')
    expect(told).not.toContain('a1')
  })

  test('the input leaves both shown', async () => {
    const { view } = await seen('input')
    expect(view).toMatchObject({ assignment: GPU, agent: { id: 'a1', pool: 'gpu' } })
  })
})

describe('an engine', () => {
  const work = (logic: PromiseActorLogic<unknown>) =>
    defineJob({ type: 'j', lifecycle: setup({ actors: { work: logic } }).createMachine({ invoke: { src: 'work' } }) })

  test('refuses a task for agents on an executor that runs code itself', async () => {
    const bench = new Bench()
    for (const job of [
      work(agentTask({ executor: 'default' })),
      defineJob({ type: 'j', agent: {}, executor: 'default' }),
    ]) {
      const error = await errorOf(bench.start({ jobs: [job] }))
      expect(error.code).toBe('INVALID_DEFINITION')
      expect(error.message).toMatch(
        /^task "(work|execute)" of job type "j" names the executor "default", which is not one for agents/,
      )
    }
  })

  test('refuses a task with code of its own on an executor for agents', async () => {
    const bench = new Bench()
    const own = [
      work(task({ executor: 'agents' }, (): unknown => 1)),
      defineJob({ type: 'j', execute: () => 1, executor: 'agents' }),
      defineJob({ type: 'j', run: { command: 'ls' }, executor: 'agents' }),
    ]
    for (const job of own) {
      const error = await errorOf(bench.start({ jobs: [job] }))
      expect(error.code).toBe('INVALID_DEFINITION')
      expect(error.message).toContain(
        'names the executor "agents", which is for agents: make the task with agentTask()',
      )
    }
  })

  test('says of a task for agents that its executor is missing', async () => {
    const bench = new Bench()
    expect(await codeOf(bench.start({ jobs: [work(agentTask({ executor: 'absent' }))] }))).toBe('INVALID_DEFINITION')
  })
})
