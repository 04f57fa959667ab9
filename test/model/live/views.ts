import type { AnyActorRef } from 'xstate'

/** Views of a machine that are equal on both sides. */
export interface View {
  readonly status: 'active' | 'done' | 'error'
  readonly value: unknown
  /** References as `{ ref: id }`. */
  readonly context: unknown
  readonly output?: unknown
  readonly error?: string | undefined
  readonly history: { readonly [id: string]: readonly string[] }
  readonly timers: readonly TimerView[]
  readonly children: { readonly [id: string]: ChildView }
}

/** An active child: a machine, transition logic by its state, or a promise by its input. */
export type ChildView = { readonly systemId?: string | undefined } & (
  | { readonly machine: View }
  | { readonly state: unknown }
  | { readonly input: unknown }
)

export interface TimerView {
  /** `self`, `parent`, the id of a child, or `gone`. */
  readonly to: string
  readonly event: string
  readonly dueAt: number
}

/** Timers, sorted in the same way on both sides. */
export function sorted(timers: readonly TimerView[]): readonly TimerView[] {
  return [...timers].sort((a, b) => a.dueAt - b.dueAt || a.event.localeCompare(b.event) || a.to.localeCompare(b.to))
}

/** A context with its references replaced by names. */
export function named(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const isLive = 'sessionId' in value && 'send' in value
  if (isLive || 'xstate$$type' in value) return { ref: (value as AnyActorRef).id }
  if (Array.isArray(value)) return value.map(named)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, named(each)]))
}

/** A view as JSON has it, where undefined is absent. */
export function plain<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value
}

/** Emitted events, by the path of the machine and its instance, because a state may be entered again. */
export class Emitted {
  readonly #byPath = new Map<string, Map<string, unknown[]>>()

  add(path: string, instance: string, event: unknown): void {
    const instances = this.#byPath.get(path) ?? new Map<string, unknown[]>()
    this.#byPath.set(path, instances.set(instance, [...(instances.get(instance) ?? []), event]))
  }

  /** In order for each machine. The sides name the instances differently. */
  view(): { readonly [path: string]: readonly string[] } {
    const paths = [...this.#byPath].map(([path, instances]) => [
      path,
      [...instances.values()].map((events) => JSON.stringify(events)).sort(),
    ])
    return Object.fromEntries(paths)
  }
}
