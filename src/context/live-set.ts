/** What a {@link LiveSet} may contain. */
export interface Member {
  /** Where the set has it. Only the set writes this. */
  place: number
}

/**
 * A set of objects that come and go quickly, in no order.
 *
 * A `Set` of V8 makes a new table after some additions and removals, and its old tables refer to the newer ones. Once an
 * old table has survived some collections, each later table and its members stay in memory until the next full
 * collection: with a million items, these were tens of megabytes.
 */
export class LiveSet<Of extends Member> implements Iterable<Of> {
  readonly #members: Of[] = []

  /** How many members there are. */
  get size(): number {
    return this.#members.length
  }

  /** Adds an object that is in no set. */
  add(member: Of): void {
    member.place = this.#members.push(member) - 1
  }

  /** Removes a member. Returns false if it is none. */
  delete(member: Of): boolean {
    const { place } = member
    if (this.#members[place] !== member) return false
    const last = this.#members.pop()
    if (last !== undefined && last !== member) {
      this.#members[place] = last
      last.place = place
    }
    return true
  }

  /** The members. They may be removed meanwhile only if the iteration then ends. */
  [Symbol.iterator](): Iterator<Of> {
    return this.#members.values()
  }

  /** Removes all members, and returns them. */
  takeAll(): readonly Of[] {
    return this.#members.splice(0)
  }
}
