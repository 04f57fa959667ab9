import { type ListOptions, type RolePolicyOptions, rolePolicy, type SafePart, type Session } from 'jobchart'
import { expect, test } from 'vitest'
import { type Cage, type Canary, canary, fill, parentType, single, singleOf } from './canary-jobs.ts'
import { Stage } from './stage.ts'
import { pipelineCalls, reads, type Told, tell, writes } from './sweep.ts'

const given = { mode: 'wait', text: 'own' }
const everybody: RolePolicyOptions = { cancel: 'creatorOrAdmin', retry: 'creatorOrAdmin', delete: 'creatorOrAdmin' }

async function caged(): Promise<{ readonly stage: Stage; readonly cage: Cage }> {
  const stage = await Stage.open({ jobs: [single, parentType] })
  return { stage, cage: await fill(stage) }
}

/** Every answer of a session about the jobs, before and after every action on them. */
async function allOfIt(stage: Stage, { jobs }: Cage, session: Session, isAtHome: boolean): Promise<readonly Told[]> {
  const told = [
    ...(await tell(stage, reads(session, jobs))),
    // Elsewhere the pipeline's id is free.
    ...(isAtHome ? await tell(stage, pipelineCalls(session, canary.pipeline, single, given)) : []),
    ...(await tell(stage, writes(session, jobs))),
    ...(await tell(stage, reads(session, jobs))),
  ]
  const gone = jobs.filter((_, index) => index % 2 === 0)
  told.push(
    ...(await tell(
      stage,
      each('delete', gone, (id) => session.delete(id)),
    )),
  )
  told.push(...(await tell(stage, reads(session, jobs))))
  // A repeated run is a job of the caller, so only the first answer counts.
  return [
    ...told,
    ...(await tell(
      stage,
      each('retry', jobs, (id) => session.retry(id)),
    )),
  ]
}

function each(name: string, ids: readonly string[], call: (id: string) => Promise<unknown>) {
  return ids.map((id) => [name, () => call(id)] as const)
}

function foundIn(told: readonly Told[], names: readonly Canary[]): readonly string[] {
  const found = told.flatMap(({ by, text }) =>
    names.filter((name) => text.includes(canary[name])).map((name) => `${by} tells ${name}: ${text.slice(0, 600)}`),
  )
  return [...new Set(found)]
}

const all = Object.keys(canary) as Canary[]

/** Fields that are in no view and no event of anyone. */
const PRIVATE: readonly Canary[] = ['context', 'key', 'taskInput', 'inbox', 'emitted', 'missing']
const ERROR: readonly Canary[] = ['errorName', 'errorMessage', 'errorCode']
const ITEMS: readonly Canary[] = ['itemKey', 'itemMessage', 'itemOutput']
const LOGS: readonly Canary[] = ['log', 'chartLog']
const STATUS: readonly Canary[] = ['working', 'done', 'failed', 'cancelled']
const REASON: readonly Canary[] = ['reason', 'cancelReason']

/** For each redacted field, all fields that are hidden with it. */
const taken: { readonly [field: string]: readonly Canary[] } = {
  type: ['type'],
  version: ['version'],
  createdBy: ['creator'],
  assignee: ['assignee'],
  pipeline: ['pipeline'],
  labels: ['labelName', 'labelValue'],
  input: [...PRIVATE, 'input', 'output', 'message', ...REASON, ...ERROR, ...ITEMS, ...LOGS],
  output: ['output', 'itemOutput'],
  error: ERROR,
  message: ['message', 'itemMessage'],
  reason: REASON,
  logs: LOGS,
  items: ITEMS,
  status: STATUS,
  progress: ['completed', 'total'],
  exitCode: ['exitCode'],
  priority: ['priority'],
  paused: ['paused'],
}

const strangers = [
  { id: 'bob', tenant: 'acme', role: 'editor' },
  { id: 'vic', tenant: 'acme', role: 'viewer' },
  { id: canary.creator, tenant: 'other', role: 'editor' },
  { id: 'eve', tenant: 'other', role: 'admin', relations: { [`${canary.labelName}:${canary.labelValue}`]: 'owner' } },
]

test.each(strangers)(
  'a caller who may not see a job finds nothing of it in any answer: $id of $tenant',
  async (who) => {
    const { stage, cage } = await caged()
    stage.policy = rolePolicy(everybody)
    const session = stage.engine.as(who)
    const told = await allOfIt(stage, cage, session, who.tenant === 'acme')
    // The caller knows the values that it sent: the id of the pipeline, and the name of the type. A name may be shared.
    const own: readonly Canary[] = [
      'pipeline',
      'type',
      'version',
      'priority',
      ...(who.tenant === 'other' ? (['creator'] as const) : []),
    ]
    const secret = all.filter((name) => !own.includes(name) && name !== 'working')
    expect(
      foundIn(
        told.filter(({ by }) => by !== 'pipelines.define'),
        secret,
      ),
    ).toEqual([])
    expect(told.length).toBeGreaterThan(200)
  },
)

const fields = Object.keys(taken)
const opened: readonly RolePolicyOptions[] = [{}, { open: ['state', 'context', 'tasks', 'emitted', 'stack'] }]
const redactions = fields.flatMap((field) => opened.map((open) => ({ field, open, isOpen: open.open !== undefined })))

