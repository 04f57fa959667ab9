import type { KeptChart, TypeKey } from '../port/storage.ts'
import type { JobLookups } from './job-lookups.ts'
import type { Prepare, Statement } from './statement.ts'

/** The stored hashes of charts, one for each version of a job type (S16). */
export class Charts {
  readonly #lookups: JobLookups
  readonly #hash: Statement
  readonly #keep: Statement

  constructor(prepare: Prepare, lookups: JobLookups) {
    this.#lookups = lookups
    this.#hash = prepare(`SELECT hash FROM charts WHERE type = ? AND version = ?`)
    this.#keep = prepare(`
      INSERT INTO charts (type, version, hash) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash`)
  }

  /**
   * Stores the charts, or none of them. A chart is refused if its version is already stored with another hash. If
   * `mayReplace` is true, the stored hash is replaced instead, but only if all jobs of that version have ended. If any
   * chart is refused, nothing is stored. Returns the refused versions.
   */
  register(charts: readonly KeptChart[], mayReplace: boolean): readonly TypeKey[] {
    const refused = charts.filter((chart) => {
      const { type, version, hash } = chart
      const isOther = (this.#hash.get(type, version)?.[0] ?? hash) !== hash
      return isOther && !(mayReplace && !this.#lookups.isUnsettled(chart))
    })
    if (refused.length === 0) for (const { type, version, hash } of charts) this.#keep.run(type, version, hash)
    return refused.map(({ type, version }) => ({ type, version }))
  }
}
