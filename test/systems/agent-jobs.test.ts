import {
  type CreateEngineOptions,
  createEngine,
  type InputOf,
  JobchartError,
  memoryStorage,
  type Session,
} from 'jobchart'
import type { AgentTransport, ClaimKey } from 'jobchart/port'
import { agentJobs } from 'jobchart/presets'
import { explore, virtualClock } from 'jobchart/testing'
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest'
import { z } from 'zod'

const LEASE_MS = 30_000
const START = '2026-01-01T00:00:00.000Z'
const file = { id: 'f1', name: 'secret-wing.zip', type: 'application/zip', size: 52_311 }
const input = { file, parameters: { pages: 7 } }
const outputs = [{ type: 'artifact', id: 'o1', revision: 'r1' }] as const

const options = {
  tools: {
    viewer: {
      versions: ['1.0', '2.1'],
      functions: {
        measure: { parameters: z.object({ pages: z.number().int() }) },
        extract: { extracts: true },
      },
    },
  },
} as const

const tools = agentJobs(options)
const { measure, extract } = tools.jobs.viewer
const FUNCTIONS = [
  { name: '@viewer/measure', version: '2.1' },
  { name: '@viewer/extract', version: '2.1' },
]

/** An organization with an administrator, two users, and someone of another organization. */
async function organization(preset: Pick<ReturnType<typeof agentJobs>, 'types' | 'policy'> = tools) {
  const clock = virtualClock()
  const more: Partial<CreateEngineOptions> = { storage: memoryStorage() }
  const engine = await createEngine({
    jobs: preset.types,
    policy: preset.policy,
    clock,
    ...more,
  } as CreateEngineOptions)
  onTestFinished(() => engine.stop())
  const person = (id: string, role: string, tenant = 'O', relations: { [resource: string]: string } = {}) =>
    engine.as({ id, role, tenant, relations })
  const agent = async (id: string, registration: Partial<Parameters<AgentTransport['register']>[0]> = {}) => {
    const { agents } = engine.asAgent({ id, tenant: 'O' })
    await agents.register({ name: id.toUpperCase(), functions: FUNCTIONS, ...registration })
    return agents
  }
  const uma = person('uma', 'User')
  return {
    ...{ clock, engine, agent, person, uma },
    ada: person('ada', 'Administrator'),
    ugo: person('ugo', 'User'),
    eve: person('eve', 'Administrator', 'P'),
    row: async (id: string) => tools.present(await uma.get(id)),
    names: async (id: string) => (await uma.history(id)).map(({ to }) => to),
  }
}

type World = Awaited<ReturnType<typeof organization>>

/** The status that each step leads to. */
const STEPS: readonly [string, (agent: AgentTransport, claim: ClaimKey) => Promise<void>][] = [
  ['Running', (agent, claim) => agent.started(claim)],
  ['Validating', (agent, claim) => agent.event(claim, { type: 'outputReady' })],
  ['Uploading', (agent, claim) => agent.event(claim, { type: 'valid' })],
  ['Completed', (agent, claim) => agent.done(claim, [...outputs])],
]

/** A job of uma that the agent a1 has brought to this status. */
async function jobIn(world: World, status: string) {
  const agent = await world.agent('a1')
  const { id } = await world.uma.submit(measure, input)
  if (status === 'Canceled') await world.uma.cancel(id)
  if (status === 'Pending' || status === 'Canceled') return { id, agent, claim: { job: id, token: 1 } }
  const [task] = await agent.claim()
  const claim = { job: id, token: task?.token ?? 0 }
  if (status === 'Failed') await agent.fail(claim, { message: 'torn' })
  else {
    const target = STEPS.findIndex(([name]) => name === status)
    for (const [, step] of STEPS.slice(0, target + 1)) await step(agent, claim)
  }
  expect((await world.row(id)).status).toBe(status)
  return { id, agent, claim }
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof JobchartError ? error.code : String(error)),
  )

