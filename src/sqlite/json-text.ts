/** A value as JSON text, or null where there is none. */
export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

/** Labels as JSON text, or null for the many jobs that have none. */
export function labelsText(labels: { readonly [name: string]: string }): string | null {
  for (const _ in labels) return JSON.stringify(labels)
  return null
}

/** Labels as they were written. @throws {Error} the text is broken. */
export function labelsIn(text: unknown): { readonly [name: string]: string } {
  return text === null ? {} : (JSON.parse(String(text)) as { [name: string]: string })
}

/** Orders text as SQLite does: by code points. */
export function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}
