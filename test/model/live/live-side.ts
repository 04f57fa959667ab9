/**
 * One live actor of a generated machine, under a simulated clock.
 *
 * Its promises are real ones: XState's own `fromPromise` waits for them, and the driver settles them and lets the
 * microtasks run. So an actor hears of its promise exactly as in XState, including the order of notifications.
 */
import {
  type AnyActor,
  type AnyActorRef,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  createActor,
  type InspectionEvent,
  SimulatedClock,
} from 'xstate'
import { KEPT } from './actions.ts'
import type { PromiseCreator } from './machines.ts'
import { type ChildView, Emitted, named, sorted, type TimerView, type View } from './views.ts'

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

interface ScheduledEvent {
  readonly source: AnyActorRef
  readonly target: AnyActorRef
  readonly event: { readonly type: string }
}

interface Scheduling {
  readonly _snapshot: { readonly _scheduledEvents: { readonly [id: string]: ScheduledEvent } }
}

// XState stores no due time with a scheduled event, so it is recorded when the clock is asked.
class NotingClock extends SimulatedClock {
  onTimeout: (dueAt: number) => void = () => {}
  onCancel: () => void = () => {}

  override clearTimeout(id: number): void {
    this.onCancel()
    super.clearTimeout(id)
  }

  override setTimeout(run: (...args: never[]) => void, delay: number): number {
    this.onTimeout(this.now() + delay)
    return super.setTimeout(run as never, delay)
  }
}

export class LiveSide {
  readonly actor: AnyActor
  readonly emitted = new Emitted()
  /** Number of times that each thing happened. */
  readonly #reached: Map<string, number>
  /** Set once stored jobs differ on purpose. */
  endOfRun: string | undefined
  readonly #clock = new NotingClock()
  readonly #waiting = new Map<AnyActorRef, Waiting>()
  readonly #dueAt = new WeakMap<object, number>()
  /**
   * Events of a child that its parent had left. A stored job drops an end whose invoke was left.
   * XState delivers it, as well as the last snapshot of transition logic that it stops, even to a state entered again.
   */
  readonly #late = new WeakSet<object>()
  /** The active states of each machine after its last microstep. */
  readonly #nodes = new WeakMap<object, readonly AnyStateNode[]>()
  /**
   * Machines that ended in their first transition. XState starts the children that they spawned by an assign, although
   * it has already stopped them.
   */
  readonly #overAtOnce = new WeakSet<object>()

  constructor(make: (creator: PromiseCreator) => AnyStateMachine, input: unknown, reached: Map<string, number>) {
    this.#reached = reached
    const inspect = (event: InspectionEvent) => this.#inspect(event)
    const machine = make(({ self }) => this.#promise(self))
    const options = { input, clock: this.#clock, inspect, logger: () => {} }
    this.actor = createActor(machine, options as never)
    this.#clock.onTimeout = (dueAt) => this.#noteTimer(dueAt)
    this.#clock.onCancel = () => this.note('timer cancelled')
    this.actor.subscribe({ error: () => {} })
    this.actor.start()
    // XState frees a system id at once, except while a machine makes its first transition.
    if (this.view().error?.startsWith('Actor with system ID')) this.endOfRun = 'a system id twice in the first move'
  }

  get now(): number {
    return this.#clock.now()
  }

  send(event: { readonly type: string }): void {
    this.actor.send(event)
  }

  /** Lets time pass; due events happen. */
  set(time: number): void {
    this.#clock.set(time)
  }

  /** The paths of the pending promises. */
  promises(): ReadonlyMap<string, AnyActorRef> {
    const paths = new Map<string, AnyActorRef>()
    const visit = (actor: AnyActorRef, path: string) => {
      for (const [id, child] of childrenOf(actor)) {
        if (this.#waiting.has(child)) paths.set(`${path}/${id}`, child)
        visit(child, `${path}/${id}`)
      }
    }
    visit(this.actor, '')
    return paths
  }

  /** Settles a promise, and lets its actor hear of it. */
  async settle(promise: AnyActorRef, isGood: boolean, value: unknown): Promise<void> {
    const waiting = this.#waiting.get(promise)
    this.#waiting.delete(promise)
    if (isGood) waiting?.resolve(value)
    else waiting?.reject(value)
    // The reaction of the promise itself, then XState's.
    await undefined
    await undefined
  }

  view(): View {
    return this.#viewOf(this.actor)
  }

  stop(): void {
    this.actor.stop()
  }

  #promise(self: AnyActorRef): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(self, { resolve, reject }))
  }

  #noteTimer(dueAt: number): void {
    for (const scheduled of this.#scheduled()) if (!this.#dueAt.has(scheduled)) this.#dueAt.set(scheduled, dueAt)
  }

  #scheduled(): readonly ScheduledEvent[] {
    return Object.values((this.actor.system as unknown as Scheduling)._snapshot._scheduledEvents)
  }

  /** Counts an occurrence. */
  note(what: string): void {
    this.#reached.set(what, (this.#reached.get(what) ?? 0) + 1)
  }

  #inspect(event: InspectionEvent): void {
    if (event.type === '@xstate.actor') this.#listen(event.actorRef as AnyActorRef)
    else if (event.type === '@xstate.event') this.#noteEvent(event)
    else if (event.type === '@xstate.microstep') this.#noteMicrostep(event)
  }

