import type { Effect, SendAction, StartAction } from './chart-action.ts'
import type { Decision, JobDecision } from './decision.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { forgetEnded, noteEnded } from './ended.ts'
import type { EventDraft } from './event.ts'
import type { Family } from './family.ts'
import { firstActions } from './first-actions.ts'
import { EXECUTOR_EVENTS } from './inert-machine.ts'
import { type InlineMove, moveInline, startInline } from './inline.ts'
import { isBusy, type Job } from './job.ts'
import { forgetChild, leaveChild, startChild, startHeldBack, tellEnd, tellSnapshot } from './kinship.ts'
import { type Keyed, keyed } from './limits.ts'
import { goingOn, isAtRest, migrationOf } from './migration.ts'
import { admitted, type OpenJob, recordMigration, recordMove, standAt } from './move-record.ts'
import { errorEvent, newTask, settingsOf, snapshotEvent, withoutCrashes } from './record.ts'
import { fullError, isFull, isLeft, isStop, offeredAgain, stopError, stopping, withMessage } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task } from './task.ts'
import { setTimer } from './timer.ts'
import type { ChartAction, ChartEvent, Move, Origin } from './transition.ts'

/** A job while a decision is made of it: what the chart asks for becomes tasks, timers and events of the record. */
export class Draft {
  type: AnyJobType
  readonly job: OpenJob
  readonly events: EventDraft[] = []
  readonly family: Family
  readonly #before: Job
  readonly #inputs: Json[] = []
  readonly #logs: string[] = []
  readonly #over: number[] = []
  readonly #effects: Effect[] = []
  #mailbox: ChartEvent[] = []
  /** Events for children that start later in the same move. */
  readonly #early = new Map<number, ChartEvent[]>()
  #isMoving = false
  /** The parent left the invoke in the midst of a move. */
  #isLeft = false
  #handled: boolean | undefined
  #changed = false
  #isNew: boolean

  constructor(family: Family, type: AnyJobType, job: Job) {
    this.type = type
    this.job = { ...job }
    this.family = family
    this.#before = job
    this.#isNew = job.revision === 0
  }

  get isChanged(): boolean {
    return this.#changed
  }

