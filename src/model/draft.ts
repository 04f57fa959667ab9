import { holderOf } from './agent.ts'
import {
  batchCounts,
  batchProgress,
  beginBatch,
  drainedBatch,
  type EndedBatch,
  isEndedByDrain,
} from './batch-record.ts'
import type {
  ActorPath,
  ChartAction,
  ChartEnd,
  ChartEvent,
  ChartScope,
  ChildActors,
  Effect,
  SendAction,
  StartAction,
  TransitionResult,
} from './chart.ts'
import type { Decision, DecisionContext, JobDecision, JobEffect, LookedAt } from './decision-data.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { jobError } from './error.ts'
import type { EventDraft } from './event.ts'
import { type First, FirstTransitions } from './first-transitions.ts'
import { EXECUTOR_EVENTS } from './inert-machine.ts'
import { type InlineTransition, transitionInline } from './inline.ts'
import type { Job, LastSnapshot, OpenJob } from './job.ts'
import { isAtRest, keptAndBegun, migrationOf } from './migration.ts'
import { type Offered, offered } from './offered-task.ts'
import { doneEvent, errorEvent, newTask, settingsOf, snapshotEvent } from './record.ts'
import { childrenIn, hasReference, unsupportedInTask } from './references.ts'
import { availableAgain, fullError, isFull, isLeft, isStop, stopError, stopping, withMessage } from './stop.ts'
import type { Json } from './storable.ts'
import { EndedChildren, TaskList } from './task-list.ts'
import { isRunning, type Task } from './task-record.ts'
import { setTimer } from './timer.ts'
import { recordAdmission, recordMigration, recordTransition, setSnapshot } from './transition-record.ts'
import { lastSnapshot, type TreeActors } from './tree-actors.ts'
import { ALONE } from './xstate-internals.ts'

/** The operations of a decision over a job tree that the draft of one job calls. */
export interface DraftTree {
  readonly context: DecisionContext
  readonly actors: TreeActors
  readonly act: (jobId: string, effect: Effect) => void
  readonly count: () => void
  readonly startChild: (draft: Draft, task: Task, type: AnyJobType, early: readonly ChartEvent[], first?: First) => void
  readonly startHeldBack: (draft: Draft) => void
  readonly tellChild: (draft: Draft, task: Task, id: string, event: ChartEvent) => void
  readonly leaveChild: (draft: Draft, task: Task, id: string) => void
  readonly deleteChild: (id: string) => void
  readonly tellParent: (draft: Draft, event: ChartEvent) => void
  readonly tellActor: (path: ActorPath, event: ChartEvent) => void
  readonly tellEnd: (draft: Draft, end: ChartEnd) => void
  readonly tellSnapshot: (draft: Draft) => void
  /**
   * Called when a job has settled whose parent had left the job's invoke while the job was in the middle of a
   * transition.
   */
  readonly settledLate: (draft: Draft) => void
}

/** An event in the chart's mailbox. */
interface Message {
  readonly event: ChartEvent
  /** True: only a transition that names the event's type may take it; a wildcard may not. */
  readonly isNamed?: boolean
  /** True: the event is a command. */
  readonly isCommand?: boolean
  /** True: a machine of the same job tree sent the event. */
  readonly isSent?: boolean
}

/**
 * One job while a decision is made. It turns the actions of the job's chart into tasks, timers and events of the
 * record.
 */
