/**
 * Detects that this process is ended by a signal. Such an end is not a crash, even if the engine was not stopped
 * before. A closed terminal sends SIGHUP; tools that restart a process, such as nodemon, send SIGUSR2.
 *
 * The signals keep their default action: a process without other handlers dies. A process with other handlers decides
 * itself whether it ends. If it exits after SIGINT or SIGTERM, that counts as an end by the signal. After the other
 * signals it may go on, so a later exit may be a crash.
 */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM']

const listeners = new Set<() => void>()
let wasTold = false

/** Calls back synchronously right before a signal ends this process. Returns a function that cancels this. */
export function onToldToEnd(listener: () => void): () => void {
  if (listeners.size === 0) listen()
  listeners.add(listener)
  return () => {
    if (listeners.delete(listener) && listeners.size === 0) unlisten()
  }
}

function listen(): void {
  wasTold = false
  // First in the list, so that `told` counts the other handlers before they remove themselves, as those added by `once`
  // do.
  for (const signal of SIGNALS) process.prependListener(signal, told)
  process.on('exit', exiting)
}

function unlisten(): void {
  for (const signal of SIGNALS) process.off(signal, told)
  process.off('exit', exiting)
}

function told(signal: NodeJS.Signals): void {
  wasTold ||= ENDING.includes(signal)
  const others = process.listenerCount(signal) - 1
  if (others > cleanersOf()) return
  tellAll()
  process.off(signal, told)
  if (others === 0) process.kill(process.pid, signal)
}

function exiting(): void {
  if (wasTold) tellAll()
}

function tellAll(): void {
  for (const listener of listeners) listener()
}

interface Cleaner {
  readonly count?: unknown
}

// How many handlers belong to the package signal-exit, which many packages use. These handlers do not keep the process
// alive: they clean up, and then let the signal end the process, unless there are handlers of others.
function cleanersOf(): number {
  const places = globalThis as { readonly [place: symbol]: Cleaner | undefined }
  const older = process as { readonly __signal_exit_emitter__?: Cleaner }
  return countOf(places[Symbol.for('signal-exit emitter')]) + countOf(older.__signal_exit_emitter__)
}

function countOf(cleaner: Cleaner | undefined): number {
  return typeof cleaner?.count === 'number' ? cleaner.count : 0
}
