import fc from 'fast-check'
import { type Action, type Principal, rolePolicy, type Scope, type Target } from 'jobchart'
import { expect, test } from 'vitest'

const ada: Principal = { kind: 'user', id: 'ada', tenant: 'acme', role: 'editor' }
const root: Principal = { ...ada, id: 'root', role: 'admin' }
const own: Target = { tenant: 'acme', type: 'w', createdBy: 'ada', labels: {}, jobId: 'j' }
const foreign: Target = { ...own, createdBy: 'bob' }
const abroad: Target = { ...own, tenant: 'other' }
const cancel = { command: { name: 'cancel', isCancel: true } }
const approve = { command: { name: 'approve', isCancel: false } }

const reads: readonly Action[] = ['get', 'history', 'logs', 'result']

test('an admin sees all jobs of the tenant, an editor sees own jobs, anybody else none', () => {
  const { authorize } = rolePolicy()
  for (const action of reads) {
    const ask = (who: Principal) => [own, foreign, abroad].map((target) => authorize(who, action, target))
    expect(ask(root)).toEqual(['allow', 'allow', 'hide'])
    expect(ask(ada)).toEqual(['allow', 'hide', 'hide'])
    expect(ask({ ...ada, role: '' })).toEqual(['hide', 'hide', 'hide'])
  }
})

test('only the creator may cancel, not even an admin; other commands are open to everyone who may see the job', () => {
  const { authorize } = rolePolicy()
  const ask = (who: Principal, target: Target) => authorize(who, 'command', target)
  expect(ask(ada, { ...own, ...cancel })).toBe('allow')
  expect(ask(root, { ...own, ...cancel })).toBe('deny')
  expect(ask(root, { ...own, createdBy: 'root', ...cancel })).toBe('allow')
  expect(ask(ada, { ...foreign, ...cancel })).toBe('hide')
  expect(ask(root, { ...own, ...approve })).toBe('allow')
  expect(ask(ada, { ...foreign, ...approve })).toBe('hide')
})

test('a principal without a role may neither submit nor list, and the answer says so', () => {
  const { authorize, scope } = rolePolicy()
  const nobody = { ...ada, role: 'visitor' }
  expect(authorize(nobody, 'submit', own)).toBe('deny')
  expect(scope(nobody, 'list')).toBe(false)
  expect(authorize(ada, 'submit', own)).toBe('allow')
})

test('role names are data; a name such as constructor is not a role', () => {
  const { scope } = rolePolicy({ admin: ['chief', 'boss'], editor: [] })
  expect(scope({ ...ada, role: 'boss' }, 'list')).toEqual([{ tenant: 'acme' }])
  for (const role of ['admin', 'editor', 'toString', '__proto__']) expect(scope({ ...ada, role }, 'list')).toBe(false)
})

test('P4 a scope of a list contains a job exactly if get shows it', () => {
  const { authorize, scope } = rolePolicy({ assignee: ['approver'] })
  const name = fc.constantFrom('ada', 'bob', 'acme', 'other')
  const principal = fc.record({
    kind: fc.constantFrom('user', 'agent', 'scheduler') as fc.Arbitrary<Principal['kind']>,
    id: name,
    tenant: name,
    role: fc.constantFrom('admin', 'editor', 'approver', '', 'ADMIN'),
  })
  const target = fc.record(
    { tenant: name, createdBy: name, assignee: name, type: name, labels: fc.constant({}) },
    { requiredKeys: ['tenant', 'createdBy', 'type', 'labels'] },
  )
  const covers = (each: Scope, { tenant, createdBy, assignee }: Target) =>
    (each.tenant === undefined || each.tenant === tenant) &&
    (each.assignee === undefined || each.assignee === assignee) &&
    (each.createdBy === undefined || each.createdBy === createdBy)
  fc.assert(
    fc.property(principal, target, (who, job) => {
      const scopes = scope(who, 'list')
      const isListed = scopes !== false && 'some' in scopes && scopes.some((each) => covers(each, job))
      expect(authorize(who, 'get', job) === 'allow').toBe(isListed)
    }),
  )
})

