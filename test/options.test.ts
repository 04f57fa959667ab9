import {
  agentTask,
  batch,
  batchRun,
  type CreateEngineOptions,
  createEngine,
  defineJob,
  JobchartError,
  type ListOptions,
  memoryStorage,
  program,
  queueExecutor,
  type RetryCallOptions,
  type RunOptions,
  rolePolicy,
  type Session,
  type SubmitOptions,
  task,
} from 'jobchart'
import { createAgent } from 'jobchart/agents'
import { childProcess, workerThreads } from 'jobchart/executors'
import type { AgentTransport } from 'jobchart/port'
import { memberJobs } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { explore, storageConformance, virtualClock } from 'jobchart/testing'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, errorOf, Work } from './engine/bench.ts'

// A program in JavaScript, or a configuration file, may give any value.
const odd = <Value = never>(value: unknown) => value as Value

const execute = () => 1
const lifecycle = createMachine({ initial: 'on', states: { on: {} } })
const job = (options: object) => () => defineJob(odd<{ type: 'x'; execute: () => number }>({ type: 'x', ...options }))
const INVOKED = 'invoke it in a machine: lifecycle: createMachine({ … invoke: { src } … })'
const storage = memoryStorage()
const engine = (options: unknown) => () => createEngine(odd(options))
/** An engine with valid options except for these. */
const engineWith = (options: object) => engine({ jobs, storage, ...options })
const plain = defineJob({ type: 'j', execute })
const jobs = [plain]

/** For each misuse, the option that its error names. */
const definitions: readonly (readonly [string, () => unknown])[] = [
  ['storag', engine({ jobs, storag: storage })],
  ['storage', engine({ jobs })],
  ['jobs', engine({})],
  ['options', engine(undefined)],
  ['jobs', engineWith({ jobs: plain })],
  ['jobs', engineWith({ jobs: ['j'] })],
  ['storage', engineWith({ storage: 'jobs.db' })],
  ['policy', engineWith({ policy: {} })],
  ['executors', engineWith({ executors: { default: 3 } })],
  ['clock', engineWith({ clock: Date })],
  ['work', engineWith({ work: 'no' })],
  ['ids', engineWith({ ids: 'uuid' })],
  ['poll', engineWith({ poll: 'often' })],
  ['onHealth', engineWith({ onHealth: 'log' })],
  ['logger', engineWith({ logger: { info: () => {} } })],
  ['principal', engineWith({ principal: { id: 'ada' } })],
  ['concurrency', engineWith({ concurrency: '3' })],
  ['maxAbandoned', engineWith({ maxAbandoned: 0 })],
  ['execute', job({})],
  ['options', () => defineJob(odd<never>(undefined))],
  ['type', () => defineJob(odd<never>({ execute }))],
  ['type', job({ type: 5, execute })],
  // No storage keeps half a surrogate pair.
  ['type', job({ type: '\ud83d', execute })],
  ['options', () => defineJob(odd<never>(new Map()))],
  ['retries', job({ execute, retries: 3 })],
  ['execute', job({ execute: 'run' })],
  ['version', job({ execute, version: 2 })],
  ['input', job({ execute, input: { name: 'text' } })],
  ['retry', job({ execute, retry: 3 })],
  ['retry.limit', job({ execute, retry: { limit: '3' } })],
  ['retry.limits', job({ execute, retry: { limits: 3 } })],
  ['timeout', job({ execute, timeout: 'soon' })],
  ['labels.eror', job({ execute, labels: { eror: 'x' } })],
  ['limits.concurency', job({ execute, limits: { concurency: 1 } })],
  ['limits.queued', job({ execute, limits: { queued: 0 } })],
  ['describe', job({ execute, describe: 'what it does' })],
  ['safe', job({ execute, safe: ['inputs'] })],
  ['previous', job({ execute, previous: plain })],
  ['lifecycle', job({ execute, lifecycle })],
  ['lifecycle', job({ lifecycle: { initial: 'on' } })],
  ['retry', job({ lifecycle, retry: { limit: 3 } })],
  ['commands', job({ lifecycle, commands: ['cancel'] })],
  ['"go"', job({ lifecycle: createMachine({ on: { go: {} } }), commands: { go: 'yes' } })],
  ['none', job({ lifecycle: createMachine({ initial: 'on', states: { on: { meta: { accepts: ['stop'] } } } }) })],
  ['limits.key', job({ lifecycle, limits: { key: 'k' } })],
  ['excutor', () => task(odd<never>({ excutor: 'default' }), execute)],
  ['run', () => task({}, odd<never>(undefined))],
  ['events', () => task(odd<never>({ events: 'done' }), execute)],
  ['retry.backof', () => task(odd<never>({ retry: { backof: 5 } }), execute)],
  ['redacts', () => rolePolicy(odd({ redacts: ['input'] }))],
  ['admin', () => rolePolicy(odd({ admin: 'Administrator' }))],
  ['cancel', () => rolePolicy(odd({ cancel: 'creatorOrAdmins' }))],
  ['open', () => rolePolicy(odd({ open: ['contexts'] }))],
  ['resources.system.sees', () => rolePolicy(odd({ resources: { system: { sees: ['owner'] } } }))],
  ['administrator', () => memberJobs(odd({ administrator: 'Administrator' }))],
  ['editors', () => memberJobs(odd({ editors: ['Editor'] }))],
  ['mesage', () => memberJobs().defineJob(odd<never>({ type: 'x', execute, mesage: () => 'x' }))],
  ['retry', () => memberJobs().defineJob(odd<never>({ type: 'x', execute, retry: { limit: 1 } }))],
  ['path', () => sqliteStorage(odd(undefined))],
  ['path', () => sqliteStorage('')],
  ['durability', () => sqliteStorage('x.db', odd({ durability: 'ful' }))],
  ['logLines', () => sqliteStorage('x.db', { logLines: Number.NaN })],
  ['durabilty', () => sqliteStorage('x.db', odd({ durabilty: 'full' }))],
  ['logLines', () => memoryStorage({ logLines: 0.5 })],
  ['lines', () => memoryStorage(odd({ lines: 5 }))],
  ['concurency', () => queueExecutor(odd({ concurency: 5 }))],
  ['tests', () => storageConformance(() => ({ storage: memoryStorage() }), odd({ tests: test }))],
  ['seeds', () => virtualClock(odd({ seeds: 5 }))],
]

