import {
  type CancelOptions,
  defineJob,
  type Policy,
  type Principal,
  type Scope,
  type Session,
  type SessionPrincipal,
  type Verdict,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, shownError, textsOf, Work } from './bench.ts'

const ABSENT = '019b7654-0000-7000-8000-000000000000'

/** Every method that names a job. */
const methods: readonly (readonly [string, (who: Session, id: string) => Promise<unknown>])[] = [
  ['get', (who, id) => who.get(id)],
  ['cancel', (who, id) => who.cancel(id)],
  ['cancel with a bad reason', (who, id) => who.cancel(id, { reason: 5 } as unknown as CancelOptions)],
  ['send', (who, id) => who.send(id, { type: 'cancel' })],
  ['send of no command', (who, id) => who.send(id, { type: 'nonsense' })],
  ['history', (who, id) => who.history(id)],
  ['logs', (who, id) => textsOf(who.logs(id))],
  ['result', (who, id) => who.result(id)],
]

const others: readonly (readonly [string, SessionPrincipal])[] = [
  ['another editor', { id: 'bob', role: 'editor' }],
  ['an admin of another tenant', { id: 'root', tenant: 'acme', role: 'admin' }],
  ['the same name in another tenant', { id: 'ada', tenant: 'acme', role: 'editor' }],
  ['nobody in particular', { id: 'ada' }],
]

test('a refusal to a person whose role the policy does not know says which role it is', async () => {
  const { engine } = await new Bench().start({ jobs: [defineJob({ type: 'w', execute: () => {} })] })
  for (const [principal, who] of [
    [{ id: 'x' }, '"x", who has no role (see engine.as),'],
    [{ id: 'x', roles: ['editor'] } as SessionPrincipal, '"x", who has no role (see engine.as),'],
    [{ id: 'x', role: 'Editor' }, '"x" with the role "Editor"'],
  ] as const) {
    const session = engine.as(principal)
    const messageOf = async (call: Promise<unknown>) => (await errorOf(call)).message
    expect(await messageOf(session.submit('w'))).toBe(`${who} may not submit jobs of type "w"`)
    expect(await messageOf(session.list())).toBe(`${who} may not list jobs`)
  }
})

test('a caller who may cancel a job and not see it gets only its id and time of creation', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: new Work().obedient })
  const policy: Policy = {
    authorize: ({ id }, action) => (id === 'ada' || action === 'command' ? 'allow' : 'deny'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { ada, bob } = await bench.start({ jobs: [type], policy })
  const { id, createdAt } = await ada.submit(type, 'secret')
  await bench.clock.settle()
  const { redacted, ...shown } = await bob.cancel(id)
  expect(shown).toEqual({ id, createdAt })
  expect(redacted).toContain('input')
  await bench.clock.settle()
  expect((await ada.get(id)).outcome).toBe('cancelled')
})

for (const [method, call] of methods) {
  test.each(others)(`I52 ${method} answers alike for a hidden and a missing job: %s`, async (_, who) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada, engine, heard } = await bench.start({ jobs: [type] })
    const running = await ada.submit(type, 1)
    const settled = await ada.submit(type, 2)
    work.run().finish()
    await bench.clock.settle()
    const before = [await bench.contents(), heard.length]
    const session = engine.as(who)
    const absent = shownError(await errorOf(call(session, ABSENT)), ABSENT)
    for (const { id } of [running, settled]) expect(shownError(await errorOf(call(session, id)), id)).toBe(absent)
    expect([await bench.contents(), heard.length]).toEqual(before)
    expect(work.run(0).context.signal.aborted).toBe(false)
  })
}

test('an admin sees a colleague’s job and may not cancel it, settled or not', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, admin, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  expect((await admin.get(id)).createdBy).toBe('ada')
  const before = [await bench.contents(), heard.length]
  expect(await codeOf(admin.cancel(id))).toBe('FORBIDDEN')
  expect(await codeOf(admin.send(id, { type: 'cancel' }))).toBe('FORBIDDEN')
  expect([await bench.contents(), heard.length]).toEqual(before)
  work.run().finish()
  await bench.clock.settle()
  // The policy is asked before the state is checked, so the refusal does not come from the job's end.
  expect(await codeOf(admin.cancel(id))).toBe('FORBIDDEN')
  expect(await codeOf(ada.cancel(id))).toBe('ALREADY_SETTLED')
})

