import type { By } from '../model/command.ts'
import type { Private } from '../model/private.ts'

/**
 * Who asks. `kind` is set by the engine: what a caller says of it is not read. `scheduler` is work without a session, as
 * whose it is: what follows a job, as who created that job. Its role and relations are those that
 * `createEngine({ principal })` finds now; without that option, the role is `''`, and there are no `relations`.
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
 * What is asked for. A command is asked as `command`, with its name in the target. `list` is asked of `scope`; an explicit
 * `view: 'all'` is asked as `listAll`, of `authorize` with a target that names the principal's tenant and nothing else, and
 * then of `scope`.
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

/** What is asked for of one stored pipeline: `definePipeline` to make it or to change it. */
export type PipelineAction = 'definePipeline' | 'getPipeline' | 'runPipeline' | 'pausePipeline' | 'deletePipeline'

/**
 * What a policy may know of a job: its facts that never change, and where it stands. Of a stored pipeline, `type` is that
 * of its runs, `createdBy` its owner, `pipeline` its id, and there is no `jobId`.
 */
export interface Target {
  readonly tenant: string
  readonly type: string
  readonly createdBy: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** Absent before the job exists. */
  readonly jobId?: string
  /** Absent for the action `events`: what happened is told of a job as it was, in whatever state it is now. */
  readonly status?: string
  /** For the action `command`. */
  readonly command?: { readonly name: string; readonly isCancel: boolean; readonly by?: By }
}

/**
 * `hide` answers as if there were no such job; `deny` refuses, and hides from whoever may not `get` the job. `redact` allows
 * all but the named fields of the job's view; of the names, `input` stands for all that may repeat the input too, unless the
 * job type names it `safe`, `status` for `state` too, `endedAt` for `updatedAt`, and `paused` of a pipeline for `pausedBy`.
 * `open` shows private parts. An answer to an action on a job shows no more than `get` would, and that to `submit` what the
 * verdict on it shows. `id`, `createdAt` and the numbers of events are shown to whoever is shown anything.
 */
export type Verdict =
  | 'allow'
  | 'deny'
  | 'hide'
  | { readonly redact: readonly string[]; readonly open?: readonly Private[] }

/** A set of jobs, as data that storage can search by: those that equal every field given, but for `redact`. */
export interface Scope {
  /** Absent: of every tenant. Only the engine's own session has such a scope. */
  readonly tenant?: string
  readonly createdBy?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
  /**
   * Fields that `authorize` redacts of the jobs of this scope. No list or count that is narrowed by one of them finds any of
   * these jobs: that a job is found by a field would tell the field.
   */
  readonly redact?: readonly string[]
}

/**
 * Who may see and do what.
 *
 * - P1 `authorize` is asked before the state is looked at, and again whenever a conflict made the job be read again.
 * - P2 A throw, a rejection, or no answer within 5 s counts as a denial.
 * - P3 `scope` is pushed into the storage's query, so that a list, its pages and its cursors cannot show more.
 * - P4 `scope` and `authorize` agree: a job is in the scope of `list` exactly if `authorize` of `get` shows it, a pipeline
 *   in that of `listPipelines` exactly if `getPipeline` shows it, and the `events` of a job are in the scope of `events`
 *   exactly if `authorize` of `events` shows them. The scopes of `listAll` are those of `list`, where it is allowed. What
 *   `get` redacts of what can be searched by stands in the `redact` of every scope of `list` that holds the job.
 * - P5 Both are asked anew for each call, and of a stream at least every 5 s. Of an id that names no job, `authorize` is not
 *   asked: the answer is that of a hidden job, but it may come sooner.
 */
export interface Policy {
  readonly authorize: (principal: Principal, action: Action, target: Target) => Verdict | PromiseLike<Verdict>
  /** False: nothing. Else any of the scopes. */
  readonly scope: (
    principal: Principal,
    action: Action,
  ) => false | readonly Scope[] | PromiseLike<false | readonly Scope[]>
}
