import type { EventRow } from '../model/event.ts'
import type { Clock } from '../port/clock.ts'

/** A row of the log, with the numbers of its events. */
export interface TailRow {
  readonly row: EventRow
  /** The numbers of its first and its last event. */
  readonly sequence: number
  readonly end: number
}

/** How many rows are kept for followers. A follower further behind reads the storage. */
const ROWS_MAX = 1_000
/** The size limit of the kept rows, in characters of emitted events; nothing else in a row is large. */
const EMITTED_CHARACTERS_MAX = 4_000_000
/** How many early rows (rows that came before their predecessors) are kept. More are read from the storage later. */
const EARLY_MAX = 1_000

/**
 * The newest rows of the event log, kept in memory for all followers.
 *
 * ```
 *  own commits, at once ────────────────┐
 *                                       ├─▶ rows in the order of their numbers ─▶ followers, each at its own position
 *  commits of others, as they are read ─┘
 * ```
 *
 * - The rows have no gap: a row that comes early waits until its predecessors have come or were read.
 * - Each follower stores only its position. Slow followers delay nobody and cost no memory.
 * - While there are no followers, no rows are kept.
 */
export class LogTail {
  readonly #clock: Clock
  readonly #followers = new Set<Follower>()
  readonly #waiting = new Set<Follower>()
  readonly #early = new Map<number, EventRow>()
  #rows: TailRow[] = []
  /** The kept rows begin after this number. */
  #start: number
  #sequence: number
  /** The highest number that has come, early or not. */
  #newest: number
  #emitted = 0
  #isWaking = false
  #isLooking = false
  #read: () => void = () => {}

  constructor(clock: Clock, sequence: number) {
    this.#clock = clock
    this.#sequence = sequence
    this.#newest = sequence
    this.#start = sequence
  }

  /** The log number up to which this engine knows the log without gaps. */
  get sequence(): number {
    return this.#sequence
  }

  /** Whether a row has come whose predecessors are missing. */
  get hasGap(): boolean {
    return this.#newest > this.#sequence
  }

  /** Takes a row of this engine's own commit. */
  take(row: EventRow, sequence: number): void {
    if (sequence <= this.#sequence) return
    if (sequence === this.#sequence + 1) this.#append(row, sequence)
    else {
      this.#newest = Math.max(this.#newest, sequence)
      if (this.#early.size < EARLY_MAX) this.#early.set(sequence, withoutInputs(row))
      this.#lookSoon()
    }
    this.#takeEarly()
  }

  /**
   * Sets the function that reads missing rows. The tail calls it if the predecessors of an early row do not come by
   * themselves.
   */
  onGap(read: () => void): void {
    this.#read = read
  }

  /** Takes a row that was read from the storage. The rows must be read and given in order, without a gap. */
  takeRead(row: EventRow, sequence: number): void {
    if (sequence + row.events.length - 1 > this.#sequence) this.#append(row, sequence)
    this.#takeEarly()
  }

  /** Adds a follower. */
  follow(): Follower {
    if (this.#followers.size === 0) this.#start = this.#sequence
    const follower = new Follower(this, this.#waiting)
    this.#followers.add(follower)
    return follower
  }

  /** Removes a follower. */
  leave(follower: Follower): void {
    this.#followers.delete(follower)
    this.#waiting.delete(follower)
    if (this.#followers.size > 0) return
    this.#rows = []
    this.#emitted = 0
  }

  /** The rows after a number. `undefined`: not all of them are kept, so read the storage. */
  after(sequence: number): readonly TailRow[] | undefined {
    if (sequence >= this.#sequence) return []
    if (sequence < this.#start || this.#followers.size === 0) return undefined
    return this.#rows.slice(firstAfter(this.#rows, sequence))
  }

  /** Wakes all followers, whether a row has come or not. */
  wakeAll(): void {
    for (const follower of [...this.#waiting]) follower.wake()
  }

  // Delayed, because missing rows mostly come in the same turn of the event loop.
  #lookSoon(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    this.#clock.turn(() => {
      this.#isLooking = false
      if (this.hasGap) this.#read()
    })
  }

  // Appends the early rows whose predecessors have come. Drops early rows that were read from the storage and appended
  // meanwhile.
  #takeEarly(): void {
    if (this.#early.size === 0) return
    for (let next = this.#sequence + 1, row = this.#early.get(next); row !== undefined; row = this.#early.get(next)) {
      this.#append(row, next)
      next = this.#sequence + 1
    }
    for (const sequence of this.#early.keys()) if (sequence <= this.#sequence) this.#early.delete(sequence)
  }

  #append(row: EventRow, sequence: number): void {
    const end = sequence + row.events.length - 1
    this.#sequence = end
    if (this.#followers.size === 0) return
    this.#rows.push({ row: withoutInputs(row), sequence, end })
    this.#emitted += emittedIn(row)
    while (this.#rows.length > ROWS_MAX || this.#emitted > EMITTED_CHARACTERS_MAX) this.#drop()
    this.#wakeSoon()
  }

  #drop(): void {
    // Drops a quarter at once, because each removal moves all remaining rows.
    const dropped = this.#rows.splice(0, Math.ceil(this.#rows.length / 4))
    this.#start = dropped.at(-1)?.end ?? this.#sequence
    for (const { row } of dropped) this.#emitted -= emittedIn(row)
  }

  // Wakes followers once per turn of the event loop.
  #wakeSoon(): void {
    if (this.#isWaking || this.#waiting.size === 0) return
    this.#isWaking = true
    this.#clock.turn(() => {
      this.#isWaking = false
      this.wakeAll()
    })
  }
}

/** A reader of the log tail. */
export class Follower {
  readonly #tail: LogTail
  readonly #waiting: Set<Follower>
  #resolve: (() => void) | undefined
  #isWoken = false

  constructor(tail: LogTail, waiting: Set<Follower>) {
    this.#tail = tail
    this.#waiting = waiting
  }

  /** Resolves when a row has come, or the follower was woken since its last wait. */
  async wait(): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
        this.#waiting.add(this)
      })
    }
    this.#isWoken = false
  }

  /** Ends the current wait, or the next one. */
  wake(): void {
    this.#isWoken = true
    this.#waiting.delete(this)
    this.#resolve?.()
    this.#resolve = undefined
  }

  /** Ends this follower. */
  leave(): void {
    this.#tail.leave(this)
  }
}

/** A copy of a row without its `inputs`: they may be large, and no reader sees them. */
export function withoutInputs(row: EventRow): EventRow {
  return row.inputs.length === 0 ? row : { ...row, inputs: [] }
}

/** The size of the emitted events in a row, in characters. */
export function emittedIn({ events }: EventRow): number {
  let characters = 0
  for (const event of events) if (event.type === 'job.emitted') characters += JSON.stringify(event.event).length
  return characters
}

function firstAfter(rows: readonly TailRow[], sequence: number): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((rows[middle]?.end ?? 0) <= sequence) low = middle + 1
    else high = middle
  }
  return low
}
