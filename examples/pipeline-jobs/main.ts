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