test.each(definitions)('an invalid option is refused by name: %s', async (option, run) => {
  const error = await Promise.resolve()
    .then(run)
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(JobchartError)
  expect(error).toMatchObject({ code: 'INVALID_DEFINITION', message: expect.stringContaining(option) })
})

test('the error for a number given as text says so', () => {
  expect(job({ execute, retry: { limit: '3' } })).toThrow(/^retry\.limit should be a whole number from 0; found "3"$/)
})

/** For each misuse, the whole message of its error. */
const told: readonly (readonly [() => unknown, string])[] = [
  [
    job({ run: execute }),
    "run should be an object, e.g. { command: 'node', args: ['work.js'] } (for a function, use execute, or task() in a machine); found function",
  ],
  [job({ run: {} }), 'run.command should be the path or the name of a program; found undefined'],
  ...[batch({ each: execute }), task({}, execute)].flatMap((logic) => [
    [job({ execute: logic }), `execute should be a function; found actor logic: ${INVOKED}`] as const,
    [job({ agent: logic }), `agent should be an object: { function, version }; found actor logic: ${INVOKED}`] as const,
    [
      job({ lifecycle: logic }),
      `lifecycle should be a machine that XState v5 has made; found actor logic: ${INVOKED}`,
    ] as const,
  ]),
  [job({ execute: lifecycle }), 'execute should be a function; found a machine: give it as lifecycle'],
  [job({ input: lifecycle, execute }), 'input should be a Standard Schema, as zod makes it; found a machine'],
  [
    job({}),
    'job type "x" needs one of execute (a function), run (a program), agent (what agents run), lifecycle (a machine)',
  ],
  [job({ execute, retry: 3 }), 'retry should be an object, e.g. { limit: 3 }; found 3'],
  [job({ execute, retry: null }), 'retry should be an object, e.g. { limit, backoff, backoffMax }; found null'],
  [job({ execute, limits: 3 }), 'limits should be an object, e.g. { concurrency: 3 }; found 3'],
  [job({ agent: 'box-1' }), 'agent should be an object, e.g. { function: \'box-1\' }; found "box-1"'],
  [
    job({ execute, retention: '30d' }),
    'retention should be an object, e.g. { jobs: { success: \'30d\' } }; found "30d"',
  ],
  [
    job({ execute, notify: [{ channels: ['mail'], audience: 'creator' }] }),
    "notify.0.on should be { outcome }, { status } or { event }, e.g. { outcome: 'failure' }; found undefined",
  ],
  [job({ execute, notify: ['mail'] }), 'notify.0 should be an object, e.g. { name: \'mail\' }; found "mail"'],
  [() => task(odd<never>(execute), execute), 'options of task should be an object, e.g. task({}, run); found function'],
  [
    () => batch(odd<never>(undefined)),
    'options of batch should be an object, e.g. batch({ each, … }); found undefined',
  ],
  [
    () => createAgent(odd<never>(undefined)),
    'options of createAgent should be an object, e.g. createAgent({ transport, functions, … }); found undefined',
  ],
  [
    () => defineJob(odd<never>(undefined)),
    'options of defineJob should be an object, e.g. defineJob({ type, execute, … }); found undefined',
  ],
  [
    engine(undefined),
    'options of createEngine should be an object, e.g. createEngine({ jobs, storage, … }); found undefined',
  ],
  [
    engineWith({ jobs: plain }),
    'jobs should be a list of job types that defineJob has made; found an object: { type, version, input, … }',
  ],
  [
    engineWith({ jobs: [defineJob({ type: 'x', execute, executor: 'gpu' })] }),
    'task "execute" of job type "x" names the executor "gpu", which is not among createEngine({ executors }); there are default, live, processes, agents',
  ],
  [
    async () => (await new Bench().start({ jobs })).engine.stop(odd('10s')),
    'options of stop should be an object, e.g. stop({ timeout: \'10s\' }); found "10s"',
  ],
  ...[workerThreads, childProcess].map((make) => {
    const expected = "module should be the URL of a module, e.g. new URL('./work.js', import.meta.url)"
    return [() => make(odd<never>({ module: 5 })), `${expected}; found 5`] as const
  }),
  [
    () => workerThreads(odd({})),
    "module should be the URL of a module, e.g. new URL('./work.js', import.meta.url); found undefined",
  ],
]

