import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { aftermath, integrityOf, lossesOf } from './aftermath.ts'
import { readJournals, sharedNow } from './journal.ts'
import { Life, testFolder } from './life.ts'
import { randomFrom } from './random.ts'
import { recoveries, runsOf, type Span, stormFaults } from './storm-audit.ts'

const SEED = Number(process.env.JOBCHART_SEED ?? Date.now() % 1_000_000)
const LANES = 12
const PROGRAM = fileURLToPath(new URL('./storm-child.ts', import.meta.url))

/**
 * Two processes on one file. Each is restarted after each kill; the kills hit one, the other or both at random times.
 */
class Storm {
  readonly spans: Span[] = []
  kills = 0
  readonly #folder: string
  readonly #killsMax: number
  readonly #random = randomFrom(SEED)
  readonly #living = new Map<Life, Span>()

  constructor(folder: string, killsMax: number) {
    this.#folder = folder
    this.#killsMax = killsMax
  }

  async rage(): Promise<void> {
    await Promise.all([this.#reign(), this.#reign()])
    for (const life of [...this.#living.keys()]) await this.#kill(life)
  }

  start(lanes: number): Life {
    const spawnedAt = sharedNow()
    const life = new Life({ folder: this.#folder, lanes, seed: SEED + this.spans.length }, PROGRAM)
    const span = { pid: life.pid, spawnedAt }
    this.spans.push(span)
    this.#living.set(life, span)
    return life
  }

  async #reign(): Promise<void> {
    while (this.kills < this.#killsMax) {
      const life = this.start(LANES)
      // Some kills come while the process opens the file and takes work over, the others under load.
      const isEarly = this.spans.length % 5 === 0
      try {
        await life.said(isEarly ? 'opening' : 'under load')
      } catch (error) {
        if (this.#living.has(life)) throw error
      }
      await Promise.race([sleep(this.#random() * (isEarly ? 60 : 400)), life.ended])
      const isBoth = this.spans.length % 3 === 0
      await Promise.all((isBoth ? [...this.#living.keys()] : [life]).map((each) => this.#kill(each)))
    }
  }

  async #kill(life: Life): Promise<void> {
    const span = this.#living.get(life)
    if (span === undefined) return
    this.#living.delete(life)
    this.kills++
    span.killedAt = sharedNow()
    expect(await life.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  }
}

/** Tests that two processes on one file, killed many times, lose nothing and do nothing twice. */
export function testStorm(kills: number): void {
  test(`I1 I14 I16 I19 I22 I26 two processes on one file, killed ${kills} times, lose nothing and run nothing twice (seed ${SEED})`, async () => {
    const folder = testFolder()
    const storm = new Storm(folder, kills)
    await storm.rage()
    const last = [storm.start(0), storm.start(0)]
    await Promise.all(last.map((life) => life.said('ready')))
    const clean = { code: 0, signal: null }
    expect(await Promise.all(last.map((life) => life.finish()))).toEqual([clean, clean])

    const found = await aftermath(folder)
    const journal = readJournals(folder)
    expect(stormFaults(found, journal, storm.spans)).toEqual([])
    expect(integrityOf(folder)).toEqual(['ok', 'ok'])
    const { restart, open, takeover } = recoveries(journal, storm.spans)
    // Kills must have come under load, or the test has proved nothing.
    const lost = found.traces.filter((trace) => lossesOf(trace) > 0)
    expect(lost.length).toBeGreaterThan(storm.kills)
    expect(restart.length).toBeGreaterThan(0)

    const counted = (did: string) => journal.filter((entry) => entry.did === did).length
    const refused = Map.groupBy(
      journal.flatMap((entry) => (entry.did === 'refuse' ? [entry.code] : [])),
      (code) => code,
    )
    const runs = runsOf(journal, storm.spans)
    const poisoned = found.traces.filter(({ job }) => job.error?.code === 'POISON').length
    console.log(
      [
        `seed ${SEED}: ${storm.kills} kills of two processes on one file`,
        `${counted('submit')} submits acknowledged, ${found.traces.length} jobs settled, ${lost.length} of them lost with a process and brought to their end, ${poisoned} given up as poison`,
        `${runs.length} runs of tasks, ${runs.filter(({ isCutOff }) => isCutOff).length} cut off; ${counted('cancel')} cancels; refused: ${JSON.stringify(Object.fromEntries([...refused].map(([code, all]) => [code, all.length])))}`,
        `restart (spawn of Node) to first recovered task: ${figures(restart)}; of that, from createEngine: ${figures(open)}`,
        `kill to first task taken over by the other process (sweep 200 ms): ${figures(takeover)}`,
      ].join('\n'),
    )
  })
}

function figures(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(0)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (n = ${sorted.length})`
}