/** A policy that shows all jobs of the tenant, and otherwise answers as the test says. */
function answering(answer: (action: string, principal: Principal) => unknown): Policy {
  return {
    // A policy in JavaScript may answer anything.
    authorize: (principal, action) => answer(action, principal) as Verdict,
    scope: ({ tenant }) => [{ tenant }],
  }
}

test.each(['deny', 'hide'])('submit is refused by a policy that says %s, and nothing is stored', async (verdict) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type], policy: answering(() => verdict) })
  expect(await codeOf(ada.submit(type, 1))).toBe('FORBIDDEN')
  expect(await bench.log()).toEqual([])
})

test('a denial is FORBIDDEN only for callers who may see the job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  let get: Verdict = 'allow'
  const policy = answering((action) => (action === 'get' ? get : action === 'submit' ? 'allow' : 'deny'))
  const { ada } = await bench.start({ jobs: [type], policy })
  const { id } = await ada.submit(type, 1)
  const codes = async () => await Promise.all(methods.slice(1).map(([, call]) => codeOf(call(ada, id))))
  expect(new Set(await codes())).toEqual(new Set(['FORBIDDEN']))
  for (get of ['hide', 'deny'] as const) expect(new Set(await codes())).toEqual(new Set(['JOB_NOT_FOUND']))
})

test.each([
  [
    'throws',
    () => {
      throw new Error('the directory is down')
    },
  ],
  ['rejects', () => Promise.reject(new Error('the directory is down'))],
  [
    'has a getter that throws',
    () =>
      Object.defineProperty({}, 'then', {
        get: () => {
          throw new Error('no')
        },
      }),
  ],
  ['says nothing', () => undefined],
  ['says null', () => null],
  ['says true', () => true],
  ['says a word that is none', () => 'allowed'],
  ['says an object that redacts nothing', () => ({})],
  ['says an object of its own making', () => ({ allow: false })],
  ['redacts what is no list', () => ({ redact: 'input' })],
])('I53 a policy that fails is a denial: it %s', async (_, answer) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type], policy: answering(answer) })
  expect(await codeOf(ada.submit(type, 1))).toBe('FORBIDDEN')
  const { id } = await engine.system.submit(type, 1)
  await engine.idle()
  const codes = await Promise.all(methods.map(([, call]) => codeOf(call(ada, id))))
  expect(new Set(codes)).toEqual(new Set(['JOB_NOT_FOUND']))
  expect((await ada.list()).items).toEqual([])
})

test.each([
  [
    'throws',
    () => {
      throw new Error('the directory is down')
    },
  ],
  ['rejects', () => Promise.reject(new Error('the directory is down'))],
  ['says nothing', () => undefined],
  ['says null', () => null],
  ['says true', () => true],
  ['names none', () => []],
  ['says false', () => false],
])('I53 a scope that fails is a denial: it %s', async (_, scope) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const policy = { authorize: () => 'allow', scope } as unknown as Policy
  const { ada } = await bench.start({ jobs: [type], policy })
  await ada.submit(type, 1)
  expect(await codeOf(ada.list())).toBe('FORBIDDEN')
})

test('I53 a policy that never answers denies after 5 seconds, and its later answer is ignored', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  let answer: (verdict: Verdict) => void = () => {}
  const policy = answering((action) =>
    action === 'submit'
      ? 'allow'
      : new Promise((given) => {
          answer = given
        }),
  )
  const { ada } = await bench.start({ jobs: [type], policy })
  const { id } = await ada.submit(type, 1)
  let code = 'waits'
  void codeOf(ada.get(id)).then((given) => {
    code = given
  })
  await bench.clock.advance(4_999)
  expect(code).toBe('waits')
  await bench.clock.advance(1)
  expect(code).toBe('JOB_NOT_FOUND')
  answer('allow')
  await bench.clock.settle()
  expect(code).toBe('JOB_NOT_FOUND')
})

test('I53 a silent policy lets no submit through', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type], policy: answering(() => new Promise(() => {})) })
  const code = codeOf(ada.submit(type, 1))
  await bench.clock.advance(5_000)
  expect(await code).toBe('FORBIDDEN')
  expect(await bench.log()).toEqual([])
})

