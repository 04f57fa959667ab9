import type { By } from '../model/command.ts'
import type { Private } from '../model/private.ts'

/**
 * The caller. The engine sets `kind`; a `kind` given by the caller is ignored.
 *
 * The kind `scheduler` stands for work without a session. For example, a follow-up of a job runs with the rights of
 * that job's creator. The `role` and `relations` of such a principal come from `createEngine({ principal })` at that
 * time. Without that option, `role` is `''` and `relations` is absent.
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
 * For `list`, the engine asks only `scope`. If the caller asks for `view: 'all'`, the action is `listAll`. Then the
 * engine first asks `authorize`, with a target that has only the principal's tenant, and then `scope`.
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
  | AgentAction

/** The requested action on a stored pipeline. `definePipeline` creates or changes it. */
export type PipelineAction = 'definePipeline' | 'getPipeline' | 'runPipeline' | 'pausePipeline' | 'deletePipeline'

/**
 * The requested action on an agent. People list, enroll and revoke agents. An agent registers itself and claims tasks:
 * such a principal has the kind `agent`. It needs no further right to report on what it has claimed.
 */
export type AgentAction = 'listAgents' | 'enrollAgent' | 'revokeAgent' | 'registerAgent' | 'claimTasks'

/**
 * The facts of a job that a policy sees: those that never change, and its current status. If the target is a stored
 * pipeline, `type` is the job type of its runs, `createdBy` is its owner, `pipeline` is its id, and `jobId` is absent. If
 * it is an agent, `type` is `''`, `createdBy` is the person who enrolled it, and `agent` is its id.
 */
export interface Target {
  readonly tenant: string
  readonly type: string
  readonly createdBy: string
  /** The person who is to act on the job. Absent: nobody. Pipelines have none. */
  readonly assignee?: string
  readonly pipeline?: string
  /** Present only for an action on an agent. */
  readonly agent?: string
  readonly labels: { readonly [name: string]: string }
  /** Absent for a job that is not stored yet. */
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
 * - `redact` allows the action, but hides the named fields in the view of the job. `input` also covers fields that may
 *   repeat the input, unless the job type lists them as `safe`. `status` also covers `state`, `endedAt` also covers
 *   `updatedAt`, and `paused` of a pipeline also covers `pausedBy`.
 * - `open` shows the named private parts of the job, e.g. its context.
 *
 * The answer to an action on a job shows no more than `get` would show. For `submit`, the verdict on `submit` itself
 * says what the answer shows. `id`, `createdAt` and event numbers are always shown to a caller who sees the job.
 */
export type Verdict =
  | 'allow'
  | 'deny'
  | 'hide'
  | { readonly redact: readonly string[]; readonly open?: readonly Private[] }

/**
 * A set of jobs, as data that a storage can search by. The scope covers the jobs whose fields equal every given field.
 * `redact` does not narrow the set.
 */
export interface Scope {
  /** Absent: all tenants. Only the engine's own session has such a scope. */
  readonly tenant?: string
  readonly createdBy?: string
  /** Covers only jobs that are assigned to this person, and no pipeline. */
  readonly assignee?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
  /**
   * Fields that `authorize` redacts for the jobs of this scope. A list, count or stream that filters by one of these
   * fields is refused as `FORBIDDEN`, because a match would reveal the field.
   */
  readonly redact?: readonly string[]
}

/**
 * Decides who may see and do what.
 *
 * - P1 The engine asks `authorize` before it checks the job's state. After a write conflict it reads the job again, and
 *   asks again.
 * - P2 A throw, a rejection, or no answer within 5 s counts as `deny`.
 * - P3 `scope` becomes part of the storage's query, so lists, their pages and their cursors show no more than it
 *   allows.
 * - P4 `scope` and `authorize` agree. A job is in the scope of `list` exactly if `authorize` allows `get` on it. A
 *   pipeline is in the scope of `listPipelines` exactly if `authorize` allows `getPipeline`. The events of a job are in
 *   the scope of `events` exactly if `authorize` allows `events`. If `listAll` is allowed, it has the same scopes as
 *   `list`. If `get` redacts a field of a job, and lists can filter by this field, then each scope of `list` that
 *   covers the job names the field in its `redact`.
 * - P5 The engine asks again for each call, and at least every 5 s while a stream is open. It does not ask `authorize`
 *   about an id that names no job. The caller gets the same answer as for a hidden job, but may get it sooner.
 */
export interface Policy {
  readonly authorize: (principal: Principal, action: Action, target: Target) => Verdict | PromiseLike<Verdict>
  /**
   * Returns which jobs are visible to the principal. `false`: none. Otherwise a job is visible if one of the scopes
   * covers it.
   */
  readonly scope: (
    principal: Principal,
    action: Action,
  ) => false | readonly Scope[] | PromiseLike<false | readonly Scope[]>
}
