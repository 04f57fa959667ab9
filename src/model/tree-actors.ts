/**
 * The actors of a job tree, as chart code sees them during a decision.
 *
 * Each job is an actor, and so is each of its tasks. An actor's name is its path: the invocations that lead to it from
 * the top job. Its snapshot comes from its row, as it is at this point of the decision. When a child has ended, the job
 * keeps the child's last snapshot as long as its chart is in the invoke or refers to the child.
 */
import type {
  Actor,
  ActorPath,
  ChartEvent,
  ChildActor,
  ChildActors,
  RefTo,
  Standing,
  TreeActors as TreeActorsOfChart,
} from './chart.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { errorOf, isErrorRecord } from './error-event.ts'
import type { EndedChild, Job, LastSnapshot } from './job.ts'
import { isLeft } from './stop.ts'
import { type Json, jsonCopy } from './storable.ts'
import type { Entries, TaskList } from './task-list.ts'
import type { Task } from './task-record.ts'

/** A job of the tree in its current state. */
export interface Member {
  readonly type: AnyJobType
  readonly job: Job
  readonly tasks: TaskList
  readonly ended: Entries<EndedChild>
}

/** The parts of a decision that {@link TreeActors} reads. */
export interface Members {
  readonly member: (id: string) => Member | undefined
  /** The jobs that the decision has opened. Each sees the changes of the others. */
  readonly drafts: () => Iterable<Member>
  /** Called when chart code has read a job. The decision is then valid only while the job has this revision. */
  readonly looked: (job: Job) => void
  /** Called when chart code reads a child job whose row is missing. */
  readonly missing: (parent: Job, task: Task, id: string) => unknown
}

/** The last snapshot of a child that ended with this event. */
export function lastSnapshot({ snapshot }: Task, event: ChartEvent, machine: Partial<LastSnapshot> = {}): LastSnapshot {
  const { output, error } = event as { readonly output?: Json; readonly error?: Json }
  const { context } = (snapshot ?? {}) as { readonly context?: Json }
  const rest = { ...(context === undefined ? {} : { context }), ...machine }
  if (event.type.startsWith('xstate.error.')) return { status: 'error', ...rest, error: error ?? null }
  return { status: 'done', ...rest, ...(output === undefined ? {} : { output }) }
}

/** The actors of one job tree: see the comment at the top of this file. */
export class TreeActors implements TreeActorsOfChart {
  readonly #members: Members
  readonly #paths = new Map<string, ActorPath>()
  #topId: string | undefined
  #systemIds: ReadonlyMap<string, { readonly jobId: string; readonly path: ActorPath }> | undefined

  constructor(members: Members) {
    this.#members = members
  }

  /** The path of a job. */
  pathOf({ job: { id, parentId } }: Pick<Member, 'job'>): ActorPath {
    if (parentId === undefined) return TOP
    const known = this.#paths.get(id)
    if (known !== undefined) return known
    const parent = this.#members.member(parentId)
    const task = parent?.tasks.ofChild(id)
    // The parent is missing, or no longer has a task for the child: nobody can refer to the child any more.
    if (parent === undefined || task === undefined) return GONE
    const path = [...this.pathOf(parent), task.invocation]
    this.#paths.set(id, path)
    return path
  }

  /** Finds an actor by path: a job, or a task by its job and invocation. */
  find(path: ActorPath): { readonly member: Member; readonly invocation?: number } | undefined {
    let member = this.#top()
    for (const [index, invocation] of path.entries()) {
      const child = member?.tasks.get(invocation)?.child
      if (member === undefined) return undefined
      if (child === undefined) return index === path.length - 1 ? { member, invocation } : undefined
      member = this.#members.member(child)
    }
    return member === undefined ? undefined : { member }
  }

