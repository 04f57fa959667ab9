import { expect, test } from 'vitest'
import { aftermath, attemptsOf, deliver, faultsOf, lossesOf, observer, poison } from './aftermath.ts'
import { Life, testFolder } from './life.ts'

const delivered = { extract: 1, transform: 1, store: 1 }
const LIVES = 3

test('a job that crashes its process three times fails as POISON, and the jobs behind it run', async () => {
  const folder = testFolder()
  await submitAll(folder, ['poison', 'deliver', 'deliver', 'deliver'])
  // One at a time: the poison job goes first, alone in the process when it dies.
  await takenDown(folder, 1)
  const { traces } = await finished(folder, 1)
  expect(traces).toMatchObject([
    { job: { type: 'poison', status: 'failed', outcome: 'failure', error: { code: 'POISON' } }, runs: { handler: 3 } },
    ...Array.from({ length: 3 }, () => ({ job: { status: 'completed' }, effects: delivered })),
  ])
  expect(traces.map(attemptsOf)).toEqual([[1, 2, 3], [1], [1], [1]])
  expect(traces.map(lossesOf)).toEqual([3, 0, 0, 0])
})

test('jobs that run beside a poison job are not failed with it', async () => {
  const folder = testFolder()
  await submitAll(folder, ['deliver', 'deliver', 'poison', 'deliver'])
  // All at once: the first crash takes all running jobs down; afterwards each suspect runs alone.
  await takenDown(folder, 10)
  const { traces } = await finished(folder, 10)
  const ends = traces.map(({ job: { type, status, error } }) => [type, status, error?.code])
  expect(ends).toEqual([
    ['deliver', 'completed', undefined],
    ['deliver', 'completed', undefined],
    ['poison', 'failed', 'POISON'],
    ['deliver', 'completed', undefined],
  ])
})

async function submitAll(folder: string, types: readonly ('deliver' | 'poison')[]): Promise<void> {
  const engine = await observer(folder)
  const ada = engine.as({ id: 'ada', role: 'editor' })
  for (const type of types) await ada.submit(type === 'poison' ? poison : deliver, {})
  await engine.stop()
}

/** Number of processes that the poison job crashes. */
async function takenDown(folder: string, concurrency: number): Promise<void> {
  for (let life = 0; life < LIVES; life++) {
    expect(await new Life({ folder, concurrency }).ended).toEqual({ code: null, signal: 'SIGKILL' })
  }
}

async function finished(folder: string, concurrency: number) {
  const last = new Life({ folder, concurrency })
  await last.said('ready')
  expect(await last.finish()).toEqual({ code: 0, signal: null })
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  return found
}
