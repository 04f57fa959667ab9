import type { By } from '../model/command.ts'
import type { Private } from '../model/private.ts'

/**
 * The caller. The engine sets `kind`; a `kind` given by the caller is ignored.
 *
 * `scheduler` stands for work without a session: a job's follow-up, for example, runs with the rights of that job's
 * creator. Its `role` and `relations` come from `createEngine({ principal })` at that time. Without that option, `role`
 * is `''` and `relations` is absent.
 */
export interface Principal {
  readonly kind: 'user' | 'agent' | 'scheduler' | 'system'
  readonly id: string
  readonly tenant: string
  readonly role: string
  /** Roles on single resources, e.g. `{ 'system:7': 'owner' }`. */
  readonly relations?: { readonly [resource: string]: string }
}

/**
 * The requested action. For a command, the action is `command` and the target has the command's name.
 *
 * `list` is asked of `scope`. An explicit `view: 'all'` is asked as `listAll`: first of `authorize`, with a target that
 * has only the principal's tenant, then of `scope`.
 */
export type Action =
  | 'submit'
  | 'get'
  | 'list'
  | 'listAll'
  | 'history'
  | 'logs'
  | 'items'
  | 'result'
  | 'explain'
  | 'events'
  | 'command'
  | 'retry'
  | 'delete'
  | 'listPipelines'
  | PipelineAction

/** The requested action on a stored pipeline. `definePipeline` creates or changes it. */
export type PipelineAction = 'definePipeline' | 'getPipeline' | 'runPipeline' | 'pausePipeline' | 'deletePipeline'

/**
 * The facts of a job that a policy sees: those that never change, and its current status. For a stored pipeline: `type`
 * is the type of its runs, `createdBy` its owner, `pipeline` its id, and `jobId` is absent.
 */
export interface Target {
  readonly tenant: string
  readonly type: string
  readonly createdBy: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** Absent before the job exists. */
  readonly jobId?: string
  /** Absent for the action `events`: access to past events does not depend on the job's current status. */
  readonly status?: string
  /** Present for the action `command`. */
  readonly command?: { readonly name: string; readonly isCancel: boolean; readonly by?: By }
}

/**
 * The answer of a policy.
 *
 * - `hide` answers as if the job did not exist.
 * - `deny` refuses. A caller who may not `get` the job gets the same answer as for `hide`.
 * - `redact` allows all but the named fields of the job's view. `input` also covers fields that may repeat the input,
 *   unless the job type lists them as `safe`. `status` also covers `state`, `endedAt` also covers `updatedAt`, and
 *   `paused` of a pipeline also covers `pausedBy`.
 * - `open` shows private parts.
 *
 * The answer to an action on a job shows no more than `get` would show. The answer to `submit` shows what the verdict
 * on `submit` allows. `id`, `createdAt` and event numbers are always shown to a caller who sees the job.
 */
export type Verdict =
  | 'allow'
  | 'deny'
  | 'hide'
  | { readonly redact: readonly string[]; readonly open?: readonly Private[] }

/** A set of jobs, as data that a storage can search by: jobs that equal every given field. `redact` does not select. */
export interface Scope {
  /** Absent: all tenants. Only the engine's own session has such a scope. */
  readonly tenant?: string
  readonly createdBy?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
  /**
   * Fields that `authorize` redacts for the jobs of this scope. A list or count that filters by one of these fields
   * finds none of these jobs, because a match would reveal the field.
   */
  readonly redact?: readonly string[]
}

/**
 * Decides who may see and do what.
 *
 * - P1 `authorize` is asked before the job's state is checked. It is asked again when a conflict made the engine read
 *   the job again.
 * - P2 A throw, a rejection, or no answer within 5 s counts as `deny`.
 * - P3 `scope` becomes part of the storage's query, so lists, their pages and their cursors show no more than it
 *   allows.
 * - P4 `scope` and `authorize` agree. A job is in the scope of `list` exactly if `authorize` allows `get` on it. A
 *   pipeline is in the scope of `listPipelines` exactly if `authorize` allows `getPipeline`. The events of a job are in
 *   the scope of `events` exactly if `authorize` allows `events`. The scopes of `listAll`, where it is allowed, are
 *   those of `list`. If `get` redacts a field that lists can filter by, `redact` of each `list` scope with that job
 *   names the field.
 * - P5 Both are asked again for each call, and at least every 5 s while a stream is open. `authorize` is not asked
 *   about an id that names no job: the answer is the same as for a hidden job, but may come sooner.
 */
export interface Policy {
  readonly authorize: (principal: Principal, action: Action, target: Target) => Verdict | PromiseLike<Verdict>
  /** `false`: nothing is visible. Otherwise a job is visible if one of the scopes covers it. */
  readonly scope: (
    principal: Principal,
    action: Action,
  ) => false | readonly Scope[] | PromiseLike<false | readonly Scope[]>
}
