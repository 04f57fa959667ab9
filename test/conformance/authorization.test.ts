import { type Policy, type RolePolicyOptions, rolePolicy, type SessionPrincipal, type Verdict } from 'jobchart'
import { taskExecutions } from 'jobchart/presets'
import { authorizationConformance, type SampleTarget } from 'jobchart/testing'
import { describe, test } from 'vitest'

const principals: readonly SessionPrincipal[] = [
  { id: 'ada', tenant: 'acme', role: 'editor' },
  { id: 'bob', tenant: 'acme', role: 'editor', relations: { 'system:7': 'owner', 'system:8': 'guest' } },
  { id: 'root', tenant: 'acme', role: 'admin' },
  { id: 'vic', tenant: 'acme', role: 'viewer', relations: { 'system:7': 'reader' } },
  { id: 'ada', tenant: 'other', role: 'editor' },
  { id: 'eve', tenant: 'other', role: 'admin', relations: { 'system:7': 'owner' } },
]

const targets: readonly SampleTarget[] = [
  { tenant: 'acme', createdBy: 'ada', pipeline: 'nightly', labels: { system: '7', team: 'data' } },
  { tenant: 'acme', createdBy: 'bob', type: 'report', pipeline: 'nightly' },
  { tenant: 'acme', createdBy: 'root', assignee: 'vic', type: 'approval', labels: { system: '7' } },
]

const resources = { system: { see: ['owner', 'reader'], submit: ['owner'] } }

const options: { readonly [name: string]: RolePolicyOptions } = {
  'as it comes': {},
  'with role names of its own': { admin: ['root', 'viewer'], editor: [] },
  'with roles for assignees': { assignee: ['viewer'], redact: ['input', 'assignee'] },
  'with members': { member: ['editor', 'viewer'], editor: [], redact: ['input', 'labels'] },
  'that redacts what is searched by': { redact: ['input', 'labels', 'createdBy', 'status', 'type'] },
  'where admins are as good as creators': {
    cancel: 'creatorOrAdmin',
    retry: 'creatorOrAdmin',
    delete: 'creatorOrAdmin',
  },
  'that opens what is private': { open: ['state', 'context', 'tasks', 'emitted', 'stack'] },
  'with roles on resources': { resources },
  'with all of it': { resources, redact: ['labels', 'input', 'pipeline'], open: ['tasks'], cancel: 'creatorOrAdmin' },
}

for (const [name, given] of Object.entries(options)) {
  describe(`rolePolicy ${name}`, () => {
    authorizationConformance(() => ({ policy: rolePolicy(given), principals, targets }), { test })
  })
}

describe('the policy of task executions', () => {
  const { policy } = taskExecutions({ administrator: ['admin'], member: ['editor'] })
  authorizationConformance(() => ({ policy, principals, targets }), { test })
})

/** A policy of teams from a slow directory. Auditors see all tenants, without labels. */
function teamPolicy(): Policy {
  const teams = new Map([
    ['ada', 'data'],
    ['vic', 'web'],
  ])
  const tenants = ['acme', 'other']
  const isAuditor = (role: string) => role === 'auditor'
  const sees = async (
    id: string,
    tenant: string,
    target: { readonly tenant: string; readonly team: string | undefined },
  ) => {
    await Promise.resolve()
    const team = teams.get(id)
    return target.tenant === tenant && team !== undefined && team === target.team
  }
  return {
    authorize: async ({ id, tenant, role }, action, { labels, createdBy, ...target }): Promise<Verdict> => {
      const team = Object.hasOwn(labels, 'team') ? labels.team : undefined
      const isSeen = await sees(id, tenant, { tenant: target.tenant, team })
      if (isAuditor(role)) {
        const isRead = ['get', 'getPipeline', 'history', 'events', 'explain'].includes(action)
        if (!tenants.includes(target.tenant)) return 'hide'
        return isRead ? { redact: ['labels', 'input'] } : 'deny'
      }
      if (!isSeen) return action === 'submit' ? 'deny' : 'hide'
      return action === 'delete' && createdBy !== id ? 'deny' : 'allow'
    },
    scope: async ({ id, tenant, role }) => {
      await Promise.resolve()
      if (isAuditor(role)) return tenants.map((each) => ({ tenant: each, redact: ['labels', 'input'] }))
      const team = teams.get(id)
      return team !== undefined && [{ tenant, labels: { team } }]
    },
  }
}

describe('a policy of teams and auditors', () => {
  authorizationConformance(
    () => ({
      policy: teamPolicy(),
      principals: [...principals, { id: 'aud', tenant: 'audit', role: 'auditor' }],
      targets: [...targets, { tenant: 'acme', createdBy: 'vic', labels: { team: 'web' } }],
    }),
    { test },
  )
})
