import { createMachine, fromPromise } from 'xstate'
import { claim, create, type Decision, type DecisionContext, end, type NewJob } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import { type EventRow, eventRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type {
  Changeset,
  ChangesetResult,
  ClaimTransition,
  JobWrite,
  Route,
  StorageConnection,
  Write,
} from '../port/storage.ts'

/** The default lifecycle. */
export const plain: AnyJobType = defineJob({ type: 'plain', execute: () => 'done' })

/** Two invokes at once in one state. */
export const twin: AnyJobType = defineJob({
  type: 'twin',
  lifecycle: createMachine({
    initial: 'both',
    states: {
      both: {
        invoke: [
          { id: 'left', src: 'work' },
          { id: 'right', src: 'work' },
        ],
      },
    },
  }).provide({ actors: { work: fromPromise(async () => {}) } }),
})

/** A moment without chance. */
export function momentAt(at: number): DecisionContext {
  return { at, random: 0, heartbeatMs: 2_000 }
}

/** A new job of the default lifecycle, with one offered task. */
export function newJob(seed: Partial<NewJob> & { readonly id: string }, at: number, type = plain): Decision {
  const fixed = { tenant: 't1', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const
  return create(type, { ...fixed, ...seed }, momentAt(at))
}

/** The same, as a job that another one's chart invoked. */
export function childOf(parentId: string, decision: Decision): Decision {
  return { ...decision, job: { ...decision.job, parentId } }
}

/** The job and the row of a decision. */
export function writeOf({ job, events, inputs }: Decision): JobWrite {
  return { job, events: rowOf(job, events, inputs) }
}

function rowOf(job: Job, events: Decision['events'], inputs: Decision['inputs']): EventRow {
  return eventRow(job, { kind: 'user', id: 'ada' }, events, inputs)
}

/** An insert of a new job. */
export function insertOf(decision: Decision): Write {
  return { op: 'insert', ...writeOf(decision) }
}

/** The update from one record to the next. */
export function updateOf(before: Job, decision: Decision): Write {
  return { op: 'update', revision: before.revision, ...writeOf(decision) }
}

/** The job with its first offered task claimed. */
export function claimed(job: Job, at: number, holder = 'me', type = plain): Decision {
  const task = job.tasks.find(({ status }) => status === 'available')
  if (task === undefined) throw new Error('the job has no offered task')
  return claim(type, job, task.invocation, holder, momentAt(at))
}

/** The job whose held task has ended well. */
export function ended(job: Job, at: number, type = plain): Decision {
  const token = job.tasks.find(({ status }) => status === 'claimed' || status === 'stopping')?.token ?? -1
  const decision = end(type, job, token, { ok: true, output: 'done' }, momentAt(at))
  if (decision === undefined) throw new Error('the job has no held task')
  return decision
}

/** The route of a type's tasks. */
export function routeOf(type = plain): Route {
  return { type: type.type, version: type.version, executor: 'default' }
}

/** Claims as an engine does. */
export function transitionFor(holder: string, at: number, type = plain): ClaimTransition {
  return (job, task) => writeOf(claim(type, job, task.invocation, holder, momentAt(at)))
}

let units = 0

/** A unit with an id of its own. */
export function unitOf(...writes: readonly Write[]): Changeset {
  return { id: `unit-${++units}`, writes }
}

/** Commits one unit. */
export async function commitOne(storage: StorageConnection, ...writes: readonly Write[]): Promise<ChangesetResult> {
  const [result] = await storage.commit([unitOf(...writes)])
  if (result === undefined) throw new Error('the storage gave no result')
  return result
}

/** Stores a job whose task is held, and gives the token. */
export async function insertClaimed(
  storage: StorageConnection,
  at: number,
  id: string,
  holder = 'me',
): Promise<number> {
  const created = newJob({ id }, at)
  const running = claimed(created.job, at, holder)
  await storage.commit([unitOf(insertOf(created)), unitOf(updateOf(created.job, running))])
  return running.job.tasks[0]?.token ?? 0
}