export class Draft {
  type: AnyJobType
  readonly job: OpenJob
  readonly tasks: TaskList
  readonly events: EventDraft[] = []
  readonly tree: DraftTree
  readonly ended: EndedChildren
  // Created on demand, as `#first` is, because most decisions need neither.
  #children: ChildActors | undefined
  readonly #before: Job
  readonly #inputs: Json[] = []
  readonly #logs: string[] = []
  readonly #endedBatches: EndedBatch[] = []
  #mailbox: Message[] = []
  /** Events for children that the current transition creates but has not started yet, by invocation. */
  readonly #early = new Map<number, ChartEvent[]>()
  /** Events that wait for transition logic. `invocation` says which logic gets the event. */
  #inlineMail: { readonly invocation: number; readonly event: ChartEvent }[] = []
  #first: FirstTransitions | undefined
  /** The draft's own copy of `job.ordinals`. It is made when a count changes for the first time. */
  #ordinals: { [state: string]: number } | undefined
  /** The children that the context refers to, cached for this context. */
  #referred: { readonly context: Json; readonly invocations: ReadonlySet<number> } | undefined
  #isMoving = false
  /** True: the parent left the invoke while this job was in the middle of a transition. */
  #isLeft = false
  #handled: boolean | undefined
  #changed = false
  #isNew: boolean
  #isAsked = false

  constructor(tree: DraftTree, type: AnyJobType, job: Job) {
    this.type = type
    this.job = { ...job }
    this.tasks = TaskList.of(job.tasks)
    this.ended = new EndedChildren(job.ended ?? [])
    this.tree = tree
    this.#before = job
    this.#isNew = job.revision === 0
  }

  get isChanged(): boolean {
    return this.#changed
  }

  /** Whether the chart was given an event. Then the decision depends on this job, even if the job did not change. */
  get isAsked(): boolean {
    return this.#isAsked
  }

  decision(others: readonly JobDecision[], looked: readonly LookedAt[], effects: readonly JobEffect[]): Decision {
    const handled = this.#handled ?? true
    return { ...this.jobDecision(effects), handled, changed: this.#changed || others.length > 0, others, looked }
  }

  /** @param effects  the custom actions to run after the commit; they may belong to any job of the tree. */
  jobDecision(effects: readonly JobEffect[] = []): JobDecision {
    if (this.#changed) {
      if (this.events.length === 0) this.events.push({ type: 'job.updated' })
      this.job.revision = this.#before.revision + 1
      this.job.eventCount = this.#before.eventCount + this.events.length
      this.#noteAgent()
    }
    return {
      type: this.type,
      ...(this.#before.revision === 0 ? {} : { before: this.#before }),
      job: this.#record(),
      events: this.events,
      inputs: this.#inputs,
      logs: this.#logs,
      effects,
      ...(this.#endedBatches.length === 0 ? {} : { endedBatches: this.#endedBatches }),
    }
  }

  // Notes whether the agent that last claimed a task still holds one. The agent of an ended job is its last one.
  #noteAgent(): void {
    const { agent, tenant, phase } = this.job
    if (agent === undefined) return
    const { isGone = false, ...last } = agent
    const holder = holderOf({ tenant, id: agent.id })
    const isHolder = phase === 'settled' || this.tasks.list.some((task) => task.holder === holder)
    if (isHolder === isGone) this.job.agent = isHolder ? last : { ...last, isGone: true }
  }

  /**
   * The time for the record, in milliseconds UTC. Never earlier than the record's last time, even if the clock goes
   * back.
   */
  time(): number {
    return Math.max(this.tree.context.at, this.job.updatedAt)
  }

  /** The current time of the clock that deadlines are compared with, in milliseconds. */
  steady(): number {
    const { at, steadyAt = at } = this.tree.context
    return steadyAt
  }

  touch(): void {
    this.#changed = true
    this.job.updatedAt = this.time()
  }

  task(invocation: number): Task | undefined {
    return this.tasks.get(invocation)
  }

  /** The record, with the current lists of tasks and ended children. */
  #record(): Job {
    this.job.tasks = this.tasks.list
    if (this.ended.size > 0) this.job.ended = this.ended.list
    else delete this.job.ended
    return this.job
  }

  put(task: Task): void {
    this.tasks.put(task)
  }

  remove(task: Task): void {
    this.tasks.remove(task.invocation)
    const { id, ordinal } = task
    const state = this.type.chart.invokes.get(id)
    if (this.job.phase === 'settled' || state === undefined || this.#entries(state) >= ordinal) return
    this.#setEntries(state, ordinal)
  }

  #ordinalOf({ id }: StartAction): number {
    const state = this.type.chart.invokes.get(id)
    if (state === undefined) return this.#nextSpawn()
    // An earlier invocation that was left may still be stopping, so its ordinal counts too.
    return Math.max(this.#entries(state), ...this.tasks.withId(id).map(({ ordinal }) => ordinal)) + 1
  }

  // Spawned actors share one count, because chart code may choose any ids for them.
  #nextSpawn(): number {
    const ordinal = this.#entries(SPAWNED) + 1
    this.#setEntries(SPAWNED, ordinal)
    return ordinal
  }

  #entries(state: string): number {
    return this.job.ordinals?.[state] ?? 0
  }