test.each(redactions)(
  'I58 a redacted field appears in no answer: $field, private parts open: $isOpen',
  async (each) => {
    const { stage, cage } = await caged()
    stage.policy = rolePolicy({ ...everybody, ...each.open, redact: [each.field] })
    const root = stage.engine.as({ id: 'root', tenant: 'acme', role: 'admin' })
    const told = await allOfIt(stage, cage, root, true)
    const secret = [...(taken[each.field] ?? []), ...(each.isOpen ? [] : PRIVATE)]
    // A caller asks for a pipeline by its id, so it knows the id.
    const counted = told.filter(({ by }) => each.field !== 'pipeline' || !by.includes('pipeline') || by === 'retry')
    expect(
      foundIn(
        counted.filter(({ by }) => !OWN.has(by)),
        secret,
      ),
    ).toEqual([])
    // Other fields are shown; otherwise this test would prove nothing.
    const open = all.filter((name) => !PRIVATE.includes(name) && !secret.includes(name))
    const shown = open.filter((name) => told.some(({ text }) => text.includes(canary[name])))
    expect(open.filter((name) => !shown.includes(name))).toEqual([])
  },
)

/** Reads whose answers show the caller's own jobs and pipelines. */
const OWN = new Set(['pipelines.define', 'submit into a taken slot'])

test('the creator sees every field that is not private', async () => {
  const { stage, cage } = await caged()
  stage.policy = rolePolicy()
  const owner = stage.engine.as({ id: canary.creator, tenant: 'acme', role: 'editor' })
  const told = await tell(stage, [...reads(owner, cage.jobs), ['pipeline', () => owner.pipelines.get(canary.pipeline)]])
  const shown = all.filter((name) => told.some(({ text }) => text.includes(canary[name])))
  expect(all.filter((name) => !shown.includes(name)).sort()).toEqual([...PRIVATE].sort())
  // A stack names files of the server.
  expect(told.filter(({ text }) => text.includes('canary-jobs.ts'))).toEqual([])
})

test('private parts are shown to every caller for whom the policy opens them', async () => {
  const { stage, cage } = await caged()
  stage.policy = rolePolicy({ open: ['context', 'tasks', 'emitted', 'stack'] })
  const owner = stage.engine.as({ id: canary.creator, tenant: 'acme', role: 'editor' })
  const told = await tell(stage, reads(owner, cage.jobs))
  const shown = PRIVATE.filter((name) => told.some(({ text }) => text.includes(canary[name])))
  expect(shown).toEqual(['context', 'taskInput', 'inbox', 'emitted'])
  expect(told.filter(({ text }) => text.includes('canary-jobs.ts'))).not.toEqual([])
})

const parts: readonly (readonly [SafePart, readonly Canary[]])[] = [
  ['output', ['output']],
  ['error', ERROR],
  ['message', ['message']],
  ['reason', ['reason']],
  ['logs', LOGS],
  ['items', ITEMS],
]

test.each(parts)(
  'fields that a type names as safe are shown although the input is redacted, and no others: %s',
  async (part, names) => {
    const type = singleOf([part])
    const stage = await Stage.open({ jobs: [type] })
    const owner = { id: canary.creator, tenant: 'acme' }
    const ids = await stage.freely(owner, async (session) => {
      const modes = ['succeed', 'fail', 'wait'].map((mode) => session.submit(type, { mode, text: canary.input }))
      return (await Promise.all(modes)).map(({ id }) => id)
    })
    await stage.bench.clock.settle()
    stage.policy = rolePolicy({ redact: ['input'] })
    const told = await tell(stage, reads(stage.engine.as({ id: 'root', tenant: 'acme', role: 'admin' }), ids))
    const secret = (taken.input ?? []).filter((name) => !names.includes(name))
    expect(foundIn(told, secret)).toEqual([])
    expect(names.filter((name) => !told.some(({ text }) => text.includes(canary[name])))).toEqual([])
  },
)

const searches: readonly ListOptions[] = [
  { type: canary.type },
  { status: canary.working },
  { phase: 'active' },
  { pipeline: canary.pipeline },
  { createdBy: canary.creator },
  { labels: { [canary.labelName]: canary.labelValue } },
  { parentId: 'parent' },
]

test.each(searches)('filtering by a redacted field is refused: %o', async (search) => {
  const { stage, cage } = await caged()
  const [field = ''] = Object.keys(search)
  const options = 'parentId' in search ? { parentId: cage.parent } : search
  const root = stage.engine.as({ id: 'root', tenant: 'acme', role: 'admin' })
  const asked = [
    ['list', () => root.list(options)],
    ['count', () => root.count(options)],
    ...(field === 'status' || field === 'phase' || field === 'parentId'
      ? []
      : [['events', (signal: AbortSignal) => root.events({ after: 0, signal, ...options })] as const]),
  ] as const
  stage.policy = rolePolicy({ redact: [field] })
  const told = await tell(stage, asked)
  expect(told.map(({ by }) => by).sort()).toEqual(asked.map(([by]) => by).sort())
  for (const { text } of told) expect(text).toContain(`may not filter by \\"${field}\\"`)
  // Where it is not redacted, it can be filtered by.
  stage.policy = rolePolicy({ redact: ['input'] })
  const open = await tell(stage, asked)
  expect(open.length).toBeGreaterThanOrEqual(asked.length)
  expect(open.filter(({ text }) => text === '0' || text === '{"items":[]}')).toEqual([])
})