  decision(others: readonly JobDecision[] = []): Decision {
    if (this.#changed) {
      if (this.events.length === 0) this.events.push({ type: 'job.updated' })
      this.job.revision = this.#before.revision + 1
      this.job.eventCount = this.#before.eventCount + this.events.length
    }
    return {
      type: this.type,
      ...(this.#before.revision === 0 ? {} : { before: this.#before }),
      handled: this.#handled ?? true,
      changed: this.#changed || others.length > 0,
      job: this.job,
      events: this.events,
      inputs: this.#inputs,
      logs: this.#logs,
      over: this.#over,
      effects: this.#effects,
      others,
    }
  }

  /** A record's times never fall, whatever the clock does. */
  time(): number {
    return Math.max(this.family.moment.at, this.job.updatedAt)
  }

  touch(): void {
    this.#changed = true
    this.job.updatedAt = this.time()
  }

  task(invocation: number): Task | undefined {
    return this.job.tasks.find((task) => task.invocation === invocation)
  }

  put(task: Task): void {
    this.job.tasks = this.job.tasks.map((each) => (each.invocation === task.invocation ? task : each))
  }

  remove(task: Task): void {
    this.job.tasks = this.job.tasks.filter((each) => each.invocation !== task.invocation)
    this.#over.push(task.invocation)
  }

  /** Makes the first move of a new job. What was sent to it before stands first in its mailbox. */
  begin(early: readonly ChartEvent[] = []): void {
    this.#isMoving = true
    this.#mailbox = [...early]
    const input = this.type.chartTakesInput ? this.job.input : undefined
    const move = this.type.chart.start(input, this.#origin())
    this.#apply({ ...move, actions: firstActions(this.type, move) }, { type: 'xstate.init' })
    this.#drain()
  }

  /** Moves the job to another version of its type, where its author wants it and nothing of it runs. */
  migrate(to: AnyJobType): void {
    const migration = isAtRest(this.job) ? migrationOf(this.type, to, this.job, this.#origin()) : undefined
    if (migration === undefined) return
    const { place, starts, delays } = migration
    const { invokes } = this.type.chart
    const { kept, begun } = goingOn(to, this.job, starts, (id) => invokes.has(id))
    this.touch()
    this.type = to
    this.events.push(recordMigration(this.job, to, migration))
    this.#inputs.push({ type: 'job.migrated', version: to.version, state: place.state, context: place.context })
    for (const task of this.job.tasks)
      if (!kept.some(({ invocation }) => invocation === task.invocation)) this.#leave(task)
    for (const task of kept) this.put(task)
    for (const start of begun) this.#start(start)
    for (const delay of delays) this.#send(delay)
  }

  /** Takes an event: at once, or after the one that is being taken. */
  receive(event: ChartEvent): void {
    if (this.job.phase === 'settled' || this.job.deletedAt !== undefined || this.#isLeft) return
    this.#mailbox.push(event)
    if (!this.#isMoving) this.#drain()
  }

  /** Takes the end of a child, which the chart goes on to know until it leaves it. */
  receiveEnd(task: Task, event: ChartEvent): void {
    if (this.job.phase !== 'settled') noteEnded(this.job, task)
    this.receive(event)
  }

  /** Taken only where the chart names it: an unchanged machine with a wildcard must not be moved by the executor. */
  receiveNamed(event: ChartEvent): void {
    if (this.job.phase !== 'settled' && this.type.chart.names(this.job, event, this.#origin())) this.receive(event)
  }

  /** Gives an event to a child. */
  deliver(invocation: number, event: ChartEvent): void {
    const task = this.task(invocation)
    if (task === undefined) this.#early.get(invocation)?.push(event)
    else if (isLeft(task)) return
    else if (task.child !== undefined) this.family.draft(task.child).receive(event)
    else if (this.type.children.has(task.src)) this.#keepFor(task, event)
    else if (task.status === 'inline') this.#moved(task, moveInline(this.type, task, event))
    else this.#tell(task, event)
  }

  // A child that is not begun yet.
  #keepFor(task: Task, event: ChartEvent): void {
    this.touch()
    this.put({ ...task, inbox: [...task.inbox, event as Json] })
  }

  #tell(task: Task, event: ChartEvent): void {
    this.touch()
    if (isFull(task)) {
      this.#leave(task)
      this.receiveEnd(task, errorEvent(task.id, fullError(task)))
      return
    }
    const told = withMessage(this.type, task, event, this.graceFrom())
    // Work that has not begun, and is not to, has ended; so has an attempt that was only to be made again.
    const isOver = isStop(event as Json) && (task.status === 'available' || task.status === 'stopping')
    if (!isOver) {
      this.put(told)
      // A promise takes no event, but XState says of each again where it stands.
      if (settingsOf(this.type, task).kind === 'promise') this.#tellStanding(task)
      return
    }
    const { again, ...rest } = told
    if (task.status === 'available') this.remove(task)
    else this.put(rest)
    this.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop before it began')))
  }

  /** The grace of code that is asked to stop counts from when its executor has heard of it. */
  graceFrom(): number {
    return this.time() + this.family.moment.heartbeatMs
  }

  /** The task's code is given up, or was: it may still run, but nothing that it reports counts. */
  gone(task: Task): void {
    if (task.again === undefined) this.remove(task)
    else this.put(offeredAgain(task, Math.max(task.again, this.time())))
  }

  /** Not admitted: its tasks and children are not begun, and its timers are delays. */
  get #isHeldBack(): boolean {
    return this.job.admittedAt === undefined
  }

  /** A waiting job's turn has come. */
  admit(): void {
    if (this.job.phase !== 'waiting') return
    this.touch()
    const at = this.time()
    admitted(this.job, this.type.chart.meaning(this.job), at)
    this.events.push({ type: 'job.admitted' })
    this.#inputs.push({ type: 'job.admitted' })
    startHeldBack(this)
  }

  /** Nothing of the job is shown or moved any more; what runs of it stops. */
  delete(): void {
    if (this.job.deletedAt !== undefined) return
    this.touch()
    this.job.deletedAt = this.time()
    this.job.timers = []
    this.#mailbox = []
    this.events.push({ type: 'job.deleted' })
    for (const { child } of this.job.tasks) if (child !== undefined) this.family.draft(child).delete()
    for (const task of this.job.tasks) this.#leave(task)
  }

  /** The parent left the invoke: the job and all below it stop, once the move that may have caused it is done. */
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

  #origin(): Origin {
    const { parentInvoke } = this.job
    return {
      children: [...(this.job.ended ?? []), ...this.family.childrenOf(this.job)],
      nextInvocation: this.job.counter + 1,
      ...(parentInvoke === undefined ? {} : { parentInvoke }),
    }
  }

  #drain(): void {
    this.#isMoving = true
    for (let event = this.#mailbox.shift(); event !== undefined; event = this.#mailbox.shift()) {
      const move = this.#move(event)
      this.#handled ??= move.handled
      if (move.handled) this.#apply(move, event)
      else tellSnapshot(this)
    }
    this.#isMoving = false
    if (!this.#isLeft) return
    this.#stopNow()
    const { id, parentId } = this.job
    if (parentId !== undefined && !isBusy(this.job)) forgetChild(this.family.draft(parentId), id)
  }

  #move(event: ChartEvent): Move {
    const move = this.type.chart.move(this.job, event, this.#origin())
    this.family.throwMissing()
    try {
      this.family.count()
      return move
    } catch (error) {
      return { ...move, handled: true, moved: true, place: this.job, end: { kind: 'error', error }, actions: [] }
    }
  }

  #apply(move: Move, event: ChartEvent): void {
    this.job.counter += move.created
    const asks = move.actions.some(({ kind }) => kind !== 'effect')
    if (move.moved || asks) {
      this.touch()
      if (!EXECUTOR_EVENTS.has(event.type)) this.job.tasks = withoutCrashes(this.job.tasks)
      this.#inputs.push(event as unknown as Json)
      standAt(this.job, move)
      this.events.push(recordMove(this.type, this.job, move, event, this.#isNew))
      this.#isNew = false
    }
    for (const action of move.actions) if (action.kind === 'start') this.#early.set(action.invocation, [])
    for (const action of move.actions) this.#act(action)
    if (move.end === undefined) tellSnapshot(this)
    else {
      this.#settle()
      tellEnd(this, move.end)
    }
  }

  #act(action: ChartAction): void {
    switch (action.kind) {
      case 'start':
        this.#start(action)
        return
      case 'leave': {
        const task = this.task(action.invocation)
        if (task !== undefined) this.#leave(task)
        forgetEnded(this.job, ({ invocation }) => invocation === action.invocation)
        return
      }
      case 'send':
        this.#send(action)
        return
      case 'cancelTimer':
        this.job.timers = this.job.timers.filter(({ id }) => id !== action.id)
        return
      case 'emit':
        this.events.push({ type: 'job.emitted', event: action.event })
        return
      case 'log':
        this.#logs.push(action.text)
        return
      case 'effect':
        this.#effects.push(action.run)
    }
  }

  #start(action: StartAction): void {
    const { invocation, id, src } = action
    // A history that remembers nothing enters a state again without having left it.
    for (const earlier of this.job.tasks.filter((each) => each.id === id)) this.#leave(earlier)
    forgetEnded(this.job, (ended) => ended.id === id)
    const task = newTask(this.type, action, this.time())
    const child = childTypeOf(this.type, src)
    const early = this.#early.get(invocation) ?? []
    // First: it may end as it starts, and what would be kept for it then were kept without end.
    this.#early.delete(invocation)
    if (child !== undefined) {
      if (this.#isHeldBack)
        this.job.tasks = [...this.job.tasks, { ...task, inbox: early as unknown as readonly Json[] }]
      else startChild(this, task, child, early)
      return
    }
    if (this.type.inline.has(src)) this.#startInline(task)
    else this.#offer(keyed(this.type.tasks.get(src), this.job, task))
    for (const event of early) this.deliver(invocation, event)
  }

  #offer({ task, error }: Keyed): void {
    if (error === undefined) this.job.tasks = [...this.job.tasks, task]
    if (error === undefined) this.#tellStanding(task)
    else this.receiveEnd(task, errorEvent(task.id, error))
  }

  #tellStanding({ id, sync, input }: Task): void {
    if (sync === true) this.receive(snapshotEvent(id, { status: 'active', input: input ?? null }))
  }

  #startInline(task: Task): void {
    this.job.tasks = [...this.job.tasks, { ...task, status: 'inline' }]
    this.#moved(task, startInline(this.type, task))
  }

