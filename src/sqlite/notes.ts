import type { Json } from '../model/storable.ts'
import type { StampedProgress } from '../model/task-record.ts'
import type { LogLine, NewLine, Note, Recorded } from '../port/storage.ts'
import { Items } from './items.ts'
import { jsonOrNull } from './json-text.ts'
import type { Prepare, Statement } from './statement.ts'

type StepNote = Extract<Note, { kind: 'step' }>

/**
 * Notes are the reports of running tasks that do not go through the chart: progress, log lines, results of steps, and
 * items, reported ones and those of batches.
 */
export class Notes {
  readonly items: Items
  readonly #logLinesMax: number
  readonly #task: Statement
  readonly #top: Statement
  readonly #furtherTask: Statement
  readonly #progress: Statement
  readonly #hasLines: Statement
  readonly #lastLine: Statement
  readonly #insertLine: Statement
  readonly #dropLines: Statement
  readonly #lines: Statement
  readonly #insertStep: Statement
  readonly #copySteps: Statement
  readonly #steps: Statement
  readonly #countSteps: Statement
  readonly #removeLines: Statement
  readonly #removeSomeLines: Statement
  readonly #removeSteps: Statement

  constructor(prepare: Prepare, logLinesMax: number) {
    this.items = new Items(prepare)
    this.#logLinesMax = logLinesMax
    this.#task = prepare(`SELECT n, token, task, further FROM jobs WHERE id = ?`)
    this.#top = prepare(`
      WITH RECURSIVE above (n, parent) AS (
        SELECT n, parent FROM jobs WHERE n = ?
        UNION ALL
        SELECT jobs.n, jobs.parent FROM above JOIN jobs ON jobs.id = above.parent)
      SELECT n FROM above WHERE parent IS NULL`)
    this.#furtherTask = prepare(`SELECT invocation FROM tasks WHERE n = ? AND token = ?`)
    this.#progress = prepare(`
      UPDATE jobs SET progress = ?
      WHERE n = ? AND (SELECT phase FROM kinds WHERE code = jobs.kind) <> 'settled'`)
    this.#hasLines = prepare(`SELECT 1 FROM logs WHERE n = ? AND key = ?`)
    this.#lastLine = prepare(`SELECT coalesce(max(number), 0) FROM logs WHERE n = ?`)
    this.#insertLine = prepare(`INSERT INTO logs (n, number, at, text, key, stream) VALUES (?, ?, ?, ?, ?, ?)`)
    this.#dropLines = prepare(`DELETE FROM logs WHERE n = ? AND number <= ?`)
    this.#lines = prepare(
      `SELECT number, at, text, stream FROM logs WHERE n = ? AND number > ? ORDER BY number LIMIT ?`,
    )
    this.#insertStep = prepare(`
      INSERT INTO steps (n, invoke, ordinal, name, job, invocation, result) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING`)
    this.#copySteps = prepare(`
      INSERT INTO steps (n, invoke, ordinal, name, job, invocation, result)
      SELECT ?, invoke, ordinal, name, 0, 0, result FROM steps WHERE n = ?`)
    this.#steps = prepare(`SELECT name, result FROM steps WHERE n = ? AND invoke = ? AND ordinal = ?`)
    this.#countSteps = prepare(`SELECT invocation, count(*) FROM steps WHERE n = ? AND job = ? GROUP BY invocation`)
    this.#removeLines = prepare(`DELETE FROM logs WHERE n = ?`)
    this.#removeSomeLines = prepare(`
      DELETE FROM logs WHERE n = ? AND number IN (SELECT number FROM logs WHERE n = ? ORDER BY number LIMIT ?)`)
    this.#removeSteps = prepare(`DELETE FROM steps WHERE n = ?`)
  }

  /**
   * Writes a note for the task that runs under this token (S5). Returns `stale` if the note came too late, e.g. because
   * the task no longer runs under this token. Returns `full` if the job already has its maximum of items.
   */
  put(jobId: string, token: number, note: Note): 'written' | 'stale' | 'full' {
    // The token is checked in the transaction that writes, because the task may have been claimed again since the
    // caller read the job.
    const [n, ownToken, task, further] = this.#task.get(jobId) ?? []
    if (typeof n !== 'number') return 'stale'
    const isFirst = ownToken === token
    if (!isFirst && further === null) return 'stale'
    const invocation = isFirst ? task : this.#furtherTask.get(n, token)?.[0]
    return typeof invocation === 'number' ? this.#write(n, invocation, note) : 'stale'
  }

  #write(n: number, invocation: number, note: Note): 'written' | 'stale' | 'full' {
    switch (note.kind) {
      case 'progress':
        return this.#putProgress(n, note.progress) ? 'written' : 'stale'
      case 'log':
        this.putLines(n, note.key, note.lines)
        return 'written'
      case 'step':
        return this.#putStep(n, invocation, note)
      case 'item':
        return this.items.put(n, note.invocation, note.item, note.max) ? 'written' : 'full'
      case 'items':
        if (!this.#putProgress(n, note.progress)) return 'stale'
        this.items.putBatch(n, note)
        return 'written'
    }
  }

  // `false`: the job has settled.
  #putProgress(n: number, progress: StampedProgress): boolean {
    return this.#progress.run(JSON.stringify(progress), n).changes > 0
  }

  #putStep(n: number, invocation: number, { invoke, ordinal, name, result }: StepNote): 'written' | 'stale' {
    const top = this.#topOf(n)
    if (top === undefined) return 'stale'
    this.#insertStep.run(top, invoke, ordinal, name, n, invocation, jsonOrNull(result))
    return 'written'
  }

  // The row number of the top job of a job's tree. `undefined`: the top job was removed, and its steps with it.
  #topOf(n: number): number | undefined {
    const top = this.#top.get(n)?.[0]
    return typeof top === 'number' ? top : undefined
  }

  /** Copies the steps of one job's tree to a new job (S33). */
  copySteps(from: number, n: number): void {
    this.#copySteps.run(n, from)
  }

  /**
   * Adds lines to a job's log, unless lines with the same key were added before. If the log then has too many lines,
   * the oldest are removed.
   */
  putLines(n: number, key: string, lines: readonly NewLine[]): void {
    if (this.#hasLines.get(n, key) !== undefined) return
    let number = Number(this.#lastLine.get(n)?.[0])
    for (const { at, text, stream } of lines) this.#insertLine.run(n, ++number, at, text, key, stream ?? null)
    if (number > this.#logLinesMax) this.#dropLines.run(n, number - this.#logLinesMax)
  }

  /** The lines of a job's log whose number is above `after`, oldest first. */
  lines(n: number, after: number, limit: number): readonly LogLine[] {
    return this.#lines.all(n, after, limit).map(([number, at, text, stream]) => ({
      ...{ number: Number(number), at: Number(at), text: String(text) },
      ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
    }))
  }

  /**
   * The results recorded by the `ordinal`-th invocation of an invoke, by step name. They are read from the top job of
   * the job's tree, which stores the steps of all jobs of the tree.
   *
   * @throws {Error} a result is broken.
   */
  steps(n: number, invoke: string, ordinal: number): ReadonlyMap<string, Json | undefined> {
    const rows = this.#steps.all(this.#topOf(n) ?? n, invoke, ordinal)
    // The column is null for a step without a result.
    return new Map(
      rows.map(([name, result]) => [String(name), result === null ? undefined : (JSON.parse(String(result)) as Json)]),
    )
  }

  /** How many steps and items each invocation of a job has recorded. */
  recorded(jobId: string, n: number): readonly Recorded[] {
    const counts = new Map<number, number>()
    for (const [invocation, count] of [...this.items.counts(n), ...this.#countSteps.all(this.#topOf(n) ?? n, n)]) {
      counts.set(Number(invocation), (counts.get(Number(invocation)) ?? 0) + Number(count))
    }
    return [...counts].map(([invocation, count]) => ({ jobId, invocation, count }))
  }

  /** Removes at most `limit` lines of a job's log, the oldest first. Returns how many it has removed. */
  removeSomeLines(n: number, limit: number): number {
    return Number(this.#removeSomeLines.run(n, n, limit).changes)
  }

  /**
   * Removes all notes of a job whose row is removed. Returns how many items were removed; see {@link Items.remove}.
   */
  remove(n: number): number {
    this.#removeLines.run(n)
    this.#removeSteps.run(n)
    return this.items.remove(n)
  }
}
