import { isLeft } from './stop.ts'
import type { Task } from './task-record.ts'

interface Entry {
  readonly id: string
  readonly invocation: number
}

/**
 * What a job has of its children, while a decision is made of it: found by invocation and by id, in the order in which
 * they came. An entry that does not change stays the same object, by which a storage knows what it has to write.
 */
export class Entries<Each extends Entry> {
  readonly #byInvocation = new Map<number, Each>()
  #byId: Map<string, readonly number[]> | undefined
  #list: readonly Each[] | undefined

  constructor(list: readonly Each[]) {
    for (const each of list) this.#byInvocation.set(each.invocation, each)
    this.#list = list
  }

  /** In order; the list that was given, as long as nothing changes. */
  get list(): readonly Each[] {
    if (this.#list === undefined) {
      this.#list = [...this.#byInvocation.values()]
      this.listed(this.#list)
    }
    return this.#list
  }

  get size(): number {
    return this.#byInvocation.size
  }

  get(invocation: number): Each | undefined {
    return this.#byInvocation.get(invocation)
  }

  /** Those of an id. */
  withId(id: string): readonly Each[] {
    if (this.size === 0) return []
    return (this.#ids().get(id) ?? []).flatMap((invocation) => this.get(invocation) ?? [])
  }

  /** Takes the place of the entry with its invocation, or comes last. */
  put(each: Each): void {
    const before = this.get(each.invocation)
    if (before === each) return
    this.#change()
    this.#byInvocation.set(each.invocation, each)
    if (before === undefined && this.#byId !== undefined) note(this.#byId, each)
  }

  remove(invocation: number): void {
    const before = this.get(invocation)
    if (before === undefined) return
    this.#change()
    this.#byInvocation.delete(invocation)
    const others = this.#byId?.get(before.id)?.filter((each) => each !== invocation)
    if (others?.length === 0) this.#byId?.delete(before.id)
    else if (others !== undefined) this.#byId?.set(before.id, others)
  }

  /** A list was made, and holds what the entries are. */
  protected listed(_list: readonly Each[]): void {}

  /** The list is not what the entries are any more. */
  protected outdated(_list: readonly Each[]): void {}

  #change(): void {
    if (this.#list !== undefined) this.outdated(this.#list)
    this.#list = undefined
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

/** From so many tasks on, what is known of a list is kept with it: the next decision on the same job need not look again. */
const KEPT_FROM = 32

const kept = new WeakMap<readonly Task[], TaskList>()

/** The tasks of a job while a decision is made of it. */
export class TaskList extends Entries<Task> {
  readonly #byChild = new Map<string, number>()
  readonly #bySystemId = new Map<string, Set<number>>()
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

  /** Code of the job may be running: a task, or one of a child job, is claimed or stopping. */
  get isBusy(): boolean {
    return this.#busy > 0
  }

  /** The task of a child job. */
  ofChild(id: string): Task | undefined {
    const invocation = this.#byChild.get(id)
    return invocation === undefined ? undefined : this.get(invocation)
  }

  /** The task of a system id that the chart has not left. */
  ofSystemId(systemId: string): Task | undefined {
    const tasks = [...(this.#bySystemId.get(systemId) ?? [])].flatMap((invocation) => this.get(invocation) ?? [])
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

  /** A job that goes on while its work runs is not what takes its process down. */
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
      if (by > 0) this.#byChild.set(child, invocation)
      else this.#byChild.delete(child)
    }
    if (systemId === undefined) return
    const known = this.#bySystemId.get(systemId) ?? new Set()
    if (by > 0) known.add(invocation)
    else known.delete(invocation)
    this.#bySystemId.set(systemId, known)
  }
}
