import { type Engine, JobchartError, type Session } from 'jobchart'
import type { MemberRow } from 'jobchart/presets'
import { members } from './members.ts'

/** The table of one member, as it stands on the screen: kept up to date, one row at a time. */
export class Screen implements Disposable {
  readonly #session: Session
  readonly #rows = new Map<string, MemberRow>()
  readonly #waiting = new Set<() => void>()
  readonly #unwatch: readonly (() => void)[]
  /** Rows are read one after the other, so that an older one never replaces a newer. */
  #reading: Promise<void> = Promise.resolve()

  constructor(engine: Engine, session: Session) {
    this.#session = session
    const changed = ({ jobId }: { readonly jobId: string }) => {
      this.#reading = this.#reading.then(() => this.#read(jobId))
    }
    // Whom an event is for is not its listener's to say: each screen asks by its own session what it may show.
    this.#unwatch = [
      engine.on('job.created', changed),
      engine.on('job.transitioned', changed),
      engine.on('job.progress', changed),
    ]
  }

  /** What the table shows. */
  get rows(): readonly MemberRow[] {
    return [...this.#rows.values()]
  }

  /** Resolves when the table shows a job as asked for. */
  async until(id: string, isSo: (row: MemberRow) => boolean): Promise<void> {
    for (;;) {
      const row = this.#rows.get(id)
      if (row !== undefined && isSo(row)) return
      await new Promise<void>((wake) => this.#waiting.add(wake))
    }
  }

  /** Resolves when all that has happened so far is shown. */
  async settled(): Promise<void> {
    await this.#reading
  }

  [Symbol.dispose](): void {
    for (const end of this.#unwatch) end()
  }

  async #read(id: string): Promise<void> {
    try {
      this.#rows.set(id, members.present(await this.#session.get(id)))
    } catch (error) {
      // Not for this member; or the engine is stopping, and will tell when it goes on.
      const isExpected = error instanceof JobchartError && ['JOB_NOT_FOUND', 'ENGINE_STOPPED'].includes(error.code)
      if (!isExpected) throw error
    }
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}
