/**
 * The jobs of a workspace whose pipelines are programs: each run is a process that loads real data (vega-datasets) into a
 * warehouse. Two run at once, one is refused, one is killed, one is deleted while it runs, one cannot read its source.
 *
 *     npm run example examples/task-executions/main.ts
 *
 * It works in a folder of its own, which it removes at its end.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, type Engine, JobchartError, type Session } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { elt, executions, people } from './executions.ts'
import { show } from './screen.ts'

/** So slow that it does not end by itself. */
const SLOW_MS = 3_600_000

const folder = await mkdtemp(join(tmpdir(), 'task-executions-'))
const engine = await createEngine({
  jobs: [elt],
  policy: executions.policy,
  storage: sqliteStorage(join(folder, 'jobs.db')),
})
// A deploy, or Ctrl-C: what runs is stopped, and the next engine would run it anew.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void engine.stop({ timeout: 0 }))
try {
  await run(engine)
} catch (error) {
  if (!(error instanceof JobchartError && error.code === 'ENGINE_STOPPED')) throw error
  console.log('Stopped.')
} finally {
  await engine.stop({ timeout: 0 })
  await rm(folder, { recursive: true, force: true })
}

async function run(engine: Engine): Promise<void> {
  const [adam, mia, max] = [engine.as(people.adam), engine.as(people.mia), engine.as(people.max)]

  const strikes = await begin(mia, 'strikes', SLOW_MS)
  const flights = await begin(max, 'flights', SLOW_MS)
  const pid = await processOf(max, strikes)
  await processOf(mia, flights)
  console.log('mia and max each run a pipeline, and everybody in the workspace sees both:')
  await show(adam)

  console.log(`\nmax runs strikes beside mia's run: ${await answer(begin(max, 'strikes'))}`)
  console.log(`mia deletes max's run of flights: ${await answer(mia.delete(flights))}`)

  process.kill(pid, 'SIGKILL')
  await mia.result(strikes)
  console.log('\nkill -9 of the process of strikes:')
  await show(adam)

  const stopped = new Promise((resolve) => engine.on('task.stopped', resolve))
  console.log(`\nadam, an administrator, deletes the run of flights: ${await answer(adam.delete(flights))}`)
  console.log(`max looks at it: ${await answer(max.get(flights))}`)
  // Until its process has stopped, no other run may begin.
  await stopped

  const again = [await begin(max, 'flights'), await begin(mia, 'strikes'), await begin(mia, 'weather')]
  again.push(await begin(mia, 'moons'))
  await Promise.all(again.map((id) => adam.result(id)))
  console.log('\nfour pipelines run to their ends:')
  await show(adam)

  console.log('\nthe log of weather, from its second line:')
  for await (const { text } of max.logs(again[2] ?? '', { after: 1 })) console.log(`  ${text}`)
  console.log('\nthe warehouse:')
  ask('weather', "select max(rain_mm) || ' mm of rain on the wettest of ' || count(*) || ' days' from weather")
  ask('flights', "select sum(delay_minutes) || ' minutes of delay in ' || count(*) || ' flights' from flights")
  ask('strikes', "select '$' || sum(dollars) || ' of damage by ' || count(*) || ' birds' from strikes")
}

async function begin(session: Session, source: string, pauseMs = 0): Promise<string> {
  return (await session.submit(elt, { source, folder, pauseMs }, { pipeline: source })).id
}

/** The process of a run, which its log begins with. */
async function processOf(session: Session, id: string): Promise<number> {
  for (;;) {
    for await (const { text } of session.logs(id)) return Number(text.replace('process ', ''))
    await sleep(20)
  }
}

async function answer(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'done'
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

function ask(source: string, query: string): void {
  using warehouse = new DatabaseSync(join(folder, `${source}.db`), { readOnly: true })
  const [answer] = Object.values(warehouse.prepare(query).get() ?? {})
  console.log(`  ${source.padEnd(9)} ${answer}`)
}

// Output:
// mia and max each run a pipeline, and everybody in the workspace sees both:
//   PIPELINE  STATUS    EXIT  HOW IT ENDED
//   strikes   RUNNING
//   flights   RUNNING
//
// max runs strikes beside mia's run: ALREADY_RUNNING
// mia deletes max's run of flights: FORBIDDEN
//
// kill -9 of the process of strikes:
//   PIPELINE  STATUS    EXIT  HOW IT ENDED
//   strikes   ERROR      137  ended by SIGKILL
//   flights   RUNNING
//
// adam, an administrator, deletes the run of flights: done
// max looks at it: JOB_NOT_FOUND
//
// four pipelines run to their ends:
//   PIPELINE  STATUS    EXIT  HOW IT ENDED
//   strikes   ERROR      137  ended by SIGKILL
//   flights   COMPLETE     0  exited with code 0
//   strikes   COMPLETE     0  exited with code 0
//   weather   COMPLETE     0  exited with code 0
//   moons     ERROR        2  exited with code 2: vega-datasets has no file "moons.csv"
//
// the log of weather, from its second line:
//   extract: 1461 lines of seattle-weather.csv
//   transform: 1461 rows, 0 rejected
//   load: 1461 of 1461 rows
//
// the warehouse:
//   weather   55.9 mm of rain on the wettest of 1461 days
//   flights   154078 minutes of delay in 20000 flights
//   strikes   $30139457 of damage by 7164 birds