  // Transition logic has moved: its state is kept, and an end of it is an event.
  #moved(task: Task, { snapshot, event }: InlineMove): void {
    this.touch()
    if (snapshot === undefined) this.remove(task)
    else this.put({ ...task, status: 'inline', snapshot })
    if (event !== undefined) this.receiveEnd(task, event)
    else if (task.sync === true) this.receive(snapshotEvent(task.id, snapshot ?? null))
  }

  #leave(task: Task): void {
    if (isLeft(task)) return
    const { again, ...rest } = task
    if (task.child !== undefined) leaveChild(this, task, task.child)
    else if (task.status === 'claimed' || task.status === 'stopping')
      this.put(stopping(this.type, rest, this.graceFrom(), 'left'))
    else this.remove(task)
  }

  #send(send: SendAction): void {
    const { to, event } = send
    if (send.delayMs !== undefined) setTimer(this.job, send, send.delayMs, this.#isHeldBack ? 0 : this.time())
    else if (to === 'self') this.receive(event)
    else if (to !== 'parent') this.deliver(to, event)
    else if (this.job.parentId !== undefined) this.family.draft(this.job.parentId).receive(event)
  }

  /** Fires a timer that has fallen due. */
  fire(timer: Job['timers'][number]): void {
    this.touch()
    this.job.timers = this.job.timers.filter(({ id }) => id !== timer.id)
    this.#send({ kind: 'send', to: timer.to ?? 'self', event: timer.event })
  }

  #settle(): void {
    this.job.phase = 'settled'
    this.job.timers = []
    this.#mailbox = []
    for (const task of this.job.tasks) this.#leave(task)
    delete this.job.ended
    this.job.endedAt = this.time()
  }
}