test.each(told)('the error of a misuse says what to write: %#', async (run, message) => {
  const error = await errorOf(Promise.resolve().then(run))
  expect([error.code, error.message]).toEqual(['INVALID_DEFINITION', message])
})

/** For each misuse of a call, the whole message of its error. */
const toldByCalls: readonly (readonly [string, (session: Session) => Promise<unknown>])[] = [
  ['options should be an object, e.g. { format: \'csv\' }; found "csv"', (s) => next(s.report('absent', odd('csv')))],
  [
    'options should be an object, e.g. { status: \'failed\' }; found "failed"',
    (s) => next(s.items('absent', odd('failed'))),
  ],
  ['options should be an object, e.g. { by: \'status\' }; found "status"', (s) => s.counts(odd('status'))],
  ['options should be an object, e.g. { by, … }; found 5', (s) => s.counts(odd(5))],
  ['options should be an object, e.g. { items: \'failed\' }; found "failed"', (s) => s.retry('absent', odd('failed'))],
  ['options should be an object, e.g. { view, type, phase, … }; found "mine"', (s) => s.list(odd('mine'))],
  ['options should be an object, e.g. { signal }; found "now"', (s) => s.get('absent', odd('now'))],
  ['ids should be given, or else filter; not both', (s) => s.cancelMany(odd({}))],
  [
    "options do not fit: ids.0: expected a job's id, e.g. job.id; found an object",
    async (s) => s.cancelMany({ ids: [odd(await s.submit(plain))] }),
  ],
  [
    'job is not a field of a job, which should be { type, input, … }; the fields are type, input, pipeline, overlap, startAt, priority, labels, assignee, assignment, idempotencyKey, uniqueKey, tenant',
    async (s) => {
      const one = odd<never>({ job: plain })
      const [answer] = await s.submitMany([one])
      expect(answer?.error).toMatchObject({ issues: [{ path: ['job'] }] })
      return s.submitMany([one], { atomic: true })
    },
  ],
]

test.each(toldByCalls)('the error of an invalid call says what to write: %s', async (message, call) => {
  const { ada, engine } = await new Bench().start({ jobs })
  for (const session of [ada, engine.system]) {
    const error = await errorOf(call(session))
    expect([error.code, error.message]).toEqual(['INVALID_INPUT', message])
  }
})

test('an unknown name of a job type is said to be unknown, without a version', async () => {
  const { ada } = await new Bench().start({ jobs })
  const error = await errorOf(ada.submit('nope'))
  expect(error.message).toBe('this engine does not know job type "nope"; give it to createEngine({ jobs })')
})

test('the error of an invalid principal names the field that is wrong', async () => {
  const { engine } = await new Bench().start({ jobs })
  for (const [principal, field] of [
    [{}, 'id'],
    [{ id: 5 }, 'id'],
    [{ id: 'x', tenant: '' }, 'tenant'],
    [{ id: 'x', role: ['editor'] }, 'role'],
    [{ id: 'x', relations: { 'system:7': 1 } }, 'relations.system:7'],
  ] as const) {
    const message = `a principal should be { id, tenant?, role?, relations? }: ${field}: `
    expect(() => engine.as(odd(principal))).toThrow(
      expect.objectContaining({ message: expect.stringContaining(message) }),
    )
  }
})

test.each([0, '0s', 0.2])('a time limit of %j would end every attempt at once, so it is refused', (timeout) => {
  const expected = "timeout should be a duration such as '10m' or milliseconds, more than 0 (leave it out for no limit)"
  const message = `${expected}; found ${JSON.stringify(timeout)}`
  for (const make of [
    job({ execute, timeout }),
    job({ run: { command: 'ls' }, timeout }),
    job({ agent: {}, timeout }),
    () => task({ timeout }, execute),
    () => agentTask({ timeout }),
    () => program({ timeout }, { command: 'ls' }),
    () => batch({ timeout, each: execute }),
    () => batchRun({ timeout, each: execute }),
  ]) {
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION', message }))
  }
})