test('a reader sees all jobs of the tenant and may change none', () => {
  const { authorize, scope } = rolePolicy({ reader: ['auditor'] })
  const auditor = { ...ada, role: 'auditor' }
  expect(scope(auditor, 'list')).toEqual([{ tenant: 'acme' }])
  for (const action of reads)
    expect([own, abroad].map((job) => authorize(auditor, action, job))).toEqual(['allow', 'hide'])
  for (const action of ['submit', 'retry', 'delete', 'runPipeline', 'definePipeline'] as const) {
    expect(authorize(auditor, action, own)).toBe('deny')
  }
  for (const command of [cancel, approve]) expect(authorize(auditor, 'command', { ...own, ...command })).toBe('deny')
})

test('a member sees all jobs of the tenant, submits jobs, and changes only own jobs, unless a command allows more', () => {
  const { authorize, scope } = rolePolicy({ member: ['member', 'admin'] })
  const member = { ...ada, role: 'member' }
  expect(scope(member, 'list')).toEqual([{ tenant: 'acme' }])
  for (const action of [...reads, 'listAll', 'events', 'getPipeline'] as const) {
    expect([own, foreign, abroad].map((job) => authorize(member, action, job))).toEqual(['allow', 'allow', 'hide'])
  }
  for (const action of ['retry', 'delete', 'definePipeline', 'pausePipeline', 'deletePipeline'] as const) {
    expect([own, foreign, abroad].map((job) => authorize(member, action, job))).toEqual(['allow', 'deny', 'hide'])
  }
  for (const command of [cancel, approve]) {
    const asked = [own, foreign, abroad].map((job) => authorize(member, 'command', { ...job, ...command }))
    expect(asked).toEqual(['allow', 'deny', 'hide'])
  }
  const byOthers = { command: { name: 'approve', isCancel: false, by: { relation: 'others' } as const } }
  expect([own, foreign].map((job) => authorize(member, 'command', { ...job, ...byOthers }))).toEqual(['deny', 'allow'])
  expect([own, foreign].map((job) => authorize(member, 'submit', job))).toEqual(['allow', 'deny'])
  expect(authorize(member, 'runPipeline', foreign)).toBe('allow')
  // An admin who is named among the members too is an admin.
  expect(authorize(root, 'command', { ...foreign, ...approve })).toBe('allow')
})

test('a role on a resource shows its jobs, and allows submits where its option says so', () => {
  const { authorize, scope } = rolePolicy({ resources: { system: { see: ['viewer', 'owner'], submit: ['owner'] } } })
  const labels = { system: '7' }
  const stranger = { ...ada, id: 'eve', role: '' }
  const owner = { ...stranger, relations: { 'system:7': 'owner', 'other:7': 'owner' } }
  const viewer = { ...stranger, relations: { 'system:7': 'viewer' } }
  expect(scope(viewer, 'list')).toEqual([{ tenant: 'acme', labels }])
  expect([viewer, owner, stranger].map((who) => authorize(who, 'get', { ...own, labels }))).toEqual([
    'allow',
    'allow',
    'hide',
  ])
  expect(authorize(viewer, 'get', { ...own, labels: { system: '8' } })).toBe('hide')
  expect(authorize(viewer, 'get', { ...abroad, labels })).toBe('hide')
  const asked = [viewer, owner, root].map((who) => authorize(who, 'submit', { ...own, createdBy: who.id, labels }))
  // A role in the tenant does not help.
  expect(asked).toEqual(['deny', 'allow', 'deny'])
  expect(authorize(viewer, 'runPipeline', { ...own, labels })).toBe('deny')
})

test('fields that only the creator may read are redacted for others, and their scopes say so', () => {
  const { authorize, scope } = rolePolicy({ redact: ['labels'], open: ['emitted'] })
  expect(authorize(root, 'get', own)).toEqual({ redact: ['labels'], open: ['emitted'] })
  expect(authorize(ada, 'get', own)).toEqual({ redact: [], open: ['emitted'] })
  expect(scope(root, 'list')).toEqual([
    { tenant: 'acme', createdBy: 'root' },
    { tenant: 'acme', assignee: 'root' },
    { tenant: 'acme', redact: ['labels'] },
  ])
})

