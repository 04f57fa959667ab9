import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { createEngine, type Engine, type SessionEvent } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { shareOf } from '../share.ts'
import { rowsOf } from './aftermath.ts'
import { jobsFile } from './files.ts'
import { eventsOf, faultsOfStream, type StoredEvent } from './followed-log.ts'
import { followedTypes } from './following-jobs.ts'
import { Life, testFolder } from './life.ts'
import { randomFrom } from './random.ts'

const KILLS = shareOf(50)
const SEED = Number(process.env.JOBCHART_SEED ?? Date.now() % 1_000_000)
const PROGRAM = fileURLToPath(new URL('./following-child.ts', import.meta.url))
const LANES = 8
/** Number of streams of one job each. */
const JOBS_MAX = 12
/** Time for all streams to reach the end of the log. It takes a second, and much longer on a busy machine. */
const CATCHING_UP_MS_MAX = 300_000

const random = randomFrom(SEED)

/** Number of short-lived processes, one after the other. */
async function reign(folder: string, kills: { left: number }): Promise<void> {
  for (let isFirst = true; kills.left-- > 0; isFirst = false) {
    const life = new Life({ folder, lanes: LANES, seed: SEED + kills.left }, PROGRAM)
    await life.said('ready')
    // Jobs of every type have run by then.
    if (isFirst) await life.said('deleted')
    await Promise.race([sleep(200 + random() * 900), life.ended])
    expect(await life.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  }
}

/** Every follower, with the events that it received. */
class Readers {
  readonly given = new Map<string, SessionEvent[]>()
  readonly #engines: readonly Engine[]
  readonly #abort = new AbortController()
  readonly #reading: Promise<void>[] = []
  #created = 0

  constructor(engines: readonly Engine[]) {
    this.#engines = engines
    for (const name of ['all', 'ada', 'bob', 'slow']) this.#keep(name)
    this.#begin(this.#follow('all', 0, 'root', (event) => this.#followJob(event)))
    this.#begin(this.#follow('ada', 0, 'ada'))
    this.#begin(this.#follow('bob', 1, 'bob'))
    this.#begin(this.#follow('slow', 1, 'root', async (_, count) => void (count % 300 === 0 && (await sleep(700)))))
    this.#begin(this.#cutAndResume(this.#keep('cut')))
  }

  async end(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#reading)
  }

  #keep(name: string): SessionEvent[] {
    const given: SessionEvent[] = []
    this.given.set(name, given)
    return given
  }

  #begin(reading: Promise<void>): void {
    this.#reading.push(reading)
  }

  #session(engine: number, id: string) {
    const role = id === 'root' ? 'admin' : 'editor'
    const found = this.#engines[engine % this.#engines.length]
    if (found === undefined) throw new Error('nobody is there to follow')
    return found.as({ id, role })
  }

  async #follow(
    name: string,
    engine: number,
    id: string,
    then: (event: SessionEvent, count: number) => unknown = () => {},
  ): Promise<void> {
    const given = this.given.get(name) ?? []
    for await (const event of this.#session(engine, id).events({ after: 0, signal: this.#abort.signal })) {
      given.push(event)
      await then(event, given.length)
    }
  }

  // Streams of some jobs from their first event on. Some jobs are deleted later, which ends the stream.
  #followJob(event: SessionEvent): void {
    if (event.type !== 'job.created') return
    const count = this.#created++
    if (count % 3 !== 0 || this.given.size > JOBS_MAX + 5) return
    const given = this.#keep(`job ${event.jobId}`)
    const options = { after: 0, job: event.jobId as never, signal: this.#abort.signal }
    this.#begin(
      (async () => {
        for await (const own of this.#session(count, 'root').events(options)) given.push(own)
      })(),
    )
  }

  // Each read is on the other engine, and resumes after the last event.
  async #cutAndResume(given: SessionEvent[]): Promise<void> {
    for (let engine = 0; !this.#abort.signal.aborted; engine++) {
      let left = Math.floor(random() * 40)
      const after = given.at(-1)?.sequence ?? 0
      for await (const event of this.#session(engine, 'root').events({ after, signal: this.#abort.signal })) {
        given.push(event)
        if (left-- <= 0) break
      }
    }
  }
}

