import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SortedList } from '../../src/defaults/sorted-list.ts'

interface Entry {
  readonly key: number
}

const numbers = fc.integer({ min: 0, max: 3_000 })

/** Keys to add, random or rising, each with whether it is removed again. */
const plan = fc.record({
  added: fc.oneof(
    fc.uniqueArray(numbers, { size: 'max', maxLength: 2_000 }),
    fc.nat({ max: 3_000 }).map((count) => Array.from({ length: count }, (_, index) => index)),
  ),
  removed: fc.array(numbers, { size: 'max', maxLength: 2_000 }),
  probe: numbers,
})

test('a sorted list gives the same values as a sorted array', () => {
  fc.assert(
    fc.property(plan, ({ added, removed, probe }) => {
      const list = new SortedList<Entry, Entry>((a, b) => a.key - b.key)
      const entries = new Map(added.map((key) => [key, { key }]))
      for (const entry of entries.values()) list.add(entry)
      for (const key of removed) {
        list.remove(entries.get(key) ?? { key })
        entries.delete(key)
      }
      const sorted = [...entries.values()].sort((a, b) => a.key - b.key)
      expect(list.isEmpty).toBe(sorted.length === 0)
      expect(list.next()).toBe(sorted[0])
      const behind = sorted.filter(({ key }) => key > probe)
      const before = sorted.filter(({ key }) => key < probe).reverse()
      expect(list.next({ key: probe })).toBe(behind[0])
      expect([...list.after({ key: probe })]).toEqual(behind)
      expect([...list.before({ key: probe })]).toEqual(before)
      expect([...list.after()]).toEqual(sorted)
      expect([...list.before()]).toEqual([...sorted].reverse())
    }),
    { numRuns: 200 },
  )
})

test('taking from the front of a queue of any length gives its values in order', () => {
  const list = new SortedList<Entry, Entry>((a, b) => a.key - b.key)
  let taken = 0
  for (let key = 0; key < 5_000; key++) {
    list.add({ key })
    if (key % 3 === 0) continue
    const first = list.next()
    expect(first?.key).toBe(taken++)
    if (first !== undefined) list.remove(first)
  }
  expect([...list.after()].map(({ key }) => key)).toEqual(Array.from({ length: 5_000 - taken }, (_, n) => n + taken))
})

test('removing a missing value changes nothing', () => {
  const list = new SortedList<Entry, Entry>((a, b) => a.key - b.key)
  const [one, three] = [{ key: 1 }, { key: 3 }]
  for (const entry of [one, three]) list.add(entry)
  for (const key of [0, 1, 2, 3, 4]) list.remove({ key })
  expect([...list.after()]).toEqual([one, three])
})
