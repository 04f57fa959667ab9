import type { Clock } from '../port/clock.ts'

/** Errors that code was given in the present turn of the loop. */
const given = new Set<unknown>()

/**
 * Keeps an error that a task's code is given from taking the process down where the code does not handle it, as in
 * `list.forEach(async (one) => { await step(…) })`: whoever may cancel the job could else end the process. Other errors
 * that nobody handles end it as ever.
 */
export function giveError(error: unknown, { turn }: Clock): void {
  if (given.size === 0) process.on('unhandledRejection', ignoreGiven)
  given.add(error)
  turn(() => {
    given.delete(error)
    if (given.size === 0) process.off('unhandledRejection', ignoreGiven)
  })
}

function ignoreGiven(reason: unknown): void {
  // What is thrown here is an uncaught exception, as a rejection is where nobody listens.
  if (!given.has(reason) && process.listenerCount('unhandledRejection') === 1) throw reason
}