/** For each misuse of a call, the option that its error names. */
const calls: readonly (readonly [string, (session: Session) => Promise<unknown>])[] = [
  ...(['get', 'history', 'result', 'explain', 'retry', 'delete', 'actions'] as const).map((name) => {
    return ['signl', (session: Session) => session[name]('absent', odd({ signl: 1 }))] as const
  }),
  ['signl', (session) => session.send('absent', { type: 'note' }, odd({ signl: 1 }))],
  ['signal', (session) => session.get('absent', odd({ signal: 'now' }))],
  ['options', (session) => session.get('absent', odd('now'))],
  [
    'afer',
    (session) =>
      session
        .logs('absent', odd({ afer: 1 }))
        [Symbol.asyncIterator]()
        .next(),
  ],
  [
    'outcome',
    (session) =>
      session
        .items('absent', odd({ outcome: 'failed' }))
        [Symbol.asyncIterator]()
        .next(),
  ],
  ['statuses', (session) => next(session.report('absent', odd({ format: 'csv', statuses: ['failed'] })))],
  ['reson', (session) => session.cancelMany(odd({ ids: [], reson: 'x' }))],
  ['reason', (session) => session.retryMany(odd({ ids: [], reason: 'x' }))],
  ['fresh', (session) => session.deleteMany(odd({ ids: [], fresh: true }))],
  ['order', (session) => session.cancelMany(odd({ filter: { order: 'oldest' } }))],
  ['statuses', (session) => session.list(odd({ statuses: ['running'] }))],
  ['limit', (session) => session.list(odd({ limit: '5' }))],
  ['label', (session) => session.count(odd({ label: {} }))],
  ['labels', (session) => session.count(odd({ labels: new Map([['system', '7']]) }))],
  ['jobs', (session) => session.events(odd({ jobs: 'absent' })).next()],
  ['signl', (session) => session.views(odd({ signl: 1 }))],
  ['prio', (session) => session.submit(plain, 1, odd({ prio: 3 }))],
  ['atomc', (session) => session.submitMany([], odd({ atomc: true }))],
  ['grouped', (session) => session.counts(odd({ grouped: 'status' }))],
  ['vew', (session) => session.counts({ by: 'status' }, odd({ vew: 'mine' }))],
  ['frsh', (session) => session.retry('absent', odd({ frsh: true }))],
  ['owners', (session) => session.pipelines.define(odd({ id: 'p', job: plain, owners: [] }))],
  ['signl', (session) => session.pipelines.define(odd({ id: 'p', job: plain }), odd({ signl: 1 }))],
  ['tennant', (session) => session.pipelines.get('absent', odd({ tennant: 'acme' }))],
  ['tennant', (session) => session.pipelines.resume('absent', odd({ tennant: 'acme' }))],
  ['tennant', (session) => session.pipelines.delete('absent', odd({ tennant: 'acme' }))],
  ['reason', (session) => session.pipelines.pause('absent', odd(5))],
  ['inputs', (session) => session.pipelines.run('absent', odd({ inputs: 1 }))],
  ['types', (session) => session.pipelines.list(odd({ types: [] }))],
  ['unred', (session) => session.notifications.list(odd({ unred: true }))],
  ['cnt', (session) => session.pipelines.preview({ at: 1 }, odd({ cnt: 1 }))],
  ['upto', (session) => session.pipelines.history('absent', odd({ upto: 1 }))],
]

/** For each option of a known name with an invalid value: a call with it. */
const values: typeof calls = [
  ['limit', (session) => session.notifications.list({ limit: 101 })],
  ['unread', (session) => session.notifications.count(odd({ unread: 'yes' }))],
  ['read', (session) => session.notifications.read(odd(['1']))],
  ['before', (session) => session.notifications.read(odd({ before: new Date() }))],
  ['level', (session) => session.notifications.subscribe(odd({ level: 'some' }))],
  ['not both', (session) => session.notifications.subscribe({ job: plain, pipeline: 'p', level: 'all' })],
  ['not both', (session) => session.notifications.unsubscribe({ job: 'j', pipeline: 'p' })],
  ['after', (session) => next(session.notifications.events({ after: -1 }))],
  ['after', (session) => next(session.items('absent', { after: 0.5 }))],
  ['status', (session) => next(session.items('absent', { status: [] }))],
  ['status', (session) => next(session.items('absent', odd({ status: ['fine'] })))],
  ['format', (session) => next(session.report('absent', odd({})))],
  ['format', (session) => next(session.report('absent', odd({ format: 'xls' })))],
  ['columns', (session) => next(session.report('absent', { format: 'csv', columns: [] }))],
  ['columns', (session) => next(session.report('absent', { format: 'csv', columns: ['url'] }))],
  ['columns', (session) => next(session.report('absent', { format: 'json', columns: ['input.'] }))],
  ['ids', (session) => session.cancelMany(odd({}))],
  ['ids', (session) => session.cancelMany(odd({ ids: ['a'], filter: {} }))],
  ['ids', (session) => session.deleteMany(odd({ ids: 'a' }))],
  ['ids', (session) => session.deleteMany({ ids: Array.from({ length: 1_001 }, (_, n) => `${n}`) })],
  ['limit', (session) => session.deleteMany(odd({ ids: ['a'], limit: 5 }))],
  ['cursor', (session) => session.deleteMany(odd({ ids: ['a'], cursor: 'x' }))],
  ['cursor', (session) => session.deleteMany({ filter: {}, cursor: 'x' })],
  ['limit', (session) => session.deleteMany({ filter: {}, limit: 1_001 })],
  ['filter', (session) => session.deleteMany(odd({ filter: null }))],
  ['filter', (session) => session.deleteMany(odd({ filter: 'all' }))],
  ['phase', (session) => session.cancelMany(odd({ filter: { phase: 'on' } }))],
  ['reason', (session) => session.cancelMany(odd({ ids: [], reason: 5 }))],
  ['fresh', (session) => session.retryMany(odd({ ids: [], fresh: 'yes' }))],
]

