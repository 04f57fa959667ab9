import type { EventRow } from '../model/event.ts'
import type { Clock } from '../port/clock.ts'

/** A row of the log at its place. */
export interface TailRow {
  readonly row: EventRow
  /** The numbers of its first and its last event. */
  readonly sequence: number
  readonly end: number
}

/** Rows kept for those who follow; whoever is further behind reads the storage. */
const ROWS_MAX = 1_000
/** The same by their size, in characters of what charts have emitted: nothing else in a row is large. */
const EMITTED_CHARACTERS_MAX = 4_000_000
/** Rows that came early and are kept; those beyond are read. */
const EARLY_MAX = 1_000

/**
 * The end of the log, shared by all who follow it.
 *
 * ```
 *  own commits, at once ─────┐
 *                            ├─▶ rows in the order of their numbers ─▶ followers, each at its own place
 *  others', as they are read ┘
 * ```
 *
 * - Rows stand in it without a gap: one that comes early waits until what stands before it has come, or was read.
 * - Each follower keeps only its place. One that is slow holds up nobody, and costs no memory but its place.
 * - Where nobody follows, no row is kept.
 */
export class LogTail {
  readonly #clock: Clock
  readonly #followers = new Set<Follower>()
  readonly #waiting = new Set<Follower>()
  readonly #early = new Map<number, EventRow>()
  #rows: TailRow[] = []
  /** What is kept begins after this number. */
  #start: number
  #sequence: number
  /** The newest number of which something has come, early or not. */
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

  /** The newest number up to which the log is known. */
  get sequence(): number {
    return this.#sequence
  }

  /** Something stands before a row that has come. */
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

  /** Calls back where something stands before a row that has come, and does not come by itself: it must be read. */
  onGap(read: () => void): void {
    this.#read = read
  }

  /** Takes a row that was read, with all before it. */
  takeRead(row: EventRow, sequence: number): void {
    if (sequence + row.events.length - 1 > this.#sequence) this.#append(row, sequence)
    this.#takeEarly()
  }

  /** Joins at a place of its own. */
  follow(): Follower {
    if (this.#followers.size === 0) this.#start = this.#sequence
    const follower = new Follower(this, this.#waiting)
    this.#followers.add(follower)
    return follower
  }

  /** The follower reads no more. */
  leave(follower: Follower): void {
    this.#followers.delete(follower)
    this.#waiting.delete(follower)
    if (this.#followers.size > 0) return
    this.#rows = []
    this.#emitted = 0
  }

  /** The rows after a number; undefined: not all of them are kept, and the storage has them. */
  after(sequence: number): readonly TailRow[] | undefined {
    if (sequence >= this.#sequence) return []
    if (sequence < this.#start || this.#followers.size === 0) return undefined
    return this.#rows.slice(firstAfter(this.#rows, sequence))
  }

  /** Wakes all who wait, whether something has come or not. */
  wakeAll(): void {
    for (const follower of [...this.#waiting]) follower.wake()
  }

  // Mostly what stands before it comes in the same turn.
  #lookSoon(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    this.#clock.turn(() => {
      this.#isLooking = false
      if (this.hasGap) this.#read()
    })
  }

  // What has come early and is known by now is forgotten.
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
    // A part of them at once, so that each new row does not move all the others.
    const dropped = this.#rows.splice(0, Math.ceil(this.#rows.length / 4))
    this.#start = dropped.at(-1)?.end ?? this.#sequence
    for (const { row } of dropped) this.#emitted -= emittedIn(row)
  }

  // Those who wait are woken once for all that a turn of the loop brings.
  #wakeSoon(): void {
    if (this.#isWaking || this.#waiting.size === 0) return
    this.#isWaking = true
    this.#clock.turn(() => {
      this.#isWaking = false
      this.wakeAll()
    })
  }
}

/** One who follows the log. */
export class Follower {
  readonly #tail: LogTail
  readonly #waiting: Set<Follower>
  #resolve: (() => void) | undefined
  #isWoken = false

  constructor(tail: LogTail, waiting: Set<Follower>) {
    this.#tail = tail
    this.#waiting = waiting
  }

  /** Resolves when something has come, or the follower was woken since it last waited. */
  async wait(): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
        this.#waiting.add(this)
      })
    }
    this.#isWoken = false
  }

  /** Ends its waiting, or its next one. */
  wake(): void {
    this.#isWoken = true
    this.#waiting.delete(this)
    this.#resolve?.()
    this.#resolve = undefined
  }

  /** Reads no more. */
  leave(): void {
    this.#tail.leave(this)
  }
}

/** A row as it may be kept: what moved the chart may be large, and is told to nobody. */
export function withoutInputs(row: EventRow): EventRow {
  return row.inputs.length === 0 ? row : { ...row, inputs: [] }
}

/** The size of what is large in a row without its inputs, in characters. */
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
