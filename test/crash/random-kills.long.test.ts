import { expect, test } from 'vitest'
import { shareOf } from '../share.ts'
import { aftermath, faultsOf, integrityOf, lossesOf, type Trace } from './aftermath.ts'
import { Life, testFolder } from './life.ts'
import { randomFrom } from './random.ts'

const KILLS = shareOf(200)
const SEED = Number(process.env.JOBCHART_SEED ?? Date.now() % 1_000_000)
const LANES = 20

test(`${KILLS} kills at random times lose no acknowledged submit and repeat no effect (seed ${SEED})`, async () => {
  const folder = testFolder()
  const random = randomFrom(SEED)
  for (let kill = 0; kill < KILLS; kill++) {
    const life = new Life({ folder, seed: SEED + kill })
    // Some kills come while the process opens the file and takes work over, the others under load.
    const isEarly = random() < 0.25
    await life.said(isEarly ? 'opening' : 'ready')
    if (!isEarly) {
      life.tell({ do: 'load', name: `life-${kill}`, lanes: LANES })
      await life.said('under load')
    }
    const end = await killedAfter(life, random() * (isEarly ? 40 : 300))
    expect(end).toEqual({ code: null, signal: 'SIGKILL' })
  }
  const last = new Life({ folder })
  await last.said('ready')
  expect(await last.finish()).toEqual({ code: 0, signal: null })

  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(integrityOf(folder)).toEqual(['ok', 'ok'])
  expect(found.traces.filter(({ job }) => job.phase !== 'settled')).toEqual([])
  expect(found.traces.filter((trace) => !hasRightEffects(trace))).toEqual([])
  // Kills must have come under load, or the test has proved nothing.
  const lost = found.traces.filter((trace) => lossesOf(trace) > 0)
  expect(lost.length).toBeGreaterThan(KILLS)
  const { acknowledged, traces } = found
  const poisoned = traces.filter(({ job }) => job.status === 'failed').length
  console.log(
    `seed ${SEED}: ${KILLS} kills, ${acknowledged.length} submits acknowledged, ${traces.length} jobs settled, ` +
      `${lost.length} of them lost with a process and brought to their end, ${poisoned} given up as poison`,
  )
})

// Random kills may hit a job three times in a row before its next step. It must then fail as POISON.
function hasRightEffects(trace: Trace): boolean {
  const { job, effects } = trace
  const times = Object.values(effects)
  if (job.status === 'completed') return times.length === 3 && times.every((each) => each === 1)
  return job.error?.code === 'POISON' && lossesOf(trace) >= 3 && times.every((each) => each === 1)
}

async function killedAfter(life: Life, ms: number) {
  await new Promise((resume) => setTimeout(resume, ms))
  return await life.kill()
}
