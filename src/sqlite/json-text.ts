/** A value as JSON text; `null` for `undefined`. */
export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

/** Labels as JSON text; `null` if there are none, as in most jobs. */
export function labelsText(labels: { readonly [name: string]: string }): string | null {
  for (const _ in labels) return JSON.stringify(labels)
  return null
}

/** Decodes labels. @throws {Error} the text is broken. */
export function labelsIn(text: unknown): { readonly [name: string]: string } {
  return text === null ? {} : (JSON.parse(String(text)) as { [name: string]: string })
}

/** Compares texts by code points, as SQLite does. */
export function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}
