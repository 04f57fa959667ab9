/** Who asks. `kind` is set by the engine: what a caller says of it is not read. */
export interface Principal {
  readonly kind: 'user' | 'agent' | 'scheduler' | 'system'
  readonly id: string
  readonly tenant: string
  readonly role: string
  /** Roles on single resources, e.g. `{ 'system:7': 'owner' }`. */
  readonly relations?: { readonly [resource: string]: string }
}

/** What is asked for. A command is asked as `command`, with its name in the target. */
export type Action =
  | 'submit'
  | 'get'
  | 'list'
  | 'history'
  | 'logs'
  | 'result'
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
  readonly status?: string
  /** For the action `command`. */
  readonly command?: { readonly name: string; readonly isCancel: boolean }
}

/** `hide` answers as if there were no such job; `redact` allows all but the named fields of the job's view. */
export type Verdict = 'allow' | 'deny' | 'hide' | { readonly redact: readonly string[] }

/** A set of jobs, as data that storage can search by: those that equal every field given. */
export interface Scope {
  /** Absent: of every tenant. Only the engine's own session has such a scope. */
  readonly tenant?: string
  readonly createdBy?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
}

/**
 * Who may see and do what.
 *
 * - P1 `authorize` is asked before the state is looked at, and again whenever a conflict made the job be read again.
 * - P2 A throw, a rejection, or no answer within 5 s counts as a denial.
 * - P3 `scope` is pushed into the storage's query, so that a list, its pages and its cursors cannot show more.
 * - P4 `scope` and `authorize` agree: a job is in the scope of `list` exactly if `authorize` of `get` shows it.
 */
export interface Policy {
  readonly authorize: (principal: Principal, action: Action, target: Target) => Verdict | PromiseLike<Verdict>
  /** False: nothing. Else any of the scopes. */
  readonly scope: (
    principal: Principal,
    action: Action,
  ) => false | readonly Scope[] | PromiseLike<false | readonly Scope[]>
}
