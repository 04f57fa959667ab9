/**
 * One decision over the jobs of a tree.
 *
 * A chart may invoke machines and exchange events with them. Each machine is a job with its own row. Everything that
 * one event causes among these jobs is one changeset. The order is that of XState's actor system: each job has a
 * mailbox; a busy job finishes its event first; the actions of a transition run in order, right after it.
 *
 * The tree is loaded before the decision. If a job is not in the tree, the job's row was deleted or is broken. A chart
 * that waits for that job gets an error event; events for that job are dropped.
 */

import type { ActorPath, ChartEnd, ChartEvent, Effect } from './chart.ts'
import type { Decision, DecisionContext, JobEffect, JobTree, LookedAt } from './decision-data.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { Draft, type DraftTree } from './draft.ts'
import { JobchartError } from './error.ts'
import type { First } from './first-transitions.ts'
import type { Job } from './job.ts'
import { childRecord, endEvent, errorEvent, snapshotEvent } from './record.ts'
import type { Json } from './storable.ts'
import { EndedChildren, TaskList } from './task-list.ts'
import type { Task } from './task-record.ts'
import { type Member, TreeActors } from './tree-actors.ts'

/** The most events that one decision may cause. Beyond that, charts are assumed to send to each other in a cycle. */
const EVENTS_MAX = 10_000

/** The jobs of a tree during a decision. */
export class TreeDecision implements DraftTree {
  readonly context: DecisionContext
  readonly actors: TreeActors
  readonly #tree: JobTree
  readonly #drafts = new Map<string, Draft>()
  readonly #stored = new Map<string, Member>()
  readonly #effects: JobEffect[] = []
  readonly #looked = new Map<string, number>()
  readonly #gone: (() => void)[] = []
  #events = 0

  constructor(context: DecisionContext, tree: JobTree) {
    this.context = context
    this.#tree = tree
    this.actors = new TreeActors({
      member: (id) => this.#member(id),
      drafts: () => this.#drafts.values(),
      looked: ({ id, revision }) => this.#looked.set(id, revision),
      missing: (parent, task, id) => {
        const draft = this.#drafts.get(parent.id)
        // Queued for later, because the parent's chart is in the middle of a transition. The parent gets the end of the
        // child as an event after that.
        if (draft !== undefined) this.#gone.push(() => this.#lost(draft, task, id))
        return { status: 'error', error: goneError(id), output: undefined }
      },
    })
  }

