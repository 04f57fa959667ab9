import type { Prepare, Statement } from './statement.ts'

/** An instance in the list. */
export interface ListedInstance {
  readonly id: string
  readonly heartbeat: number
}

/** The list of instances (S14). An instance is one start of an engine. */
export class Instances {
  readonly #isListed: Statement
  readonly #beat: Statement
  readonly #raise: Statement
  readonly #last: Statement
  readonly #others: Statement
  readonly #drop: Statement

  constructor(prepare: Prepare) {
    this.#isListed = prepare(`SELECT 1 FROM instances WHERE id = ?`)
    this.#beat = prepare(`
      INSERT INTO instances (id, heartbeat) VALUES (?, ?) ON CONFLICT DO UPDATE SET heartbeat = excluded.heartbeat`)
    this.#raise = prepare(`
      INSERT INTO meta (name, value) VALUES ('beat', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)`)
    this.#last = prepare(`SELECT value FROM meta WHERE name = 'beat'`)
    this.#others = prepare(`SELECT id, heartbeat FROM instances WHERE id <> ?`)
    this.#drop = prepare(`DELETE FROM instances WHERE id = ?`)
  }

  /** Adds an instance to the list, unless it is there. */
  list(id: string, at: number): void {
    if (this.#isListed.get(id) === undefined) this.#beat.run(id, at)
  }

  /** Records that an instance is alive at a time, and lists it if it is not listed. */
  beat(id: string, at: number): void {
    this.#beat.run(id, at)
    this.#raise.run(at)
  }

  /**
   * The latest time at which any instance was alive, including instances that were removed from the list (S35). 0 if
   * there was none.
   */
  lastBeat(): number {
    return Number(this.#last.get()?.[0] ?? 0)
  }

  /** All listed instances except the given one. */
  others(id: string): readonly ListedInstance[] {
    return this.#others.all(id).map(([other, heartbeat]) => ({ id: String(other), heartbeat: Number(heartbeat) }))
  }

  /** Removes an instance from the list. */
  drop(id: string): void {
    this.#drop.run(id)
  }
}
