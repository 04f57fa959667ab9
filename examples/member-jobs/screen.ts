import { setTimeout as sleep } from 'node:timers/promises'
import { JobchartError, type JobId, type Session } from 'jobchart'
import type { MemberRow } from 'jobchart/presets'
import { members } from './members.ts'

/** Milliseconds that a screen waits for a stopped engine before it tries again. */
const AGAIN_MS = 50

/** The table of one member on the screen, kept up to date row by row. */
export class Screen implements Disposable {
  readonly #session: Session
  readonly #rows = new Map<string, MemberRow>()
  readonly #waiting = new Set<() => void>()
  readonly #closed = new AbortController()

  constructor(session: Session) {
    this.#session = session
    void this.#follow()
  }

  /** The rows of the table. */
  get rows(): readonly MemberRow[] {
    return [...this.#rows.values()]
  }

  /** Resolves when the table shows a job in the requested state. */
  async until(id: string, isSo: (row: MemberRow) => boolean): Promise<void> {
    for (;;) {
      const row = this.#rows.get(id)
      if (row !== undefined && isSo(row)) return
      await new Promise<void>((wake) => this.#waiting.add(wake))
    }
  }

  [Symbol.dispose](): void {
    this.#closed.abort()
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed
    for (let after = 0; !signal.aborted; ) {
      try {
        for await (const event of this.#session.events({ after, signal })) {
          if (event.type === 'reset') this.#rows.clear()
          else if (event.jobId !== undefined) await this.#show(event.jobId)
          after = event.sequence
        }
      } catch (error) {
        if (!(error instanceof JobchartError && error.code === 'ENGINE_STOPPED')) throw error
        await sleep(AGAIN_MS)
      }
    }
  }

  async #show(id: JobId): Promise<void> {
    this.#rows.set(id, members.present(await this.#session.get(id)))
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}