const types = followedTypes(async () => {})

/** Commits of an engine that is followed: its streams get them at once, between those of the others. */
async function submitSome(engine: Engine, id: string, isOver: () => boolean): Promise<void> {
  const session = engine.as({ id, role: 'editor' })
  while (!isOver()) {
    const [{ id: job }] = await Promise.all([
      session.submit(types.short, undefined),
      session.submit(types.ringing, undefined),
    ])
    await sleep(random() * 300)
    // It may have ended by itself.
    await session.cancel(job).catch(() => {})
  }
}

async function observer(folder: string): Promise<Engine> {
  const jobs = Object.values(types)
  const engine = await createEngine({ jobs, storage: sqliteStorage(jobsFile(folder)), work: false, sweep: '300ms' })
  onTestFinished(() => engine.stop())
  return engine
}

/** The part of the log that each follower may see. */
function expectedOf(name: string, log: readonly StoredEvent[]): readonly StoredEvent[] {
  const [kind, id] = name.split(' ')
  if (kind === 'job') {
    const ofJob = log.filter(({ jobId }) => jobId === id)
    const end = ofJob.findIndex(({ type }) => type === 'job.deleted')
    // Its work that stops later is not reported any more.
    return end < 0 ? ofJob : ofJob.slice(0, end + 1)
  }
  return name === 'ada' || name === 'bob' ? log.filter(({ createdBy }) => createdBy === name) : log
}

test(`I40 streams over several processes on one file, killed ${KILLS} times, give each event once (seed ${SEED})`, async () => {
  const unhandled: unknown[] = []
  const hear = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', hear)
  onTestFinished(() => void process.off('unhandledRejection', hear))

  const folder = testFolder()
  const [one, other] = [await observer(folder), await observer(folder)]
  const readers = new Readers([one, other])
  const kills = { left: KILLS }
  const isOver = () => kills.left <= 0
  const submitting = [submitSome(one, 'ada', isOver), submitSome(other, 'bob', isOver)]
  await Promise.all([reign(folder, kills), reign(folder, kills), ...submitting])
  const last = new Life({ folder, lanes: 0, seed: SEED }, PROGRAM)
  await last.said('ready')
  expect(await last.finish()).toEqual({ code: 0, signal: null })

  const log = eventsOf(await rowsOf(folder))
  const isRead = ([name, given]: readonly [string, readonly SessionEvent[]]) =>
    given.at(-1)?.sequence === expectedOf(name, log).at(-1)?.sequence
  const deadline = performance.now() + CATCHING_UP_MS_MAX
  while (![...readers.given].every(isRead) && performance.now() < deadline) await sleep(20)
  // No event arrives any more, and none arrives twice.
  await sleep(300)
  await readers.end()

  for (const [name, given] of readers.given)
    expect({ name, faults: faultsOfStream(given, expectedOf(name, log)) }).toEqual({ name, faults: [] })
  expect(unhandled).toEqual([])
  // The load must have been as intended, or the test has proved nothing.
  const counted = Map.groupBy(log, ({ type }) => type)
  for (const type of ['job.progress', 'job.emitted', 'job.deleted', 'task.lost'])
    expect(counted.get(type)?.length, type).toBeGreaterThan(0)
  expect(readers.given.size).toBeGreaterThan(8)
  const figures = [...counted].map(([type, all]) => `${all.length} ${type}`)
  const read = [...readers.given].map(([name, given]) => `${name.slice(0, 8)} ${given.length}`)
  console.log(`seed ${SEED}: ${log.length} events (${figures.join(', ')}); given: ${read.join(', ')}`)
})
