import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import { shareOf } from './share.ts'

const KILLS = shareOf(100)
const SEED = Number(process.env.JOBCHART_SEED ?? Date.now() % 1_000_000)

/** The results of the data, independent of crashes. */
const RIGHT = { flights: 19_999, delay: 154_015, distance: 14_476_631, chunks: 41, rowsOfChunks: 20_000 }

const STATUSES = 'SELECT id, status FROM jobs JOIN kinds ON kinds.code = jobs.kind'

const started = new Set<ChildProcess>()
afterEach(() => {
  for (const child of started) child.kill('SIGKILL')
})

test(`the pipeline computes the right sums after each of ${KILLS} kills at random points (seed ${SEED})`, async () => {
  const random = randomFrom(SEED)
  const killedIn = new Map<string, number>()
  let kills = 0
  for (let trial = 0; kills < KILLS; trial++) {
    expect(trial, 'most trials should be killed before they end').toBeLessThan(KILLS * 4)
    const folder = mkdtempSync(join(tmpdir(), 'jobchart-elt-'))
    // Some runs are killed twice, so that a resumed run is killed too.
    for (let life = 0; life < 2; life++) {
      const first = start(folder, random() < 0.5 ? 0 : 0.6)
      if (!(await killedWithin(first, 150 + random() * 1_000))) break
      kills++
      count(killedIn, stateOf(folder))
      if (random() < 0.7) break
    }
    const last = start(folder, 0)
    const [code] = await once(last, 'exit')
    expect({ code, ...sums(folder) }).toEqual({ code: 0, ...RIGHT })
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(`${kills} kills, all resumed to the right sums; killed while:`, Object.fromEntries(killedIn))
})

test('a second run is refused by the slot while the first one runs undisturbed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-elt-'))
  // Slow enough to still run when the second one starts, on a busy machine too.
  const first = start(folder, 12)
  await printed(first, '❯ Load')
  const second = start(folder, 0)
  const [said, [code]] = await Promise.all([output(second), once(second, 'exit')])
  expect(code).toBe(3)
  expect(said).toMatch(/is going in another process.*loading/)
  const [firstCode] = await once(first, 'exit')
  expect({ code: firstCode, ...sums(folder) }).toEqual({ code: 0, ...RIGHT })
  rmSync(folder, { recursive: true, force: true })
})

function start(folder: string, paceSeconds: number): ChildProcess {
  const args = ['examples/elt/main.ts', '--pace', String(paceSeconds), '--data', folder]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout?.resume()
  started.add(child)
  child.once('exit', () => started.delete(child))
  return child
}

/** Whether the process was killed before it ended by itself. */
async function killedWithin(child: ChildProcess, ms: number): Promise<boolean> {
  const timer = setTimeout(() => child.kill('SIGKILL'), ms)
  const [, signal] = await once(child, 'exit')
  clearTimeout(timer)
  return signal === 'SIGKILL'
}

function printed(child: ChildProcess, text: string): Promise<void> {
  // Not by iteration, because leaving the loop would close the program's pipe.
  return new Promise((resolve) => {
    child.stdout?.on('data', (chunk) => {
      if (String(chunk).includes(text)) resolve()
    })
  })
}

async function output(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const chunk of child.stdout ?? []) said += chunk
  return said
}

/** The state in which the newest job was left. */
function stateOf(folder: string): string {
  try {
    const db = new DatabaseSync(join(folder, 'jobs.db'), { readOnly: true })
    const row = db.prepare(`${STATUSES} ORDER BY n DESC LIMIT 1`).get()
    db.close()
    return String(row?.status ?? 'before submit')
  } catch {
    return 'before the file'
  }
}

/** The content of the warehouse for the last completed run, read without code of the example. */
function sums(folder: string) {
  const jobs = new DatabaseSync(join(folder, 'jobs.db'), { readOnly: true })
  const run = jobs.prepare(`${STATUSES} WHERE status = 'completed' ORDER BY n DESC LIMIT 1`).get()?.id
  jobs.close()
  const warehouse = new DatabaseSync(join(folder, 'warehouse.db'), { readOnly: true })
  const loaded = warehouse
    .prepare(
      'SELECT count(*) AS flights, sum(delay_minutes) AS delay, sum(distance_miles) AS distance FROM flights WHERE run = ?',
    )
    .get(String(run))
  const chunks = warehouse
    .prepare('SELECT count(*) AS chunks, sum(rows) AS rowsOfChunks FROM loaded_chunks WHERE run = ?')
    .get(String(run))
  warehouse.close()
  return { ...loaded, ...chunks }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** A small random generator, so that a failing run can be repeated by its seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
