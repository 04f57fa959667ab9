import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, defineJob, type Engine, type Session } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { createMachine } from 'xstate'
import { z } from 'zod'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'

/** How many sessions follow the events at the same time. */
export const FOLLOWERS = 1_000
const PER_SECOND = 100
const SECONDS = 4
const WARM_UP_SECONDS = 1
/** How many editors there are. Each has an equal part of the jobs. */
const EDITORS = 100

const switched = defineJob({
  type: 'switched',
  commands: { turn: z.object({}) },
  lifecycle: createMachine({ initial: 'off', states: { off: { on: { turn: 'on' } }, on: { on: { turn: 'off' } } } }),
})

/** Who follows: admins who each see all events, or editors who each see a hundredth of them. */
export const AUDIENCES = {
  'all-see-all': { label: `${FOLLOWERS} admins, each told everything` },
  'each-sees-own': { label: `${FOLLOWERS} sessions of ${EDITORS} editors, each told of own jobs` },
} as const

/**
 * Measures how many milliseconds it takes from a commit until each follower gets its event. Meanwhile the same process
 * commits 100 transitions a second to SQLite FULL.
 */
export async function following(audience: string, folder: string): Promise<Measured> {
  const engine = await createEngine({ jobs: [switched], storage: sqliteStorage(join(folder, 'jobchart.db')) })
  try {
    const editors = Array.from({ length: EDITORS }, (_, n) => engine.as({ id: `editor-${n}`, role: 'editor' }))
    const ids = await Promise.all(editors.map(async (each) => (await each.submit(switched, {})).id))
    const committed = new Map<number, number>()
    engine.on('job.transitioned', ({ sequence }) => committed.set(sequence, performance.now()))
    const delivered: number[] = []
    const abort = new AbortController()
    const loops = sessionsOf(engine, audience, editors).map(async (session) => {
      for await (const event of session.events({ signal: abort.signal })) {
        const at = committed.get(event.sequence)
        if (at !== undefined) delivered.push(performance.now() - at)
      }
    })
    await turnAll(editors, ids, WARM_UP_SECONDS)
    await engine.idle()
    delivered.length = 0
    const cpu = process.cpuUsage()
    const begin = performance.now()
    await turnAll(editors, ids, SECONDS)
    const lasted = (performance.now() - begin) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    await sleep(1_000)
    abort.abort()
    await Promise.all(loops)
    const expected = SECONDS * PER_SECOND * (audience === 'all-see-all' ? FOLLOWERS : FOLLOWERS / EDITORS)
    if (delivered.length !== expected) throw new Error(`${delivered.length} deliveries; expected ${expected}`)
    return {
      figures: {
        transitionsPerSecond: (SECONDS * PER_SECOND) / lasted,
        p50Ms: quantile(delivered, 0.5),
        p99Ms: quantile(delivered, 0.99),
        maxMs: delivered.reduce((most, ms) => Math.max(most, ms), 0),
        cpuShare: (user + system) / 1e6 / lasted,
      },
      facts: {},
    }
  } finally {
    await engine.stop()
  }
}

function sessionsOf(engine: Engine, audience: string, editors: readonly Session[]): readonly Session[] {
  return Array.from({ length: FOLLOWERS }, (_, n) => {
    return audience === 'all-see-all'
      ? engine.as({ id: `admin-${n}`, role: 'admin' })
      : (editors[n % EDITORS] as Session)
  })
}

// Sends commands at a steady rate, even if earlier ones are not answered yet.
async function turnAll(editors: readonly Session[], ids: readonly string[], seconds: number): Promise<void> {
  const begin = performance.now()
  const sent: Promise<unknown>[] = []
  for (let n = 0; n < seconds * PER_SECOND; n++) {
    const wait = begin + (n * 1_000) / PER_SECOND - performance.now()
    if (wait > 0) await sleep(wait)
    sent.push((editors[n % EDITORS] as Session).send(ids[n % EDITORS] ?? '', { type: 'turn' }))
  }
  await Promise.all(sent)
}
