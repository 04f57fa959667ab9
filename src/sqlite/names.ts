import type { Prepare } from './statement.ts'

/** How many texts are cached before the cache is cleared. */
const REMEMBERED_MAX = 50_000

/**
 * Texts that repeat in many rows: tenants, people, versions, routes, pipelines, instances. Each text is stored once.
 * Rows and indexes hold its code, a small number that never changes.
 *
 * Each connection caches codes. A code added by a transaction that rolls back is removed from the cache.
 */
export class Names {
  readonly #findCode
  readonly #findText
  readonly #add
  readonly #codes = new Map<string, number>()
  readonly #texts = new Map<number, string>()
  #added: string[] = []

  constructor(prepare: Prepare) {
    this.#findCode = prepare('SELECT code FROM names WHERE text = ?')
    this.#findText = prepare('SELECT text FROM names WHERE code = ?')
    this.#add = prepare('INSERT INTO names (text) VALUES (?)')
  }

  /** The code of a text. A new text is added to the table, so call this only inside a transaction that writes. */
  codeOf(text: string): number {
    const known = this.knownCode(text)
    if (known !== undefined) return known
    const code = Number(this.#add.run(text).lastInsertRowid)
    this.#added.push(text)
    this.#remember(text, code)
    return code
  }

  /** The code of a text. `undefined`: the text has no code, so no row contains it. */
  knownCode(text: string): number | undefined {
    const known = this.#codes.get(text)
    if (known !== undefined) return known
    const found = this.#findCode.get(text)?.[0]
    if (typeof found !== 'number') return undefined
    this.#remember(text, found)
    return found
  }

  /**
   * The text with this code.
   *
   * @throws {Error} there is no such code: the row with this code is broken.
   */
  textOf(code: unknown): string {
    const known = this.#texts.get(code as number)
    if (known !== undefined) return known
    const found = typeof code === 'number' ? this.#findText.get(code)?.[0] : undefined
    if (typeof found !== 'string') throw new Error(`no name has the code ${String(code)}`)
    this.#remember(found, code as number)
    return found
  }

  /** Call this after the writes were committed. */
  keep(): void {
    if (this.#added.length > 0) this.#added = []
  }

  /** Call this when texts added since the last `keep` may be rolled back. They are removed from the cache. */
  forget(): void {
    for (const text of this.#added) {
      const code = this.#codes.get(text)
      this.#codes.delete(text)
      if (code !== undefined) this.#texts.delete(code)
    }
    this.#added = []
  }

  #remember(text: string, code: number): void {
    if (this.#codes.size >= REMEMBERED_MAX) {
      this.#codes.clear()
      this.#texts.clear()
    }
    this.#codes.set(text, code)
    this.#texts.set(code, text)
  }
}
