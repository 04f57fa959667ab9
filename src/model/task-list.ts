import type { EndedChild } from './job.ts'
import { isLeft } from './stop.ts'
import type { Task } from './task-record.ts'

interface Entry {
  readonly id: string
  readonly invocation: number
}

/**
 * The children of a job during a decision, in the order in which they were added. They can be found by invocation and
 * by id. An unchanged entry stays the same object; by that, a storage sees that it need not write the entry.
 */
export class Entries<Each extends Entry> {
  // Created on demand, because most decisions on a child job need no lookups.
  #byInvocation: Map<number, Each> | undefined
  #byId: Map<string, readonly number[]> | undefined
  /** `undefined`: outdated. */
  #list: readonly Each[] | undefined

  constructor(list: readonly Each[]) {
    this.#list = list
  }

  /** The entries in order. As long as nothing changes, this is the list given to the constructor. */
  get list(): readonly Each[] {
    if (this.#list === undefined) {
      this.#list = [...this.#entries().values()]
      this.listed(this.#list)
    }
    return this.#list
  }

  get size(): number {
    return this.#list?.length ?? this.#entries().size
  }

  get(invocation: number): Each | undefined {
    return this.#list?.length === 0 ? undefined : this.#entries().get(invocation)
  }

  /** All entries with this id, oldest first. */
  withId(id: string): readonly Each[] {
    if (this.size === 0) return []
    return (this.#ids().get(id) ?? []).flatMap((invocation) => this.get(invocation) ?? [])
  }

  /** Replaces the entry with the same invocation, or adds the entry at the end. */
  put(each: Each): void {
    const before = this.get(each.invocation)
    if (before === each) return
    const entries = this.#entries()
    this.#change()
    entries.set(each.invocation, each)
    if (before === undefined && this.#byId !== undefined) note(this.#byId, each)
  }

  remove(invocation: number): void {
    const before = this.get(invocation)
    if (before === undefined) return
    const entries = this.#entries()
    this.#change()
    entries.delete(invocation)
    const others = this.#byId?.get(before.id)?.filter((each) => each !== invocation)
    if (others?.length === 0) this.#byId?.delete(before.id)
    else if (others !== undefined) this.#byId?.set(before.id, others)
  }

  /** Called when a list was made from the current entries. */
  protected listed(_list: readonly Each[]): void {}

  /** Called when the list no longer matches the entries. */
  protected outdated(_list: readonly Each[]): void {}

  #change(): void {
    if (this.#list !== undefined) this.outdated(this.#list)
    this.#list = undefined
  }

  #entries(): Map<number, Each> {
    this.#byInvocation ??= new Map(this.#list?.map((each) => [each.invocation, each]))
    return this.#byInvocation
  }

  #ids(): ReadonlyMap<string, readonly number[]> {
    if (this.#byId === undefined) {
      const ids = new Map<string, readonly number[]>()
      for (const each of this.list) note(ids, each)
      this.#byId = ids
    }
    return this.#byId
  }
}

function note(ids: Map<string, readonly number[]>, { id, invocation }: Entry): void {
  const known = ids.get(id)
  ids.set(id, known === undefined ? [invocation] : [...known, invocation])
}

/**
 * The lookups of a task list are built from the list, which takes long for many tasks. For a list of at least this
 * length, they are cached for the next decision on the same job.
 */
const KEPT_FROM = 32

const kept = new WeakMap<readonly Task[], TaskList>()

/** The tasks of a job during a decision. */
export class TaskList extends Entries<Task> {
  #byChild: Map<string, number> | undefined
  #bySystemId: Map<string, Set<number>> | undefined
  #busy = 0
  #crashed = 0

  private constructor(list: readonly Task[]) {
    super(list)
    for (const task of list) this.#note(task, 1)
  }

  /** The tasks of a stored job. */
  static of(list: readonly Task[]): TaskList {
    return kept.get(list) ?? new TaskList(list)
  }

  /** Whether code of the job may be running: some task, its own or for a child job, is claimed or stopping. */
  get isBusy(): boolean {
    return this.#busy > 0
  }

  /** The task of a child job. */
  ofChild(id: string): Task | undefined {
    const invocation = this.#byChild?.get(id)
    return invocation === undefined ? undefined : this.get(invocation)
  }

  /** The task with a system id, unless the chart has left it. */
  ofSystemId(systemId: string): Task | undefined {
    const tasks = [...(this.#bySystemId?.get(systemId) ?? [])].flatMap((invocation) => this.get(invocation) ?? [])
    return tasks.findLast((task) => !isLeft(task))
  }

  override put(task: Task): void {
    const before = this.get(task.invocation)
    if (before === task) return
    if (before !== undefined) this.#note(before, -1)
    super.put(task)
    this.#note(task, 1)
  }

  override remove(invocation: number): void {
    const before = this.get(invocation)
    if (before === undefined) return
    this.#note(before, -1)
    super.remove(invocation)
  }

  /** Clears the crash counts of all tasks. A job that gets further is not the cause of the crashes. */
  forgetCrashes(): void {
    if (this.#crashed === 0) return
    for (const task of this.list) if (task.crashes > 0) this.put({ ...task, crashes: 0 })
  }

  protected override listed(list: readonly Task[]): void {
    if (list.length >= KEPT_FROM) kept.set(list, this)
  }

  protected override outdated(list: readonly Task[]): void {
    kept.delete(list)
  }

  #note({ invocation, status, child, crashes, systemId }: Task, by: 1 | -1): void {
    if (status === 'claimed' || status === 'stopping') this.#busy += by
    if (crashes > 0) this.#crashed += by
    if (child !== undefined) {
      this.#byChild ??= new Map()
      if (by > 0) this.#byChild.set(child, invocation)
      else this.#byChild.delete(child)
    }
    if (systemId === undefined) return
    this.#bySystemId ??= new Map()
    const known = this.#bySystemId.get(systemId) ?? new Set()
    if (by > 0) known.add(invocation)
    else known.delete(invocation)
    this.#bySystemId.set(systemId, known)
  }
}

/** The ended children of a job during a decision. */
export class EndedChildren extends Entries<EndedChild> {
  #left: number

  constructor(list: readonly EndedChild[]) {
    super(list)
    this.#left = list.filter(({ left }) => left === true).length
  }

  /** The children whose invokes the chart has left. */
  get left(): readonly EndedChild[] {
    return this.#left === 0 ? [] : this.list.filter(({ left }) => left === true)
  }

  override put(child: EndedChild): void {
    this.#left += leftOf(child) - leftOf(this.get(child.invocation))
    super.put(child)
  }

  override remove(invocation: number): void {
    this.#left -= leftOf(this.get(invocation))
    super.remove(invocation)
  }
}

function leftOf(child: EndedChild | undefined): number {
  return child?.left === true ? 1 : 0
}
