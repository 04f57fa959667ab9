type Listener = ((event: Event) => unknown) | { readonly handleEvent: (event: Event) => unknown } | null

/**
 * Keeps what listeners of a signal throw, or reject with, from taking the process down: Node throws it again, where nobody
 * can catch it. An abort is told to a task's code by whoever may cancel its job.
 */
export function guardedSignal(signal: AbortSignal, failed: (error: unknown) => void): void {
  const guards = new WeakMap<object, (event: Event) => void>()
  const guard = (listener: Listener | undefined) => {
    if (listener === null || listener === undefined) return listener
    const known = guards.get(listener)
    if (known !== undefined) return known
    const guarded = (event: Event) => {
      try {
        const answer = typeof listener === 'function' ? listener.call(signal, event) : listener.handleEvent(event)
        if (answer instanceof Promise) answer.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
    guards.set(listener, guarded)
    return guarded
  }
  const { addEventListener, removeEventListener } = signal
  const add = (type: string, listener: Listener, options?: unknown) =>
    Reflect.apply(addEventListener, signal, [type, guard(listener), options])
  const remove = (type: string, listener: Listener, options?: unknown) =>
    Reflect.apply(removeEventListener, signal, [type, guard(listener), options])
  let onabort: Listener = null
  const setOnabort = (listener: unknown) => {
    if (onabort !== null) remove('abort', onabort)
    // Its own function: the same one may be a listener too.
    onabort = typeof listener === 'function' ? (event) => listener.call(signal, event) : null
    if (onabort !== null) add('abort', onabort)
  }
  Object.defineProperties(signal, {
    addEventListener: { value: add },
    removeEventListener: { value: remove },
    onabort: { get: () => onabort, set: setOnabort },
  })
}