test.each([...calls, ...values])(
  'an unknown or invalid option of a call is refused by name, whatever the call is about: %s',
  async (option, run) => {
    const bench = new Bench()
    const host = await bench.start({ jobs })
    for (const session of [host.ada, host.engine.system]) {
      const error = await errorOf(run(session))
      expect([error.code, error.message]).toEqual(['INVALID_INPUT', expect.stringContaining(option)])
    }
  },
)

test.each(calls.filter(([option]) => !['signal', 'options', 'limit', 'labels', 'reason'].includes(option)))(
  'the error of an unknown option lists the options that there are: %s',
  async (option, run) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs })
    const { message } = await errorOf(run(ada))
    expect(message).toMatch(new RegExp(`^${option} is not an option here; the options are (\\w+, )*signal$`))
  },
)

/** For each method that takes the id of a job: a call of it. */
const ofJobs: readonly (readonly [string, (session: Session, id: never) => Promise<unknown>])[] = [
  ...(['get', 'cancel', 'retry', 'delete', 'actions', 'explain', 'history', 'result'] as const).map((name) => {
    return [name, (session: Session, id: never) => session[name](id)] as const
  }),
  ['send', (session, id) => session.send(id, { type: 'cancel' })],
  ['logs', async (session, id) => await next(session.logs(id))],
  ['items', async (session, id) => await next(session.items(id))],
  ['report', async (session, id) => await next(session.report(id, { format: 'csv' }))],
]

test.each(ofJobs)('%s says what it expects in place of a whole job', async (_, call) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs })
  const submitting = ada.submit(plain)
  for (const [given, found] of [
    [await submitting, 'an object'],
    [submitting, 'a promise, which is not awaited'],
    [undefined, 'undefined'],
    [5, 'a number'],
  ] as const) {
    const error = await errorOf(call(ada, odd(given)))
    expect([error.code, error.message]).toEqual(['INVALID_INPUT', `expected a job's id, e.g. job.id; found ${found}`])
  }
})

test('the methods of pipelines say what they expect in place of a whole pipeline', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs })
  const pipeline = odd(await ada.pipelines.define({ id: 'p', job: plain }))
  const { get, run, pause, resume, delete: remove } = ada.pipelines
  for (const call of [get, run, (id: never) => pause(id, 'why'), resume, remove]) {
    const error = await errorOf(call(pipeline))
    const message = "expected a pipeline's id, e.g. pipeline.id; found an object"
    expect([error.code, error.message]).toEqual(['INVALID_INPUT', message])
  }
})

/** Invalid values of every option of an engine. A new option has to be added here. */
const engineOptions = {
  jobs: [plain, ['j'], null, 5],
  storage: ['jobs.db', {}, null, memoryStorage],
  policy: [{}, 'admin', null],
  principal: [{ id: 'ada' }, 'ada', null],
  executors: [{ default: 3 }, [], null, 'default', new Map()],
  clock: [Date, {}, null],
  work: ['no', 0, null],
  ids: ['uuid', 4, null],
  onListenerError: ['log', {}, null],
  onPolicyError: ['log', {}, null],
  onHealth: ['log', {}, null],
  notifier: ['mail', {}, { channels: ['mail'] }, { channels: 'mail', addresses: execute, deliver: execute }, null],
  logger: ['pino', {}, { info: () => {} }, null],
  poll: ['often', -1, Number.NaN, null, {}],
  sweep: ['often', -1, Number.NaN, null, {}],
  heartbeat: ['often', -1, Number.NaN, null, {}],
  deadAfter: ['often', -1, Number.NaN, null, {}],
  maxAbandoned: [0, 0.5, '3', Number.NaN, null],
  retention: [
    null,
    30,
    '30d',
    { jobs: '30d' },
    { jobs: { success: -1 } },
    { jobs: { done: 1 } },
    { max: -1 },
    { days: 3 },
  ],
  concurrency: [0, 0.5, '3', Number.NaN, null],
} satisfies { [Option in keyof CreateEngineOptions]-?: readonly unknown[] }

