/**
 * The rights table, written from the requirements and not from the code: the default policy, with roles on resources.
 * An `owner` on `system:7` sees the jobs with the label `system: '7'`, and is the only one who may submit such jobs. An
 * `approver` sees the jobs that are assigned to them.
 */

export const principals = {
  system: 'system',
  admin: { id: 'root', tenant: 'acme', role: 'admin' },
  editor: { id: 'ada', tenant: 'acme', role: 'editor' },
  viewer: { id: 'vic', tenant: 'acme', role: 'viewer' },
  namesake: { id: 'ada', tenant: 'other', role: 'editor' },
  foreignAdmin: { id: 'eve', tenant: 'other', role: 'admin' },
  approver: { id: 'app', tenant: 'acme', role: 'approver' },
  related: { id: 'rel', tenant: 'acme', relations: { 'system:7': 'owner' } },
} as const

export type Who = keyof typeof principals

/** The caller's relation to the job, which always belongs to the tenant `acme`. */
export const relations = ['creator', 'not creator', 'via resource', 'assignee'] as const
export type Relation = (typeof relations)[number]

export const states = ['waiting', 'queued', 'running', 'success', 'failure', 'cancelled', 'deleted', 'absent'] as const
export type State = (typeof states)[number]

/** The methods of a session, some in several variants. */
export const methods = [
  ...['get', 'list', 'count', 'history', 'logs', 'items', 'result', 'actions', 'actions of many', 'explain', 'events'],
  ...['report', 'cancelMany', 'retryMany', 'deleteMany'],
  ...['list all', 'list assigned', 'views', 'submit', 'cancel', 'retry', 'delete', 'events of one'],
  ...['send cancel', 'send note', 'send approve', 'send own', 'send chief', 'send tend', 'send finish'],
  'send nonsense',
  ...['pipelines.define', 'pipelines.get', 'pipelines.list', 'pipelines.run', 'pipelines.pause', 'pipelines.resume'],
  'pipelines.delete',
] as const
export type Method = (typeof methods)[number]

/** One cell of the matrix. */
export interface Cell {
  readonly who: Who
  readonly relation: Relation
  readonly state: State
}

const ENDED: readonly State[] = ['success', 'failure', 'cancelled']
const GONE: readonly State[] = ['deleted', 'absent']

/**
 * An admin sees all of the tenant, an editor sees own jobs and assigned ones, an approver sees assigned ones, and a role
 * on a resource shows that resource's jobs.
 */
function sees({ who, relation }: Omit<Cell, 'state'>): boolean {
  if (who === 'system' || who === 'admin') return true
  if (who === 'editor') return relation === 'creator' || relation === 'assignee'
  if (who === 'approver') return relation === 'assignee'
  return who === 'related' && relation === 'via resource'
}

/** Whether the principal may list anything at all. */
function mayList(who: Who): boolean {
  return who !== 'viewer'
}

/** Only an admin and the engine's own session see everybody's jobs. */
export function mayListAll(who: Who): boolean {
  return who === 'system' || who === 'admin' || who === 'foreignAdmin'
}

/** Admins and editors of a tenant submit there. Jobs of a resource may be submitted only by its owner. */
function maySubmit({ who, relation }: Omit<Cell, 'state'>): boolean {
  if (who === 'system') return true
  if (relation === 'via resource') return who === 'related'
  return who !== 'viewer' && who !== 'related' && who !== 'approver'
}

/** Who may do actions reserved for the creator: the creator, not even admins, and the engine's own session. */
function isOwner({ who, relation }: Omit<Cell, 'state'>): boolean {
  return who === 'system' || relation === 'creator'
}

