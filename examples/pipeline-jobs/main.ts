/**
 * A workspace with three pipelines on real data (vega-datasets), whose nights pass in a moment by a virtual clock. One
 * pipeline runs each night, one runs after another, a run is stopped, one is tried again, one is skipped and tells those
 * who watch, and two tasks wait for a person.
 *
 *     npm run example examples/pipeline-jobs/main.ts
 */
import { createEngine, JobchartError, memoryStorage, type Session } from 'jobchart'
import { clock, config, init, missing, reports, run, workspaces } from './workspace.ts'

const engine = await createEngine({
  jobs: [run, config, init, workspaces.profileImport, workspaces.profileCollaborate],
  policy: workspaces.policy,
  storage: memoryStorage(),
  clock,
  // The clock steps through days, so the engine looks for due work less often.
  ...{ poll: '1m', sweep: '1m', heartbeat: '1m' },
})
const [mia, max, olga] = [person('mia', 'Member'), person('max', 'Member'), person('olga', 'Owner')]

await workspaces.openWorkspace(engine, 'acme', init)
const profile = await mia.submit(workspaces.profileImport)
const invitation = await mia.submit(workspaces.profileCollaborate)
await clock.advance(10_000)
console.log('A new workspace. Two tasks wait for mia:')
await show(olga)

const ofRun = { job: run, config }
await define('flights', { schedule: '0 0 2 * * *', input: { source: 'flights', seconds: 240 } })
await define('delays', { triggeredBy: ['flights'], input: { source: 'delays', seconds: 60 } })
await define('weather', { schedule: '0 30 2 * * *', input: { source: 'weather', seconds: 100 } })
console.log(
  `\nmia defines three pipelines, which completes ${(await mia.get(profile.id)).type}. Each is configured first:`,
)
console.log(`  a run of flights at once: ${await answer(mia.pipelines.run('flights'))}`)
await clock.advance(60_000)
await mia.send(invitation.id, { type: 'done' })
await show(olga)
await olga.notifications.subscribe({ level: 'alerts' })
await max.notifications.subscribe({ pipeline: 'flights', level: 'all' })

missing.add('weather')
await night()
console.log(
  '\nThe first night: delays runs after flights. The source of weather is missing once, so it is tried again:',
)
await show(olga)

const long = await mia.pipelines.run('weather', { input: { source: 'weather', seconds: 100_000, timeout: 90_000 } })
await night()
console.log('\nThe second night: a long run of weather by hand, so the due one is skipped:')
await show(olga, 4)
await mia.cancel(long.id, {})
await clock.advance(10_000)
console.log(`  mia stops it: ${(await mia.get(long.id)).status}`)

console.log('\nOlga watches for alerts, max for all of flights:')
for (const [name, session] of [
  ['olga', olga],
  ['max', max],
] as const) {
  const { items } = await session.notifications.list()
  for (const { rule, event } of items.toReversed())
    console.log(`  ${name}: ${rule} of ${event.pipeline}, ${event.at.slice(0, 16)}`)
}
console.log('\nThe reports:')
for (const [name, report] of reports) console.log(`  ${name}: ${report}`)
const [next] = await mia.pipelines.preview({ cron: '0 30 2 * * *', fields: 6 }, { count: 1 })
console.log(`\nweather runs next at ${next}`)
const stopped = engine.stop({ timeout: 0 })
await clock.advance(10_000)
await stopped

function person(id: string, role: string): Session {
  return engine.as({ id, tenant: 'acme', role })
}

async function define(id: string, options: Partial<Parameters<typeof workspaces.pipeline>[0]>): Promise<void> {
  await mia.pipelines.define(workspaces.pipeline({ id, ...ofRun, ...options }))
}

/** Lets the time pass until the next morning at six. */
async function night(): Promise<void> {
  const DAY_MS = 86_400_000
  const now = clock.now()
  const morning = Math.floor(now / DAY_MS) * DAY_MS + DAY_MS / 4
  await clock.advance(morning > now ? morning - now : morning + DAY_MS - now)
}

