import type { Prepare } from './statement.ts'

/** So many texts are remembered before all are looked up anew. */
const REMEMBERED_MAX = 50_000

/**
 * Texts that many rows repeat: tenants, people, versions, routes, pipelines, instances. Each is kept once, and rows and
 * indexes hold its code, a small number that never changes.
 *
 * Codes are remembered per connection. A code that was added by a transaction that rolled back is forgotten.
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

  /** The code of a text, which is added where it is new: inside a transaction that writes. */
  codeOf(text: string): number {
    const known = this.knownCode(text)
    if (known !== undefined) return known
    const code = Number(this.#add.run(text).lastInsertRowid)
    this.#added.push(text)
    this.#remember(text, code)
    return code
  }

  /** The code of a text; undefined: no row has it. */
  knownCode(text: string): number | undefined {
    const known = this.#codes.get(text)
    if (known !== undefined) return known
    const found = this.#findCode.get(text)?.[0]
    if (typeof found !== 'number') return undefined
    this.#remember(text, found)
    return found
  }

  /** @throws {Error} there is no such code: the row that has it is broken. */
  textOf(code: unknown): string {
    const known = this.#texts.get(code as number)
    if (known !== undefined) return known
    const found = typeof code === 'number' ? this.#findText.get(code)?.[0] : undefined
    if (typeof found !== 'string') throw new Error(`no name has the code ${String(code)}`)
    this.#remember(found, code as number)
    return found
  }

  /** What was added is committed. */
  keep(): void {
    if (this.#added.length > 0) this.#added = []
  }

  /** What was added since the last `keep` may be rolled back: it is looked up anew. */
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
