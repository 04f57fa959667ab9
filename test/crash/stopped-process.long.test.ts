import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { aftermath, attemptsOf, faultsOf, linesOf, observer } from './aftermath.ts'
import { Life, testFolder } from './life.ts'

const wait = { do: 'submit', type: 'wait', input: {} } as const
const times = { heartbeatMs: 100, deadAfterMs: 4_000, sweepMs: 50 }
const clean = { code: 0, signal: null }
/** A submit takes a few milliseconds. A process suspended for this long does not yet count as dead. */
const PROBE_MS = 1_000
const TRIES_MAX = 20

test.each([
  { when: 'its task is held by another', isEnded: false },
  { when: 'its task has ended, and the slot is another run’s', isEnded: true },
])('I16 a process that was stopped by SIGSTOP and continues when $when changes nothing', async ({ isEnded }) => {
  const folder = testFolder()
  const [a, b] = [new Life({ folder, ...times }), new Life({ folder, ...times })]
  await Promise.all([a.said('ready'), b.said('ready')])
  a.tell({ ...wait, pipeline: 'nightly' })
  const { id = '' } = await a.said('entered')
  await a.said('submitted')
  await stoppedOutsideTransaction(a, b)

  expect(await b.said('entered')).toMatchObject({ id, attempt: 2 })
  const second = isEnded ? await nextRun(folder, b, id) : id
  const before = await stored(folder, id, second)
  a.signal('SIGCONT')
  // It learns from the log that its work was cancelled. Its code still runs, and reports.
  await a.said('stop seen')
  a.tell({ do: 'open', id })
  await a.said('refused: STALE_CLAIM')
  // One heartbeat of it, and a sweep of the other process.
  await sleep(300)
  expect(await stored(folder, id, second)).toEqual(before)

  for (const life of [a, b]) life.tell({ do: 'open' })
  expect(await Promise.all([a.finish(), b.finish()])).toEqual([clean, clean])
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  const trace = found.traces.find(({ job }) => job.id === id)
  expect(trace).toMatchObject({
    job: { status: 'completed', output: b.pid },
    effects: { effect: 1 },
    pids: [a.pid, b.pid],
  })
  expect(trace && attemptsOf(trace)).toEqual([1, 2])
  expect(await linesOf(folder, id)).toEqual(['attempt 2 goes on'])
  expect(found.traces.filter(({ job }) => job.status !== 'completed')).toEqual([])
})

/**
 * Suspends A while it holds no lock of SQLite. A process suspended inside a transaction prevents all others from
 * writing, and its tasks cannot be taken over.
 */
async function stoppedOutsideTransaction(a: Life, b: Life): Promise<void> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    a.signal('SIGSTOP')
    b.tell({ do: 'submit', type: 'deliver', input: {} })
    const submitted = b.said('submitted')
    const isFree = await Promise.race([submitted.then(() => true), sleep(PROBE_MS, false)])
    if (isFree) return
    a.signal('SIGCONT')
    await submitted
  }
  throw new Error('A was always stopped inside a transaction')
}

/** The other process ends the task, and starts another run of the pipeline. */
async function nextRun(folder: string, b: Life, id: string): Promise<string> {
  b.tell({ do: 'open', id })
  const engine = await observer(folder)
  await engine.as({ id: 'ada', role: 'editor' }).result(id)
  await engine.stop()
  b.tell({ ...wait, pipeline: 'nightly' })
  return (await b.said('entered')).id ?? ''
}

async function stored(folder: string, ...ids: readonly string[]) {
  const { traces } = await aftermath(folder)
  // Its effects are kept: code outside the engine cannot be undone, and the key of the step keeps it at one effect.
  return traces.filter(({ job }) => ids.includes(job.id)).map(({ job, rows }) => ({ job, rows }))
}