  #listen(actor: AnyActorRef): void {
    const path = pathOf(actor)
    actor.on('*', (event: unknown) => {
      // It may emit in the same transition in which a message of it made its parent throw, as a stored job does too.
      if (isOrphan(actor)) this.endOfRun ??= 'a child goes on although its parent threw'
      if (isOrphan(actor) || this.#isOverAtOnce(parentOf(actor))) return
      this.note('emitted')
      this.emitted.add(path, actor.sessionId, event)
    })
  }

  #noteEvent({ actorRef, sourceRef, event }: Extract<InspectionEvent, { type: '@xstate.event' }>): void {
    const target = actorRef as AnyActor
    const source = sourceRef as AnyActor | undefined
    const { status } = target.getSnapshot() as AnyMachineSnapshot
    if (event.type === 'xstate.init' && status !== 'active') this.#overAtOnce.add(target)
    if (source === undefined || isOrphan(target)) return
    if (event.isLate === true) this.note('delayed event arrived')
    if (parentOf(target) === source) this.#noteSend(target)
    if (parentOf(source) !== target) return
    const [, kind, of] = event.type.split('.')
    this.note(of === 'actor' ? `child ${kind}` : kind === 'snapshot' ? 'child snapshot' : 'sent to the parent')
    if (parentOf(target) !== undefined) this.note('heard of a grandchild')
    const children = (target.getSnapshot() as AnyMachineSnapshot).children as { readonly [id: string]: AnyActorRef }
    if (!event.type.startsWith('xstate.') || children[source.id] === source) return
    this.#late.add(event)
    // A transition that throws is no microstep.
    target.subscribe({ error: () => this.#heardLate() })
  }

  #isOverAtOnce(actor: AnyActorRef | undefined): boolean {
    return actor !== undefined && (this.#overAtOnce.has(actor) || this.#isOverAtOnce(parentOf(actor)))
  }

  #noteSend(to: AnyActorRef): void {
    const { systemId, id } = to as { readonly systemId?: string; readonly id: string }
    const snapshot = to.getSnapshot() as {
      readonly status: string
      readonly machine?: unknown
      readonly context?: unknown
    }
    const isLogic = snapshot.machine === undefined && snapshot.context !== undefined
    this.note('sent to a child')
    if (systemId !== undefined) this.note('sent to a child of a system id')
    if (id === KEPT) this.note('sent to a reference')
    if (isLogic) this.note('sent to transition logic')
    if (snapshot.status !== 'active') this.note('sent to a child that is over')
  }