async function show(session: Session, limit = 20): Promise<void> {
  const { items } = await session.list({ limit })
  for (const job of items.toReversed()) {
    const { type, status, exitCode, startTime, endTime } = workspaces.present(job)
    const time = (at: string | null) => at?.slice(5, 16).replace('T', ' ') ?? '–'
    const columns = [job.pipeline ?? '–', type ?? '', status, String(exitCode ?? '–'), time(startTime), time(endTime)]
    const widths = [8, 20, 9, 3, 12, 12]
    console.log(`  ${columns.map((text, index) => text.padEnd(widths[index] ?? 0)).join('')} ${job.trigger}`)
  }
}

async function answer(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'ok',
    (error: unknown) => (error instanceof JobchartError ? error.code : String(error)),
  )
}

// Output:
// A new workspace. Two tasks wait for mia:
//   –       WORKSPACE_INIT      COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   –       PROFILE_IMPORT      QUEUED   –  –           –            manual
//   –       PROFILE_COLLABORATE QUEUED   –  –           –            manual
//
// mia defines three pipelines, which completes PROFILE_IMPORT. Each is configured first:
//   a run of flights at once: INVALID_STATE
//   –       WORKSPACE_INIT      COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   –       PROFILE_IMPORT      COMPLETE –  01-01 00:00 01-01 00:00  manual
//   –       PROFILE_COLLABORATE COMPLETE –  01-01 00:01 01-01 00:01  manual
//   flights PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   delays  PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   weather PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//
// The first night: delays runs after flights. The source of weather is missing once, so it is tried again:
//   –       WORKSPACE_INIT      COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   –       PROFILE_IMPORT      COMPLETE –  01-01 00:00 01-01 00:00  manual
//   –       PROFILE_COLLABORATE COMPLETE –  01-01 00:01 01-01 00:01  manual
//   flights PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   delays  PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   weather PIPELINE_CONFIG     COMPLETE 0  01-01 00:00 01-01 00:00  manual
//   flights PIPELINE_RUN        COMPLETE 0  01-01 02:00 01-01 02:04  schedule
//   delays  PIPELINE_RUN        COMPLETE 0  01-01 02:04 01-01 02:05  dependency
//   weather PIPELINE_RUN        ERROR    1  01-01 02:30 01-01 02:31  schedule
//   weather PIPELINE_RUN        COMPLETE 0  01-01 02:31 01-01 02:33  retry
//
// The second night: a long run of weather by hand, so the due one is skipped:
//   weather PIPELINE_RUN        COMPLETE 0  01-01 02:31 01-01 02:33  retry
//   weather PIPELINE_RUN        RUNNING  –  01-01 06:00 –            manual
//   flights PIPELINE_RUN        COMPLETE 0  01-02 02:00 01-02 02:04  schedule
//   delays  PIPELINE_RUN        COMPLETE 0  01-02 02:04 01-02 02:05  dependency
//   mia stops it: STOPPED
//
// Olga watches for alerts, max for all of flights:
//   olga: JOB_ENDED ERROR of weather, 2026-01-01T02:31
//   olga: RUN_SKIPPED of weather, 2026-01-02T02:30
//   max: JOB_STARTED of flights, 2026-01-01T02:00
//   max: JOB_ENDED COMPLETE of flights, 2026-01-01T02:04
//   max: JOB_STARTED of flights, 2026-01-02T02:00
//   max: JOB_ENDED COMPLETE of flights, 2026-01-02T02:04
//
// The reports:
//   flights: 20000 flights
//   delays: the worst delay: 522 minutes, from BMI
//   weather: the wettest day of Seattle: 2015-03-15, 55.9 mm
//
// weather runs next at 2026-01-03T02:30:00.000Z