  #member(id: string): Member | undefined {
    const known = this.#drafts.get(id) ?? this.#stored.get(id)
    if (known !== undefined) return known
    const { type, job } = this.#tree.get(id) ?? {}
    if (type === undefined || job === undefined) return undefined
    const member = { type, job, tasks: TaskList.of(job.tasks), ended: new EndedChildren(job.ended ?? []) }
    this.#stored.set(id, member)
    return member
  }

  /** Keeps a custom action of a job's machine, to be run after the commit. */
  act(jobId: string, run: Effect): void {
    this.#effects.push({ jobId, run })
  }

  /** Adds a new job to the decision. */
  begin(type: AnyJobType, job: Job): Draft {
    const draft = new Draft(this, type, job)
    this.#drafts.set(job.id, draft)
    return draft
  }

  /**
   * Adds a stored job to the decision, migrated to the newest version of its type that `migrate` allows.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` the migration failed; the job stays as it is.
   */
  open(type: AnyJobType, job: Job): Draft {
    const draft = this.begin(type, job)
    // Migrates one version at a time, until the `migrate` of a version keeps the job.
    for (let { successor } = type; successor !== undefined && draft.type !== successor; { successor } = successor) {
      draft.migrate(successor)
      if (draft.type !== successor) break
    }
    return draft
  }

  /** The draft of a job. `undefined`: its row is missing or broken. */
  draft(id: string): Draft | undefined {
    const known = this.#drafts.get(id)
    if (known !== undefined) return known
    const stored = this.#tree.get(id)
    if (stored === undefined) return undefined
    try {
      return this.open(stored.type, stored.job)
    } catch {
      // The migration failed. So the job stays on its old version, and there takes the event that the other job sent.
      return this.#drafts.get(id)
    }
  }

  /**
   * Counts an event of the decision.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` there are too many: charts send to each other in a cycle.
   */
  count(): void {
    if (++this.#events <= EVENTS_MAX) return
    throw new JobchartError(
      'INVALID_DEFINITION',
      `one event caused more than ${EVENTS_MAX} others: charts send to each other in a cycle`,
    )
  }

  /** The decision on `first`, with the decisions on the other jobs of its tree. */
  decision(first: Draft): Decision {
    for (let tell = this.#gone.shift(); tell !== undefined; tell = this.#gone.shift()) tell()
    const ended = [...this.#drafts.values()]
    for (const draft of ended) {
      const parent = this.#tellParent(draft)
      if (parent !== undefined) ended.push(parent)
    }
    const drafts = [...this.#drafts.values()]
    const others = drafts.filter((draft) => draft !== first && draft.isChanged)
    // Effects are given to a job that is written, because the engine runs them after the commit of that job.
    const acting = first.isChanged ? first : (others[0] ?? first)
    const effectsOf = (draft: Draft) => (draft === acting ? this.#effects : [])
    return first.decision(
      others.map((draft) => draft.jobDecision(effectsOf(draft))),
      this.#lookedAt(drafts),
      effectsOf(first),
    )
  }

  // The jobs that did not change, but whose charts were given an event, or whose data was read. The decision depends on
  // them too.
  #lookedAt(drafts: readonly Draft[]): readonly LookedAt[] {
    const asked = drafts.filter(({ isAsked }) => isAsked).map(({ job }) => [job.id, job.revision] as const)
    const changed = new Set(drafts.filter(({ isChanged }) => isChanged).map(({ job }) => job.id))
    const looked = new Map([...this.#looked, ...asked])
    return [...looked].filter(([id]) => !changed.has(id)).map(([id, revision]) => ({ id, revision }))
  }

  // Removes the task of an ended child from the parent's row, once the child's own tasks have stopped. Returns the
  // parent if its row has changed.
  #tellParent({ job, isChanged, tasks }: Draft): Draft | undefined {
    const isOver = job.phase === 'settled' || job.deletedAt !== undefined
    if (job.parentId === undefined || !isChanged || !isOver || tasks.isBusy) return undefined
    const parent = this.draft(job.parentId)
    return parent !== undefined && this.forgetChild(parent, job.id) ? parent : undefined
  }

  /**
   * Begins the child job of a task. The child's own tasks wait until the tasks of an earlier invocation of the same
   * invoke have stopped.
   */
  startChild(draft: Draft, task: Task, type: AnyJobType, early: readonly ChartEvent[], first?: First): void {
    const id = this.#tree.newId()
    const isBlocked = draft.tasks.withId(task.id).some(({ status }) => status === 'stopping')
    const blocked = isBlocked || draft.job.blocked === true ? { blocked: true as const } : {}
    const record = { ...childRecord(type, draft.job, task, id, draft.time()), ...blocked }
    // The task of the child moves to the end of the list, also if the child waited for the job's admission.
    draft.tasks.remove(task.invocation)
    draft.tasks.put({ ...task, inbox: [], status: 'claimed', child: id })
    this.begin(type, record).begin(early, first)
  }

  /** Begins the child jobs of a job that was waiting. Each gets the events that were sent to it in the meantime. */
  startHeldBack(draft: Draft): void {
    for (const task of draft.tasks.list) {
      const type = childTypeOf(draft.type, task.src)
      // Inbox messages were stored from events, so they can be given back as events.
      if (type !== undefined) this.startChild(draft, task, type, task.inbox as unknown as readonly ChartEvent[])
    }
  }

  /** Gives an event to the child job of a task. */
  tellChild(draft: Draft, task: Task, id: string, event: ChartEvent): void {
    const child = this.draft(id)
    if (child !== undefined) child.receive(event, true)
    else this.#lost(draft, task, id)
  }

  // Ends a task whose child job is gone. The child will report nothing, so the parent gets an error event.
  #lost(draft: Draft, task: Task, id: string): void {
    if (draft.task(task.invocation)?.status !== 'claimed') return
    draft.touch()
    draft.remove(task)
    draft.receiveEnd(task, errorEvent(task.id, goneError(id)))
  }

  /** Called when the chart leaves the invoke of a child job: the child and all jobs below it stop. */
  leaveChild(draft: Draft, task: Task, id: string): void {
    // Mark the task first: if the child ends while it is stopped, `tellEnd` sees that the chart has left the invoke.
    draft.put({ ...task, status: 'stopping' })
    const child = this.draft(id)
    if (child?.job.deletedAt === undefined) child?.stop()
    if (child === undefined || !child.tasks.isBusy) this.forgetChild(draft, id)
  }

  /** Removes the task of a child whose own tasks have all stopped. Tasks that waited for this may then run. */
  forgetChild(draft: Draft, id: string): boolean {
    const task = draft.tasks.ofChild(id)
    if (task?.status !== 'stopping') return false
    draft.touch()
    draft.remove(task)
    const next = draft.tasks.withId(task.id).find((each) => each.child !== undefined)
    if (next?.child !== undefined && next.status === 'claimed' && draft.job.blocked !== true) this.#unblock(next.child)
    return true
  }

  #unblock(id: string): void {
    const child = this.draft(id)
    if (child?.job.blocked === undefined) return
    child.touch()
    delete child.job.blocked
    for (const task of child.tasks.list) if (task.child !== undefined) this.#unblock(task.child)
  }

  /** Sends an event to the parent. If the parent is gone, the event is dropped. */
  tellParent({ job: { parentId } }: Draft, event: ChartEvent): void {
    if (parentId !== undefined) this.draft(parentId)?.receive(event, true)
  }

  /** Sends an event to any actor of the tree. If the actor is gone, the event is dropped. */
  tellActor(path: ActorPath, event: ChartEvent): void {
    const { member, invocation } = this.actors.find(path) ?? {}
    const draft = member === undefined ? undefined : this.draft(member.job.id)
    if (invocation === undefined) draft?.receive(event, true)
    else draft?.deliver(invocation, event)
  }

  /** Tells the parent's chart that the job has ended, unless the chart has left the invoke. */
  tellEnd({ job }: Draft, end: ChartEnd): void {
    const { id, parentId, parentInvoke = '', state: value, context } = job
    const parent = parentId === undefined ? undefined : this.draft(parentId)
    const task = parent?.tasks.ofChild(id)
    if (parent === undefined || task?.status !== 'claimed') return
    parent.touch()
    if (this.draft(id)?.tasks.isBusy === true) parent.put({ ...task, status: 'stopping' })
    else parent.remove(task)
    parent.receiveEnd(task, endEvent(parentInvoke, end), { value, context })
  }

  /** Sends the job's snapshot to a parent that asks for snapshots. */
  tellSnapshot({ job }: Draft): void {
    const { parentId, parentInvoke = '', id, state: value, context } = job
    const parent = parentId === undefined ? undefined : this.draft(parentId)
    const task = parent?.tasks.ofChild(id)
    if (task?.status !== 'claimed' || task.sync !== true) return
    parent?.receive(snapshotEvent(parentInvoke, { status: 'active', value, context }), true)
  }

  /**
   * Called when a job has settled that its parent left while the job's chart was busy. If none of the job's tasks runs,
   * the parent need not wait for it.
   */
  settledLate({ job, tasks }: Draft): void {
    const parent = job.parentId === undefined || tasks.isBusy ? undefined : this.draft(job.parentId)
    if (parent !== undefined) this.forgetChild(parent, job.id)
  }

  /** Deletes a child job. */
  deleteChild(id: string): void {
    this.draft(id)?.delete()
  }
}

function goneError(id: string): Json {
  return {
    name: 'JobchartError',
    code: 'JOB_NOT_FOUND',
    message: `child job "${id}" is gone: its row is missing or broken`,
  }
}