  #noteMicrostep({
    actorRef,
    event,
    _transitions,
    snapshot: after,
  }: Extract<InspectionEvent, { type: '@xstate.microstep' }>): void {
    const actor = actorRef as unknown as { readonly _snapshot?: AnyMachineSnapshot; readonly _syncSnapshot?: boolean }
    const snapshot = actor._snapshot
    const before = this.#nodes.get(actorRef) ?? snapshot?._nodes ?? []
    this.#nodes.set(actorRef, (after as AnyMachineSnapshot)._nodes)
    const isEventless = _transitions.some(({ eventType }) => eventType === '')
    if (isEventless && isOutOfOrder(before)) this.endOfRun ??= 'always in several regions, in the order of their entry'
    const isHeard = _transitions.length > 0 || event.type.startsWith('xstate.error.') || actor._syncSnapshot === true
    if (isHeard && this.#late.has(event)) this.#heardLate()
    for (const { eventType, target } of _transitions) {
      this.note(kindOfTransition(eventType))
      const back = target?.find(({ type }) => type === 'history')
      if (back !== undefined) this.note(snapshot?.historyValue[back.id] ? 'history restored' : 'history by default')
    }
  }

  #heardLate(): void {
    this.endOfRun ??= 'an event of a child that was left'
  }

  #viewOf(actor: AnyActorRef): View {
    const snapshot = actor.getSnapshot() as AnyMachineSnapshot
    const isActive = snapshot.status === 'active'
    const history = Object.entries(snapshot.historyValue as { [id: string]: readonly { readonly id: string }[] })
    return {
      status: snapshot.status as View['status'],
      value: snapshot.value,
      context: named(snapshot.context),
      output: snapshot.output,
      error: snapshot.status === 'error' ? messageOf(snapshot.error) : undefined,
      history: isActive
        ? Object.fromEntries(history.map(([id, nodes]) => [id, nodes.map((node) => node.id).sort()]))
        : {},
      timers: isActive ? this.#timersOf(actor) : [],
      children: isActive
        ? Object.fromEntries(childrenOf(actor).map(([id, child]) => [id, this.#childView(child)]))
        : {},
    }
  }

  #childView(child: AnyActorRef): ChildView {
    const { systemId } = child as { readonly systemId?: string }
    const snapshot = child.getSnapshot() as {
      readonly machine?: unknown
      readonly context?: unknown
      readonly input?: unknown
    }
    if (snapshot.machine !== undefined) return { systemId, machine: this.#viewOf(child) }
    return 'context' in snapshot ? { systemId, state: snapshot.context } : { systemId, input: snapshot.input }
  }

  #timersOf(actor: AnyActorRef): readonly TimerView[] {
    const ids = new Map(childrenOf(actor).map(([id, child]) => [child, id]))
    const nameOf = (target: AnyActorRef) =>
      target === actor ? 'self' : target === parentOf(actor) ? 'parent' : (ids.get(target) ?? 'gone')
    const own = this.#scheduled().filter(({ source }) => source === actor)
    return sorted(
      own.map((scheduled) => ({
        to: nameOf(scheduled.target),
        event: scheduled.event.type,
        dueAt: this.#dueAt.get(scheduled) ?? Number.NaN,
      })),
    )
  }
}

function parentOf(actor: AnyActorRef): AnyActorRef | undefined {
  return (actor as unknown as { readonly _parent?: AnyActorRef })._parent
}

function childrenOf(actor: AnyActorRef): readonly (readonly [string, AnyActorRef])[] {
  const { children } = actor.getSnapshot() as { readonly children?: { readonly [id: string]: AnyActorRef | undefined } }
  return Object.entries(children ?? {}).flatMap(([id, child]) =>
    child?.getSnapshot().status === 'active' ? [[id, child] as const] : [],
  )
}

function pathOf(actor: AnyActorRef): string {
  const parent = parentOf(actor)
  return parent === undefined ? '' : `${pathOf(parent)}/${actor.id}`
}

// XState leaves the children of a machine that threw running, unheard. No stored job does so.
function isOrphan(actor: AnyActorRef): boolean {
  const parent = parentOf(actor)
  if (parent === undefined) return false
  const snapshot = (parent as unknown as { readonly _snapshot?: { readonly status: string } })._snapshot
  return snapshot?.status === 'error' || isOrphan(parent)
}

// XState takes such transitions in the order in which the leaves were entered. Once it has restored the machine from
// its own persisted snapshot, it takes them in document order.
function isOutOfOrder(nodes: readonly AnyStateNode[]): boolean {
  const isEventless = (node: AnyStateNode | undefined): boolean =>
    node !== undefined && (node.always !== undefined || isEventless(node.parent))
  const leaves = nodes.filter((node) => node.type === 'atomic' || node.type === 'final').filter(isEventless)
  return leaves.some(({ order }, index) => index > 0 && order < (leaves[index - 1]?.order ?? 0))
}

function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { readonly message?: unknown }
  return String(message ?? error)
}

function kindOfTransition(eventType: string): string {
  if (eventType === '') return 'always taken'
  if (eventType.includes('*')) return 'taken by a wildcard'
  if (eventType.startsWith('xstate.after.')) return 'after taken'
  if (eventType.startsWith('xstate.done.state.')) return 'onDone of a state taken'
  if (eventType.startsWith('xstate.done.actor.')) return 'onDone of an invoke taken'
  if (eventType.startsWith('xstate.error.actor.')) return 'onError of an invoke taken'
  return eventType.startsWith('xstate.snapshot.') ? 'onSnapshot taken' : 'taken by its name'
}