  // The counts are copied only once per draft, because a job may leave thousands of children in one decision.
  #setEntries(state: string, entries: number): void {
    if (this.#ordinals === undefined || this.#ordinals !== this.job.ordinals) {
      this.#ordinals = { ...this.job.ordinals }
      this.job.ordinals = this.#ordinals
    }
    this.#ordinals[state] = entries
  }

  /**
   * Runs the first transition of a new job. The events in `early` were sent to the job before it began; the job takes
   * them next.
   */
  begin(early: readonly ChartEvent[] = [], first: First = () => this.#firstTransition()): void {
    this.#mailbox = early.map((event) => ({ event, isSent: true }))
    this.#drain(() => {
      const move = first()
      const actions = this.#firstTransitions.order(move, this.#isHeldBack)
      this.#apply({ ...move, actions }, { event: { type: 'xstate.init' } })
    })
  }

  #firstTransition(): TransitionResult {
    return this.type.chart.start(this.type.chartTakesInput ? this.job.input : undefined, this.#scope())
  }

  /** Migrates the job to another version of its type, unless `migrate` keeps it or one of its tasks runs. */
  migrate(to: AnyJobType): void {
    const job = this.#record()
    const migration = isAtRest(job) ? migrationOf(this.type, to, job, this.#scope()) : undefined
    if (migration === undefined) return
    const { snapshot, starts, delays } = migration
    const { invokes } = this.type.chart
    const { kept, begun } = keptAndBegun(to, job, starts, (id) => invokes.has(id))
    this.touch()
    if (job.ordinals !== undefined) this.job.ordinals = ordinalsUnder(to.chart.invokes, invokes, job.ordinals)
    this.type = to
    this.#first = undefined
    this.events.push(recordMigration(this.job, to, migration))
    this.#inputs.push({ type: 'job.migrated', version: to.version, state: snapshot.state, context: snapshot.context })
    const staying = new Set(kept.map(({ task }) => task.invocation))
    for (const task of this.tasks.list) if (!staying.has(task.invocation)) this.#leave(task)
    this.#startMigrated(kept, begun, delays)
    // What the migration caused says nothing about the event for which the job was migrated.
    this.#handled = undefined
  }

  // Events that arrive meanwhile wait until everything has started, because they may make the chart leave the state.
  #startMigrated(kept: readonly Offered[], begun: readonly StartAction[], delays: readonly SendAction[]): void {
    this.#isMoving = true
    try {
      for (const { task, error } of kept) {
        if (error === undefined) this.put(task)
        else {
          this.remove(task)
          this.receiveEnd(task, errorEvent(task.id, error))
        }
      }
      for (const start of begun) this.#start(start)
      for (const delay of delays) this.send(delay)
    } finally {
      this.#isMoving = false
    }
    this.#drain()
  }

  get #firstTransitions(): FirstTransitions {
    this.#first ??= new FirstTransitions(this.type, (child) => this.#scopeOf(child))
    return this.#first
  }

  get #childActors(): ChildActors {
    this.#children ??= this.tree.actors.childrenOf(this)
    return this.#children
  }

  /**
   * Gives the chart an event: at once, or after the event that it is handling.
   *
   * @param isSent  a machine of the tree sent the event, so references in it are restored.
   */
  receive(event: ChartEvent, isSent = false): void {
    this.#receive({ event, isSent })
  }

  /** Gives the chart a command. */
  receiveCommand(event: ChartEvent): void {
    if (this.#hasObeyed(event)) this.#handled = true
    else this.#receive({ event, isCommand: true })
  }

  // Whether an active state lists the command in `meta.accepts`. Then the command changes nothing, even if another
  // active state has a transition for it.
  #hasObeyed({ type }: ChartEvent): boolean {
    const { chart } = this.type
    return chart.hasAccepts && this.job.phase !== 'settled' && chart.info(this.job).accepts.has(type)
  }

  #receive(message: Message): void {
    if (this.job.phase === 'settled' || this.job.deletedAt !== undefined || this.#isLeft) return
    this.#mailbox.push(message)
    if (!this.#isMoving) this.#drain()
  }

  /** Whether the chart takes a command now, and does not list it in `meta.accepts`. Nothing is changed. */
  canHandle(event: ChartEvent): boolean {
    return !this.#hasObeyed(event) && this.type.chart.canHandle(this.job, event, this.#scope())
  }

  /**
   * Gives the chart the end of a child. Chart code can still refer to the child until the chart leaves the invoke.
   *
   * @param machine  the last snapshot of a child job.
   */
  receiveEnd(task: Task, end: ChartEvent, machine?: Pick<LastSnapshot, 'value' | 'context'>): void {
    const { id, src, invocation } = task
    const isFailedBatch = this.type.tasks.get(src)?.batch !== undefined && 'error' in end
    const event = isFailedBatch ? { ...end, counts: { ...batchCounts(batchProgress(this.job, task)) } } : end
    if (this.job.phase !== 'settled') {
      this.ended.put({ id, src, invocation, snapshot: lastSnapshot(task, event, machine) })
    }
    this.receive(event, machine !== undefined && event.type.startsWith('xstate.done.'))
  }

  /**
   * Gives the chart an event about the execution of a task, e.g. `task.started`. Only a transition that names the event
   * may take it, so such events do not move ordinary machines that have a wildcard.
   */
  receiveNamed(event: ChartEvent): void {
    this.#receive({ event, isNamed: true })
  }

  /** Gives an event to a child. The child is a child job, transition logic, or a task. */
  deliver(invocation: number, event: ChartEvent): void {
    const task = this.task(invocation)
    if (task === undefined) this.#early.get(invocation)?.push(event)
    else if (isLeft(task)) return
    else if (task.child !== undefined) this.tree.tellChild(this, task, task.child, event)
    else if (this.type.children.has(task.src)) this.#keepFor(task, event)
    else if (task.status === 'inline') this.#moveInline(invocation, event)
    else this.#tell(task, event)
  }

  // Stores an event for a child job that has not begun.
  #keepFor(task: Task, event: ChartEvent): void {
    this.touch()
    this.put({ ...task, inbox: [...task.inbox, event as Json] })
  }

  #tell(task: Task, event: ChartEvent): void {
    if (hasReference(event as Json)) throw unsupportedInTask(`the event "${event.type}" for "${task.id}"`)
    this.touch()
    if (isFull(task)) {
      this.#leave(task)
      this.receiveEnd(task, errorEvent(task.id, fullError(task)))
      return
    }
    const told = withMessage(this.type, task, event, this.graceFrom(task))
    // A stop ends a task that waits for an attempt, and one that stops after a timeout only to be retried.
    const isOver = isStop(event as Json) && (task.status === 'available' || task.status === 'stopping')
    if (!isOver) {
      this.put(told)
      if (this.endIfDrained(task.invocation)) return
      // A promise ignores the event, but XState then sends the promise's snapshot to the chart again.
      if (settingsOf(this.type, task).kind === 'promise') this.#tellStanding(task)
      return
    }
    const { again, ...rest } = told
    if (task.status === 'available') this.remove(task)
    else this.put(rest)
    this.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop before it began')))
  }

  /**
   * When the grace begins for a task that is asked to stop: now if this engine runs it, otherwise after the longest time
   * in which another engine hears of the stop.
   */
  graceFrom({ holder }: Task): number {
    const { instance, heartbeatMs } = this.tree.context
    return this.steady() + (holder !== undefined && holder === instance ? 0 : heartbeatMs)
  }

  /**
   * Ends a task whose code has stopped or is given up. If the task stopped only to be retried, it becomes available
   * again. Later reports of the old code do not count.
   */
  gone(task: Task): void {
    if (task.again === undefined) this.remove(task)
    else {
      this.put(availableAgain(task, Math.max(task.again, this.steady())))
      this.endIfDrained(task.invocation)
    }
  }

  /**
   * Ends a batch that was drained and that no attempt holds, because nobody else would report its end. Call this when
   * the task was drained, or has lost its attempt.
   *
   * @returns whether the batch was ended.
   */
  endIfDrained(invocation: number): boolean {
    const task = this.task(invocation)
    if (task === undefined || !isEndedByDrain(settingsOf(this.type, task), task)) return false
    const ended = drainedBatch(this.job, task)
    this.touch()
    this.job.progress = { ...ended.progress, at: this.time() }
    this.#endedBatches.push(ended)
    this.remove(task)
    this.receiveEnd(task, doneEvent(task.id, { ...batchCounts(ended.progress) }))
    return true
  }

  /** Whether the job is not admitted yet. Then its tasks and child jobs have not begun, and its timers hold delays. */
  get #isHeldBack(): boolean {
    return this.job.admittedAt === undefined
  }

  /** Admits a waiting job: its tasks may run, its timers count from now, and its child jobs begin. */
  admit(): void {
    if (this.job.phase !== 'waiting') return
    this.touch()
    const at = this.steady()
    this.events.push(recordAdmission(this.job, this.type.chart.info(this.job), this.time(), at))
    for (const task of this.tasks.list) if (task.status === 'available') this.put({ ...task, availableAt: at })
    this.#inputs.push({ type: 'job.admitted' })
    this.tree.startHeldBack(this)
  }

  /** Deletes the job: it is hidden and no longer moves, and its running tasks stop. */
  delete(): void {
    if (this.job.deletedAt !== undefined) return
    this.touch()
    this.job.deletedAt = this.time()
    this.job.timers = []
    this.#mailbox = []
    this.events.push({ type: 'job.deleted' })
    for (const { child } of this.tasks.list) if (child !== undefined) this.tree.deleteChild(child)
    for (const task of this.tasks.list) this.#leave(task)
  }

  /**
   * Called when the parent leaves the invoke: the job and all jobs below it stop. If this job is in the middle of a
   * transition, it first finishes that transition.
   */
  stop(): void {
    this.#isLeft = this.#isMoving
    if (this.#isLeft) this.#mailbox = []
    else this.#stopNow()
  }

  #stopNow(): void {
    if (this.job.phase === 'settled') return
    const from = this.job.status
    this.touch()
    this.job.status = this.type.endLabels.stopped
    this.job.outcome = 'cancelled'
    this.events.push({ type: 'job.transitioned', from, to: this.job.status, outcome: 'cancelled' })
    this.#settle()
  }

  /**
   * Ends the job with an error that its decision threw. Stops every task of the job, because no later decision could.
   */
  fail(thrown: unknown): void {
    this.#mailbox = []
    if (this.job.phase === 'settled') return
    const from = this.job.status
    const [to, error, outcome] = [this.type.endLabels.error, jobError(thrown), 'failure' as const]
    this.touch()
    Object.assign(this.job, { status: to, outcome, error })
    if (this.#isNew) this.events.push({ type: 'job.created', to, outcome, error })
    else this.events.push({ type: 'job.transitioned', from, to, outcome, error })
    this.#isNew = false
    this.#settle()
    this.tree.tellEnd(this, { kind: 'error', error: thrown })
  }

  // The path is looked up only when it is needed, because the look-up reads the rows of all parents.
  #scope(): ChartScope {
    const { parentInvoke, counter } = this.job
    const { actors } = this.tree
    return {
      children: this.#childActors,
      nextInvocation: counter + 1,
      actors,
      ...(parentInvoke === undefined ? {} : { parentInvoke }),
      path: () => actors.pathOf(this),
    }
  }

  /** The scope of a child that begins, or of transition logic. */
  #scopeOf({ id, invocation }: Pick<Task, 'id' | 'invocation'>): ChartScope {
    const { actors } = this.tree
    return { ...ALONE, parentInvoke: id, actors, path: () => [...actors.pathOf(this), invocation] }
  }

  #drain(before = () => {}): void {
    this.#isMoving = true
    try {
      before()
      this.#takeAll()
    } catch (error) {
      this.fail(error)
    }
    this.#isMoving = false
    if (!this.#isLeft) return
    this.#stopNow()
    this.tree.settledLate(this)
  }

  #takeAll(): void {
    for (let message = this.#mailbox.shift(); message !== undefined; message = this.#mailbox.shift()) {
      const result = this.#transition(message)
      if (message.isNamed === true && !result.handled) continue
      this.#handled ??= result.handled
      if (result.handled) this.#apply(result, message)
      else this.#passOver(message.event)
    }
  }

  #passOver({ type }: ChartEvent): void {
    // Logged because a job whose chart ignores the end of a child may never move again.
    if (this.#changed && type.startsWith('xstate.done.actor.')) this.#logs.push(`no state took the event "${type}"`)
    this.tree.tellSnapshot(this)
  }

  #transition({ event, isNamed = false, isSent = false }: Message): TransitionResult {
    this.#isAsked = true
    const { chart } = this.type
    const scope = this.#scope()
    const result = isNamed
      ? chart.transitionIfNamed(this.job, event, scope)
      : chart.transition(this.job, event, scope, isSent)
    try {
      if (result.handled || !isNamed) this.tree.count()
      return result
    } catch (error) {
      return { ...result, handled: true, moved: true, snapshot: this.job, end: { kind: 'error', error }, actions: [] }
    }
  }

  #apply(move: TransitionResult, { event, isCommand = false }: Message): void {
    this.job.counter += move.created
    const asks = move.actions.some(({ kind }) => kind !== 'effect')
    if (move.moved || asks) {
      this.touch()
      if (!EXECUTOR_EVENTS.has(event.type)) this.tasks.forgetCrashes()
      this.#inputs.push(event as unknown as Json)
      if (move.snapshot.context !== this.job.context) this.#forgetUnreferred(move.snapshot)
      setSnapshot(this.job, move)
      this.events.push(this.#recordTransition(move, event, isCommand))
    }
    for (const action of move.actions) if (action.kind === 'start') this.#early.set(action.invocation, [])
    for (const action of move.actions) this.#act(action)
    if (move.end === undefined) this.tree.tellSnapshot(this)
    else {
      this.#settle()
      this.tree.tellEnd(this, move.end)
    }
  }

  #recordTransition(move: TransitionResult, event: ChartEvent, isCommand: boolean): EventDraft {
    const by = this.#isNew ? 'start' : isCommand ? 'command' : 'event'
    this.#isNew = false
    return recordTransition(this.type, this.job, move, event, by)
  }

  #act(action: ChartAction): void {
    switch (action.kind) {
      case 'start':
        this.#start(action)
        return
      case 'leave': {
        this.#leaveAndForget(action.invocation)
        return
      }
      case 'send':
        this.send(action)
        return
      case 'cancelTimer':
        this.job.timers = this.job.timers.filter(({ id }) => id !== action.id)
        return
      case 'emit':
        this.events.push({ type: 'job.emitted', event: action.event })
        return
      case 'log':
        if (action.isWarning !== true || !this.#logs.includes(action.text)) this.#logs.push(action.text)
        return
      case 'effect':
        this.tree.act(this.job.id, action.run)
    }
  }

  #start(action: StartAction): void {
    const { invocation, id, src } = action
    // A history state that remembers nothing may enter a state that was not left. The state's earlier invocations then
    // still exist, and are left here.
    for (const earlier of [...this.tasks.withId(id), ...this.ended.withId(id)]) this.#leaveAndForget(earlier.invocation)
    const task = newTask(this.type, action, this.#ordinalOf(action), this.steady())
    const child = childTypeOf(this.type, src)
    const early = this.#early.get(invocation) ?? []
    // The entry is deleted before the child starts, because the child may finish during its start.
    this.#early.delete(invocation)
    if (child !== undefined) {
      if (this.#isHeldBack) this.put({ ...task, inbox: early as unknown as readonly Json[] })
      else this.tree.startChild(this, task, child, early, this.#firstTransitions.ofJob(child, task))
      return
    }
    if (this.type.inline.has(src)) this.#startInline(task)
    else {
      if (task.input !== undefined && hasReference(task.input)) throw unsupportedInTask(`the input of "${id}"`)
      this.#offer(this.#batchOffered(task) ?? offered(this.type, this.job, task))
    }
    for (const event of early) this.deliver(invocation, event)
  }

  // Stores the beginning of a batch. A job has one progress, so a second batch that begins beside a first one fails.
  #batchOffered(task: Task): Offered | undefined {
    const settings = this.type.tasks.get(task.src)
    if (settings?.batch === undefined) return undefined
    const isBatch = ({ src }: Task) => this.type.tasks.get(src)?.batch !== undefined
    const other = this.tasks.list.find((each) => isBatch(each) && !isLeft(each))
    if (other !== undefined) return { task, error: secondBatchError(task, other) }
    beginBatch(this.job, task, settings)
    return undefined
  }

  #offer({ task, error }: Offered): void {
    if (error === undefined) {
      this.put(task)
      this.#tellStanding(task)
    } else this.receiveEnd(task, errorEvent(task.id, error))
  }

  #tellStanding({ id, sync, input }: Task): void {
    if (sync === true) this.receive(snapshotEvent(id, { status: 'active', input: input ?? null }))
  }

  #startInline(task: Task): void {
    this.put({ ...task, status: 'inline' })
    this.#moved(task, this.#firstTransitions.ofInline(task))
  }

  // If the logic sends events to itself, it gets them after the event that it is handling.
  #moveInline(invocation: number, event: ChartEvent): void {
    this.#inlineMail.push({ invocation, event })
    if (this.#inlineMail.length > 1) return
    for (let [next] = this.#inlineMail; next !== undefined; [next] = this.#inlineMail) {
      const task = this.task(next.invocation)
      this.tree.count()
      if (task?.status === 'inline') {
        this.#moved(task, transitionInline(this.type, task, next.event, this.#scopeOf(task)))
      }
      this.#inlineMail.shift()
    }
  }

  // Stores the new state of transition logic. If the logic has ended, the chart gets the end as an event.
  #moved(task: Task, { snapshot, event, sent }: InlineTransition): void {
    this.touch()
    if (snapshot === undefined) this.remove(task)
    else this.put({ ...task, status: 'inline', snapshot })
    if (event !== undefined) this.receiveEnd(task, event)
    else if (task.sync === true) this.receive(snapshotEvent(task.id, snapshot ?? null))
    for (const { to, event } of sent) {
      if (to === 'self') this.#moveInline(task.invocation, event)
      else if (to === 'parent') this.receive(event, true)
      else if (typeof to !== 'number') this.tree.tellActor(to, event)
    }
  }

  // Leaves a child. If the context still refers to the child, the child's last snapshot is kept for chart code that
  // reads it.
  #leaveAndForget(invocation: number): void {
    const task = this.task(invocation)
    const ended = this.ended.get(invocation)
    const snapshot = ended?.snapshot ?? (task && this.tree.actors.stoppedSnapshot(task))
    if (task !== undefined) this.#leave(task)
    const child = ended ?? task
    if (child === undefined || snapshot === undefined || !this.#refersTo(invocation)) this.ended.remove(invocation)
    else this.ended.put({ id: child.id, src: child.src, invocation, snapshot, left: true })
  }

  #refersTo(invocation: number): boolean {
    const { hasRefs, context } = this.job
    if (hasRefs !== true || this.job.phase === 'settled') return false
    if (this.#referred?.context !== context) {
      this.#referred = { context, invocations: childrenIn(context, this.tree.actors.pathOf(this)) }
    }
    return this.#referred.invocations.has(invocation)
  }

  // Forgets children that were left and that the new context does not refer to. This comes before the actions of the
  // transition, which may leave more children.
  #forgetUnreferred({ context, hasRefs }: Pick<Job, 'context' | 'hasRefs'>): void {
    const { left } = this.ended
    if (left.length === 0) return
    const referred = hasRefs === true ? childrenIn(context, this.tree.actors.pathOf(this)) : new Set()
    for (const { invocation } of left) if (!referred.has(invocation)) this.ended.remove(invocation)
  }

  #leave(task: Task): void {
    if (isLeft(task)) return
    const { again, ...rest } = task
    if (task.child !== undefined) this.tree.leaveChild(this, task, task.child)
    else if (isRunning(task)) this.put(stopping(this.type, rest, this.graceFrom(task), 'left'))
    else this.remove(task)
  }

  /** Delivers an event that the chart or one of its custom actions has sent: at once, or later by a timer. */
  send(send: SendAction): void {
    const { to, event } = send
    if (send.delayMs !== undefined) setTimer(this.job, send, send.delayMs, this.#isHeldBack ? 0 : this.steady())
    else if (to === 'self') this.receive(event, true)
    else if (to === 'parent') this.tree.tellParent(this, event)
    else if (typeof to === 'number') this.deliver(to, event)
    else this.tree.tellActor(to, event)
  }

  /** Fires a due timer. */
  fire(timer: Job['timers'][number]): void {
    this.touch()
    this.job.timers = this.job.timers.filter(({ id }) => id !== timer.id)
    this.send({ kind: 'send', to: timer.to ?? 'self', event: timer.event })
  }

  #settle(): void {
    this.job.phase = 'settled'
    this.job.timers = []
    this.#mailbox = []
    for (const task of this.tasks.list) this.#leave(task)
    delete this.job.ordinals
    for (const { invocation } of this.ended.list) this.ended.remove(invocation)
    this.job.endedAt = this.time()
  }
}

type Ordinals = NonNullable<Job['ordinals']>

function secondBatchError({ id }: Task, other: Task): Json {
  const message = `"${id}" is a batch, and may begin only when the batch "${other.id}" has ended: a job counts the items of one batch at a time`
  return { name: 'JobchartError', code: 'INVALID_STATE', message }
}

/** The key in `ordinals` that counts spawned actors. No state has this id. */
const SPAWNED = ''

/**
 * Converts the counts of entries from the states of the old chart to those of the new chart. States correspond if they
 * have an invoke with the same id.
 */
function ordinalsUnder(
  to: AnyJobType['chart']['invokes'],
  from: AnyJobType['chart']['invokes'],
  ordinals: Ordinals,
): Ordinals {
  const { [SPAWNED]: spawned } = ordinals
  const entries: { [state: string]: number } = spawned === undefined ? {} : { [SPAWNED]: spawned }
  for (const [id, before] of from) {
    const [state, ordinal] = [to.get(id), ordinals[before]]
    if (state !== undefined && ordinal !== undefined) entries[state] = Math.max(ordinal, entries[state] ?? 0)
  }
  return entries
}