/** Rights that each command needs, besides the right to see the job. */
const commands: { readonly [method: string]: (cell: Cell) => boolean } = {
  cancel: isOwner,
  cancelMany: isOwner,
  'send cancel': isOwner,
  'send note': () => true,
  'send nonsense': () => true,
  // by: { relation: 'others' }
  'send approve': ({ who, relation }) => who === 'system' || relation !== 'creator',
  // by: { relation: 'creator' }
  'send own': isOwner,
  // by: { roles: ['admin'] }
  'send chief': ({ who }) => who === 'system' || who === 'admin',
  // by: { relation: 'assignee' }
  'send finish': ({ who, relation }) => who === 'system' || relation === 'assignee',
  // by: { on: { system: ['owner'] } }
  'send tend': ({ who, relation }) => who === 'system' || (who === 'related' && relation === 'via resource'),
}

/** The code of the answer, `ok`, or `waits` if it does not answer yet. */
export function expected(method: Method, cell: Cell): string {
  if (method.startsWith('pipelines.')) return ofPipeline(method, ofItsPipeline(cell))
  if (method === 'submit') return maySubmit(cell) ? 'ok' : 'FORBIDDEN'
  if (method === 'actions of many' || method === 'views') return 'ok'
  if (method === 'list all') return mayListAll(cell.who) ? 'ok' : 'FORBIDDEN'
  if (['list', 'list assigned', 'count', 'events'].includes(method)) return mayList(cell.who) ? 'ok' : 'FORBIDDEN'
  if (!isThere(cell)) return 'JOB_NOT_FOUND'
  return ofJob(method, cell)
}

/** Whether the caller sees the job; a hidden job is like a missing one. */
export function isThere(cell: Cell): boolean {
  return !GONE.includes(cell.state) && sees(cell)
}

function ofJob(method: Method, cell: Cell): string {
  const hasEnded = ENDED.includes(cell.state)
  const may = commands[method]
  if (may !== undefined) {
    if (!may(cell)) return 'FORBIDDEN'
    if (method === 'send nonsense') return 'INVALID_INPUT'
    return hasEnded ? 'ALREADY_SETTLED' : 'ok'
  }
  if (method === 'delete' || method === 'deleteMany') return isOwner(cell) ? 'ok' : 'FORBIDDEN'
  if (method === 'retry' || method === 'retryMany') {
    if (!isOwner(cell)) return 'FORBIDDEN'
    return hasEnded ? 'ok' : 'INVALID_STATE'
  }
  if (method === 'result') return hasEnded ? 'ok' : 'waits'
  return 'ok'
}

/** A pipeline is assigned to nobody. */
export function ofItsPipeline(cell: Cell): Cell {
  return cell.relation === 'assignee' ? { ...cell, relation: 'not creator' } : cell
}

/** A pipeline is paused where a job would wait, and removed where a job would be deleted; otherwise it takes runs. */
function ofPipeline(method: Method, cell: Cell): string {
  if (method === 'pipelines.list') return mayList(cell.who) ? 'ok' : 'FORBIDDEN'
  if (method === 'pipelines.define') return ofDefine(cell)
  if (!isThere(cell)) return 'PIPELINE_NOT_FOUND'
  if (method === 'pipelines.get') return 'ok'
  if (method !== 'pipelines.run') return isOwner(cell) ? 'ok' : 'FORBIDDEN'
  if (!maySubmit(cell)) return 'FORBIDDEN'
  return cell.state === 'waiting' ? 'INVALID_STATE' : 'ok'
}

function ofDefine(cell: Cell): string {
  const { who, state } = cell
  // A pipeline of another tenant, whose id is free in the caller's own.
  const isFree = GONE.includes(state) || who === 'namesake' || who === 'foreignAdmin'
  if (isFree) return maySubmit(cell) ? 'ok' : 'FORBIDDEN'
  if (sees(cell)) return isOwner(cell) && maySubmit(cell) ? 'ok' : 'FORBIDDEN'
  // A caller who may not define pipelines is refused for that, and does not learn that a hidden pipeline has the id.
  return maySubmit(cell) ? 'INVALID_INPUT' : 'FORBIDDEN'
}
