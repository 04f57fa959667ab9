import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { LiveSet } from '../../src/context/live-set.ts'
import { BatchTally } from '../../src/model/batch-tally.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void

/** A member with a payload of some 100 bytes. */
function member() {
  return { place: -1, payload: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }
}

/** MiB on the heap that many rounds leave behind. Only young objects are collected. */
function leftMib(round: (number: number) => void): number {
  const used = () => {
    for (let repeated = 0; repeated < 3; repeated++) collect({ type: 'minor' })
    return process.memoryUsage().heapUsed / 1_048_576
  }
  for (let number = 0; number < 40; number++) round(number)
  const before = used()
  for (let number = 40; number < 440; number++) {
    round(number)
    if (number % 4 === 0) collect({ type: 'minor' })
  }
  return used() - before
}

describe('a live set', () => {
  test('has what was added and not removed', () => {
    const set = new LiveSet<ReturnType<typeof member>>()
    const [one, two, three] = [member(), member(), member()]
    for (const each of [one, two, three]) set.add(each)
    expect(set.delete(one)).toBe(true)
    expect(set.delete(one)).toBe(false)
    expect(set.delete(member())).toBe(false)
    expect(set.size).toBe(2)
    expect(new Set(set)).toEqual(new Set([two, three]))
    expect(set.delete(three)).toBe(true)
    set.add(one)
    expect(new Set(set.takeAll())).toEqual(new Set([two, one]))
    expect(set.size).toBe(0)
    expect(set.delete(two)).toBe(false)
  })

  test('leaves nothing of its former members for the next full collection', () => {
    const set = new LiveSet<ReturnType<typeof member>>()
    const left = leftMib(() => {
      const members = Array.from({ length: 500 }, member)
      for (const each of members) set.add(each)
      for (const each of members) set.delete(each)
    })
    expect(left).toBeLessThan(5)
  })
})

test('the tally of a batch leaves nothing of its items for the next full collection', () => {
  const tally = new BatchTally({ completed: 0, failed: 0, at: 0, token: 1 } as never, [])
  const left = leftMib((number) => {
    const indexes = Array.from({ length: 500 }, (_, place) => number * 500 + place + 1)
    const counts = { completed: number * 500, failed: 0, skipped: 0 }
    tally.after({
      added: indexes.map((index) => ({ index, key: 'same' })),
      ended: indexes.map((index) => ({ index: index - 500, status: 'completed' as const, attempts: 1 })),
      ...{ counts, running: 500, begun: number * 500 + 250 },
    })
  })
  expect(left).toBeLessThan(1)
})
