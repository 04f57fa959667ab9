/**
 * A pipeline that survives `kill -9`: it reads 20,000 real flights and 3,376 airports (vega-datasets), joins them,
 * loads them into a SQLite warehouse in chunks and compares the warehouse with the source.
 *
 *     npm start
 *     npm start -- --pace 60 --data /tmp/elt
 *
 * Kill it at any point and start it again: it continues where it was, and each chunk is loaded exactly once. Start it a
 * second time while it runs: the second one is refused. Press Ctrl-C: the run is cancelled.
 *
 * Exit codes: 0 completed, 1 failed, 2 wrong arguments, 3 another run is active, 130 cancelled, 143 stopped (SIGTERM;
 * the next start continues it).
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createEngine, type Engine, JobchartError, type Session } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { begin, type Run } from './begin.ts'
import { elt } from './job.ts'
import { type Options, readOptions, UsageError, usage } from './options.ts'
import { earlierLines, endedLine, historyLines, refusedLines, resultLines } from './report.ts'
import { createScreen, type Screen } from './screen.ts'
import { warehouseFile } from './tasks.ts'

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = optionsOrUsage(args)
  if (typeof options === 'number') return options
  print(opening(options))
  await mkdir(options.folder, { recursive: true })
  const engine = await createEngine({ jobs: [elt], storage: sqliteStorage(jobsFile(options.folder)) })
  try {
    return await run(engine, options)
  } finally {
    await engine.stop()
  }
}

function optionsOrUsage(args: readonly string[]): Options | number {
  try {
    const options = readOptions(args)
    if (options !== 'help') return options
    console.log(usage)
    return 0
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n\n${usage}`)
    return 2
  }
}

async function run(engine: Engine, { folder, paceSeconds }: Options): Promise<number> {
  const you = engine.as({ id: 'you', role: 'admin' })
  const screen = createScreen({ quarters: paceSeconds > 0 })
  engine.on('job.transitioned', ({ from, to, message }) => {
    if (to !== 'failed' && to !== 'cancelled') screen.passed(from, message ?? '')
  })
  engine.on('job.progress', ({ progress }) => screen.progress(progress.completed, progress.total ?? 0))

  const beginning = await begin(engine, you, { folder, paceSeconds, chunkRows: 500 })
  if (beginning.kind === 'refused') {
    print(refusedLines(beginning.run))
    return 3
  }
  const { kind, run } = beginning
  print(introduction(kind, run))
  screen.start(run.status)
  onSignals(engine, you, run.id)
  const ended = await result(you, run.id)
  if (ended === undefined) {
    await screen.end('stopped')
    console.log('Stopped. Start it again, and it goes on where it was.')
    return 143
  }
  await showEnd(you, screen, ended, folder)
  return { success: 0, failure: 1, cancelled: 130 }[ended.outcome ?? 'failure']
}

/** The run after it has ended; undefined if the engine was stopped first. */
async function result(you: Session, id: string): Promise<Run | undefined> {
  try {
    return await you.result(id)
  } catch (error) {
    if (error instanceof JobchartError && error.code === 'ENGINE_STOPPED') return undefined
    throw error
  }
}

function opening({ paceSeconds }: Options): readonly string[] {
  const pace = paceSeconds === 0 ? '' : ` (about ${paceSeconds} s)`
  return [`Loads 20,000 flights into a SQLite warehouse: extract, clean and join, load${pace}, verify.`]
}

function introduction(kind: 'submitted' | 'resumed', run: Run): readonly string[] {
  return [
    kind === 'submitted' ? `Run ${run.id}` : `Resuming run ${run.id}: it was ${run.status} when its process ended.`,
    `This is process ${process.pid}. Crash it with: kill -9 ${process.pid}`,
    'Start it again then, and it goes on where it was.',
    '',
  ]
}

/**
 * Ctrl-C cancels the run; a second one exits at once. SIGTERM stops the engine; a second one stops it at once, and the
 * next start continues.
 */
function onSignals(engine: Engine, you: Session, id: string): void {
  let isAsked = false
  process.on('SIGINT', () => {
    if (isAsked) process.exit(130)
    isAsked = true
    // Refused if the run has already ended: then there is nothing to cancel.
    you.cancel(id).catch(() => {})
  })
  let timeout = 1_000
  process.on('SIGTERM', () => {
    void engine.stop({ timeout })
    timeout = 0
  })
}

async function showEnd(you: Session, screen: Screen, run: Run, folder: string): Promise<void> {
  const isComplete = run.outcome === 'success'
  await screen.end(isComplete ? undefined : (run.error?.message ?? run.status))
  const { items } = await you.list({ type: elt.type, limit: 20 })
  const result = isComplete ? resultLines(run.output) : [endedLine(run)]
  print([
    ...['', ...result],
    ...['', ...historyLines(await you.history(run.id))],
    ...['', ...earlierLines(items.filter((other) => other.id !== run.id))],
    ...['', 'Files', `  jobs       ${jobsFile(folder)}`, `  warehouse  ${warehouseFile(folder)}`],
  ])
}

function jobsFile(folder: string): string {
  return join(folder, 'jobs.db')
}

function print(lines: readonly string[]): void {
  for (const line of lines) console.log(line)
}

// Output:
// Loads 20,000 flights into a SQLite warehouse: extract, clean and join, load, verify.
// Run …
// This is process …. Crash it with: kill -9 …
// Start it again then, and it goes on where it was.
//
// ❯ Extract
// ✔ Extract: read 3,376 airports and 20,000 flights
// ❯ Clean and join
// ✔ Clean and join: joined 19,999 flights, rejected 1 (airport without a city, state or position: 1)
// ❯ Load
// ✔ Load: loaded 19,999 flights in 40 chunks
// ❯ Verify
// ✔ Verify: counts and sums agree with the source for 220 airports of origin
//
// Result
//   extracted  20,000 flights, 3,376 airports
//   rejected   1 (airport without a city, state or position: 1)
//   loaded     19,999 flights in 40 chunks
//   delay      154,015 minutes in all
//   distance   14,476,631 miles in all
//   verified   220 airports of origin agree with the source
//
// History
//   …  extracting
//   …  extracting → cleaning: read 3,376 airports and 20,000 flights
//   …  cleaning → loading: joined 19,999 flights, rejected 1 (airport without a city, state or position: 1)
//   …  loading → verifying: loaded 19,999 flights in 40 chunks
//   …  verifying → completed: counts and sums agree with the source for 220 airports of origin
//
// Earlier runs
//   none
//
// Files
//   jobs       …
//   warehouse  …