async function notified(session: Session) {
  const { items } = await session.notifications.list()
  return items.map(({ channels, event }) => ({ channels, jobId: 'jobId' in event ? event.jobId : undefined }))
}

const ACTIVE = ['Pending', 'Claimed', 'Running', 'Validating', 'Uploading'] as const
const TERMINAL = ['Completed', 'Failed', 'Canceled'] as const

describe('the acceptance cases', () => {
  test('A1 a new job is Pending, started at its creation, with no agent and automatic assignment', async () => {
    const world = await organization()
    const job = await world.uma.submit(measure, { ...input, version: '2.1' })
    expect(tools.present(job)).toEqual({
      ...{ id: job.id, tool: 'viewer', function: '@viewer/measure', toolVersion: '2.1', status: 'Pending' },
      ...{ isActive: true, startedOn: START, startedBy: 'uma', agentAssignment: 'Automatic', poolAssignment: null },
      ...{ agentId: null, agentName: null, outputs: [], message: null, parameters: { pages: 7 } },
      inputs: [{ name: file.name, type: file.type, size: file.size }],
    })
    const history = (await world.uma.history(job.id)).map((entry) => tools.presentEntry(job.id, entry))
    expect(history).toEqual([
      {
        id: `${job.id}.1`,
        jobId: job.id,
        name: 'Pending',
        created: START,
        createdById: 'uma',
        agentIdentifier: null,
        message: null,
      },
    ])
  })

  test('A2 with one agent, the history is Pending, Claimed, Running, Validating, Uploading, Completed', async () => {
    const world = await organization()
    const agent = await world.agent('a1')
    const waiting = agent.claim({ wait: '10s' })
    const { id } = await world.uma.submit(measure, input)
    const [task] = await waiting
    expect(task).toMatchObject({ job: { id }, function: '@viewer/measure', input })
    for (const [, step] of STEPS) {
      await world.clock.advance(1_000)
      await step(agent, { job: id, token: task?.token ?? 0 })
    }
    const history = (await world.uma.history(id)).map((entry) => tools.presentEntry(id, entry))
    expect(history.map(({ name }) => name)).toEqual([...ACTIVE, 'Completed'])
    expect(history.map(({ agentIdentifier }) => agentIdentifier)).toEqual([null, ...Array(5).fill('a1')])
    const times = history.map(({ created }) => created)
    expect([...times].sort()).toEqual(times)
    expect(await world.row(id)).toMatchObject({
      status: 'Completed',
      isActive: false,
      agentId: 'a1',
      agentName: 'A1',
      outputs,
    })
  })

  test('A3 its creator cancels a Pending job; then nobody can cancel or claim it', async () => {
    const world = await organization()
    const agent = await world.agent('a1')
    const { id } = await world.uma.submit(measure, input)
    expect((await world.uma.actions(id)).cancel).toBe(true)
    await world.uma.cancel(id)
    expect(await world.row(id)).toMatchObject({ status: 'Canceled', isActive: false })
    expect((await world.uma.actions(id)).cancel).toBe(false)
    expect(await agent.claim()).toEqual([])
    expect(await codeOf(agent.claim({ job: id }))).toBe('INVALID_STATE')
  })

  test.each(ACTIVE.slice(1))('A4 a job that is %s cannot be cancelled, not even by its creator', async (status) => {
    const world = await organization()
    const { id } = await jobIn(world, status)
    const before = await world.uma.get(id)
    expect(await codeOf(world.uma.cancel(id))).toBe('INVALID_STATE')
    expect((await world.uma.actions(id)).cancel).toBe(false)
    expect(await world.uma.get(id)).toEqual(before)
  })

  test.each(TERMINAL)('A5 a job that is %s cannot be cancelled: it has ended', async (status) => {
    const world = await organization()
    const { id } = await jobIn(world, status)
    const before = await world.uma.get(id)
    expect(await codeOf(world.uma.cancel(id))).toBe('ALREADY_SETTLED')
    expect(await world.uma.get(id)).toEqual(before)
  })

  test('A6 an agent that skips a step is refused, and the job is unchanged', async () => {
    const skips = [
      ['Pending', (agent: AgentTransport, claim: ClaimKey) => agent.started(claim), 'STALE_CLAIM'],
      ['Running', (agent: AgentTransport, claim: ClaimKey) => agent.done(claim, [...outputs]), 'INVALID_STATE'],
      ['Claimed', (agent: AgentTransport, claim: ClaimKey) => agent.event(claim, { type: 'valid' }), 'INVALID_STATE'],
      ['Claimed', (agent: AgentTransport, claim: ClaimKey) => agent.done(claim, [...outputs]), 'INVALID_STATE'],
      ['Validating', (agent: AgentTransport, claim: ClaimKey) => agent.done(claim, [...outputs]), 'INVALID_STATE'],
      [
        'Uploading',
        (agent: AgentTransport, claim: ClaimKey) => agent.event(claim, { type: 'outputReady' }),
        'INVALID_STATE',
      ],
    ] as const
    for (const [status, skip, code] of skips) {
      const world = await organization()
      const { id, agent, claim } = await jobIn(world, status)
      const before = await world.uma.get(id)
      expect([status, await codeOf(skip(agent, claim))]).toEqual([status, code])
      expect(await world.uma.get(id)).toEqual(before)
    }
  })

  test('A7 two agents claim one Pending job at once: one gets it, and the history has one Claimed', async () => {
    const world = await organization()
    const [a1, a2] = [await world.agent('a1'), await world.agent('a2')]
    const { id } = await world.uma.submit(measure, input)
    const codes = await Promise.all([codeOf(a1.claim({ job: id })), codeOf(a2.claim({ job: id }))])
    expect(codes.sort()).toEqual(['INVALID_STATE', 'ok'])
    expect(await world.names(id)).toEqual(['Pending', 'Claimed'])
  })

  test('A9 a job that is assigned to an agent is offered to that agent alone', async () => {
    const world = await organization()
    const [a1, a2] = [await world.agent('a1'), await world.agent('a2')]
    const { id } = await world.uma.submit(measure, input, { assignment: { agent: 'a1' } })
    expect(await a2.claim()).toEqual([])
    expect(await codeOf(a2.claim({ job: id }))).toBe('FORBIDDEN')
    expect((await a1.claim()).map(({ job }) => job.id)).toEqual([id])
    expect(await world.row(id)).toMatchObject({ agentAssignment: { agent: 'a1' }, poolAssignment: null })
  })

  test('a job that is assigned to a pool shows the pool, and goes to an agent of it', async () => {
    const world = await organization()
    const inside = await world.agent('a1', { pools: ['big'] })
    const outside = await world.agent('a2', { pools: ['small'] })
    const { id } = await world.uma.submit(measure, input, { assignment: { pool: 'big' } })
    expect(await outside.claim()).toEqual([])
    expect(await inside.claim()).toHaveLength(1)
    expect(await world.row(id)).toMatchObject({
      agentAssignment: { pool: 'big' },
      poolAssignment: 'big',
      agentId: 'a1',
    })
  })

  test('A11 an agent without the version of the tool is not offered the job, and the job says what is missing', async () => {
    const world = await organization()
    const old = await world.agent('old', { functions: [{ name: '@viewer/measure', version: '1.0' }] })
    const { id } = await world.uma.submit(measure, { ...input, version: '2.1' })
    expect(await old.claim()).toEqual([])
    expect(await world.uma.explain(id)).toEqual([
      { kind: 'noAgent', task: 'work', function: '@viewer/measure', version: '2.1' },
    ])
  })

  test('an agent that is lost in Claimed brings the job back to Pending, where it can be cancelled', async () => {
    const world = await organization()
    const { id } = await jobIn(world, 'Pending')
    const { agents } = world.engine.asAgent({ id: 'a1', tenant: 'O' })
    await agents.claim()
    await world.clock.advance(LEASE_MS)
    expect(await world.row(id)).toMatchObject({ status: 'Pending', agentId: null, message: 'agent lost' })
    expect((await world.uma.actions(id)).cancel).toBe(true)
    expect(await notified(world.uma)).toEqual([])
  })

  test('A13 a second loss in Claimed fails the job with "agent lost", and tells its creator once', async () => {
    const world = await organization()
    const agent = await world.agent('a1')
    const { id } = await world.uma.submit(measure, input)
    for (let n = 0; n < 2; n += 1) {
      expect(await agent.claim()).toHaveLength(1)
      await world.clock.advance(LEASE_MS)
    }
    expect(await world.row(id)).toMatchObject({ status: 'Failed', message: 'agent lost' })
    expect((await world.uma.get(id)).error).toMatchObject({ message: 'agent lost' })
    expect(await world.names(id)).toEqual(['Pending', 'Claimed', 'Pending', 'Claimed', 'Failed'])
    await world.clock.advance(60_000)
    expect(await notified(world.uma)).toEqual([{ channels: ['toast'], jobId: id }])
  })

  test('a job is given to as many other agents as the option says', async () => {
    const preset = agentJobs({ ...options, redeliveriesMax: 2 })
    const world = await organization(preset)
    const agent = await world.agent('a1')
    const { id } = await world.uma.submit(preset.jobs.viewer.measure, input)
    for (const status of ['Pending', 'Pending', 'Failed']) {
      expect(await agent.claim()).toHaveLength(1)
      await world.clock.advance(LEASE_MS)
      expect(await world.row(id)).toMatchObject({ status, message: 'agent lost' })
    }
  })

  test('giving a Claimed job back is no loss', async () => {
    const world = await organization()
    const agent = await world.agent('a1')
    const { id } = await world.uma.submit(measure, input)
    for (let n = 0; n < 5; n += 1) {
      const [task] = await agent.claim()
      await agent.release({ job: id, token: task?.token ?? 0 })
      expect(await world.row(id)).toMatchObject({ status: 'Pending', agentId: null })
    }
  })

  test.each(['Running', 'Validating', 'Uploading'])('A14 an agent that is lost in %s fails the job', async (status) => {
    const world = await organization()
    const { id, agent, claim } = await jobIn(world, status)
    await world.clock.advance(LEASE_MS)
    expect(await world.row(id)).toMatchObject({ status: 'Failed', agentId: 'a1', message: 'agent lost', outputs: [] })
    expect(await codeOf(agent.done(claim, [...outputs]))).toBe('STALE_CLAIM')
    expect(await agent.claim()).toEqual([])
  })

  test('A16 an administrator sees all but inputs and parameters, in every place where they could appear', async () => {
    const world = await organization()
    const streamed: unknown[] = []
    const stop = new AbortController()
    const stream = (async () => {
      for await (const event of world.ada.events({ after: 0, signal: stop.signal })) streamed.push(event)
    })().catch(() => {})
    const { id, agent, claim } = await jobIn(world, 'Running')
    await agent.log(claim, [{ text: `reading ${file.name}` }])
    await agent.fail(claim, { message: `cannot read ${file.name}` })
    await world.clock.advance(1_000)
    const { inputs, parameters, ...rest } = await world.row(id)
    expect([inputs, parameters]).toEqual([[{ name: file.name, type: file.type, size: file.size }], { pages: 7 }])
    const view = await world.ada.get(id)
    expect(tools.present(view)).toEqual({ ...rest, redacted: ['inputs', 'parameters'] })
    expect(Object.keys(tools.present(view))).not.toContain('inputs')
    expect(view).not.toHaveProperty('input')
    expect(view.redacted).toContain('input')
    const { items } = await world.ada.list()
    const logs: unknown[] = []
    const read = async () => {
      for await (const line of world.ada.logs(id)) logs.push(line)
    }
    await codeOf(read())
    const explained = await world.ada.explain(id)
    const all = JSON.stringify([
      view,
      items,
      await world.ada.history(id),
      streamed,
      logs,
      explained,
      await notified(world.ada),
    ])
    expect(streamed.length).toBeGreaterThan(3)
    for (const secret of ['secret-wing', '"pages"', '52311']) expect(all).not.toContain(secret)
    stop.abort()
    await stream
  })

  test('A17 its creator sees the inputs of a job with name, type and size, and its parameters', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    expect(await world.row(id)).toMatchObject({
      inputs: [{ name: file.name, type: file.type, size: file.size }],
      parameters: { pages: 7 },
    })
  })

  test('A18 a user may not ask for all jobs, and has only the view of own jobs', async () => {
    const world = await organization()
    expect(await tools.views(world.uma)).toEqual(['mine'])
    expect(await codeOf(world.uma.list({ view: 'all' }))).toBe('FORBIDDEN')
    expect(await tools.views(world.ada)).toEqual(['mine', 'all'])
    expect(await codeOf(world.person('nobody', 'Guest').list())).toBe('FORBIDDEN')
  })

  test('A19 an administrator lists own jobs, or those of the whole organization, but none of another', async () => {
    const world = await organization()
    const [own, umas, eves] = await Promise.all(
      [world.ada, world.uma, world.eve].map((each) => each.submit(measure, input)),
    )
    const mine = await world.ada.list({ view: 'mine' })
    expect(mine.items.map(({ id }) => id)).toEqual([own?.id])
    const all = await world.ada.list({ view: 'all' })
    expect(all.items.map(({ id }) => id).sort()).toEqual([own?.id, umas?.id].sort())
    expect(await codeOf(world.ada.get(eves?.id ?? ''))).toBe('JOB_NOT_FOUND')
  })

  test('A21 a completed job tells its creator once, by browser and audio; an administrator who watches gets the event only', async () => {
    const world = await organization()
    const seen: string[] = []
    const stop = new AbortController()
    const stream = (async () => {
      for await (const event of world.ada.events({ after: 0, signal: stop.signal })) {
        if ('to' in event) seen.push(event.to ?? '')
      }
    })().catch(() => {})
    const { id } = await jobIn(world, 'Completed')
    await world.clock.advance(60_000)
    expect(await notified(world.uma)).toEqual([{ channels: ['browser', 'audio'], jobId: id }])
    expect(await notified(world.ada)).toEqual([])
    expect(seen).toEqual([...ACTIVE, 'Completed'])
    stop.abort()
    await stream
  })

  test.each(['Failed', 'Canceled'])('a job that is %s tells its creator once, by toast alone', async (status) => {
    const world = await organization()
    const { id } = await jobIn(world, status)
    await world.clock.advance(60_000)
    expect(await notified(world.uma)).toEqual([{ channels: ['toast'], jobId: id }])
  })

  test('A23 exactly Pending, Claimed, Running, Validating and Uploading are active', async () => {
    const active: string[] = []
    for (const status of [...ACTIVE, ...TERMINAL]) {
      const world = await organization()
      const { id } = await jobIn(world, status)
      if ((await world.row(id)).isActive) active.push(status)
    }
    expect(active).toEqual(ACTIVE)
  })

  test('a job that waits for its start time is Pending and active too', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input, { startAt: '2026-02-01T00:00:00Z' })
    expect(await world.row(id)).toMatchObject({ status: 'Pending', isActive: true })
    await world.uma.cancel(id)
    expect(await world.row(id)).toMatchObject({ status: 'Canceled', isActive: false })
  })

  test('an exit of a program does not complete a job, because it has no outputs', async () => {
    const world = await organization()
    const { id, agent, claim } = await jobIn(world, 'Uploading')
    expect(await codeOf(agent.exit(claim, 0))).toBe('INVALID_INPUT')
    expect((await world.row(id)).status).toBe('Uploading')
  })

  test('A24 the short id has six characters', async () => {
    expect(tools.shortId('3f2a9c7e-1111-4222-8333-444455556666')).toBe('3f2a9c…')
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    expect(tools.present(await world.uma.get(id)).id).toBe(id)
    expect(id).toHaveLength(36)
  })

  test('A26 the same function on the same file twice makes two jobs that do not hinder each other', async () => {
    const world = await organization()
    const agent = await world.agent('a1')
    const [one, two] = [await world.uma.submit(measure, input), await world.uma.submit(measure, input)]
    expect(one.id).not.toBe(two.id)
    expect(await agent.claim({ max: 2 })).toHaveLength(2)
  })
})