test('an editor sees assigned jobs, and a role for assignees sees those alone and submits none', () => {
  const { authorize, scope } = rolePolicy({ assignee: ['approver'] })
  const app: Principal = { ...ada, id: 'app', role: 'approver' }
  const [ed, vic] = [
    { ...app, role: 'editor' },
    { ...app, role: 'viewer' },
  ]
  const [assigned, assignedAbroad] = [
    { ...own, assignee: 'app' },
    { ...abroad, assignee: 'app' },
  ]
  expect(scope(app, 'list')).toEqual([{ tenant: 'acme', assignee: 'app' }])
  expect(scope(ed, 'list')).toEqual([
    { tenant: 'acme', createdBy: 'app' },
    { tenant: 'acme', assignee: 'app' },
  ])
  for (const action of [...reads, 'items', 'explain', 'events'] as const) {
    for (const who of [app, ed]) {
      const asked = [assigned, own, { ...own, assignee: 'bob' }, assignedAbroad]
      expect(asked.map((job) => authorize(who, action, job))).toEqual(['allow', 'hide', 'hide', 'hide'])
    }
    expect(authorize(vic, action, assigned)).toBe('hide')
  }
  expect(['retry', 'delete'].map((action) => authorize(app, action as Action, assigned))).toEqual(['deny', 'deny'])
  expect(authorize(app, 'submit', { ...own, createdBy: 'app' })).toBe('deny')
  expect(authorize(app, 'command', { ...assigned, ...cancel })).toBe('deny')
  expect(authorize(app, 'listAll', { ...own, createdBy: '' })).toBe('hide')
})

test('a command for the assignee is sent by the assignee alone, and by nobody for a job without one', () => {
  const { authorize } = rolePolicy({ assignee: ['approver'], member: ['member'], reader: ['auditor'] })
  const by = { relation: 'assignee' } as const
  const finish = { command: { name: 'finish', isCancel: false, by } }
  const dismiss = { command: { name: 'dismiss', isCancel: true, by } }
  const assigned = { ...own, assignee: 'app' }
  const ask = (who: Principal, job: Target) => [
    authorize(who, 'command', { ...job, ...finish }),
    authorize(who, 'command', { ...job, ...dismiss }),
  ]
  for (const role of ['approver', 'editor', 'member', 'admin']) {
    expect(ask({ ...ada, id: 'app', role }, assigned)).toEqual(['allow', 'allow'])
  }
  expect(ask({ ...ada, id: 'app', role: 'auditor' }, assigned)).toEqual(['deny', 'deny'])
  for (const who of [ada, root]) {
    expect(ask(who, assigned)).toEqual(['deny', 'deny'])
    expect(ask(who, own)).toEqual(['deny', 'deny'])
  }
  expect(ask(ada, { ...own, assignee: 'ada' })).toEqual(['allow', 'allow'])
  // Other commands of a member's own jobs, and of jobs assigned to the member, are open to them.
  const member = { ...ada, id: 'app', role: 'member' }
  expect(authorize(member, 'command', { ...assigned, ...approve })).toBe('allow')
  expect(authorize(member, 'command', { ...assigned, ...cancel })).toBe('deny')
})

test('a redacted field is shown to the creator and to the assignee', () => {
  const { authorize, scope } = rolePolicy({ redact: ['input'], assignee: ['approver'] })
  const app: Principal = { ...ada, id: 'app', role: 'approver' }
  expect(authorize(app, 'get', { ...own, assignee: 'app' })).toBe('allow')
  expect(authorize(root, 'get', { ...own, assignee: 'app' })).toEqual({ redact: ['input'], open: [] })
  expect(authorize(root, 'get', { ...own, assignee: 'root' })).toBe('allow')
  expect(scope(app, 'list')).toEqual([{ tenant: 'acme', assignee: 'app' }])
})

test('cancel, retry and delete follow the option of the policy', () => {
  const { authorize } = rolePolicy({ cancel: 'creatorOrAdmin', delete: 'creatorOrAdmin' })
  expect(authorize(root, 'command', { ...own, ...cancel })).toBe('allow')
  expect([authorize(root, 'delete', own), authorize(root, 'retry', own)]).toEqual(['allow', 'deny'])
})
