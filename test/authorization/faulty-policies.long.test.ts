import {
  type Action,
  type Policy,
  type Principal,
  rolePolicy,
  type Scope,
  type SessionPrincipal,
  type Target,
  type Verdict,
} from 'jobchart'
import { authorizationConformance, type SampleTarget } from 'jobchart/testing'
import { expect, test } from 'vitest'

const principals: readonly SessionPrincipal[] = [
  { id: 'ada', tenant: 'acme', role: 'editor' },
  { id: 'root', tenant: 'acme', role: 'admin', relations: { 'team:data': 'lead' } },
  { id: 'eve', tenant: 'other', role: 'admin' },
]
const targets: readonly SampleTarget[] = [{ tenant: 'acme', createdBy: 'ada', pipeline: 'p', labels: { team: 'data' } }]

const sound = rolePolicy()
const never = <Answer>() => new Promise<Answer>(() => {})
type Authorize = (who: Principal, action: Action, target: Target) => Verdict | PromiseLike<Verdict>
type ScopeOf = (who: Principal, action: Action) => false | readonly Scope[] | PromiseLike<false | readonly Scope[]>

/** A sound policy with one fault. */
function broken(parts: { readonly authorize?: Authorize; readonly scope?: ScopeOf }): () => Policy {
  return () => ({ ...sound, ...parts })
}

// Values that a policy in JavaScript may answer.
const answering = (answer: unknown) => answer as Verdict
const isEditor = ({ role }: Principal) => role === 'editor'
const roles = { admin: true, editor: true }

/** Faulty policies, each with the checks that refuse it. */
const faults: readonly (readonly [string, () => Policy, readonly string[]])[] = [
  [
    'a scope that is wider than get',
    broken({ scope: ({ tenant }) => [{ tenant }] }),
    [
      'P4 a target that "get" hides is in no scope of "list"',
      'P4 a target that "getPipeline" hides is in no scope of "listPipelines"',
      'P4 a target that "events" hides is in no scope of "events"',
    ],
  ],
  [
    'a scope that is narrower than get',
    broken({ scope: ({ tenant, id }) => [{ tenant, createdBy: id }] }),
    [
      'P4 a target that "get" shows is in a scope of "list"',
      'P4 a target that "getPipeline" shows is in a scope of "listPipelines"',
      'P4 a target that "events" shows is in a scope of "events"',
      'P3 list, its pages, count and actions show exactly the jobs that get shows, as get shows them',
    ],
  ],
  [
    'a scope of another tenant',
    broken({ scope: (who) => (isEditor(who) ? [{ tenant: 'other' }] : sound.scope(who, 'list')) }),
    ['P4 a target that "get" hides is in no scope of "list"'],
  ],
  [
    'a tenant that is forgotten',
    broken({ authorize: (who, action, target) => sound.authorize(who, action, { ...target, tenant: who.tenant }) }),
    [
      'P7 jobs and pipelines of another tenant are hidden, unless a scope of list names that tenant',
      'P4 a target that "get" shows is in a scope of "list"',
      'P3 list, its pages, count and actions show exactly the jobs that get shows, as get shows them',
    ],
  ],
  [
    'a tenant that is forgotten where jobs are cancelled',
    broken({
      authorize: (who, action, target) =>
        sound.authorize(who, action, action === 'command' ? { ...target, tenant: who.tenant } : target),
    }),
    ['P7 jobs and pipelines of another tenant are hidden, unless a scope of list names that tenant'],
  ],
  [
    'true for allow',
    broken({ authorize: () => answering(true) }),
    ['P2 every question is answered in time, with a verdict of the port'],
  ],
  [
    'nothing for some actions',
    broken({
      authorize: (who, action, target) =>
        answering(action === 'explain' ? undefined : sound.authorize(who, action, target)),
    }),
    ['P2 every question is answered in time, with a verdict of the port'],
  ],
  [
    'a part to open that there is not',
    broken({ authorize: () => answering({ redact: [], open: ['contexts'] }) }),
    ['P2 every question is answered in time, with a verdict of the port'],
  ],
  [
    'a scope with a field that there is not',
    broken({ scope: ({ tenant }) => [{ tenant, owner: 'ada' } as Scope] }),
    ['P2 every request for scopes is answered in time, with false or with scopes of the port'],
  ],
  [
    'a searched field that get redacts and no scope',
    broken({
      authorize: (who, action, target) =>
        sound.authorize(who, action, target) === 'allow' ? { redact: ['labels', 'type'] } : 'hide',
    }),
    [
      'P4 a field that "get" redacts and "list" filters by is redacted in each matching scope of "list"',
      'P4 a field that "events" redacts and "events" filters by is redacted in each matching scope of "events"',
      'P4 a field that "getPipeline" redacts and "listPipelines" filters by is redacted in each matching scope of "listPipelines"',
    ],
  ],
  [
    'a role that is looked up with `in`',
    () => ({
      authorize: ({ role, tenant }, _, target) => (role in roles && tenant === target.tenant ? 'allow' : 'hide'),
      scope: ({ role, tenant }) => role in roles && [{ tenant }],
    }),
    ['P9 an odd role or relation allows no more than none', 'P9 an odd role or relation has no wider scope than none'],
  ],
  [
    'a label that is looked up in an object of rules',
    broken({
      authorize: (who, action, target) => {
        const rules: { readonly [team: string]: unknown } = { data: who.role === 'lead' }
        const isTeam = target.tenant === who.tenant && Boolean(rules[target.labels.team ?? ''])
        return isTeam ? 'allow' : sound.authorize(who, action, target)
      },
    }),
    ['P9 an odd type, pipeline or label gives a stranger nothing'],
  ],
  [
    'an answer that never comes',
    broken({
      authorize: (who, action, target) =>
        isEditor(who) && action === 'logs' ? never() : sound.authorize(who, action, target),
    }),
    ['P2 every question is answered in time, with a verdict of the port'],
  ],
  [
    'a scope that never comes',
    broken({ scope: () => never() }),
    ['P2 every request for scopes is answered in time, with false or with scopes of the port'],
  ],
  [
    'a target that is changed',
    broken({
      authorize: (who, action, target) => {
        if (!Object.isFrozen(target.labels)) Object.assign(target.labels, { seen: who.id })
        return sound.authorize(who, action, target)
      },
    }),
    ['P6 the policy changes none of its arguments'],
  ],
  [
    'a throw on a label that is absent',
    broken({
      authorize: (who, action, target) => {
        const { team } = target.labels as { readonly team: string }
        return team.startsWith('data') ? sound.authorize(who, action, target) : 'hide'
      },
    }),
    ['P2 every question is answered in time, with a verdict of the port'],
  ],
  [
    'a throw on names that are not well-formed',
    broken({
      authorize: (who, action, target) => {
        encodeURIComponent(`${who.role}/${target.type}/${target.labels.team}`)
        return sound.authorize(who, action, target)
      },
    }),
    [
      'P9 an odd role or relation allows no more than none',
      'P9 an odd type, pipeline or label gets an answer for every principal',
    ],
  ],
  [
    'events of a job that get hides',
    () => ({
      authorize: (who, action, target) =>
        action === 'events' && who.tenant === target.tenant ? 'allow' : sound.authorize(who, action, target),
      scope: (who, action) => (action === 'events' ? [{ tenant: who.tenant }] : sound.scope(who, action)),
    }),
    [
      'P8 a job that get hides is hidden from every other read',
      'P4 events sends exactly the events of jobs that it allows, and none of a job that get hides',
    ],
  ],
  [
    'logs of a job that get hides',
    broken({
      authorize: (who, action, target) =>
        action === 'logs' && who.tenant === target.tenant ? 'allow' : sound.authorize(who, action, target),
    }),
    ['P8 a job that get hides is hidden from every other read'],
  ],
  [
    'a memory of what was asked before',
    () => {
      const seen = new Set<string>()
      return {
        ...sound,
        authorize: (who, action, target) => {
          const verdict = sound.authorize(who, action, target)
          if (verdict === 'allow') seen.add(target.createdBy)
          return seen.has(target.createdBy) && target.tenant === who.tenant ? 'allow' : verdict
        },
      }
    },
    ['P6 the same question gets the same answer, whatever was asked before'],
  ],
]

