/**
 * Hears when this process ends because it was told to, by SIGINT or SIGTERM. Such an end is no crash, also where nobody
 * stopped the engine before.
 *
 * The signals keep their default action: a process that does not handle them dies of them. Where others handle them, it is
 * theirs to end the process; that is heard of at its exit.
 */

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

const listeners = new Set<() => void>()
let wasTold = false

/** Calls back, synchronously, right before such an end; the function that it returns takes that back. */
export function onToldToEnd(listener: () => void): () => void {
  if (listeners.size === 0) listen()
  listeners.add(listener)
  return () => {
    if (listeners.delete(listener) && listeners.size === 0) unlisten()
  }
}

function listen(): void {
  wasTold = false
  // Before those that a handler may take away by itself, such as one that listens once.
  for (const signal of SIGNALS) process.prependListener(signal, told)
  process.on('exit', exiting)
}

function unlisten(): void {
  for (const signal of SIGNALS) process.off(signal, told)
  process.off('exit', exiting)
}

function told(signal: NodeJS.Signals): void {
  wasTold = true
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

// The package signal-exit, which many others bring, cleans up and leaves the default action too, where nobody else listens.
function cleanersOf(): number {
  const places = globalThis as { readonly [place: symbol]: Cleaner | undefined }
  const older = process as { readonly __signal_exit_emitter__?: Cleaner }
  return countOf(places[Symbol.for('signal-exit emitter')]) + countOf(older.__signal_exit_emitter__)
}

function countOf(cleaner: Cleaner | undefined): number {
  return typeof cleaner?.count === 'number' ? cleaner.count : 0
}