describe('rights and input', () => {
  test('extraction needs a role on the system that the input names', async () => {
    const world = await organization()
    const of = (role: string) => world.person('uma', 'User', 'O', { 'system:7': role, 'system:8': 'Viewer' })
    const from = (session: Session, system: string) => codeOf(session.submit(extract, { file, system }))
    for (const role of ['Editor', 'Administrator', 'Owner']) expect(await from(of(role), '7')).toBe('ok')
    expect(await from(of('Viewer'), '7')).toBe('FORBIDDEN')
    expect(await from(of('Editor'), '8')).toBe('FORBIDDEN')
    expect(await from(of('Editor'), '9')).toBe('FORBIDDEN')
    expect(await from(world.ada, '7')).toBe('FORBIDDEN')
  })

  test('a label does not replace the system of the input', async () => {
    const world = await organization()
    const uma = world.person('uma', 'User', 'O', { 'system:7': 'Editor' })
    expect(await codeOf(uma.submit(extract, { file, system: '8' }, { labels: { system: '7' } }))).toBe('FORBIDDEN')
    expect(await codeOf(uma.submit(extract, { file } as never, { labels: { system: '7' } }))).toBe('INVALID_INPUT')
  })

  test('the host may refuse the use of a tool on a file', async () => {
    const asked: unknown[] = []
    const preset = agentJobs({
      ...options,
      mayUse: async ({ principal, ...use }) => {
        asked.push(use)
        return principal.id !== 'ugo'
      },
    })
    const world = await organization(preset)
    const { measure: own } = preset.jobs.viewer
    expect(await codeOf(world.uma.submit(own, input))).toBe('ok')
    expect(await codeOf(world.ugo.submit(own, { ...input, version: '1.0', system: '7' }))).toBe('FORBIDDEN')
    expect(asked).toEqual([
      { tool: 'viewer', function: '@viewer/measure', file: 'f1' },
      { tool: 'viewer', function: '@viewer/measure', file: 'f1', version: '1.0', system: '7' },
    ])
  })

  test('a job of another user is missing', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    for (const call of [
      () => world.ugo.get(id),
      () => world.ugo.cancel(id),
      () => world.ugo.history(id),
      () => world.ugo.explain(id),
    ]) {
      expect(await codeOf(call())).toBe('JOB_NOT_FOUND')
    }
  })

  test('an administrator may not cancel a job of another, unless the app says so', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    expect(await codeOf(world.ada.cancel(id))).toBe('FORBIDDEN')
    const preset = agentJobs({ ...options, cancel: 'creatorOrAdmin' })
    const other = await organization(preset)
    const job = await other.uma.submit(preset.jobs.viewer.measure, input)
    expect(await codeOf(other.ada.cancel(job.id))).toBe('ok')
  })

  test('nobody may retry or delete a job', async () => {
    const world = await organization()
    const { id } = await jobIn(world, 'Failed')
    for (const session of [world.uma, world.ada]) {
      expect(await codeOf(session.retry(id))).toBe('FORBIDDEN')
      expect(await codeOf(session.delete(id))).toBe('FORBIDDEN')
    }
  })

  test.each([
    ['parameters', { file, parameters: { pages: 'all' } }],
    ['parameters', { file }],
    ['version', { ...input, version: '3' }],
    ['file', { parameters: { pages: 1 } }],
    ['size', { ...input, file: { ...file, size: -1 } }],
    ['other', { ...input, other: 1 }],
  ])('a wrong %s is refused, and no job is stored', async (_, wrong) => {
    const world = await organization()
    expect(await codeOf(world.uma.submit(measure, wrong as never))).toBe('INVALID_INPUT')
    expect((await world.uma.list()).items).toEqual([])
  })

  test('the jobs of a file are listed by its label, in the rights of the caller', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    await world.uma.submit(measure, { ...input, file: { ...file, id: 'f2' } })
    await world.ugo.submit(measure, input)
    expect((await world.uma.list({ labels: { file: 'f1' } })).items.map((job) => job.id)).toEqual([id])
    expect((await world.ada.list({ labels: { file: 'f1' } })).items).toHaveLength(2)
  })

  test('an output that is not a list of artifacts and models is refused', async () => {
    const world = await organization()
    const { agent, claim } = await jobIn(world, 'Uploading')
    expect(await codeOf(agent.done(claim, [{ type: 'file', id: 'x' }]))).toBe('INVALID_INPUT')
    expect(await codeOf(agent.done(claim, [...outputs]))).toBe('ok')
  })

  test('wrong options of the preset are refused by name', () => {
    const wrong: readonly [string, object][] = [
      ['tools', {}],
      ['tools', { tools: { 'a/b': { functions: {} } } }],
      ['functions', { tools: { viewer: {} } }],
      ['pendingTimeout', { ...options, pendingTimeout: 'soon' }],
      ['redeliveriesMax', { ...options, redeliveriesMax: -1 }],
      ['redeliveriesMax', { ...options, redeliveriesMax: 3 }],
      ['admin', { ...options, admin: [] }],
    ]
    for (const [name, given] of wrong) {
      const make = () => agentJobs(given as never)
      expect(make).toThrow(name)
      expect(make).toThrow(JobchartError)
    }
  })

  test('types: the parameters of a function are those of its schema', () => {
    expectTypeOf<InputOf<typeof measure>>().toExtend<{ parameters: { pages: number } }>()
    expectTypeOf<InputOf<typeof extract>>().toExtend<{ file: { id: string } }>()
  })
})

