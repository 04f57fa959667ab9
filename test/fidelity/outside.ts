import {
  type CallbackActorLogic,
  fromCallback,
  fromPromise,
  type NonReducibleUnknown,
  type PromiseActorLogic,
  type Subscribable,
} from 'xstate'

/** A plain event, as the outside sees it. */
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

/** Who listens to an observable, as XState does. */
interface Observer {
  readonly next: (value: OutsideEvent) => void
  readonly complete: () => void
}

/**
 * The world that a machine works with, in the hands of a test: calls that end when the test says so, and things that
 * tell the machine events. It is keyed by the name of the logic, so that what is ended is the attempt that runs now.
 */
export class Outside {
  readonly #calls = new Map<string, Call[]>()
  readonly #listeners = new Map<string, Listener[]>()
  readonly #heard: OutsideEvent[] = []
  #effects: string[] = []

  /** Logic of a promise that the test ends. */
  promise<Output, Input = NonReducibleUnknown>(src: string): PromiseActorLogic<Output, Input> {
    return fromPromise<Output, Input>(({ input, signal }) => this.call<Output>(src, input, signal))
  }

  /** A function that the test ends, for machines that bring their own `fromPromise`. */
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

  /** Logic of a callback through which the test tells events, and hears what is sent to it. */
  callback<Event extends OutsideEvent, Input = NonReducibleUnknown>(src: string): CallbackActorLogic<Event, Input> {
    return fromCallback<Event, Input>(({ sendBack, receive }) => {
      // What a test tells is typed by the machine that hears it.
      const unlisten = this.#listen(src, { sendBack: (event) => sendBack(event) })
      receive((event) => this.#heard.push(event))
      return unlisten
    })
  }

  /** What an observable subscribes to: what the test tells are its values, or its events. */
  subscribable(src: string): Subscribable<never> {
    const subscribe = (given: unknown) => {
      // XState subscribes with an observer of its own.
      const { next, complete } = given as Observer
      return { unsubscribe: this.#listen(src, { sendBack: (value) => next(value), complete: () => complete() }) }
    }
    return { subscribe }
  }

  /** Ends the oldest open call of the name, or of those whose input fits. */
  finish(src: string, output: unknown, fits: (input: unknown) => boolean = () => true): void {
    this.#take(src, fits).resolve(output)
  }

  /** Ends it with an error. */
  fail(src: string, error: unknown, fits: (input: unknown) => boolean = () => true): void {
    this.#take(src, fits).reject(error)
  }

  /** Tells an event through every callback of the name. */
  tell(src: string, event: OutsideEvent): void {
    const listeners = this.#listeners.get(src) ?? []
    if (listeners.length === 0) throw new Error(`no callback "${src}" listens`)
    for (const { sendBack } of listeners) sendBack(event)
  }

  /** Every observable of the name has told all. */
  complete(src: string): void {
    const listeners = this.#listeners.get(src) ?? []
    if (listeners.length === 0) throw new Error(`nobody has subscribed to "${src}"`)
    for (const { complete } of listeners) complete?.()
  }

  /** An effect of an action, for machines whose actions the test provides. */
  note(effect: string): void {
    this.#effects.push(effect)
  }

  /** What actions have done, in order. */
  get effects(): readonly string[] {
    return this.#effects
  }

  /** The inputs of the open calls, for each name. */
  get open(): { readonly [src: string]: readonly unknown[] } {
    const open = [...this.#calls].filter(([, calls]) => calls.length > 0)
    return Object.fromEntries(open.map(([src, calls]) => [src, calls.map(({ input }) => input)]))
  }

  /** The process is gone, and with it all that it ran. */
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
