/** A value that is known at once, or later. Most policies and schemas answer at once, and cost no promise then. */
export type Soon<Value> = Value | Promise<Value>

/** Hears of a value that comes later, or of why it does not come, without a promise. */
export interface Answer<Value> {
  readonly done: (value: Value) => void
  readonly failed: (error: unknown) => void
}

/** Goes on with a value: at once where it is known. */
export function whenKnown<Value, Next>(value: Soon<Value>, next: (value: Value) => Soon<Next>): Soon<Next> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** Whether a value is to be waited for. */
export function isPromiseLike<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
