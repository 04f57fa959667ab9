import type { Outside, OutsideEvent } from './outside.ts'

/** Something that happens to a machine, live or stored. */
export type Happening =
  | { readonly kind: 'command'; readonly event: OutsideEvent }
  | { readonly kind: 'outside'; readonly what: string; readonly happen: (outside: Outside) => void }
  | { readonly kind: 'wait'; readonly ms: number }

/** An event from a person. */
export function command(type: string, fields: { readonly [field: string]: unknown } = {}): Happening {
  return { kind: 'command', event: { ...fields, type } }
}

/** Outside work of the name succeeds. If several calls are open, the oldest whose input matches. */
export function finish(src: string, output?: unknown, fits?: (input: unknown) => boolean): Happening {
  return { kind: 'outside', what: `${src} ends`, happen: (outside) => outside.finish(src, output, fits) }
}

/** Outside work of the name fails. */
export function fail(src: string, error: unknown, fits?: (input: unknown) => boolean): Happening {
  return { kind: 'outside', what: `${src} fails`, happen: (outside) => outside.fail(src, error, fits) }
}

/** A callback of the name sends an event. */
export function tell(src: string, type: string, fields: { readonly [field: string]: unknown } = {}): Happening {
  return { kind: 'outside', what: `${src} tells ${type}`, happen: (outside) => outside.tell(src, { ...fields, type }) }
}

/** An observable of the name completes. */
export function complete(src: string): Happening {
  return { kind: 'outside', what: `${src} completes`, happen: (outside) => outside.complete(src) }
}

/** Time passes. */
export function wait(ms: number): Happening {
  return { kind: 'wait', ms }
}
