import type { Core } from './core.ts'

/** The pause before trying again after a failure of the storage, in milliseconds. */
export const STORAGE_RETRY_MS = 200

/** Resolves in another turn of the event loop, so that a long piece of work does not delay others. */
export function turn({ clock }: Pick<Core, 'clock'>): Promise<void> {
  return new Promise((resume) => clock.turn(resume))
}

/** Resolves after `ms`, or when the engine stops. */
export function pause(core: Core, ms: number): Promise<void> {
  return new Promise((resume) => {
    const cancel = core.clock.timer(ms, end)
    function end(): void {
      cancel()
      core.stopped.removeEventListener('abort', end)
      resume()
    }
    core.stopped.addEventListener('abort', end)
  })
}

/** How often the progress of one job is stored and published at most, in milliseconds. */
export const PROGRESS_MS = 250