test.each(Object.entries(engineOptions))('createEngine refuses by name what %s cannot be', async (option, values) => {
  for (const value of values) {
    const error = await errorOf(createEngine(odd({ jobs, storage, [option]: value })))
    expect([error.code, error.message], String(value)).toEqual(['INVALID_DEFINITION', expect.stringContaining(option)])
  }
})

test('an engine without a storage is refused, and the error names the storages', async () => {
  const error = await errorOf(createEngine(odd({ jobs })))
  expect(error.code).toBe('INVALID_DEFINITION')
  expect(error.message).toMatch(/^storage should be .*sqliteStorage.*memoryStorage\(\).*; found undefined$/)
  // @ts-expect-error the type requires it too
  const call: Parameters<typeof createEngine>[0] = { jobs }
  expect(call).not.toHaveProperty('storage')
})

test('an invalid follow-up is a line of its job’s log that says what is wrong', async () => {
  for (const [option, followUp] of [
    ['fresh', { kind: 'retry', fresh: 'yes' }],
    ['frsh', { kind: 'retry', frsh: true }],
    ['uniqueKey', { kind: 'submit', job: plain, uniqueKey: 'k' }],
  ] as const) {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute, followUp: () => [odd(followUp)] })
    const { ada, engine } = await bench.start({ jobs: [type, plain] })
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    const told = (await bench.log(id)).flatMap(({ events }) => events).find(({ type }) => type === 'job.followUpFailed')
    expect(JSON.stringify(told)).toContain(option)
    expect((await ada.list()).items).toHaveLength(1)
  }
})

/** A call of a method with these options. */
type Calling = (session: Session, options: never) => unknown

const next = (items: AsyncIterable<unknown>) => items[Symbol.asyncIterator]().next()

/** Every method of a session. A new method has to be added here. */
const methods = {
  submit: (session, options) => session.submit(plain, 1, options),
  submitMany: (session, options) => session.submitMany([], options),
  get: (session, options) => session.get('absent', options),
  list: (session, options) => session.list(options),
  count: (session, options) => session.count(options),
  counts: (session, options) => session.counts({ by: 'status' }, options),
  views: (session, options) => session.views(options),
  send: (session, options) => session.send('absent', { type: 'note' }, options),
  cancel: (session, options) => session.cancel('absent', options),
  retry: (session, options) => session.retry('absent', options),
  delete: (session, options) => session.delete('absent', options),
  actions: (session, options) => session.actions('absent', options),
  explain: (session, options) => session.explain('absent', options),
  history: (session, options) => session.history('absent', options),
  logs: (session, options) => next(session.logs('absent', options)),
  items: (session, options) => next(session.items('absent', options)),
  report: (session, options) => next(session.report('absent', options)),
  cancelMany: (session, options) => session.cancelMany(options),
  retryMany: (session, options) => session.retryMany(options),
  deleteMany: (session, options) => session.deleteMany(options),
  events: (session, options) => session.events(options).next(),
  result: (session, options) => session.result('absent', options),
} satisfies { [Method in Exclude<keyof Session, 'pipelines' | 'notifications' | 'agents'>]: Calling }

/** The same of pipelines. */
const pipelineMethods = {
  define: (session, options) => session.pipelines.define({ id: 'p', job: plain, input: 1 }, options),
  get: (session, options) => session.pipelines.get('absent', options),
  list: (session, options) => session.pipelines.list(options),
  run: (session, options) => session.pipelines.run('absent', options),
  pause: (session, options) => session.pipelines.pause('absent', 'why', options),
  resume: (session, options) => session.pipelines.resume('absent', options),
  preview: (session, options) => session.pipelines.preview({ at: 1 }, options),
  history: (session, options) => session.pipelines.history('absent', options),
  delete: (session, options) => session.pipelines.delete('absent', options),
} satisfies { [Method in keyof Session['pipelines']]: Calling }

/** The same of notifications. */
const notificationMethods = {
  list: (session, options) => session.notifications.list(options),
  count: (session, options) => session.notifications.count(options),
  read: (session, options) => session.notifications.read([1], options),
  subscribe: (session, options) => session.notifications.subscribe(options),
  unsubscribe: (session, options) => session.notifications.unsubscribe(options),
  subscriptions: (session, options) => session.notifications.subscriptions(options),
  events: (session, options) => next(session.notifications.events(options)),
} satisfies { [Method in keyof Session['notifications']]: Calling }

