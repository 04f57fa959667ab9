import { createEngine, defineJob, memoryStorage, systemClock } from 'jobchart'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const DAY_MS = 86_400_000
/** Node's longest timer. A longer one fires at once. */
const NODE_MS_MAX = 2 ** 31 - 1

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a timer of the system clock', () => {
  test.each([
    ['0', 0],
    ['1 ms', 1],
    ['as long as Node waits', NODE_MS_MAX],
    ['a millisecond longer', NODE_MS_MAX + 1],
    ['twice as long', 2 * NODE_MS_MAX],
    ['30 days', 30 * DAY_MS],
    ['a hundred years', 36_500 * DAY_MS],
  ])('fires once, in its time: %s', (_, ms) => {
    const fired = vi.fn()
    systemClock().timer(ms, fired)
    vi.advanceTimersByTime(Math.max(0, ms - 1))
    if (ms > 0) expect(fired).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(fired).toHaveBeenCalledTimes(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test.each([0, 20, 30, 60])('does not fire after it was cancelled, also when %i days long', (days) => {
    const fired = vi.fn()
    const cancel = systemClock().timer(70 * DAY_MS, fired)
    vi.advanceTimersByTime(days * DAY_MS)
    cancel()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(100 * DAY_MS)
    expect(fired).not.toHaveBeenCalled()
  })

  test('of infinite length never fires', () => {
    const fired = vi.fn()
    const cancel = systemClock().timer(Number.POSITIVE_INFINITY, fired)
    vi.advanceTimersByTime(400 * DAY_MS)
    expect([fired.mock.calls.length, vi.getTimerCount()]).toEqual([0, 1])
    cancel()
    expect(vi.getTimerCount()).toBe(0)
  })
})

test('an engine with intervals of a month does no work meanwhile, and waits a month for code that does not stop', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const set = vi.spyOn(globalThis, 'setTimeout')
  const stuck = defineJob({ type: 'stuck', killGrace: '60d', execute: () => new Promise<string>(() => {}) })
  const engine = await createEngine({
    jobs: [stuck],
    storage: memoryStorage(),
    ...{ poll: '30d', sweep: '30d', heartbeat: '30d', deadAfter: '40d' },
  })
  await engine.system.submit(stuck, 1)
  await vi.waitFor(() => expect(engine.health.running).toBe(1))
  const before = set.mock.calls.length
  await vi.advanceTimersByTimeAsync(10 * DAY_MS)
  expect(set.mock.calls.length - before).toBeLessThan(10)
  let isStopped = false
  const stopped = engine.stop({ timeout: '30d' }).then(() => {
    isStopped = true
  })
  await vi.advanceTimersByTimeAsync(29 * DAY_MS)
  expect(isStopped).toBe(false)
  await vi.advanceTimersByTimeAsync(2 * DAY_MS)
  await stopped
})
