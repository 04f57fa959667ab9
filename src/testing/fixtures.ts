import assert from 'node:assert/strict'
import { createMachine, fromPromise } from 'xstate'
import { claim, create, type Decision, type DecisionContext, end, type NewJob } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import { type EventRow, eventRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type {
  Changeset,
  ChangesetResult,
  Claim,
  Claimed,
  JobWrite,
  Route,
  StorageConnection,
  TypeKey,
  Write,
} from '../port/storage.ts'

/** A job type with the default lifecycle. */
export const plain: AnyJobType = defineJob({ type: 'plain', execute: () => 'done' })

/** A job type with two invokes in one state. */
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

/** The type and version of {@link plain}, as a list. */
export const plainOnly: readonly TypeKey[] = [{ type: plain.type, version: plain.version }]

/** A number of rows or tasks that no check reaches. */
export const FAR = 100

/** The context of a decision at a time, always with the same random number. */
export function contextAt(at: number): DecisionContext {
  return { at, random: 0, heartbeatMs: 2_000 }
}

/** The fields of a new job that a check can choose. */
export type Seed = Partial<NewJob> & { readonly id: string }

/** The decision that makes a new job. By default the job has the default lifecycle, and so one available task. */
export function newJob(seed: Seed, at: number, type = plain): Decision {
  const fixed = { tenant: 't1', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const
  return create(type, { ...fixed, ...seed }, contextAt(at))
}

/** The same decision, but the job is a child job of `parentId`. */
export function childOf(parentId: string, decision: Decision): Decision {
  return { ...decision, job: { ...decision.job, parentId } }
}

/** The same decision, but the job's tasks are claimed by the child job `childId`. */
export function parentOf(childId: string, decision: Decision): Decision {
  const tasks = decision.job.tasks.map((task): Task => ({ ...task, status: 'claimed', child: childId }))
  return { ...decision, job: { ...decision.job, tasks } }
}

/** The job of a decision, and its row for the log. */
export function writeOf({ job, events, inputs }: Pick<Decision, 'job' | 'events' | 'inputs'>): JobWrite {
  return { job, events: rowOf(job, events, inputs) }
}

function rowOf(job: Job, events: Decision['events'], inputs: Decision['inputs']): EventRow {
  return eventRow(job, { kind: 'user', id: 'ada' }, events, inputs)
}

/** The write that inserts the job of a decision. */
export function insertOf(decision: Decision): Extract<Write, { readonly op: 'insert' }> {
  return { op: 'insert', ...writeOf(decision) }
}

/** The write that updates `before` to the job of a decision. */
export function updateOf(
  before: Job,
  decision: Pick<Decision, 'job' | 'events' | 'inputs'>,
): Extract<Write, { readonly op: 'update' }> {
  return { op: 'update', before, ...writeOf(decision) }
}

/** A decision that replaces some fields of the job. It raises the revision and adds one event. */
export function changed(job: Job, fields: Partial<Job>): Pick<Decision, 'job' | 'events' | 'inputs'> {
  const next = { ...job, revision: job.revision + 1, eventCount: job.eventCount + 1, ...fields }
  return { job: next, events: [{ type: 'job.updated' }], inputs: [] }
}

/** The decision that claims the job's first available task. */
export function claimed(job: Job, at: number, holder = 'me', type = plain): Decision {
  const task = job.tasks.find(({ status }) => status === 'available')
  if (task === undefined) throw new Error('the job has no available task')
  return claim(type, job, task.invocation, { holder }, contextAt(at))
}

/** The decision that ends the job's claimed or stopping task with success. */
export function ended(job: Job, at: number, type = plain): Decision {
  const decision = end(type, job, tokenOf(job), { ok: true, output: 'done' }, contextAt(at))
  if (decision === undefined) throw new Error('the job has no claimed task')
  return decision
}

/** The token of the job's first claimed or stopping task; -1 if there is none. */
export function tokenOf(job: Job): number {
  return job.tasks.find(({ status }) => status === 'claimed' || status === 'stopping')?.token ?? -1
}

/** The route of a type's tasks. If `concurrency` is given, at most that many tasks may run under each limit key. */
export function routeOf(type = plain, concurrency?: number): Route {
  const route = { type: type.type, version: type.version, executor: 'default' }
  return concurrency === undefined ? route : { ...route, limits: new Map([['execute', concurrency]]) }
}

/** A function that decides each claim as an engine does. */
export function decideFor(holder: string, at: number, type = plain): Claim['decide'] {
  return ({ job, task }) => {
    const decision = claim(type, job, task.invocation, { holder }, contextAt(at))
    return { kind: 'claim', writes: [updateOf(job, decision)] }
  }
}

let ids = 0

/** A changeset with a new id. */
export function changesetOf(...writes: readonly Write[]): Changeset {
  return { id: `changeset-${++ids}`, writes }
}

/** What a check can choose for a claim. `room` is that of the default executor. */
interface ClaimChoice extends Partial<Pick<Claim, 'routes' | 'decide'>> {
  readonly type?: AnyJobType
  readonly room?: number
  readonly holder?: string
}

/** A claim with a new id. By default the instance `me` claims all ready tasks of {@link plain}. */
export function claimOf(at: number, choice: ClaimChoice = {}): Claim {
  const { type = plain, room = FAR, holder = 'me', routes = [routeOf(type)] } = choice
  const { decide = decideFor(holder, at, type) } = choice
  return { id: `claim-${++ids}`, routes, at, room: new Map([['default', room]]), decide }
}

/** Commits a claim without changesets. Returns what was claimed. */
export async function claimNow(
  storage: StorageConnection,
  at: number,
  choice: ClaimChoice = {},
): Promise<readonly Claimed[]> {
  return (await storage.commit([], claimOf(at, choice))).claimed
}

/** Commits a claim without changesets. Returns the ids of the claimed jobs, in order. */
export async function claimedIds(
  storage: StorageConnection,
  at: number,
  choice: ClaimChoice = {},
): Promise<readonly string[]> {
  return (await claimNow(storage, at, choice)).map(({ job }) => job.id)
}

/** Commits one changeset with these writes. Returns its result. */
export async function commitOne(storage: StorageConnection, ...writes: readonly Write[]): Promise<ChangesetResult> {
  const { results } = await storage.commit([changesetOf(...writes)])
  const [result] = results
  if (result === undefined || results.length > 1) throw new Error('one changeset should give one result')
  return result
}

/** Stores a job, and claims its task for `holder`. Returns the token. */
export async function insertClaimed(
  storage: StorageConnection,
  at: number,
  id: string,
  holder = 'me',
): Promise<number> {
  const created = newJob({ id }, at)
  const running = claimed(created.job, at, holder)
  await storage.commit([changesetOf(insertOf(created)), changesetOf(updateOf(created.job, running))])
  return tokenOf(running.job)
}

/** The stored job. */
export async function getJob(storage: StorageConnection, id: string): Promise<Job> {
  const job = await storage.get(id)
  if (job === undefined) throw new Error(`no job "${id}" is stored`)
  return job
}

/** All rows of the log, or those of one job. */
export async function rowsOf(storage: StorageConnection, jobId?: string) {
  const rows = []
  for (let after = 0; ; ) {
    const page = await storage.events({ after, limit: 1_000, ...(jobId === undefined ? {} : { jobId }) })
    const last = page.at(-1)
    if (last === undefined) return rows
    rows.push(...page)
    after = last.sequence + last.events.length - 1
  }
}

/**
 * The types of a job's events, in order. Also checks that the events are numbered 1, 2, 3 and so on.
 *
 * @throws {AssertionError} they are not.
 */
export async function historyOf(storage: StorageConnection, id: string): Promise<readonly string[]> {
  const numbered = (await rowsOf(storage, id)).flatMap(({ jobSequence, events }) =>
    events.map(({ type }, index) => ({ type, number: jobSequence + index })),
  )
  assert.deepEqual(
    numbered.map(({ number }) => number),
    numbered.map((_, index) => index + 1),
  )
  return numbered.map(({ type }) => type)
}
