/**
 * The Jobs page of an organization, with real maps (world-atlas): editors load, analyze and seed them, an administrator
 * watches. Each member sees the jobs that their role shows, and cancels only their own.
 *
 *     npm run example examples/member-jobs/main.ts
 *
 * The program works in a temporary folder, which it removes at its end.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AnyJobType, createEngine, type Engine, type InputOf, JobchartError, type Session } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { analysis } from './analysis.ts'
import { load } from './load.ts'
import { members, people } from './members.ts'
import { Screen } from './screen.ts'
import { seed } from './seed.ts'
import { tableLines } from './table.ts'
import { area, number } from './words.ts'

const folder = await mkdtemp(join(tmpdir(), 'member-jobs-'))
const engine = await createEngine({
  jobs: [load, analysis, seed],
  policy: members.policy,
  storage: sqliteStorage(join(folder, 'jobs.db')),
})
// At a deploy or Ctrl-C, running jobs may finish for 10 s. A second signal stops at once and gives them back.
let timeout = 10_000
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    void engine.stop({ timeout })
    timeout = 0
  })
}
try {
  await run(engine, folder)
} catch (error) {
  if (!(error instanceof JobchartError && error.code === 'ENGINE_STOPPED')) throw error
  console.log('Stopped.')
} finally {
  await engine.stop()
  await rm(folder, { recursive: true, force: true })
}

async function run(engine: Engine, folder: string): Promise<void> {
  const ada = { name: 'ada', session: engine.as(people.ada) }
  const ed = { name: 'ed', session: engine.as(people.ed) }
  const eve = { name: 'eve', session: engine.as(people.eve) }
  using adasScreen = new Screen(ada.session)
  using edsScreen = new Screen(ed.session)
  using evesScreen = new Screen(eve.session)

  const edsMap = await loads(ed.session, { source: 'countries-50m.json', folder })
  const evesMap = await loads(eve.session, { source: 'countries-110m.json', folder })
  await loads(ada.session, { source: 'countries-5m.json', folder })
  await analyzes(ed.session, { map: edsMap, folder })

  const evesSeed = await submit(eve.session, seed, { map: evesMap, folder, zoomMax: 8 })
  await evesScreen.until(evesSeed.id, ({ progress }) => progress > 0)
  console.log(`eve cancels her own Seed: ${await answer(eve.session.cancel(evesSeed.id))}`)

  const edsSeed = await submit(ed.session, seed, { map: edsMap, folder, zoomMax: 7 })
  await edsScreen.until(edsSeed.id, ({ progress }) => progress > 0)
  console.log(`ada, an administrator, cancels ed's: ${await answer(ada.session.cancel(edsSeed.id))}`)
  console.log(`eve, an editor, cancels ed's: ${await answer(eve.session.cancel(edsSeed.id))}`)

  // Like a deployment of a new version: running work is given back, and continues.
  await engine.stop({ timeout: 0 })
  await engine.start()
  await seeded(ed.session, edsSeed.id)

  for (const { name, session, screen } of [
    { ...ada, screen: adasScreen },
    { ...ed, screen: edsScreen },
    { ...eve, screen: evesScreen },
  ]) {
    await show(name, session, screen)
  }
}

async function loads(session: Session, input: InputOf<typeof load>): Promise<string> {
  const { id } = await submit(session, load, input)
  const view = await session.result(id)
  const { status, message, startedBy } = members.present(view)
  const { file = '', countries = 0, renamed = 0, unrolled = 0 } = view.output ?? {}
  const what = `${countries} countries; put right: ${renamed} ids, ${unrolled} rings over the antimeridian`
  console.log(`${startedBy}: ${message}: ${status}${status === 'Successful' ? `, ${what}` : ''}`)
  return file
}

async function analyzes(session: Session, input: InputOf<typeof analysis>): Promise<void> {
  const { id } = await submit(session, analysis, input)
  const view = await session.result(id)
  const { status, message, startedBy } = members.present(view)
  console.log(`${startedBy}: ${message}: ${status}`)
  if (view.output === undefined) return
  const { vertices, areaKm2, invalidRings, largest } = view.output
  console.log(`  ${number(vertices)} vertices, ${invalidRings} invalid rings, ${area(areaKm2)} in all`)
  for (const { name, areaKm2, box } of largest) console.log(`  ${name}: ${area(areaKm2)}, box ${box.join(' ')}`)
}

async function seeded(session: Session, id: Awaited<ReturnType<typeof submit<typeof seed>>>['id']): Promise<void> {
  const view = await session.result(id)
  const { status, message, startedBy } = members.present(view)
  const { tiles = 0, columns = 0, found = 0 } = view.output ?? {}
  console.log(`${startedBy}: ${message}: ${status}, ${number(tiles)} tiles`)
  console.log(`  ${found} of ${columns} columns were there when it went on`)
}

// The page is sorted by creation time, so jobs of one millisecond would be in any order.
async function submit<Type extends AnyJobType>(session: Session, type: Type, input: InputOf<Type>) {
  const job = await session.submit(type, input)
  await sleep(2)
  return job
}

/** The result of a call: `ok`, or its error code. */
async function answer(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

/** Prints the page of one member as it is loaded, and reports if the watched page differs. */
async function show(name: string, session: Session, screen: Screen): Promise<void> {
  const rows = (await session.list()).items.map(members.present)
  console.log(`\n${name}'s page`)
  for (const line of tableLines(rows)) console.log(line)
  // All jobs have ended, so the screen shows the same once it has the last change.
  for (const { id, update } of rows) await screen.until(id, (row) => row.update === update)
  const watched = new Map(screen.rows.map((row) => [row.id, JSON.stringify(row)]))
  const isSame = watched.size === rows.length && rows.every((row) => watched.get(row.id) === JSON.stringify(row))
  console.log(isSame ? '(the screen, which was never reloaded, shows the same)' : '(the screen shows something else)')
}

// Output:
// ed: Load countries-50m.json: Successful, 241 countries; put right: 6 ids, 5 rings over the antimeridian
// eve: Load countries-110m.json: Successful, 177 countries; put right: 3 ids, 4 rings over the antimeridian
// ada: Load countries-5m.json: Failed
// ed: Analyze countries-50m.geojson: Successful
//   99,544 vertices, 0 invalid rings, 146,632 thousand km² in all
//   Russia: 16,880 thousand km², box 19.604 41.1995 -169.7291 81.8549
//   Antarctica: 12,257 thousand km², box -180 -90 180 -60.5217
//   Canada: 9,872 thousand km², box -141.0008 41.6751 -52.6523 83.1153
// eve cancels her own Seed: ok
// ada, an administrator, cancels ed's: FORBIDDEN
// eve, an editor, cancels ed's: JOB_NOT_FOUND
// ed: Seed countries-50m.geojson, zooms 0 to 7: Successful, 11,053 tiles
//   … of 255 columns were there when it went on
//
// ada's page
// Type      Id    Status      Message                                    Progress  Creation      Start         End           Update        Started by
// Seed      …  Successful  Seed countries-50m.geojson, zooms 0 to 7   100 %     …  …  …  …  ed
// Seed      …  Cancelled   Seed countries-110m.geojson, zooms 0 to 8  … %…  …  …  …  eve
// Analysis  …  Successful  Analyze countries-50m.geojson              100 %     …  …  …  …  ed
// Load      …  Failed !    Load countries-5m.json                     0 %       …  …  …  …  ada
// Load      …  Successful  Load countries-110m.json                   100 %     …  …  …  …  eve
// Load      …  Successful  Load countries-50m.json                    100 %     …  …  …  …  ed
// ! …: the atlas has no map "countries-5m.json"
// (the screen, which was never reloaded, shows the same)
//
// ed's page
// Type      Id    Status      Message                                   Progress  Creation      Start         End           Update        Started by
// Seed      …  Successful  Seed countries-50m.geojson, zooms 0 to 7  100 %     …  …  …  …  ed
// Analysis  …  Successful  Analyze countries-50m.geojson             100 %     …  …  …  …  ed
// Load      …  Successful  Load countries-50m.json                   100 %     …  …  …  …  ed
// (the screen, which was never reloaded, shows the same)
//
// eve's page
// Type  Id    Status      Message                                    Progress  Creation      Start         End           Update        Started by
// Seed  …  Cancelled   Seed countries-110m.geojson, zooms 0 to 8  … %…  …  …  …  eve
// Load  …  Successful  Load countries-110m.json                   100 %     …  …  …  …  eve
// (the screen, which was never reloaded, shows the same)
