/** A value, or a promise of it. Most policies and schemas are synchronous, and need no promise. */
export type Soon<Value> = Value | Promise<Value>

/** Callbacks for a later value or its error, in place of a promise. */
export interface Answer<Value> {
  readonly done: (value: Value) => void
  readonly failed: (error: unknown) => void
}

/** Calls `next` with the value: at once, or when its promise resolves. */
export function whenKnown<Value, Next>(value: Soon<Value>, next: (value: Value) => Soon<Next>): Soon<Next> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** Whether the value is a promise. */
export function isPromiseLike<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
