// One of the two processes of the storm: it submits, cancels and works by itself, until it is killed.
import { flushCompileCache } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, type Executor, JobchartError, queueExecutor } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { announce } from './announce.ts'
import { jobsFile, Target } from './files.ts'
import { Journal } from './journal.ts'
import type { LifeOptions } from './life-options.ts'
import { randomFrom } from './random.ts'
import { stormTypes } from './storm-jobs.ts'

const { folder, seed = 1, lanes = 0, concurrency = 12 } = JSON.parse(process.argv[2] ?? '{}') as LifeOptions

const PIPELINES = 8
const PAUSE_MS_MAX = 25

const random = randomFrom(seed)
const journal = new Journal(folder)
const target = new Target(folder)
let isOver = false
let submitted = 0

// A dead parent cannot kill this process any more.
const exitAlone = () => process.exit(8)
process.once('disconnect', exitAlone)

const types = stormTypes({
  pause: async (signal) => await sleep(random() * PAUSE_MS_MAX, undefined, { signal }),
  ran: (key, job, step) => {
    journal.note({ did: 'step', key })
    target.apply(key, job, step)
  },
  recorded: (key) => journal.note({ did: 'record', key }),
})

const inner = queueExecutor({ concurrency })
const executor: Executor = {
  ...inner,
  start: async (work) => {
    const run = { job: work.job.id, task: work.task, token: work.token }
    journal.note({ did: 'start', ...run })
    try {
      return await inner.start(work)
    } finally {
      journal.note({ did: 'end', ...run })
    }
  },
}

announce({ at: 'opening' })
journal.note({ did: 'open' })
const engine = await createEngine({
  jobs: Object.values(types),
  storage: sqliteStorage(jobsFile(folder)),
  executors: { default: executor },
  sweep: '200ms',
})
const ada = engine.as({ id: 'ada', role: 'editor' })
process.on('message', () => void finish())
flushCompileCache()
announce({ at: 'ready' })
for (let lane = 0; lane < lanes; lane++) void live()

async function live(): Promise<void> {
  while (!isOver) {
    try {
      await oneJob()
    } catch (error) {
      journal.note({ did: 'refuse', code: error instanceof JobchartError ? error.code : `not typed: ${String(error)}` })
      await sleep(5 + random() * 20)
    }
  }
}

async function oneJob(): Promise<void> {
  const kind = random()
  const type = kind < 0.6 ? types.plain : kind < 0.8 ? types.family : types.timed
  const pipeline = random() < 0.7 ? { pipeline: `p${Math.floor(random() * PIPELINES)}` } : {}
  // Of any of the types.
  const id: string = (await ada.submit(type, undefined, pipeline)).id
  journal.note({ did: 'submit', job: id })
  if (submitted++ === 0) announce({ at: 'under load' })
  if (random() < 0.25) {
    await sleep(random() * 30)
    const { status } = await ada.cancel(id)
    journal.note({ did: 'cancel', job: id, status })
  }
  await ada.result(id)
}

/** Runs the remaining jobs of both processes, including timers that are still to come. */
async function finish(): Promise<void> {
  isOver = true
  while ((await engine.system.list({ phase: 'active', limit: 1 })).items.length > 0) await sleep(50)
  await engine.idle()
  await engine.stop()
  target.close()
  process.off('disconnect', exitAlone)
  process.disconnect()
}
