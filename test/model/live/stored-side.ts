/** Stored jobs of a generated machine: rows as JSON, read again for every event, and moved by the model alone. */

import type { AnyStateMachine } from 'xstate'
import type { ChartEvent } from '../../../src/model/chart.ts'
import type * as DecisionModule from '../../../src/model/decision.ts'
import type { Decision, DecisionContext, JobTree } from '../../../src/model/decision.ts'
import type * as DefinitionModule from '../../../src/model/definition.ts'
import type { AnyJobType } from '../../../src/model/definition.ts'
import type { Job, Timer } from '../../../src/model/job.ts'
import { type ChildView, Emitted, named, sorted, type TimerView, type View } from './views.ts'

/** The model's functions that a run needs, or those of a model with a fault. */
export type Model = Pick<typeof DecisionModule, 'create' | 'send' | 'claim' | 'end' | 'due' | 'lose'> &
  Pick<typeof DefinitionModule, 'defineJob' | 'withChildren'>

type Task = Job['tasks'][number]

/** Start time of the stored jobs' clock; the live clock starts at 0. */
const START = 1_000_000

const ROOT = 'j1'

export class StoredSide {
  readonly emitted = new Emitted()
  readonly #model: Model
  readonly #types: ReadonlyMap<string, AnyJobType>
  readonly #rows = new Map<string, string>()
  #now = 0

  constructor(model: Model, machine: AnyStateMachine, input: never) {
    this.#model = model
    const type = model.defineJob({ type: 'generated', lifecycle: machine })
    this.#types = new Map([...model.withChildren(type)].map((each) => [each.type, each]))
    const seed = { id: ROOT, tenant: 't', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0, input } as const
    this.#commit(model.create(type, seed, this.#context, this.#tree(new Map())))
  }

  send(event: ChartEvent): void {
    this.#change(ROOT, (type, job, tree) => this.#model.send(type, job, event, this.#context, tree))
  }

  /** Lets time pass until something is due, at most. */
  set(time: number): void {
    this.#now = time
  }