/** The methods of agents that are for people. */
const agentMethods = {
  list: (session, options) => session.agents.list(options),
  pools: (session, options) => session.agents.pools(options),
  enroll: (session, options) => session.agents.enroll(options),
  revoke: (session, options) => session.agents.revoke('absent', options),
} satisfies { [Method in Exclude<keyof Session['agents'], keyof AgentTransport>]: Calling }

const all: readonly (readonly [string, Calling])[] = Object.entries({
  ...methods,
  ...Object.fromEntries(Object.entries(pipelineMethods).map(([name, call]) => [`pipelines.${name}`, call])),
  ...Object.fromEntries(Object.entries(notificationMethods).map(([name, call]) => [`notifications.${name}`, call])),
  ...Object.fromEntries(Object.entries(agentMethods).map(([name, call]) => [`agents.${name}`, call])),
})

test.each(all)(
  '%s refuses unknown options, invalid signals, and options that are not an object',
  async (name, call) => {
    const bench = new Bench()
    const host = await bench.start({ jobs })
    for (const session of [host.ada, host.engine.system]) {
      const misuses: [string, unknown][] = [
        ['signl', { signl: 1 }],
        ['signal', { signal: 'now' }],
        ['options', 'now'],
        ['options', 5],
        ['options', null],
        ['options', [{}]],
        ['options', () => {}],
        ['options', new Map([['type', 'j']])],
        ['options', Promise.resolve({ type: 'j' })],
        ['options', new URLSearchParams('type=j')],
      ]
      for (const [option, options] of misuses) {
        // Besides its own options, cancel takes the fields of the type's command, which are only known from the job.
        if (name === 'cancel' && option === 'signl') continue
        const error = await errorOf((async () => await call(session, odd(options)))())
        expect([error.code, error.message]).toEqual(['INVALID_INPUT', expect.stringContaining(option)])
      }
    }
  },
)

/** Invalid values of an option: all except those of its kind. */
const wrong = {
  text: [5, '', null, {}, true, 'x'.repeat(201)],
  whole: ['5', 0.5, Number.NaN, Number.POSITIVE_INFINITY, null, {}],
  page: ['5', 0, -1, 0.5, 101, Number.NaN, null],
  time: [
    'soon',
    '2027-01-01',
    '2027-01-01T00:00:00',
    -1,
    0.5,
    Number.NaN,
    null,
    {},
    true,
    8_640_000_000_000_001,
    new Date(Number.NaN),
  ],
  oneOf: ['other', 5, null, {}, ''],
  labels: ['a', 5, null, ['a'], { a: 5 }, { '': 'x' }, { a: 'x'.repeat(201) }],
  flag: ['yes', 1, null, {}],
  assignment: ['a', 5, true, {}, ['a'], { agent: '' }, { pool: 5 }, { agent: 'a', pool: 'p' }, { agent: 'a', x: 1 }],
} as const

const narrowing = {
  view: 'oneOf',
  type: 'text',
  phase: 'oneOf',
  outcome: 'oneOf',
  createdAfter: 'time',
  createdBefore: 'time',
  status: 'text',
  pipeline: 'text',
  createdBy: 'text',
  assignee: 'text',
  parentId: 'text',
  labels: 'labels',
} as const

/** Every option of calls, by its kind. */
const kinds: { readonly [name: string]: { readonly [option: string]: keyof typeof wrong } } = {
  submit: {
    pipeline: 'text',
    overlap: 'oneOf',
    startAt: 'time',
    priority: 'whole',
    labels: 'labels',
    assignee: 'text',
    assignment: 'assignment',
    idempotencyKey: 'text',
    uniqueKey: 'text',
    tenant: 'text',
  } satisfies { [Option in Exclude<keyof SubmitOptions, 'signal'>]: keyof typeof wrong },
  submitMany: { atomic: 'flag' },
  retry: { fresh: 'flag', items: 'oneOf', assignment: 'assignment' } satisfies {
    [Option in Exclude<keyof RetryCallOptions, 'signal'>]: keyof typeof wrong
  },
  list: { ...narrowing, order: 'oneOf', limit: 'page', cursor: 'oneOf' } satisfies {
    [Option in Exclude<keyof ListOptions, 'signal'>]: keyof typeof wrong
  },
  count: narrowing,
  counts: narrowing,
  events: { type: 'text', pipeline: 'text', createdBy: 'text', assignee: 'text', labels: 'labels', after: 'whole' },
  'pipelines.run': {
    overlap: 'oneOf',
    priority: 'whole',
    labels: 'labels',
    assignee: 'text',
    assignment: 'assignment',
    startAt: 'time',
    idempotencyKey: 'text',
    uniqueKey: 'text',
    tenant: 'text',
  } satisfies { [Option in Exclude<keyof RunOptions, 'signal' | 'input'>]: keyof typeof wrong },
  'pipelines.list': { type: 'text', limit: 'page', cursor: 'oneOf' },
}

