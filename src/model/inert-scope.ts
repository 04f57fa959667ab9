import { createActor } from 'xstate'
import type { Child } from './transition.ts'

/** An action as XState hands it to its executor; built-in ones by a type that begins with `xstate.`. */
export interface CapturedAction {
  readonly type: string
  readonly params: unknown
  readonly info: unknown
  readonly exec: ((info: unknown, params: unknown) => unknown) | undefined
}

/** What XState keeps of an actor that a machine has just created. */
export interface ActorLike {
  id: string
  readonly sessionId: string
  readonly src: unknown
  readonly systemId?: string
  readonly _syncSnapshot?: boolean
}

/** An actor that a machine created in the present move. */
export interface CreatedActor {
  readonly ref: ActorLike
  readonly input: unknown
}

/** Who moves. */
export interface Self {
  readonly parentInvoke?: string
}

/** Stands for the parent of a child job: `sendParent` needs one to be there. */
export const PARENT = Object.freeze({ id: 'parent', sessionId: 'parent', send: () => {}, ref: null })

/** Stands for an actor of inline logic, which nothing could find again after a crash. */
const NAMELESS = Object.freeze({ id: 'inline logic' })

const ACTIVE = Object.freeze({ status: 'active', output: undefined, error: undefined })

/** The reference to a child that stands in a row: a machine may address it, stop it, and keep it in its context. */
export class ChildRef {
  readonly id: string
  readonly src: string
  readonly invocation: number
  readonly sessionId: string
  readonly systemId: string | undefined
  readonly ref = this
  readonly #look: () => unknown

  constructor({ id, src, invocation, systemId, snapshot, look }: Child) {
    this.id = id
    this.src = src
    this.invocation = invocation
    this.sessionId = `invocation:${invocation}`
    this.systemId = systemId
    this.#look = look ?? (() => snapshot ?? ACTIVE)
  }

  /** What is sent outside an action reaches nobody: an action is how a machine asks for something. */
  send(): void {}

  /** The state of transition logic, or where a child job stands; of work that runs elsewhere, that it is active. */
  getSnapshot(): unknown {
    return this.#look()
  }
}

interface System {
  readonly _set: (systemId: string, ref: unknown) => void
  readonly _unregister: (ref: unknown) => void
}

/**
 * The actor scope that a transition is given: it writes down what the machine asks for, in order, and does none of it.
 * Its `self` is a real actor, since machines may hand it on, but one that is never started.
 */
export class InertScope {
  readonly id: string
  readonly sessionId: string
  readonly self: { _snapshot: unknown; _parent: unknown; id: string }
  readonly system: System
  readonly captured: CapturedAction[] = []
  readonly created: CreatedActor[] = []
  readonly #machineId: string
  #nextInvocation = 1
  #unstarted: CreatedActor | undefined

  constructor(machineId: string) {
    const still = { status: 'active', output: undefined, error: undefined } as const
    const logic = { transition: () => still, getInitialSnapshot: () => still, getPersistedSnapshot: () => still }
    const self = createActor(logic as never, { id: machineId } as never)
    this.#machineId = machineId
    this.id = machineId
    this.sessionId = self.sessionId
    // The fields of XState's own actor that its transitions read.
    this.self = self as unknown as InertScope['self']
    this.system = self.system as unknown as System
  }

  /** Makes the scope ready for another job's move. */
  enter({ parentInvoke }: Self, children: readonly ChildRef[], nextInvocation: number): void {
    this.#nextInvocation = nextInvocation
    this.captured.length = 0
    this.created.length = 0
    this.#unstarted = undefined
    this.self.id = parentInvoke ?? this.#machineId
    this.self._parent = parentInvoke === undefined ? undefined : PARENT
    for (const child of children) if (child.systemId !== undefined) this.system._set(child.systemId, child)
  }

  /** Notes a child that the machine has just created. One without an id gets one that a replay gives it again. */
  create(actor: CreatedActor): void {
    const { ref } = actor
    if (ref.id === ref.sessionId) ref.id = `${String(ref.src)}:${this.#nextInvocation + this.created.length}`
    this.created.push(actor)
    this.#unstarted = actor
  }

  readonly logger = (): void => {}
  readonly emit = (): void => {}
  readonly stopChild = (): void => {}

  /** `spawn` in an assign asks in this way that the actor it has just created be started. */
  readonly defer = (): void => {
    const actorRef = this.#unstarted?.ref ?? NAMELESS
    this.#unstarted = undefined
    this.captured.push({ type: 'xstate.spawnChild', params: { actorRef }, info: undefined, exec: undefined })
  }

  // Not readonly: a microstep wraps the executor and puts it back.
  actionExecutor = (action: CapturedAction): void => {
    if (action.type === 'xstate.spawnChild') this.#unstarted = undefined
    this.captured.push(action)
    // As XState does at once: the same system id may be registered again later in this move.
    if (action.type === 'xstate.stopChild' && action.params !== undefined) this.system._unregister(action.params)
  }
}
