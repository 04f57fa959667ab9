import type { Clock } from '../port/clock.ts'

/** Errors that task code received in the current turn of the event loop. */
const given = new Set<unknown>()

/**
 * Called with each error that task code receives. If the code does not handle this error, the process goes on, as in
 * `list.forEach(async (one) => { await step(…) })`. Otherwise anyone who may cancel the job could end the process.
 * Other unhandled errors end the process as usual.
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
  // If there is no other listener, throw, so that the rejection ends the process as without this handler.
  if (!given.has(reason) && process.listenerCount('unhandledRejection') === 1) throw reason
}
