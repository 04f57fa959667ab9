import { expect, test } from 'vitest'
import { aftermath, attemptsOf, deliver, faultsOf, locksLeft, lossesOf, observer } from './aftermath.ts'
import { Life, testFolder } from './life.ts'

const delivered = { extract: 1, transform: 1, store: 1 }

test.each([
  // A claimed task has not begun, but a stored claim counts as an attempt.
  { at: 'claim unwritten', attempts: [1] },
  { at: 'claim written', attempts: [1, 2] },
])('$at: a waiting job is claimed again by the next process', async ({ at, attempts }) => {
  const folder = testFolder()
  const engine = await observer(folder)
  await engine.as({ id: 'ada', role: 'editor' }).submit(deliver, {})
  await engine.stop()
  await killedAt(folder, at)
  await finished(folder)
  const { traces } = await sound(folder)
  expect(traces).toMatchObject([{ job: { status: 'completed' }, effects: delivered, runs: { handler: 1 } }])
  expect(traces.map(attemptsOf)).toEqual([attempts])
})

test.each(['loss unwritten', 'loss written', 'forget unwritten', 'forget written'])(
  '%s: if a process is killed while it takes over the task of a dead one, the next process takes it over',
  async (at) => {
    const folder = testFolder()
    const first = new Life({ folder, stopAt: 'transform took effect' })
    await first.said('ready')
    first.tell({ do: 'submit', type: 'deliver', input: {}, pipeline: 'nightly' })
    await first.said('transform took effect')
    await first.kill()

    await killedAt(folder, at)
    await finished(folder)
    const { traces } = await sound(folder)
    const runs = { extract: 1, transform: 2, store: 1 }
    expect(traces).toMatchObject([{ job: { status: 'completed' }, effects: delivered, runs }])
    // The second process may have claimed the recovered task in the same commit, or after it.
    const [attempts = []] = traces.map(attemptsOf)
    expect([[1, 2], ...(at === 'loss unwritten' ? [] : [[1, 2, 3]])]).toContainEqual(attempts)
    expect(traces.map(lossesOf)).toEqual([attempts.length - 1])
  },
)

test('work that records a further step in each attempt is not poison, however often its process dies', async () => {
  const folder = testFolder()
  const first = new Life({ folder, stopAt: 'extract resolved' })
  await first.said('ready')
  first.tell({ do: 'submit', type: 'deliver', input: {} })
  await first.said('extract resolved')
  await first.kill()
  for (const at of ['transform resolved', 'store resolved', 'end unwritten']) await killedAt(folder, at)
  await finished(folder)
  const { traces } = await sound(folder)
  expect(traces).toMatchObject([
    { job: { status: 'completed' }, effects: delivered, runs: { ...delivered, handler: 5 } },
  ])
  expect(traces.map(attemptsOf)).toEqual([[1, 2, 3, 4, 5]])
})

/** Runs a process on the remaining jobs, up to a point. */
async function killedAt(folder: string, at: string): Promise<void> {
  const life = new Life({ folder, stopAt: at })
  await life.said(at)
  expect(await life.kill()).toEqual({ code: null, signal: 'SIGKILL' })
}

async function finished(folder: string): Promise<void> {
  const life = new Life({ folder })
  await life.said('ready')
  expect(await life.finish()).toEqual({ code: 0, signal: null })
  expect(locksLeft(folder)).toEqual([])
}

async function sound(folder: string) {
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  return found
}
