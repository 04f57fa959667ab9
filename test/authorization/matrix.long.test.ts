import {
  defineJob,
  type Executor,
  type JobActions,
  type JobAnswer,
  JobchartError,
  type Page,
  rolePolicy,
  type Session,
  type SessionPrincipal,
  task,
} from 'jobchart'
import { afterAll, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { ABSENT, allOf, Stage, settled } from './stage.ts'
import {
  type Cell,
  expected,
  isThere,
  type Method,
  mayListAll,
  methods,
  ofItsPipeline,
  principals,
  type Relation,
  relations,
  states,
  type Who,
} from './table.ts'

const policy = rolePolicy({ resources: { system: { see: ['owner'], submit: ['owner'] } }, assignee: ['approver'] })

const note = { actions: () => {} }
const command = z.object({})
const commands = {
  cancel: command,
  note: command,
  approve: { schema: command, by: { relation: 'others' } },
  own: { schema: command, by: { relation: 'creator' } },
  chief: { schema: command, by: { roles: ['admin'] } },
  tend: { schema: command, by: { on: { system: ['owner'] } } },
  finish: { schema: command, by: { relation: 'assignee' } },
} as const

/** A job that ends as its input says, or never. */
function typeOn(executor: string) {
  const work = task({ executor }, async ({ input }) => {
    if (input === 'success') return 1
    if (input === 'failure') throw new Error('it failed')
    return await new Promise<never>(() => {})
  })
  const lifecycle = createMachine({
    context: ({ input }) => ({ input }),
    initial: 'queued',
    invoke: { src: 'work', input: ({ context }) => context.input, onDone: '.completed', onError: '.failed' },
    on: { cancel: '.cancelled', note, approve: note, own: note, chief: note, tend: note, finish: note },
    states: {
      queued: { on: { 'task.started': 'running' } },
      running: {},
      completed: { type: 'final' },
      failed: { type: 'final', tags: 'failure' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  }).provide({ actors: { work } })
  return defineJob({ type: `on-${executor}`, lifecycle, commands, input: z.string() })
}

const full: Executor = { room: () => 0, start: () => new Promise(() => {}), close: async () => {} }
const running = typeOn('default')
const queued = typeOn('full')

/** Only the engine's own session may name a tenant. */
const abroad = (who: SessionPrincipal | 'system') => (who === 'system' ? { tenant: 'acme' } : {})

/** A job and a pipeline for one method, in one state. */
interface Scene {
  readonly job: string
  readonly pipeline: string
  readonly labels: { readonly [name: string]: string }
}

async function build(stage: Stage, { who, relation, state }: Cell, name: string): Promise<Scene> {
  const pipeline = `p-${name}`
  const labels: Scene['labels'] = relation === 'via resource' ? { system: '7' } : {}
  const scene = { job: ABSENT, pipeline, labels }
  if (state === 'absent') return scene
  const owner = ownerOf(who, relation)
  const type = state === 'queued' || state === 'cancelled' ? queued : running
  const startAt = state === 'waiting' ? { startAt: stage.bench.clock.now() + 86_400_000 } : {}
  const assigned = relation === 'assignee' ? { assignee: idOf(who) } : {}
  const { id } = await stage.freely(owner, (session) =>
    session.submit(type, state, { labels, ...assigned, ...startAt, ...abroad(owner) }),
  )
  await stage.freely(owner, ({ pipelines }) =>
    pipelines.define({ id: pipeline, job: running, input: 'go', labels, ...abroad(owner) }),
  )
  if (state === 'waiting')
    await stage.freely('system', ({ pipelines }) => pipelines.pause(pipeline, 'so', abroad('system')))
  if (state === 'cancelled') await stage.engine.system.cancel(id)
  if (state === 'deleted') {
    await stage.engine.system.delete(id)
    await stage.engine.system.pipelines.delete(pipeline, abroad('system'))
  }
  return { ...scene, job: id }
}

function ownerOf(who: Who, relation: Relation) {
  if (relation !== 'creator') return { id: 'zoe', tenant: 'acme' }
  const principal = principals[who]
  return principal === 'system' ? ('system' as const) : { id: principal.id, tenant: 'acme' }
}

function idOf(who: Who): string {
  const principal = principals[who]
  return principal === 'system' ? 'system' : principal.id
}

/** Options of a call that names a tenant other than its own. */
interface Abroad {
  readonly abroad: { readonly tenant?: string }
}

const calls: {
  readonly [M in Method]: (session: Session, scene: Scene & Abroad, signal: AbortSignal) => Promise<unknown>
} = {
  get: (session, { job }) => session.get(job),
  list: (session) => session.list({ limit: 100 }),
  count: (session) => session.count(),
  'list all': (session) => session.list({ limit: 100, view: 'all' }),
  'list assigned': (session) => session.list({ limit: 100, view: 'assigned' }),
  views: (session) => session.views(),
  history: (session, { job }) => session.history(job),
  logs: (session, { job }) => allOf(session.logs(job)),
  items: (session, { job }) => allOf(session.items(job)),
  report: (session, { job }) => allOf(session.report(job, { format: 'csv' })),
  cancelMany: (session, { job }) => answerOf(session.cancelMany({ ids: [job] })),
  retryMany: (session, { job }) => answerOf(session.retryMany({ ids: [job] })),
  deleteMany: (session, { job }) => answerOf(session.deleteMany({ ids: [job] })),
  result: (session, { job }, signal) => session.result(job, { signal }),
  actions: (session, { job }) => session.actions(job),
  'actions of many': (session, { job }) => session.actions([job]),
  explain: (session, { job }) => session.explain(job),
  events: (session, _, signal) => session.events({ after: 0, signal }).next(),
  'events of one': (session, { job }, signal) => session.events({ after: 0, job, signal }).next(),
  submit: (session, { labels, abroad }) => session.submit(queued, 'go', { labels, ...abroad }),
  cancel: (session, { job }) => session.cancel(job),
  retry: (session, { job }) => session.retry(job),
  delete: (session, { job }) => session.delete(job),
  'send cancel': (session, { job }) => session.send(job, { type: 'cancel' }),
  'send note': (session, { job }) => session.send(job, { type: 'note' }),
  'send approve': (session, { job }) => session.send(job, { type: 'approve' }),
  'send own': (session, { job }) => session.send(job, { type: 'own' }),
  'send chief': (session, { job }) => session.send(job, { type: 'chief' }),
  'send finish': (session, { job }) => session.send(job, { type: 'finish' }),
  'send tend': (session, { job }) => session.send(job, { type: 'tend' }),
  'send nonsense': (session, { job }) => session.send(job, { type: 'nonsense' }),
  'pipelines.define': ({ pipelines }, { pipeline, labels, abroad }) =>
    pipelines.define({ id: pipeline, job: running, input: 'go', labels, priority: 1, ...abroad }),
  'pipelines.get': ({ pipelines }, { pipeline, abroad }) => pipelines.get(pipeline, abroad),
  'pipelines.list': ({ pipelines }) => pipelines.list({ limit: 100 }),
  'pipelines.run': ({ pipelines }, { pipeline, abroad }) => pipelines.run(pipeline, abroad),
  'pipelines.pause': ({ pipelines }, { pipeline, abroad }) => pipelines.pause(pipeline, 'why', abroad),
  'pipelines.resume': ({ pipelines }, { pipeline, abroad }) => pipelines.resume(pipeline, abroad),
  'pipelines.delete': ({ pipelines }, { pipeline, abroad }) => pipelines.delete(pipeline, abroad),
}

const visited = new Map<string, string>()

async function play(stage: Stage, session: Session, cell: Cell, method: Method, scene: Scene): Promise<void> {
  const key = JSON.stringify([method, cell])
  const given = new AbortController()
  const before = await stage.contents()
  let end: Awaited<ReturnType<typeof settled>> = { code: 'waits' }
  const over = settled(() =>
    calls[method](session, { ...scene, abroad: abroad(principals[cell.who]) }, given.signal),
  ).then((found) => {
    end = found
  })
  // A stream without a visible event never gives one; below, that counts as ok.
  await stage.bench.clock.settle()
  const { code, value } = end
  given.abort()
  await over
  const isEmptyStream = method === 'events' && code === 'waits'
  expect([key, isEmptyStream ? 'ok' : code]).toEqual([key, expected(method, cell)])
  visited.set(key, code)
  if (code !== 'ok' || isRead(method)) expect([key, await stage.contents()]).toEqual([key, before])
  if (code === 'ok') expect([key, shows(method, value, scene)]).toEqual([key, showsOf(method, cell)])
}

function isRead(method: Method): boolean {
  const writes = /^(send|submit|cancel|retry|delete|pipelines\.(define|run|pause|resume|delete))/
  return !writes.test(method)
}

/** Whether a list or similar answer contains the job; undefined for other answers. */
/** The only answer of a call for many jobs. Throws its error. */
async function answerOf(call: Promise<Page<JobAnswer>>): Promise<unknown> {
  const [answer] = (await call).items
  if (answer?.error === undefined) return answer
  throw new JobchartError(answer.error.code, answer.error.message)
}

function shows(method: Method, value: unknown, { job, pipeline }: Scene): boolean | undefined {
  const text = JSON.stringify(value instanceof Map ? [...value] : value)
  if (method.startsWith('list') || method === 'actions of many') return text.includes(job)
  if (method === 'views') return text.includes('all')
  return method === 'pipelines.list' ? text.includes(`"${pipeline}"`) : undefined
}

function showsOf(method: Method, cell: Cell): boolean | undefined {
  if (method === 'list assigned') return isThere(cell) && cell.relation === 'assignee'
  if (method.startsWith('list') || method === 'actions of many') return isThere(cell)
  if (method === 'views') return mayListAll(cell.who)
  return method === 'pipelines.list' ? isThere(ofItsPipeline(cell)) : undefined
}

const rows = (Object.keys(principals) as Who[]).flatMap((who) => relations.map((relation) => [who, relation] as const))

test.each(rows)(
  'each action is allowed or refused as the table says, and a refusal changes nothing: %s, %s',
  async (who, relation) => {
    for (const state of states) {
      const stage = await Stage.open({ jobs: [running, queued], executors: { full } })
      const cell = { who, relation, state }
      const scenes: [Method, Scene][] = []
      for (const [index, method] of methods.entries()) scenes.push([method, await build(stage, cell, String(index))])
      await stage.bench.clock.settle()
      stage.policy = policy
      const principal = principals[who]
      const session = principal === 'system' ? stage.engine.system : stage.engine.as(principal)
      for (const [method, scene] of scenes) await play(stage, session, cell, method, scene)
      await stage.bench.end()
    }
  },
)

/** The expected result of `actions`, by the same table. */
function actionsOf(cell: Cell): JobActions {
  const may = (method: Method) => expected(method, cell) === 'ok'
  const names = Object.keys(commands).filter((name) => may(`send ${name}` as Method))
  return { commands: names, cancel: may('cancel'), retry: may('retry'), delete: may('delete') }
}

test.each(rows)('actions lists exactly what is allowed: %s, %s', async (who, relation) => {
  for (const state of states) {
    const cell: Cell = { who, relation, state }
    if (!isThere(cell)) continue
    const stage = await Stage.open({ jobs: [running, queued], executors: { full } })
    const { job } = await build(stage, cell, 'one')
    await stage.bench.clock.settle()
    stage.policy = policy
    const principal = principals[who]
    const session = principal === 'system' ? stage.engine.system : stage.engine.as(principal)
    expect([state, await session.actions(job)]).toEqual([state, actionsOf(cell)])
    await stage.bench.end()
  }
})

const all = methods.length * rows.length * states.length

test('every cell of the matrix was visited', () => {
  expect(visited.size).toBe(all)
})

afterAll(() => {
  const counts = Object.entries(Object.groupBy(visited.values(), (code) => code))
  const said = counts.map(([code, cells]) => `${code} ${cells?.length}`).join(', ')
  console.log(
    `matrix: ${visited.size} of ${all} cells (${methods.length} methods × ${rows.length / relations.length} principals × ${relations.length} relations × ${states.length} states): ${said}`,
  )
})
