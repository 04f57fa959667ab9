import type { Json } from 'jobchart'

/** The state of a machine and of all its actors. A live actor and a stored job must agree on it. */
export interface Picture {
  readonly status: 'active' | 'done' | 'error'
  readonly value: unknown
  readonly context: unknown
  readonly output?: unknown
  readonly error?: unknown
  /** By their ids: machines by their own picture, transition logic by its state, outside work by `null`. */
  readonly children: { readonly [id: string]: Picture | Json }
}

/** A value as JSON would give it back. */
export function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}

/** A stored context, with each reference replaced by its name. */
export function withoutPaths(context: unknown): unknown {
  if (typeof context !== 'object' || context === null) return context
  if (Array.isArray(context)) return context.map(withoutPaths)
  const entries = Object.entries(context).filter(([key]) => !('xstate$$type' in context && key === 'path'))
  return Object.fromEntries(entries.map(([key, each]) => [key, withoutPaths(each)]))
}

/** The parts of an error that both sides keep. */
export function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error)
  return 'message' in error ? String(error.message) : JSON.stringify(error)
}
