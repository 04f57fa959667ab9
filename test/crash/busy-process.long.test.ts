import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { aftermath, attemptsOf, faultsOf, lossesOf } from './aftermath.ts'
import { Life, testFolder } from './life.ts'

/** Longer than the silence that is reported, and longer than a missed heartbeat. */
const BUSY_MS = 13_000
const LOOKS_MAX = 100

test('a process whose event loop is busy for 13 s keeps its work, and other processes report it as silent', async () => {
  const folder = testFolder()
  const [busy, ...others] = [new Life({ folder }), new Life({ folder }), new Life({ folder })] as const
  for (const life of [busy, ...others]) await life.said('ready')
  busy.tell({ do: 'submit', type: 'compute', input: {}, pipeline: 'nightly' })
  const entered = await Promise.race(
    [busy, ...others].map((life) => life.said('entered').then(({ id = '' }) => ({ id, life }))),
  )
  const { id, life: holder } = entered
  const idle = [busy, ...others].filter((life) => life !== holder)
  await sleep(BUSY_MS)
  for (const life of idle) {
    let isTold = false
    for (let look = 0; look < LOOKS_MAX && !isTold; look++) {
      life.tell({ do: 'explain', id })
      const { kinds = [], silent } = await life.said('explained')
      isTold = kinds.includes('silent') && silent === 1
      if (!isTold) await sleep(200)
    }
    expect(isTold).toBe(true)
    life.tell({ do: 'submit', type: 'compute', input: {}, pipeline: 'nightly' })
    expect(await life.said('refused')).toMatchObject({ code: 'ALREADY_RUNNING', id })
    expect(life.saidSoFar('entered')).toEqual([])
  }
  holder.thaw()
  for (const life of [busy, ...others]) expect(await life.finish()).toEqual({ code: 0, signal: null })
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toMatchObject([{ job: { status: 'completed', output: holder.pid }, runs: { handler: 1 } }])
  expect(found.traces.map((trace) => [attemptsOf(trace), lossesOf(trace)])).toEqual([[[1], 0]])
})
