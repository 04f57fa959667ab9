import { isOfPaused } from '../model/paused-type.ts'
import type { PausedType, Route } from '../port/storage.ts'
import type { Prepare, Statement } from './statement.ts'

/** The job types whose tasks are not claimed (S44). */
export class TypePauses {
  readonly #all: Statement
  readonly #put: Statement
  readonly #drop: Statement

  constructor(prepare: Prepare) {
    this.#all = prepare(`SELECT type, reason, at FROM paused_types ORDER BY type`)
    this.#put = prepare(`
      INSERT INTO paused_types (type, reason, at) VALUES (?, ?, ?)
      ON CONFLICT DO UPDATE SET reason = excluded.reason, at = excluded.at`)
    this.#drop = prepare(`DELETE FROM paused_types WHERE type = ?`)
  }

  /** All paused types, by name. */
  all(): readonly PausedType[] {
    return this.#all.all().map(([type, reason, at]) => ({ type: String(type), reason: String(reason), at: Number(at) }))
  }

  /** Pauses a type, or replaces the reason of its pause. */
  put({ type, reason, at }: PausedType): void {
    this.#put.run(type, reason, at)
  }

  /** Resumes a type. */
  drop(type: string): void {
    this.#drop.run(type)
  }

  /** The routes whose types are not paused. If no type is paused, returns the given list itself. */
  open(routes: readonly Route[]): readonly Route[] {
    const paused = this.#all.all()
    if (paused.length === 0) return routes
    return routes.filter((route) => !paused.some(([type]) => isOfPaused(route.type, String(type))))
  }
}