  at(path: ActorPath): Actor | undefined {
    const last = path.at(-1)
    const found = this.find(path.slice(0, -1))
    if (found === undefined || found.invocation !== undefined) return undefined
    const { member } = found
    if (last !== undefined) return this.childrenOf(member).byInvocation(last)
    const { type } = member
    return { id: type.lifecycle.id, src: type.type, look: (refTo) => this.#lookAt(member, refTo) }
  }

  bySystemId(systemId: string): ActorPath | undefined {
    for (const draft of this.#members.drafts()) {
      const task = draft.tasks.ofSystemId(systemId)
      if (task !== undefined) return [...this.pathOf(draft), task.invocation]
    }
    const stored = this.#stored().get(systemId)
    return stored === undefined || this.#isDraft(stored.jobId) ? undefined : stored.path
  }

  systemIds(): readonly string[] {
    const drafts = [...this.#members.drafts()].flatMap(({ tasks }) => tasks.list)
    const known = drafts.flatMap(({ systemId }) => systemId ?? [])
    return [...known, ...this.#stored().keys()].filter((id) => this.bySystemId(id) !== undefined)
  }

  /** The children of a job. */
  childrenOf(member: Member): ChildActors {
    const { tasks, ended } = member
    const running = (task: Task | undefined) => (task === undefined ? undefined : this.#running(member, task))
    const over = (child: EndedChild | undefined) => (child === undefined ? undefined : this.#over(member, child))
    const known = (child: EndedChild) => child.left !== true
    return {
      byId: (id) => running(tasks.withId(id).findLast(isKnown)) ?? over(ended.withId(id).findLast(known)),
      // A child may be in both lists: it has ended, and its own tasks are still stopping.
      byInvocation: (invocation) => over(ended.get(invocation)) ?? running(tasks.get(invocation)),
      bySystemId: (systemId) => running(tasks.ofSystemId(systemId)),
      all: () => [
        ...ended.list.filter(known).map((child) => this.#over(member, child)),
        ...tasks.list.filter(isKnown).map((task) => this.#running(member, task)),
      ],
    }
  }

  /** The snapshot to keep for a child that is being stopped. */
  stoppedSnapshot({ child, snapshot }: Task): LastSnapshot {
    const { job } = (child === undefined ? undefined : this.#members.member(child)) ?? {}
    if (job !== undefined) return { status: 'stopped', value: job.state, context: job.context }
    const { context } = (snapshot ?? {}) as { readonly context?: Json }
    return { status: 'stopped', ...(context === undefined ? {} : { context }) }
  }

  #running(parent: Member, task: Task): ChildActor {
    const { id, src, invocation, systemId, child } = task
    const actor = { id, src, invocation, ...(systemId === undefined ? {} : { systemId }) }
    if (child === undefined) return { ...actor, look: () => leafSnapshot(parent, task) }
    const look = (refTo: RefTo): unknown => {
      const member = this.#members.member(child)
      if (member === undefined) return this.#members.missing(parent.job, task, child)
      return this.#lookAt(member, refTo, isLeft(task) ? 'stopped' : 'active')
    }
    const liveOf = (told: Json, refTo: RefTo): unknown => {
      const member = this.#members.member(child)
      if (member === undefined) return told
      const { value, context } = told as { readonly value: Json; readonly context: Json }
      const standing = { state: value, context, status: 'active', children: () => this.#named(member) } as const
      return member.type.chart.liveSnapshot(standing, refTo)
    }
    return { ...actor, look, liveOf }
  }

  #over({ type }: Member, { id, src, invocation, snapshot }: EndedChild): ChildActor {
    return { id, src, invocation, look: (refTo) => overSnapshot(childTypeOf(type, src), snapshot, refTo) }
  }

  #lookAt(member: Member, refTo: RefTo, status: Standing['status'] = 'active'): unknown {
    const { type, job } = member
    this.#members.looked(job)
    return type.chart.liveSnapshot({ ...job, status, children: () => this.#named(member) }, refTo)
  }

  #named(member: Member): ReturnType<Standing['children']> {
    const path = this.pathOf(member)
    return this.childrenOf(member)
      .all()
      .map(({ id, invocation }) => ({ id, path: [...path, invocation] }))
  }

  #top(): Member | undefined {
    if (this.#topId === undefined) {
      const [first] = this.#members.drafts()
      let top = first?.job
      while (top?.parentId !== undefined) top = this.#members.member(top.parentId)?.job
      this.#topId = top?.id
    }
    return this.#topId === undefined ? undefined : this.#members.member(this.#topId)
  }

  #isDraft(id: string): boolean {
    for (const { job } of this.#members.drafts()) if (job.id === id) return true
    return false
  }

  /** The stored system ids of the whole tree. Read once, and only when needed: this reads all jobs of the tree. */
  #stored() {
    if (this.#systemIds !== undefined) return this.#systemIds
    const found = new Map<string, { readonly jobId: string; readonly path: ActorPath }>()
    const visit = ({ job, tasks }: Member, path: ActorPath): void => {
      for (const task of tasks.list) {
        const { systemId, invocation, child } = task
        const own = [...path, invocation]
        if (systemId !== undefined && !isLeft(task)) found.set(systemId, { jobId: job.id, path: own })
        const member = child === undefined ? undefined : this.#members.member(child)
        if (member !== undefined) visit(member, own)
      }
    }
    const top = this.#top()
    if (top !== undefined) visit(top, TOP)
    this.#systemIds = found
    return found
  }
}

const TOP: ActorPath = []
/** A path that no actor has. */
const GONE: ActorPath = [0]

/** Whether the chart has not left the task. */
function isKnown(task: Task): boolean {
  return !isLeft(task)
}

const NOTHING = { output: undefined, error: undefined } as const

function leafSnapshot({ type }: Member, task: Task): unknown {
  const { src, input, snapshot } = task
  const own = snapshot === undefined ? {} : (jsonCopy(snapshot) as object)
  if (isLeft(task)) return { ...NOTHING, ...own, status: 'stopped' }
  if (type.inline.has(src)) return { ...NOTHING, ...own }
  return { ...NOTHING, ...own, status: 'active', input: input === undefined ? undefined : jsonCopy(input) }
}

function overSnapshot(type: AnyJobType | undefined, snapshot: LastSnapshot | undefined, refTo: RefTo): unknown {
  // Rows written by older versions have no snapshot.
  if (snapshot === undefined) return { ...NOTHING, status: 'done' }
  const { status, value, context = null, output, error: stored } = snapshot
  const error = isErrorRecord(stored) ? errorOf(stored) : stored
  if (type === undefined || value === undefined) {
    return {
      ...NOTHING,
      ...(jsonCopy(snapshot as unknown as Json) as object),
      ...(error === undefined ? {} : { error }),
    }
  }
  const given = { ...(output === undefined ? {} : { output }), ...(error === undefined ? {} : { error }) }
  return type.chart.liveSnapshot({ state: value, context, status, ...given, children: () => [] }, refTo)
}
