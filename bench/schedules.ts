/**
 * Figures of schedules on SQLite, with real processes:
 *
 * ```
 * npm run example bench/schedules.ts              10,000 schedules
 * npm run example bench/schedules.ts -- 1000      fewer
 * ```
 *
 * 1. All schedules fall due at one moment, with one engine: how long until the last run is created, and has ended.
 * 2. The same with three engines, which are killed by SIGKILL at random and started again: no run is doubled or lost.
 * 3. All schedules wait: which part of a core one idle engine uses.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createEngine, defineJob, type Engine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'

const nightly = defineJob({ type: 'nightly', execute: () => 'done' })
const AT_ONCE = 1_000
const KILLED_FOR_MS = 4_000
const IDLE_MS = 30_000
/** The time that the processes need to start before the schedules fall due. */
const LEAD_MS = 30_000

function start(file: string): Promise<Engine> {
  return createEngine({ jobs: [nightly], storage: sqliteStorage(file) })
}

/** A daily pattern that is due at a time, a full minute. */
function dailyAt(at: number) {
  const time = new Date(at)
  return { cron: `${time.getUTCMinutes()} ${time.getUTCHours()} * * *`, timeZone: 'UTC' }
}

async function define(engine: Engine, count: number, at: number): Promise<void> {
  const ada = engine.as({ id: 'ada', role: 'editor' })
  for (let first = 0; first < count; first += AT_ONCE) {
    const ids = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) => `p${first + index}`)
    await Promise.all(ids.map((id) => ada.pipelines.define({ id, job: nightly, schedule: dailyAt(at) })))
  }
}

/** Looks at the log until each pipeline has a run that has ended. */
async function finished(engine: Engine, count: number, until: number) {
  const session = engine.system
  const created = new Map<string, number>()
  const ended = new Map<string, number>()
  let doubled = 0
  const signal = AbortSignal.timeout(until - Date.now())
  for await (const event of session.events({ after: 0, type: 'nightly', signal })) {
    const { pipeline = '' } = 'pipeline' in event ? event : {}
    if (event.type === 'job.created') {
      if (created.has(pipeline)) doubled++
      created.set(pipeline, Date.parse(event.at))
    } else if (event.type === 'job.transitioned' && event.outcome !== undefined)
      ended.set(pipeline, Date.parse(event.at))
    if (ended.size === count) break
  }
  return { created, ended, doubled }
}

function nextMinute(): number {
  return Math.ceil((Date.now() + LEAD_MS) / 60_000) * 60_000
}

async function inFolder<Result>(run: (file: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-schedules-'))
  try {
    return await run(join(folder, 'jobs.db'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function report(what: string, { created, ended, doubled }: Awaited<ReturnType<typeof finished>>, at: number): void {
  const seconds = (times: ReadonlyMap<string, number>) => ((Math.max(...times.values()) - at) / 1_000).toFixed(2)
  const times = `all created ${seconds(created)} s after the due time, all ended after ${seconds(ended)} s`
  console.log(`${what}: ${created.size} runs, ${doubled} doubled; ${times}`)
}

async function together(count: number): Promise<void> {
  await inFolder(async (file) => {
    const engine = await start(file)
    const at = nextMinute()
    await define(engine, count, at)
    report('one engine', await finished(engine, count, at + 60_000), at)
    await engine.stop()
  })
}

async function killed(count: number): Promise<void> {
  await inFolder(async (file) => {
    const definer = await start(file)
    const at = nextMinute()
    await define(definer, count, at)
    await definer.stop()
    const children: ChildProcess[] = []
    const spawn = (place: number) => {
      children[place] = fork(fileURLToPath(import.meta.url), ['engine', file])
    }
    for (let place = 0; place < 3; place++) spawn(place)
    await wait(at - Date.now())
    let kills = 0
    while (Date.now() < at + KILLED_FOR_MS) {
      await wait(50 + Math.random() * 250)
      const place = Math.floor(Math.random() * children.length)
      children[place]?.kill('SIGKILL')
      kills++
      spawn(place)
    }
    const reader = await start(file)
    report(`three engines, ${kills} kills`, await finished(reader, count, at + 120_000), at)
    for (const child of children) child.kill('SIGKILL')
    await reader.stop()
  })
}

async function idle(count: number): Promise<void> {
  await inFolder(async (file) => {
    const definer = await start(file)
    await define(definer, count, nextMinute() + 43_200_000)
    await definer.stop()
    const child = fork(fileURLToPath(import.meta.url), ['idle', file])
    await new Promise((resume) => child.once('exit', resume))
  })
}

/** Prints which part of a core this process uses while all schedules wait. */
async function idleHere(file: string): Promise<void> {
  const engine = await start(file)
  await wait(2_000)
  const before = process.cpuUsage()
  await wait(IDLE_MS)
  const { user, system } = process.cpuUsage(before)
  const share = ((user + system) / 1_000 / IDLE_MS) * 100
  console.log(`idle: ${share.toFixed(2)} % of a core over ${IDLE_MS / 1_000} s`)
  await engine.stop()
}

const [what = '10000', file = ''] = process.argv.slice(2)
if (what === 'engine') await start(file)
else if (what === 'idle') await idleHere(file)
else {
  const count = Number(what)
  console.log(`${count} schedules; ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`)
  await together(count)
  await killed(count)
  await idle(count)
}
