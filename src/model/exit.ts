import type { TaskEnd } from './attempt-end.ts'

/** How a program ended. */
export interface Exit {
  /** The exit code. For a program ended by a signal: 128 plus the signal's number. */
  readonly exitCode: number
  /** The signal that ended it, e.g. `'SIGKILL'`. */
  readonly signal?: string
  /** The last lines that it wrote to its standard error. */
  readonly stderr?: string
}

/**
 * The end of a task whose program has ended. Exit code 0 becomes a done event with the output `{ exitCode: 0 }`. Any
 * other exit code becomes an error event. The error has the name `ExitError`, the `exitCode`, the `signal` if there was
 * one, and the last lines of the standard error as its message.
 */
export function exitEnd({ exitCode, signal, stderr = '' }: Exit): TaskEnd {
  if (exitCode === 0 && signal === undefined) return { ok: true, output: { exitCode }, exitCode }
  const why = signal === undefined ? `exited with code ${exitCode}` : `ended by ${signal}`
  const message = stderr.trim() === '' ? why : stderr.trim()
  return {
    ok: false,
    error: { name: 'ExitError', message, exitCode, ...(signal === undefined ? {} : { signal }) },
    exitCode,
  }
}