describe('P1 a command that conflicts with another write', () => {
  const lifecycle = createMachine({
    initial: 'open',
    on: { cancel: '.cancelled' },
    states: { open: { on: { close: 'closed' } }, closed: {}, cancelled: { type: 'final', tags: ['cancelled'] } },
  })
  const type = defineJob({ type: 'm', lifecycle, commands: { close: z.object({}), cancel: z.object({}) } })

  // Allows a cancel only while the status is open.
  async function watched() {
    const bench = new Bench()
    const asked: unknown[] = []
    const policy: Policy = {
      ...answering(() => 'allow'),
      authorize: (_, action, { status }) => {
        if (action === 'command') asked.push(status)
        return action === 'command' && status === 'closed' ? 'deny' : 'allow'
      },
    }
    const other = await bench.start({ jobs: [type] })
    return { bench, asked, other, ...(await bench.start({ jobs: [type], policy })) }
  }

  test('is authorized again, and refused, if the status that the policy saw has changed', async () => {
    const { bench, ada, faults, asked, other } = await watched()
    const { id } = await ada.submit(type, undefined)
    const answer = Promise.withResolvers<void>()
    faults.plan('load', answer.promise)
    const code = codeOf(ada.cancel(id))
    await bench.clock.settle()
    await other.ada.send(id, { type: 'close' })
    answer.resolve()
    expect(await code).toBe('FORBIDDEN')
    expect(asked).toEqual(['open', 'closed'])
    expect(await bench.row(id)).toMatchObject({ status: 'closed' })
  })

  test('is repeated without asking the policy if nothing that it saw has changed', async () => {
    const { ada, faults, asked } = await watched()
    const { id } = await ada.submit(type, undefined)
    faults.plan('commit', 'conflict')
    expect(await ada.cancel(id)).toMatchObject({ status: 'cancelled' })
    expect(asked).toEqual(['open'])
  })
})

test('a principal given as a function is called for each request, so that rights are current', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { engine } = await bench.start({ jobs: [type] })
  let role = 'editor'
  const session = engine.as(() => ({ id: 'ada', role }))
  const { id } = await session.submit(type, 1)
  await engine.idle()
  role = ''
  const codes = await Promise.all(methods.map(([, call]) => codeOf(call(session, id))))
  expect(new Set(codes)).toEqual(new Set(['JOB_NOT_FOUND']))
  expect(await codeOf(session.list())).toBe('FORBIDDEN')
  expect(await codeOf(session.submit(type, 1))).toBe('FORBIDDEN')
  role = 'editor'
  expect(await codeOf(session.get(id))).toBe('ok')
})

test('I53 a caller who waits for a result is authorized again when the job changes', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  let verdict: Verdict = 'allow'
  const { ada } = await bench.start({ jobs: [type], policy: answering(() => verdict) })
  const { id } = await ada.submit(type, 1)
  const waiting = codeOf(ada.result(id))
  await bench.clock.settle()
  verdict = 'hide'
  work.run().finish('secret')
  expect(await waiting).toBe('JOB_NOT_FOUND')
})

test('a principal cannot say which kind it is', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const kinds = new Set<string>()
  const policy = answering((_, { kind }) => {
    kinds.add(kind)
    return 'deny'
  })
  const { engine } = await bench.start({ jobs: [type], policy })
  const forged: SessionPrincipal = Object.assign({ id: 'eve', role: 'system' }, { kind: 'system' })
  for (const session of [engine.as(forged), engine.as(() => forged)]) {
    expect(await codeOf(session.submit(type, 1))).toBe('FORBIDDEN')
  }
  expect([...kinds]).toEqual(['user'])
})

test('a person named like the engine’s own session does not get its rights', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: new Work().execute })
  const { engine } = await bench.start({ jobs: [type] })
  const { id } = await engine.system.submit(type, 1)
  // Refused as a principal, or shown none of the jobs that the engine itself submitted.
  const eve = engine.as(() => ({ id: 'system', role: 'editor' }))
  expect(['INVALID_INPUT', 'JOB_NOT_FOUND']).toContain(await codeOf(eve.get(id)))
  expect(['INVALID_INPUT', 'JOB_NOT_FOUND']).toContain(await codeOf(eve.cancel(id)))
})

