import type { Job } from '../model/job.ts'
import type { NewLine, Note } from '../port/storage.ts'
import { putItem } from './items.ts'
import { Refused } from './refused.ts'
import { jsonOrNull, labelValues } from './rows.ts'
import type { Statements } from './statements.ts'

/** So many of the values of a label's row are its key. */
const LABEL_KEY = 6

/** What is written beside the row of a job: lines of its log, results of its steps, its items and labels. */
export class Records {
  readonly #statements: Statements
  readonly #logLinesMax: number

  constructor(statements: Statements, logLinesMax: number) {
    this.#statements = statements
    this.#logLinesMax = logLinesMax
  }

  putLabels(job: Job, n: number | bigint): void {
    for (const values of labelValues(job, n)) this.#statements.insertLabel.run(...values)
  }

  dropLabels(job: Job): void {
    for (const values of labelValues(job, 0)) this.#statements.dropLabel.run(...values.slice(0, LABEL_KEY))
  }

  /** Writes a note of a task that is held under its token. @throws {Refused} */
  note(jobId: string, token: number, note: Note): void {
    // Checked in the transaction that writes: between a read and a write the claim may have gone to another (I16).
    if (note.kind === 'progress') {
      const { changes } = this.#statements.writeProgress.run(JSON.stringify(note.progress), jobId, token)
      if (changes === 0) throw new Refused({ status: 'stale' })
      return
    }
    if (this.#statements.isHeld.get(jobId, token) === undefined) throw new Refused({ status: 'stale' })
    switch (note.kind) {
      case 'log':
        this.lines(jobId, note.key, note.lines)
        return
      case 'step':
        this.#statements.insertStep.run(jobId, note.invocation, note.name, jsonOrNull(note.result))
        return
      case 'item':
        if (!putItem(this.#statements.items, jobId, note.item, note.max)) throw new Refused({ status: 'full' })
    }
  }

  lines(jobId: string, key: string, lines: readonly NewLine[]): void {
    if (this.#statements.hasLines.get(jobId, key) !== undefined) return
    for (const { at, text } of lines) this.#statements.insertLine.run(jobId, at, text, key, jobId)
    this.#statements.dropLines.run(jobId, jobId, this.#logLinesMax)
  }

  /** Removes all of it. */
  remove(job: Job): void {
    const { removeLines, removeSteps, items } = this.#statements
    this.dropLabels(job)
    removeLines.run(job.id)
    removeSteps.run(job.id)
    items.remove.run(job.id)
  }
}