const options = Object.entries(kinds).flatMap(([name, own]) =>
  Object.entries(own).map(([option, kind]) => [name, option, kind] as const),
)

test.each(options)('%s refuses by name an invalid %s: %s', async (name, option, kind) => {
  const bench = new Bench()
  const host = await bench.start({ jobs })
  const call = all.find(([each]) => each === name)?.[1]
  for (const value of wrong[kind]) {
    const error = await errorOf((async () => await call?.(host.engine.system, odd({ [option]: value })))())
    expect([error.code, error.message], String(value)).toEqual(['INVALID_INPUT', expect.stringContaining(option)])
  }
  expect((await host.engine.system.list()).items).toEqual([])
})

describe('an engine', () => {
  test('refuses an unknown event and a listener that is not a function', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs })
    const on = (type: unknown, listener: unknown) => () => host.engine.on(odd<'job.created'>(type), odd(listener))
    expect(on('job.transitoned', execute)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
    expect(on('job.created', 'log')).toThrow(/^listener should be a function/)
  })

  test('refuses unknown options of its stop, and keeps running', async () => {
    const bench = new Bench()
    const work = new Work()
    const slow = defineJob({ type: 'slow', execute: work.execute })
    const host = await bench.start({ jobs: [slow] })
    await host.ada.submit(slow, 1)
    await expect(host.engine.stop(odd({ timeOut: 5 }))).rejects.toMatchObject({ code: 'INVALID_DEFINITION' })
    await expect(host.engine.stop(odd({ timeout: 'soon' }))).rejects.toThrow(/^timeout should be a duration/)
    expect(host.engine.health).toMatchObject({ status: 'ok', running: 1 })
  })

  test('accepts a principal whose role is text', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs })
    expect(() => host.engine.as(odd({ id: 'ada', role: ['editor'] }))).toThrow(/principal/)
  })

  test('refuses by name what is given beside a principal or an agent', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs })
    const ada = { id: 'ada', role: 'editor' }
    const beside = (options: unknown) => odd<[]>([options])
    for (const principal of [ada, () => ada]) {
      expect(() => engine.as(principal, ...beside({ tenant: 'acme' }))).toThrow(
        expect.objectContaining({
          code: 'INVALID_INPUT',
          message:
            'tenant is not an option of engine.as, which takes one argument: engine.as({ id, tenant, role, relations })',
          issues: [expect.objectContaining({ path: ['tenant'] })],
        }),
      )
      expect(() => engine.as(principal, ...beside('acme'))).toThrow(/^options is not an option of engine\.as/)
    }
    expect(() => engine.asAgent({ id: 'a1' }, ...beside({ pools: ['gpu'] }))).toThrow(
      'pools is not an option of engine.asAgent, which takes one argument: engine.asAgent({ id, tenant })',
    )
    expect(() => [engine.as(ada, ...beside(undefined)), engine.asAgent({ id: 'a1' })]).not.toThrow()
    for (const none of [undefined, null, 'ada', Promise.resolve({ id: 'ada' })]) {
      expect(() => engine.as(odd(none))).toThrow('a principal should be { id, tenant?, role?, relations? }')
    }
  })

  test('refuses by name an unknown field of an agent', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs })
    expect(() => engine.asAgent(odd({ id: 'a1', pools: ['gpu'] }))).toThrow(
      expect.objectContaining({
        code: 'INVALID_INPUT',
        message: 'pools is not an option of asAgent; its options are id, tenant',
      }),
    )
    for (const none of [undefined, 'a1']) {
      expect(() => engine.asAgent(odd(none))).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
    }
  })
})

test('explore refuses an invalid job type and invalid options', () => {
  const expected = expect.objectContaining({ code: 'INVALID_INPUT' })
  expect(() => explore(odd<never>(undefined))).toThrow(expected)
  expect(() => explore(odd<never>(plain), odd({ example: {} }))).toThrow(expected)
})

test('a role that is missing from a list is not found in the letters of a text', async () => {
  const { policy } = memberJobs({ administrator: ['Administrator'] })
  const bench = new Bench()
  const host = await bench.start({ jobs, policy })
  for (const role of ['', 'Admin', 'Administrator2']) {
    expect((await errorOf(host.engine.as({ id: 'eve', role }).list())).code).toBe('FORBIDDEN')
  }
})

test('options may be what a module exports, or an instance of a class of one’s own', async () => {
  const exported = Object.freeze(Object.assign(Object.create(null), { type: 'j', [Symbol.toStringTag]: 'Module' }))
  class Filter {
    readonly type = 'j'
  }
  const bench = new Bench()
  const { ada } = await bench.start({ jobs })
  await ada.submit(plain)
  expect([await ada.count(odd(exported)), await ada.count(new Filter())]).toEqual([1, 1])
})
