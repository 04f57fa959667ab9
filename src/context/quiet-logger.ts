import type { Logger } from '../port/logger.ts'

/** Wraps a logger so that its errors are ignored. Without a logger, logs nothing. */
export function quietLogger(given: Logger | undefined): Logger {
  const level = (name: keyof Logger) => (fields: object, message: string) => {
    // The error of a logger cannot be reported anywhere.
    try {
      Promise.resolve(given?.[name](fields, message)).catch(() => {})
    } catch {}
  }
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
}
