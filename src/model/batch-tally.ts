import type { BatchPiece } from './batch-piece.ts'
import type { StampedProgress } from './task-record.ts'

/**
 * Computes the progress of a batch after each of its pieces. Besides the counts, it has what the end of a drained batch
 * needs: how many items have a row (`known`), and how many of those up to `begun` have not ended (`open`).
 *
 * `begun` alone does not tell how many items have begun, because a retry passes over items of its source.
 */
export class BatchTally {
  #progress: StampedProgress
  /** The indexes of rows after `begun` that have not ended. */
  #ahead: number[]

  /**
   * @param progress  as earlier attempts have left it.
   * @param ahead  the indexes of waiting rows after `begun`.
   */
  constructor(progress: StampedProgress, ahead: Iterable<number>) {
    this.#progress = progress
    this.#ahead = [...ahead]
  }

  /** The progress after the newest piece. */
  get progress(): StampedProgress {
    return this.#progress
  }

  /** The progress after a piece. Call this once for each piece, in the order in which they are written. */
  after({ added, ended, counts, running, begun, careful, isLast }: BatchPiece): StampedProgress {
    const { invocation = 0, begun: before = 0, open: openBefore = 0, known = 0 } = this.#progress
    let open = openBefore
    // Items that have ended although they have not begun. Mostly, there are none.
    const unbegun = new Set<number>()
    for (const { index } of ended) {
      if (index > before) unbegun.add(index)
      else open--
    }
    for (const { index } of added) this.#ahead.push(index)
    this.#ahead = this.#ahead.filter((index) => {
      if (unbegun.has(index)) return false
      if (index <= begun) open++
      return index > begun
    })
    const own = { invocation, begun, open: Math.max(0, open), known: known + added.length }
    const marks = { ...(careful === undefined ? {} : { careful }), ...(isLast === true ? { isOver: isLast } : {}) }
    this.#progress = { ...counts, running, ...own, ...marks }
    return this.#progress
  }
}
