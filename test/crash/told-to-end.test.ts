import { expect, test } from 'vitest'
import { aftermath, attemptsOf, faultsOf, lossesOf } from './aftermath.ts'
import { Life, testFolder } from './life.ts'

const lives = [
  { signal: 'SIGINT', end: { code: null, signal: 'SIGINT' } },
  { signal: 'SIGTERM', end: { code: null, signal: 'SIGTERM' } },
  { signal: 'SIGHUP', end: { code: null, signal: 'SIGHUP' } },
  { signal: 'SIGUSR2', end: { code: null, signal: 'SIGUSR2' } },
  // It handles the signal once, and exits without stopping its engine.
  { signal: 'SIGTERM', isStoppedBySignals: true, end: { code: 1, signal: null } },
  { signal: 'SIGINT', isStoppedBySignals: true, end: { code: 1, signal: null } },
] as const

test('a process that gets SIGINT or SIGTERM ends by it, and its job counts as lost, not as poison', async () => {
  const folder = testFolder()
  for (const [index, { signal, end, ...options }] of lives.entries()) {
    const life = new Life({ folder, ...options })
    await life.said('ready')
    if (index === 0) life.tell({ do: 'submit', type: 'wait', input: {} })
    await life.said('entered')
    life.signal(signal)
    expect(await life.ended).toEqual(end)
  }
  const last = new Life({ folder })
  await last.said('ready')
  await last.said('entered')
  last.tell({ do: 'open' })
  expect(await last.finish()).toEqual({ code: 0, signal: null })
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  const [trace] = found.traces
  expect(trace?.job).toMatchObject({ status: 'completed', output: last.pid })
  expect(trace && [attemptsOf(trace), lossesOf(trace)]).toEqual([[1, 2, 3, 4, 5, 6, 7], 6])
  const reasons = trace?.rows.flatMap(({ events }) =>
    events.flatMap((event) => ('reason' in event ? [event.reason] : [])),
  )
  expect(reasons).toContain('its process was ended')
  expect(reasons).not.toContain('its process died')
})
