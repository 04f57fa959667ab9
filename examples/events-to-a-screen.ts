/**
 * A live screen for jobs of another process: that process renders pictures of the Mandelbrot set, this one shows their
 * progress. The screen misses nothing when it is disconnected, when its engine restarts, or when the jobs are restored
 * from a backup.
 *
 *     npm run example examples/events-to-a-screen.ts
 *
 * The program starts itself as the second process. Both work in a temporary folder, which is removed at the end.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, defineJob, JobchartError, type JobId, type JobView, type Session } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const [, , program, given] = process.argv
const folder = given ?? (await mkdtemp(join(tmpdir(), 'events-to-a-screen-')))
const file = join(folder, 'jobs.db')

const picture = defineJob({
  type: 'picture',
  input: z.object({ real: z.number(), imaginary: z.number(), width: z.number(), size: z.int() }),
  async execute({ input: { real, imaginary, width, size }, job, progress, signal }) {
    const rows: string[] = []
    for (let row = 0; row < size; row++) {
      const y = imaginary + (row / size - 0.5) * width
      const dots = Array.from({ length: size }, (_, column) => shade(real + (column / size - 0.5) * width, y))
      rows.push(dots.join(' '))
      progress({ completed: row + 1, total: size })
      // A larger picture would take this time by itself.
      await sleep(20, undefined, { signal })
    }
    await writeFile(join(folder, `${job.id}.pgm`), `P2 ${size} ${size} 255\n${rows.join('\n')}\n`)
  },
})

/** Brightness of a point, 0 to 255: by how soon it leaves the set. */
function shade(x: number, y: number): number {
  let [a, b, steps] = [0, 0, 0]
  for (; steps < 255 && a * a + b * b < 4; steps++) [a, b] = [a * a - b * b + x, 2 * a * b + y]
  return steps
}

const seahorse = { name: 'seahorse', real: -0.75, imaginary: 0.1, width: 0.1, size: 40 }
const elephant = { name: 'elephant', real: 0.3, imaginary: 0, width: 0.1, size: 10 }
const spiral = { name: 'spiral', real: -0.088, imaginary: 0.654, width: 0.02, size: 10 }

async function submit(session: Session, { name, ...input }: typeof seahorse): Promise<JobId> {
  const { id } = await session.submit(picture, input, { labels: { name } })
  return id
}

/** The jobs of one session, as its screen shows them. */
class Screen {
  readonly #session: Session
  readonly #jobs = new Map<string, JobView>()
  #last: number | undefined
  #changed = Promise.withResolvers<void>()

  constructor(session: Session) {
    this.#session = session
  }

  /**
   * Keeps the screen up to date until the signal is aborted. A second call catches up with everything that happened
   * meanwhile.
   */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#show(signal)
      } catch (error) {
        if (!(error instanceof JobchartError && error.code === 'ENGINE_STOPPED')) throw error
        // It may run several times, like a server that is updated.
        await sleep(20)
      }
    }
  }

  async #show(signal: AbortSignal): Promise<void> {
    // The stream starts first, then the list is read. So the stream has everything that happens in between.
    const stream = this.#session.events(this.#last === undefined ? { signal } : { signal, after: this.#last })
    if (this.#last === undefined) await this.#load()
    for await (const event of stream) {
      if (event.type === 'reset') await this.#load()
      // Events of pipelines have no job.
      else if (event.jobId !== undefined) await this.#read(event.jobId)
      this.#last = event.sequence
    }
  }

  async #load(): Promise<void> {
    const { items } = await this.#session.list({ limit: 100 })
    this.#jobs.clear()
    for (const job of items.toReversed()) this.#jobs.set(job.id, job)
    this.#tell()
  }

  // An event may be older than the shown job, so it only says which job has changed. A job that was deleted since is
  // gone.
  async #read(id: JobId): Promise<void> {
    try {
      this.#jobs.set(id, await this.#session.get(id))
    } catch (error) {
      if (!(error instanceof JobchartError && error.code === 'JOB_NOT_FOUND')) throw error
      this.#jobs.delete(id)
    }
    this.#tell()
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  get text(): string {
    const lines = [...this.#jobs.values()].map(({ labels, status, progress }) => {
      return `  ${labels.name}: ${status}${progress === undefined ? '' : `, ${progress.completed} of ${progress.total} rows`}`
    })
    return lines.join('\n')
  }

  /** Resolves when the screen shows this. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await this.#changed.promise
  }

  print(title: string): void {
    console.log(`${title}\n${this.text}`)
  }
}

/** The rendering process. It submits a picture when it is told to, and ends with its parent process. */
async function render(): Promise<void> {
  const engine = await createEngine({ jobs: [picture], storage: sqliteStorage(file), concurrency: 1 })
  const paul = engine.as({ id: 'paul', role: 'editor' })
  process.on('message', () => void submit(paul, spiral))
  // At a deploy or Ctrl-C, rendering may finish for 10 s. A second signal stops at once and gives the job back.
  let timeout = 10_000
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      void engine.stop({ timeout }).then(() => process.connected && process.disconnect())
      timeout = 0
    })
  }
  await once(process, 'disconnect')
  await engine.stop()
}

/** The showing process, which runs no jobs itself. */
async function watch(): Promise<void> {
  const engine = await createEngine({ jobs: [picture], storage: sqliteStorage(file), work: false })
  const paula = engine.as({ id: 'paula', role: 'admin' })
  const screen = new Screen(paula)

  const connection = new AbortController()
  const following = screen.follow(connection.signal)
  await submit(paula, seahorse)
  await screen.until(/seahorse: queued/)
  screen.print('Nobody renders yet:')

  const renderer = fork(import.meta.filename, ['render', folder])
  await screen.until(/seahorse: (running, \d\d|completed)/)
  screen.print('The other process has begun:')

  connection.abort()
  await following
  await paula.result(await submit(paula, elephant))
  screen.print('Cut off, while both are rendered:')

  const again = new AbortController()
  const followingAgain = screen.follow(again.signal)
  await screen.until(/seahorse: completed.*elephant: completed/s)
  screen.print('Connected again, it has made up for it:')

  using database = new DatabaseSync(file)
  database.exec(`vacuum into '${file}.backup'`)
  await engine.stop()
  renderer.send('the spiral, please')
  await engine.start()
  await screen.until(/spiral: completed/)
  screen.print('The engine was started anew, and the other process has gone on:')

  renderer.disconnect()
  await Promise.all([once(renderer, 'exit'), engine.stop()])
  database.close()
  await copyFile(`${file}.backup`, file)
  await engine.start()
  await screen.until(/^(?!.*spiral)/s)
  screen.print('The jobs were put back from the backup:')

  again.abort()
  await followingAgain
  await engine.stop()
}

if (program === 'render') await render()
else await watch().finally(() => rm(folder, { recursive: true }))

// Output:
// Nobody renders yet:
//   seahorse: queued
// The other process has begun:
//   seahorse: running, … of 40 rows
// Cut off, while both are rendered:
//   seahorse: running, … of 40 rows
// Connected again, it has made up for it:
//   seahorse: completed, 40 of 40 rows
//   elephant: completed, 10 of 10 rows
// The engine was started anew, and the other process has gone on:
//   seahorse: completed, 40 of 40 rows
//   elephant: completed, 10 of 10 rows
//   spiral: completed, 10 of 10 rows
// The jobs were put back from the backup:
//   seahorse: completed, 40 of 40 rows
//   elephant: completed, 10 of 10 rows
