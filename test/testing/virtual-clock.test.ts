import { virtualClock } from 'jobchart/testing'
import { expect, test } from 'vitest'

const START = Date.parse('2026-01-01T00:00:00Z')

test('C1 time stands still until the test moves it', async () => {
  const clock = virtualClock()
  expect(clock.now()).toBe(START)
  await clock.settle()
  expect(clock.now()).toBe(START)
  await clock.advance(1_500)
  expect(clock.now()).toBe(START + 1_500)
  expect(virtualClock({ start: 7 }).now()).toBe(7)
})

test('C3 each timer rings once, at its own time; timers of one time ring in the order in which they were set', async () => {
  const clock = virtualClock()
  const rung: string[] = []
  const ring = (name: string) => () => rung.push(`${name} at ${clock.now() - START}`)
  clock.timer(20, ring('b'))
  clock.timer(10, ring('a'))
  clock.timer(20, ring('c'))
  clock.timer(31, ring('d'))
  await clock.advance(30)
  expect(rung).toEqual(['a at 10', 'b at 20', 'c at 20'])
  expect(clock.pendingTimers()).toBe(1)
  await clock.advance(1)
  await clock.advance(1_000)
  expect(rung.at(-1)).toBe('d at 31')
  expect(rung).toHaveLength(4)
})

test('everything that a timer causes is done before the next one fires, including further timers and turns', async () => {
  const clock = virtualClock()
  const rung: string[] = []
  clock.timer(10, () => {
    clock.turn(async () => {
      await Promise.resolve()
      rung.push('turn')
      clock.timer(5, () => rung.push(`nested at ${clock.now() - START}`))
    })
  })
  clock.timer(20, () => rung.push('next'))
  await clock.advance(30)
  expect(rung).toEqual(['turn', 'nested at 15', 'next'])
})

test('C3 a cancelled timer never rings, even if a timer of the same time cancels it', async () => {
  const clock = virtualClock()
  const rung: string[] = []
  const cancel = clock.timer(10, () => rung.push('cancelled'))
  clock.timer(20, () => cancelSecond())
  const cancelSecond = clock.timer(20, () => rung.push('cancelled by another'))
  cancel()
  cancel()
  await clock.advance(100)
  expect([rung, clock.pendingTimers()]).toEqual([[], 0])
})

test('C2 turns run one after the other, after the queue of the present turn', async () => {
  const clock = virtualClock()
  const done: string[] = []
  clock.turn(() => done.push('first'))
  clock.turn(() => done.push('second'))
  void Promise.resolve().then(() => done.push('microtask'))
  expect(done).toEqual([])
  await clock.settle()
  expect(done).toEqual(['microtask', 'first', 'second'])
})

test('settle waits for turns that ask for further turns', async () => {
  const clock = virtualClock()
  let left = 50
  const again = () => {
    if (--left > 0) clock.turn(again)
  }
  clock.turn(again)
  await clock.settle()
  expect(left).toBe(0)
})

test('a jump changes the time of day and rings nothing; timers count the time that passes', async () => {
  const clock = virtualClock()
  const rung: number[] = []
  clock.timer(1_000, () => rung.push(clock.now()))
  clock.jump(-86_400_000)
  await clock.settle()
  expect([rung, clock.now()]).toEqual([[], START - 86_400_000])
  clock.jump(2 * 86_400_000)
  await clock.advance(999)
  expect(rung).toEqual([])
  await clock.advance(1)
  expect(rung).toEqual([START + 86_400_000 + 1_000])
})

test('C5 one seed gives the same bytes, another seed others', () => {
  const bytes = (seed?: number) => {
    const clock = seed === undefined ? virtualClock() : virtualClock({ seed })
    return [...clock.randomBytes(16), ...clock.randomBytes(16)]
  }
  expect(bytes()).toEqual(bytes(1))
  expect(bytes(2)).not.toEqual(bytes(1))
  expect(new Set(bytes()).size).toBeGreaterThan(16)
})

test('a wait for others ends when time moves, or when nothing happens and nobody moves it', async () => {
  const clock = virtualClock()
  const rung: string[] = []
  clock.patience?.(1_000, () => rung.push('by time'))
  await clock.advance(1_000)
  expect(rung).toEqual(['by time'])
  await new Promise<void>((resume) => clock.patience?.(1_000, resume))
  expect([clock.elapsed(), clock.pendingTimers()]).toEqual([1_000, 0])
  const cancel = clock.patience?.(1_000, () => rung.push('cancelled'))
  cancel?.()
  await clock.advance(2_000)
  expect(rung).toEqual(['by time'])
})
