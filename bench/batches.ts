/**
 * Figures of batches, on SQLite with FULL:
 *
 * ```
 * npm run example bench/batches.ts                     all of them
 * npm run example bench/batches.ts -- speed memory     some: speed, memory, kills, report
 * ```
 *
 * - `speed`: 200,000 items whose code does nothing, each stored with its outcome; against one insert and one update for
 *   each item, in the same run.
 * - `memory`: the memory of a process that runs 1,000,000 items, above that of one that runs 10,000: the peak, which has
 *   garbage in it, and what is in use after a collection at the end.
 * - `kills`: a process that runs 100,000 items is killed by SIGKILL 100 times, up to 300 ms after it has begun an item.
 *   No completed item runs again, none is lost, and the counts are exact at every start.
 * - `report`: the memory in use of a process that reads the report of 1,000,000 items, above that of 10,000.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { batch, createEngine, defineJob, type Engine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { setup } from 'xstate'
import { z } from 'zod'

const SPEED_ITEMS = 200_000
const ROUNDS = 3
const CONCURRENCY = 500
const FEW_ITEMS = 10_000
const MANY_ITEMS = 1_000_000
const KILLED_ITEMS = 100_000
const KILLS = 100
/** How many parts of a report are read between two looks at the memory. */
const PARTS_BETWEEN = 10

function* upTo(count: number) {
  for (let number = 1; number <= count; number++) yield { number }
}

