/**
 * Detects that a signal ends this process. Such an end is not a crash, even if the engine was not stopped before. For
 * example, a closed terminal sends SIGHUP, and tools that restart a process, such as nodemon, send SIGUSR2.
 *
 * The signals keep their default action: without other handlers, the process ends. With other handlers, the process
 * decides itself whether it ends. If it exits after SIGINT or SIGTERM, the signal counts as the reason. After one of
 * the other signals it may go on for long, so a later exit may be a crash.
 */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM']

const listeners = new Set<() => void>()
let wasTold = false

/** Calls `listener` synchronously right before a signal ends this process. Returns a function that cancels this. */
export function onToldToEnd(listener: () => void): () => void {
  if (listeners.size === 0) listen()
  listeners.add(listener)
  return () => {
    if (listeners.delete(listener) && listeners.size === 0) unlisten()
  }
}

function listen(): void {
  wasTold = false
  // Our handler is put first, so that `told` counts the other handlers before any of them removes itself, as handlers
  // added by `once` do.
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
// alive: they clean up and then end the process by the signal, unless there are handlers of others.
function cleanersOf(): number {
  const places = globalThis as { readonly [place: symbol]: Cleaner | undefined }
  const older = process as { readonly __signal_exit_emitter__?: Cleaner }
  return countOf(places[Symbol.for('signal-exit emitter')]) + countOf(older.__signal_exit_emitter__)
}

function countOf(cleaner: Cleaner | undefined): number {
  return typeof cleaner?.count === 'number' ? cleaner.count : 0
}