test.each([
  ['none', undefined],
  ['without an id', { role: 'admin' }],
  ['with an empty id', { id: '' }],
  ['with an id that is no text', { id: 7 }],
  ['with an empty tenant', { id: 'eve', tenant: '' }],
  ['with relations that are no text', { id: 'eve', relations: { a: 1 } }],
])('an invalid principal is refused: %s', async (_, principal) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { engine } = await bench.start({ jobs: [type] })
  const given = principal as unknown as SessionPrincipal
  expect(() => engine.as(given)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
  expect(await codeOf(engine.as(() => given).list())).toBe('INVALID_INPUT')
})

test('I52 a taken slot is reported without naming a job that the caller may not see', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, bob, admin } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  const toBob = await errorOf(bob.submit(type, 2, { pipeline: 'p' }))
  expect(toBob.code).toBe('ALREADY_RUNNING')
  expect(JSON.stringify({ text: toBob.message, ...toBob })).not.toContain(id)
  expect((await errorOf(admin.submit(type, 2, { pipeline: 'p' }))).jobId).toBe(id)
})

test('a policy gets the caller’s relations, as the host gave them', async () => {
  const plain = defineJob({ type: 'plain', execute: () => 1 })
  const seen: Principal[] = []
  const policy: Policy = {
    authorize: (principal) => {
      seen.push(principal)
      return 'allow'
    },
    scope: () => false,
  }
  const bench = new Bench()
  const { engine } = await bench.start({ jobs: [plain], policy })
  const relations = { 'system:7': 'owner' }
  await engine.as({ id: 'ada', relations }).submit(plain, 1)
  await engine.as({ id: 'bob' }).submit(plain, 1)
  expect(seen.map(({ id, relations }) => [id, relations])).toEqual([
    ['ada', relations],
    ['bob', undefined],
  ])
})

test.each<[what: string, scope: unknown, isValid: boolean]>([
  ['a scope in a list of its own', [[]], false],
  ['no object', ['default'], false],
  ['a name that does not exist', [{ owner: 'ada' }], false],
  ['labels that are no object', [{ labels: 'x' }], false],
  ['labels that are null', [{ labels: null }], false],
  ['redacted fields that are no list', [{ redact: 'input' }], false],
  ['a part that is undefined', [{ tenant: 'default', createdBy: undefined }], true],
  ['labels', [{ tenant: 'default', labels: {} }], true],
])('I53 a scope that is invalid shows nothing: %s', async (_, scope, isValid) => {
  const type = defineJob({ type: 'w', execute: () => 1 })
  const policy = { authorize: () => 'allow' as const, scope: () => scope as readonly Scope[] }
  const { ada } = await new Bench().start({ jobs: [type], policy })
  await ada.submit(type)
  expect(await codeOf(ada.list())).toBe(isValid ? 'ok' : 'FORBIDDEN')
  if (isValid) expect(await ada.count()).toBe(1)
})

test('I53 a host hears of a failing policy and of its question; a listener that fails too harms nothing', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const heard: string[] = []
  let answer: () => unknown = () => 'allow'
  const { ada } = await bench.start({
    jobs: [type],
    policy: { authorize: () => answer() as Verdict, scope: () => answer() as false },
    onPolicyError: (error, { principal, action }) => {
      heard.push(`${principal.id} ${action}: ${error instanceof Error ? error.message : ''}`)
      throw new Error('no')
    },
  })
  const { id } = await ada.submit(type, 1)
  answer = () => {
    throw new Error('the directory is down')
  }
  expect(await codeOf(ada.get(id))).toBe('JOB_NOT_FOUND')
  answer = () => 'allowed'
  expect(await codeOf(ada.list())).toBe('FORBIDDEN')
  answer = () => new Promise(() => {})
  const silent = codeOf(ada.get(id))
  await bench.clock.advance(5_000)
  expect(await silent).toBe('JOB_NOT_FOUND')
  answer = () => 'hide'
  expect(await codeOf(ada.get(id))).toBe('JOB_NOT_FOUND')
  expect(heard).toEqual([
    'ada get: the directory is down',
    `ada list: the policy's answer to "list" is not valid; see Policy in jobchart/port`,
    'ada get: the policy did not answer to "get" in 5 s',
  ])
})
