/**
 * The weather of Seattle, loaded each night at 2:30 local time, and a report after each load. On March 11, 2012, there
 * is no 2:30: the clocks go from 2:00 to 3:00. Then no engine runs for three nights: the last load is made up for, and
 * loads the days of the others too. A pause skips one more.
 *
 *     npm run example examples/nightly.ts
 *
 * The nights pass on a virtual clock. The data is `seattle-weather.csv` of vega-datasets.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'csv-parse/sync'
import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { z } from 'zod'

const DAY_MS = 86_400_000
// The exports of the package hide its data folder, so the path starts at its entry.
const file = new URL('../data/seattle-weather.csv', import.meta.resolve('vega-datasets'))
const days = z.array(z.object({ date: z.string(), precipitation: z.coerce.number() }))
const weather = days.parse(parse(readFileSync(file, 'utf8'), { columns: true }))

const clock = virtualClock({ start: Date.parse('2012-03-09T20:00:00Z') })
const today = () => new Date(clock.now()).toISOString().slice(0, 10)
/** The days that the warehouse has. */
const loaded = weather.filter(({ date }) => date < today())

const load = defineJob({
  type: 'load',
  execute: () => {
    const last = loaded.at(-1)?.date ?? ''
    const missing = weather.filter(({ date }) => date > last && date < today())
    loaded.push(...missing)
    console.log(`${new Date(clock.now()).toISOString()} loaded ${missing.length}`)
  },
})
const report = defineJob({
  type: 'report',
  execute: () => {
    const rain = loaded.reduce((sum, { precipitation }) => sum + precipitation, 0)
    console.log(`  report of ${loaded.length} days: ${rain.toFixed(1)} mm of rain`)
  },
})

const storage = memoryStorage()
// Rare polls, because a virtual clock stops at each of them.
const rarely = { poll: '10m', sweep: '10m', heartbeat: '10m' } as const
const start = () => createEngine({ jobs: [load, report], storage, clock, ...rarely })

const first = await start()
const owner = first.as({ id: 'ada', role: 'editor' })
const schedule = { cron: '30 2 * * *', timeZone: 'America/Los_Angeles' }
await owner.pipelines.define({ id: 'nightly', job: load, schedule })
await owner.pipelines.define({ id: 'report', job: report, dependsOn: [{ pipeline: 'nightly' }] })
await clock.advance(3 * DAY_MS)

console.log('no engine for three nights')
await first.stop()
await clock.advance(3 * DAY_MS)
const second = await start()
const ada = second.as({ id: 'ada', role: 'editor' })
await clock.advance(0)

console.log('a pause of one night')
await ada.pipelines.pause('nightly', 'the source is down')
await clock.advance(DAY_MS)
await ada.pipelines.resume('nightly')
await clock.advance(DAY_MS)

for (const event of await ada.pipelines.history('nightly')) {
  if (event.type !== 'run.skipped') continue
  console.log(`skipped (${event.reason}): ${event.dueAt}${event.through === undefined ? '' : ` to ${event.through}`}`)
}
await second.stop()

// Output:
// 2012-03-10T10:30:00.000Z loaded 1
//   report of 69 days: 278.6 mm of rain
// 2012-03-11T10:00:00.000Z loaded 1
//   report of 70 days: 289.0 mm of rain
// 2012-03-12T09:30:00.000Z loaded 1
//   report of 71 days: 302.7 mm of rain
// no engine for three nights
// 2012-03-15T20:00:00.000Z loaded 3
//   report of 74 days: 340.0 mm of rain
// a pause of one night
// 2012-03-17T09:30:00.000Z loaded 2
//   report of 76 days: 372.3 mm of rain
// skipped (missed): 2012-03-13T09:30:00.000Z to 2012-03-14T09:30:00.000Z
// skipped (paused): 2012-03-16T09:30:00.000Z
