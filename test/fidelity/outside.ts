import {
  type CallbackActorLogic,
  fromCallback,
  fromPromise,
  type NonReducibleUnknown,
  type PromiseActorLogic,
  type Subscribable,
} from 'xstate'

/** A plain event from the outside. */
export interface OutsideEvent {
  readonly type: string
  readonly [field: string]: unknown
}

interface Call {
  readonly input: unknown
  readonly resolve: (output: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Listener {
  readonly sendBack: (event: OutsideEvent) => void
  readonly complete?: () => void
}

/** A subscriber to an observable, as XState is. */
interface Observer {
  readonly next: (value: OutsideEvent) => void
  readonly complete: () => void
}

/**
 * The world around a machine, controlled by a test: calls that end when the test says so, and sources of events. Calls
 * are found by the name of their logic, so that the test ends the current attempt.
 */
export class Outside {
  readonly #calls = new Map<string, Call[]>()
  readonly #listeners = new Map<string, Listener[]>()
  readonly #heard: OutsideEvent[] = []
  #effects: string[] = []

  /** Promise logic that the test settles. */
  promise<Output, Input = NonReducibleUnknown>(src: string): PromiseActorLogic<Output, Input> {
    return fromPromise<Output, Input>(({ input, signal }) => this.call<Output>(src, input, signal))
  }

  /** A function that the test settles, for machines with their own `fromPromise`. */
  call<Output>(src: string, input?: unknown, signal?: AbortSignal): Promise<Output> {
    return new Promise<Output>((resolve, reject) => {
      const call: Call = { input, resolve: (output) => resolve(output as Output), reject }
      const calls = this.#calls.get(src) ?? []
      this.#calls.set(src, [...calls, call])
      const left = () => {
        this.#drop(src, call)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', left, { once: true })
    })
  }

  /** Callback logic. The test sends events through it, and sees the events that it receives. */
  callback<Event extends OutsideEvent, Input = NonReducibleUnknown>(src: string): CallbackActorLogic<Event, Input> {
    return fromCallback<Event, Input>(({ sendBack, receive }) => {
      // The machine that receives an event gives its type.
      const unlisten = this.#listen(src, { sendBack: (event) => sendBack(event) })
      receive((event) => this.#heard.push(event))
      return unlisten
    })
  }

  /** Source of an observable: the test emits its values, or its events. */
  subscribable(src: string): Subscribable<never> {
    const subscribe = (given: unknown) => {
      // XState subscribes with its own observer.
      const { next, complete } = given as Observer
      return { unsubscribe: this.#listen(src, { sendBack: (value) => next(value), complete: () => complete() }) }
    }
    return { subscribe }
  }

  /** Resolves the oldest open call of the name, or the oldest whose input matches. */
  finish(src: string, output: unknown, fits: (input: unknown) => boolean = () => true): void {
    this.#take(src, fits).resolve(output)
  }

  /** Rejects it with an error. */
  fail(src: string, error: unknown, fits: (input: unknown) => boolean = () => true): void {
    this.#take(src, fits).reject(error)
  }

  /** Sends an event through every callback of the name. */
  tell(src: string, event: OutsideEvent): void {
    const listeners = this.#listeners.get(src) ?? []
    if (listeners.length === 0) throw new Error(`no callback "${src}" listens`)
    for (const { sendBack } of listeners) sendBack(event)
  }

  /** Completes every observable of the name. */
  complete(src: string): void {
    const listeners = this.#listeners.get(src) ?? []
    if (listeners.length === 0) throw new Error(`nobody has subscribed to "${src}"`)
    for (const { complete } of listeners) complete?.()
  }

  /** An effect of an action, for machines whose actions the test provides. */
  note(effect: string): void {
    this.#effects.push(effect)
  }

  /** Effects of actions, in order. */
  get effects(): readonly string[] {
    return this.#effects
  }

  /** The inputs of the open calls, by name. */
  get open(): { readonly [src: string]: readonly unknown[] } {
    const open = [...this.#calls].filter(([, calls]) => calls.length > 0)
    return Object.fromEntries(open.map(([src, calls]) => [src, calls.map(({ input }) => input)]))
  }

  /** The process dies with everything that it ran. */
  forget(): void {
    this.#calls.clear()
    this.#listeners.clear()
  }

  #listen(src: string, listener: Listener): () => void {
    this.#listeners.set(src, [...(this.#listeners.get(src) ?? []), listener])
    return () => {
      const left = (this.#listeners.get(src) ?? []).filter((each) => each !== listener)
      this.#listeners.set(src, left)
    }
  }

  #take(src: string, fits: (input: unknown) => boolean): Call {
    const call = this.#calls.get(src)?.find(({ input }) => fits(input))
    if (call === undefined)
      throw new Error(`no call of "${src}" is open, only of: ${Object.keys(this.open).join(', ')}`)
    this.#drop(src, call)
    return call
  }

  #drop(src: string, call: Call): void {
    this.#calls.set(
      src,
      (this.#calls.get(src) ?? []).filter((each) => each !== call),
    )
  }
}