/** A job of so many items. */
function jobOf(each: (number: number) => unknown) {
  const items = batch<{ number: number }, null, { count: number }>({
    source: ({ input }) => upTo(input.count),
    concurrency: CONCURRENCY,
    each: ({ item }) => each(item.number) as null,
  })
  const lifecycle = setup({
    types: { context: {} as { count: number }, input: {} as { count: number } },
    actors: { items },
  }).createMachine({
    context: ({ input }) => input,
    initial: 'on',
    states: {
      on: {
        invoke: {
          src: 'items',
          input: ({ context }: { readonly context: { count: number } }) => context,
          onDone: 'done',
          onError: 'failed',
        },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  })
  return defineJob({ type: 'items', input: z.object({ count: z.number() }), lifecycle })
}

const plain = jobOf(() => null)

async function inFolder<Result>(run: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-batches-'))
  try {
    return await run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function ended(engine: Engine, id: string): Promise<void> {
  const job = await engine.system.result(id).catch(() => undefined)
  if (job?.outcome !== 'success') throw new Error(`the batch ended as ${job?.status}`)
}

async function speed(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    await inFolder(async (folder) => {
      const engine = await createEngine({ jobs: [plain], storage: sqliteStorage(join(folder, 'jobs.db')) })
      const begun = performance.now()
      const { id } = await engine.as({ id: 'ada', role: 'editor' }).submit(plain, { count: SPEED_ITEMS })
      await ended(engine, id)
      const own = SPEED_ITEMS / ((performance.now() - begun) / 1_000)
      await engine.stop()
      const bare = bareRate(join(folder, 'bare.db'))
      console.log(
        `speed: ${Math.round(own)} items/s; one insert and one update each: ${Math.round(bare)}/s; ratio ${(own / bare).toFixed(2)}`,
      )
    })
  }
}

/** One insert and one update for each item, in transactions of 1,000 items, with FULL. */
function bareRate(file: string): number {
  const db = new DatabaseSync(file)
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  db.exec(
    'CREATE TABLE items (job INTEGER, number INTEGER, key TEXT, status INTEGER, output TEXT, at INTEGER, PRIMARY KEY (job, number)) WITHOUT ROWID; CREATE INDEX by_status ON items (job, status, number)',
  )
  const insert = db.prepare('INSERT INTO items (job, number, key, status, at) VALUES (1, ?, ?, 0, ?)')
  const update = db.prepare('UPDATE items SET status = 1, output = ?, at = ? WHERE job = 1 AND number = ?')
  const begun = performance.now()
  for (let first = 1; first <= SPEED_ITEMS; first += 1_000) {
    db.exec('BEGIN IMMEDIATE')
    for (let number = first; number < first + 1_000; number++) insert.run(number, String(number), first)
    db.exec('COMMIT')
    db.exec('BEGIN IMMEDIATE')
    for (let number = first; number < first + 1_000; number++) update.run('null', first, number)
    db.exec('COMMIT')
  }
  const seconds = (performance.now() - begun) / 1_000
  db.close()
  return SPEED_ITEMS / seconds
}

/** Runs this program as a process of its own, and returns what it sends. */
async function inProcess<Answer>(...args: readonly string[]): Promise<Answer> {
  const child = fork(fileURLToPath(import.meta.url), [...args], { execArgv: ['--expose-gc'] })
  const [answer] = await once(child, 'message')
  await once(child, 'exit')
  return answer as Answer
}

/** The peak of a process's resident memory, and its heap in use after a collection, in MB. */
interface Used {
  readonly peak: number
  readonly used: number
}

const NONE: Used = { peak: 0, used: 0 }

async function memory(): Promise<void> {
  const [few = NONE, many = NONE] = await inFolder(async (folder) => [
    await inProcess<Used>('run', join(folder, 'few.db'), String(FEW_ITEMS)),
    await inProcess<Used>('run', join(folder, 'many.db'), String(MANY_ITEMS)),
  ])
  console.log(
    `memory: peak ${few.peak} MB with ${FEW_ITEMS} items, ${many.peak} MB with ${MANY_ITEMS} (${many.peak - few.peak} MB more); ` +
      `in use at the end ${few.used} and ${many.used} MB (${many.used - few.used} MB more)`,
  )
}

async function report(): Promise<void> {
  await inFolder(async (folder) => {
    const peaks: number[] = []
    for (const count of [FEW_ITEMS, MANY_ITEMS]) {
      const file = join(folder, `${count}.db`)
      await inProcess('run', file, String(count))
      const { peak, used, lines, seconds } = await inProcess<Used & { lines: number; seconds: number }>('report', file)
      if (lines !== count + 1) throw new Error(`the report has ${lines} lines`)
      peaks.push(used)
      console.log(
        `report of ${count} items: ${lines} lines in ${seconds.toFixed(1)} s, peak ${peak} MB, at most ${used} MB in use after a collection`,
      )
    }
    console.log(`report: ${(peaks[1] ?? 0) - (peaks[0] ?? 0)} MB more in use for ${MANY_ITEMS} items`)
  })
}

/** The peak of this process's resident memory, in MB. */
function peak(): number {
  return Math.round(process.resourceUsage().maxRSS / 1_024)
}

async function runHere(file: string, count: number): Promise<void> {
  const engine = await createEngine({ jobs: [plain], storage: sqliteStorage(file) })
  const { id } = await engine.as({ id: 'ada', role: 'editor' }).submit(plain, { count })
  await ended(engine, id)
  globalThis.gc?.()
  const used = Math.round(process.memoryUsage().heapUsed / 2 ** 20)
  await engine.stop()
  process.send?.({ peak: peak(), used } satisfies Used)
}

async function reportHere(file: string): Promise<void> {
  const engine = await createEngine({ jobs: [plain], storage: sqliteStorage(file) })
  const { items } = await engine.system.list()
  const begun = performance.now()
  let [lines, parts, used] = [0, 0, 0]
  for await (const part of engine.system.report(items[0]?.id ?? '', { format: 'csv' })) {
    lines += part.split('\n').length - 1
    parts++
    if (parts % PARTS_BETWEEN !== 0) continue
    globalThis.gc?.()
    used = Math.max(used, Math.round(process.memoryUsage().heapUsed / 2 ** 20))
  }
  const seconds = (performance.now() - begun) / 1_000
  await engine.stop()
  process.send?.({ peak: peak(), used, lines, seconds })
}

interface Counts {
  readonly completed: number
  readonly failed: number
}

async function kills(): Promise<void> {
  await inFolder(async (folder) => {
    const [file, journal] = [join(folder, 'jobs.db'), join(folder, 'journal')]
    let count = 0
    let inexact = 0
    let done = false
    for (; count < KILLS && !done; count++) {
      const child: ChildProcess = fork(fileURLToPath(import.meta.url), ['killed', file, journal])
      const ending = once(child, 'exit')
      child.on('message', (told: { inexact?: boolean; done?: boolean }) => {
        if (told.inexact === true) inexact++
        if (told.done === true) done = true
      })
      await Promise.race([ending, once(child, 'message')])
      await Promise.race([ending, wait(Math.random() * 300)])
      child.kill('SIGKILL')
      await ending
    }
    const child = fork(fileURLToPath(import.meta.url), ['killed', file, journal, 'last'])
    const last = await new Promise<{ counts: Counts; completed: readonly number[] }>((resolve) => {
      child.on('message', (told: { counts?: Counts; completed?: readonly number[] }) => {
        if (told.counts !== undefined) resolve({ counts: told.counts, completed: told.completed ?? [] })
      })
    })
    await once(child, 'exit')
    // The code of each item writes its number when it ends. An item that was recorded as completed must not be written
    // again by a later process.
    const lines = existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : []
    const repeated = lines.filter((line) => line.endsWith('again')).length
    const { completed, failed } = last.counts
    const lost = KILLED_ITEMS - new Set(last.completed).size - failed
    // An item fails as LOST if three losses in a row, before anything was recorded, happened while it ran.
    console.log(
      `kills: ${count} kills, ${KILLED_ITEMS} items: ${completed} completed, ${repeated} of them repeated after that, ` +
        `${failed} failed as LOST, ${lost} without an end, ${inexact} starts with inexact counts`,
    )
  })
}

/** Runs until it is killed. Before it begins, it compares the counts with the rows. */
async function killedHere(file: string, journal: string, isLast: boolean): Promise<void> {
  const recorded = new Set<number>()
  let hasBegun = false
  const job = jobOf(async (number) => {
    if (!hasBegun) process.send?.({ begun: true })
    hasBegun = true
    if (recorded.has(number)) appendFileSync(journal, `${number} again\n`)
    await wait(Math.random() * 100)
    return null
  })
  const storage = sqliteStorage(file)
  const reader = await createEngine({ jobs: [job], storage, work: false })
  const [stored] = (await reader.system.list()).items
  if (stored !== undefined) {
    const counts = { completed: 0, failed: 0, skipped: 0 }
    for await (const { status, index } of reader.system.items(stored.id)) {
      if (status === 'waiting') continue
      counts[status]++
      if (status === 'completed') recorded.add(index ?? 0)
    }
    const { completed = 0, failed = 0, skipped = 0 } = stored.progress ?? {}
    if (completed !== counts.completed || failed !== counts.failed || skipped !== counts.skipped) {
      process.send?.({ inexact: true })
    }
  }
  await reader.stop()
  const engine = await createEngine({ jobs: [job], storage })
  const id = stored?.id ?? (await engine.system.submit(job, { count: KILLED_ITEMS })).id
  const { outcome } = await engine.system.result(id)
  if (outcome !== 'success') throw new Error(`the batch ended with ${outcome}`)
  process.send?.({ done: true })
  if (isLast) {
    const completed: number[] = []
    for await (const { status, index } of engine.system.items(id))
      if (status === 'completed') completed.push(index ?? 0)
    process.send?.({ counts: (await engine.system.get(id)).progress, completed })
  }
  await engine.stop()
}

const figures = { speed, memory, kills, report }
const [first, file = '', more = '', last] = process.argv.slice(2)
if (first === 'run') await runHere(file, Number(more))
else if (first === 'report' && file.endsWith('.db')) await reportHere(file)
else if (first === 'killed') await killedHere(file, more, last === 'last')
else {
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`)
  const asked = first === undefined ? Object.keys(figures) : process.argv.slice(2)
  for (const name of asked) await figures[name as keyof typeof figures]()
}