describe('a job that waits too long', () => {
  test('fails after pendingTimeout, also when it was given back meanwhile', async () => {
    const preset = agentJobs({ ...options, pendingTimeout: '2m' })
    const world = await organization(preset)
    const { id } = await world.uma.submit(preset.jobs.viewer.measure, input)
    await world.clock.advance(119_999)
    expect((await world.row(id)).status).toBe('Pending')
    await world.clock.advance(1)
    expect(await world.row(id)).toMatchObject({ status: 'Failed', message: 'no agent took the job in time' })
    expect(await notified(world.uma)).toEqual([{ channels: ['toast'], jobId: id }])
  })

  test('waits for ever without pendingTimeout', async () => {
    const world = await organization()
    const { id } = await world.uma.submit(measure, input)
    await world.clock.advance(3_600_000)
    expect((await world.row(id)).status).toBe('Pending')
  })
})

test('every state of the lifecycle is entered, an end can be reached from everywhere, and nothing throws', () => {
  const map = explore(measure, {
    inputs: [input],
    outputs: { work: [[...outputs]] },
    events: { outputReady: [{}], valid: [{}], invalid: [{}] },
  })
  expect(map).toMatchObject({ throws: [], deadEnds: [], unreachable: [], isComplete: true })
  expect(new Set(map.states.map(({ label }) => label))).toEqual(new Set([...ACTIVE, ...TERMINAL]))
  expect(map.commands.filter(({ taken }) => taken.includes('cancel')).map(({ state }) => state.split(' ')[0])).toEqual(
    expect.arrayContaining(['open.pending']),
  )
})