  /** Claims the task at `path`, if it can be claimed. */
  claim(path: string): void {
    const { job, task } = this.#taskAt(path)
    // Its earlier invocation is stopping, so its stop is reported first.
    const earlier = job.tasks.filter(({ id, status }) => id === task.id && status === 'stopping')
    for (const { token } of earlier) this.#end(job.id, token, true, 0)
    if (task.status !== 'available') return
    this.#change(job.id, (type, row, tree) =>
      this.#model.claim(type, row, task.invocation, { holder: 'holder' }, this.#context, tree),
    )
  }

  /** The process of the task at `path` dies: the task is available again, until it was lost too often. */
  lose(path: string): void {
    this.claim(path)
    const { job, task } = this.#taskAt(path)
    if (task.crashes >= 2) return
    const loss = { invocation: task.invocation, reason: 'died', steps: 0 }
    this.#change(job.id, (type, row, tree) => this.#model.lose(type, row, loss, this.#context, tree))
  }

  /** Reports the end of the task at `path`. */
  end(path: string, isGood: boolean, value: unknown): void {
    this.claim(path)
    const { job, task } = this.#taskAt(path)
    this.#end(job.id, task.token, isGood, value)
  }

  /** The jobs with a timer at the next due time, and that time. */
  nextDue(): { readonly at: number; readonly ids: readonly string[] } | undefined {
    const jobs = this.#jobs().filter(({ timers }) => timers.length > 0)
    const at = Math.min(...jobs.flatMap(({ timers }) => timers.map(({ dueAt }) => dueAt)))
    if (jobs.length === 0) return undefined
    const ids = jobs.filter(({ timers }) => timers.some(({ dueAt }) => dueAt === at)).map(({ id }) => id)
    return { at: at - START, ids }
  }

  /** Fires the due timers of a job. */
  fire(id: string): void {
    this.#change(id, (type, job, tree) => this.#model.due(type, job, this.#context, tree))
  }

  /** The paths of the tasks that an executor would run. */
  promises(): readonly string[] {
    return this.#jobs().flatMap((job) =>
      job.tasks.filter(isPromise).map(({ id }) => `${this.#pathOf(job, this.#read)}/${id}`),
    )
  }

  view(): View {
    return this.#viewOf(this.#read(ROOT))
  }

  get #context(): DecisionContext {
    return { at: START + this.#now, random: 0, heartbeatMs: 500 }
  }

  readonly #read = (id: string): Job => {
    const row = this.#rows.get(id)
    if (row === undefined) throw new Error(`no job ${id}`)
    return JSON.parse(row) as Job
  }

  #jobs(): readonly Job[] {
    return [...this.#rows.keys()].map(this.#read)
  }

  #typeOf({ type }: Job): AnyJobType {
    const found = this.#types.get(type)
    if (found === undefined) throw new Error(`no type ${type}`)
    return found
  }

  #tree(read: Map<string, Job>): JobTree {
    let made = this.#rows.size
    return {
      get: (id) => {
        const job = read.get(id) ?? this.#read(id)
        return { type: this.#typeOf(job), job }
      },
      newId: () => `j${++made + 1}`,
    }
  }

  #change(id: string, decide: (type: AnyJobType, job: Job, tree: JobTree) => Decision | undefined): void {
    const job = this.#read(id)
    const decision = decide(this.#typeOf(job), job, this.#tree(new Map()))
    if (decision === undefined) throw new Error(`nothing was decided of ${id}`)
    this.#commit(decision)
  }

  #commit(decision: Decision): void {
    const all = decision.changed ? [decision, ...decision.others] : []
    for (const { job } of all) this.#rows.set(job.id, JSON.stringify(job))
    for (const { job, events } of all) {
      const path = this.#pathOf(job, this.#read)
      for (const event of events) {
        if (event.type === 'job.emitted') this.emitted.add(path, job.id, event.event)
      }
    }
  }

  #end(id: string, token: number, isGood: boolean, value: unknown): void {
    const result = isGood
      ? { ok: true as const, output: value as never }
      : { ok: false as const, error: value as never }
    this.#change(id, (type, job, tree) => this.#model.end(type, job, token, result, this.#context, tree))
  }

  #taskAt(path: string): { readonly job: Job; readonly task: Task } {
    const [, ...ids] = path.split('/')
    let job = this.#read(ROOT)
    let task: Task | undefined
    for (const id of ids) {
      if (task?.child !== undefined) job = this.#read(task.child)
      task = job.tasks.find((each) => each.id === id && each.status !== 'stopping')
    }
    if (task === undefined) throw new Error(`no task ${path}`)
    return { job, task }
  }

  #pathOf({ parentId, parentInvoke }: Job, read: (id: string) => Job): string {
    return parentId === undefined ? '' : `${this.#pathOf(read(parentId), read)}/${parentInvoke}`
  }

  #viewOf(job: Job): View {
    const { phase, error, historyValue = {}, output } = job
    const isError = job.status === this.#typeOf(job).endLabels.error
    const history = Object.entries(historyValue).map(([id, ids]) => [id, [...ids].sort()])
    const tasks = job.tasks.filter(({ status }) => status !== 'stopping')
    return {
      status: phase !== 'settled' ? 'active' : isError ? 'error' : 'done',
      value: job.state,
      context: named(job.context),
      output,
      error: isError ? error?.message : undefined,
      history: phase === 'settled' ? {} : Object.fromEntries(history),
      timers: sorted(job.timers.map((timer) => timerView(job, timer))),
      children: Object.fromEntries(tasks.map((task) => [task.id, this.#childView(task)])),
    }
  }

  #childView(task: Task): ChildView {
    const { child, status, systemId, snapshot, input } = task
    if (child !== undefined) return { systemId, machine: this.#viewOf(this.#read(child)) }
    if (status !== 'inline') return { systemId, input }
    return { systemId, state: (snapshot as { readonly context: unknown }).context }
  }
}

function isPromise({ child, status }: Task): boolean {
  return child === undefined && (status === 'available' || status === 'claimed')
}

function timerView(job: Job, { to, event, dueAt }: Timer): TimerView {
  const child =
    typeof to === 'number'
      ? job.tasks.find(({ invocation, status }) => invocation === to && status !== 'stopping')
      : undefined
  const name = to === undefined ? 'self' : to === 'parent' ? to : (child?.id ?? 'gone')
  return { to: name, event: event.type, dueAt: dueAt - START }
}
