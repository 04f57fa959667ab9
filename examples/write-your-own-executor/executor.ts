import { setTimeout as pause } from 'node:timers/promises'
import type { Executor } from 'jobchart'

/** How much an executor starts. */
export interface SpacedOptions {
  /** Tasks that it holds at the same time. */
  readonly concurrency: number
  /** The pause between two starts, in milliseconds. */
  readonly everyMs: number
}

/**
 * Runs tasks in this process, and starts them one after the other with a pause between: for a service that allows so many
 * calls a second.
 */
export function spaced({ concurrency, everyMs }: SpacedOptions): Executor {
  const running = new Map<string, Promise<unknown>>()
  let nextAt = 0

  /** Waits for its turn; what is told to stop waits no longer, and sees its stop by itself. */
  const turn = async (signal: AbortSignal) => {
    const now = performance.now()
    const waitMs = Math.max(0, nextAt - now)
    nextAt = now + waitMs + everyMs
    await pause(waitMs, undefined, { signal }).catch(() => {})
  }

  return {
    room: () => concurrency - running.size,
    start: async (work) => {
      const key = `${work.job.id} ${work.token}`
      if (running.has(key)) throw new Error(`${key} runs already`)
      const end = turn(work.signal).then(work.run)
      running.set(key, end)
      try {
        return await end
      } finally {
        running.delete(key)
      }
    },
    close: async () => {
      await Promise.allSettled(running.values())
    },
  }
}