/** The error of each check of a policy; undefined: the check passes. */
async function outcomes(policy: () => Policy): Promise<ReadonlyMap<string, unknown>> {
  const checks = new Map<string, () => Promise<void>>()
  const keep = (name: string, run: () => Promise<void>) => checks.set(name, run)
  authorizationConformance(() => ({ policy: policy(), principals, targets }), { test: keep, answerMsMax: 100 })
  const found = new Map<string, unknown>()
  for (const [name, run] of checks) found.set(name, await run().catch((error: unknown) => error))
  return found
}

test.each(faults)('the suite refuses a faulty policy by name: %s', async (_, policy, names) => {
  const found = await outcomes(policy)
  for (const name of names) expect([name, found.get(name)]).toEqual([name, expect.any(Error)])
})

test('the suite accepts the policy that the faulty ones are made from', async () => {
  const found = await outcomes(() => sound)
  expect(found.size).toBeGreaterThan(25)
  expect([...found].filter(([, error]) => error !== undefined)).toEqual([])
})

test('a refusal names the principal, the action and the job', async () => {
  const found = await outcomes(broken({ authorize: () => answering(true) }))
  const error = found.get('P2 every question is answered in time, with a verdict of the port')
  expect(String(error)).toMatch(/authorize\(\{.*"id":"ada".*\}, "get", \{.*"tenant":"acme".*\}\) is answered by true/)
})

test('a suite without principals is refused with an error that says so', async () => {
  const runs: (() => Promise<void>)[] = []
  authorizationConformance(() => ({ policy: sound, principals: [] }), { test: (_, run) => runs.push(run) })
  await expect(runs[0]?.()).rejects.toThrow('give at least one of principals')
})
