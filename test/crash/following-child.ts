// One of the processes that are followed: two people submit, run and cancel jobs in it, until it is killed.
import { flushCompileCache } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, queueExecutor } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { announce } from './announce.ts'
import { jobsFile } from './files.ts'
import { followedTypes } from './following-jobs.ts'
import type { LifeOptions } from './life-options.ts'
import { randomFrom } from './random.ts'

const { folder, seed = 1, lanes = 0 } = JSON.parse(process.argv[2] ?? '{}') as LifeOptions

const PAUSE_MS_MAX = 40

const random = randomFrom(seed)
let isOver = false

// A dead parent cannot kill this process any more.
const exitAlone = () => process.exit(8)
process.once('disconnect', exitAlone)

const types = followedTypes(async (signal) => await sleep(random() * PAUSE_MS_MAX, undefined, { signal }))
const engine = await createEngine({
  jobs: Object.values(types),
  storage: sqliteStorage(jobsFile(folder)),
  executors: { default: queueExecutor({ concurrency: 12 }) },
  sweep: '200ms',
})
const people = ['ada', 'bob'].map((id) => engine.as({ id, role: 'editor' }))
process.on('message', () => void finish())
flushCompileCache()
announce({ at: 'ready' })
for (let lane = 0; lane < lanes; lane++) void live()

async function live(): Promise<void> {
  while (!isOver) await oneJob()
}

async function oneJob(): Promise<void> {
  const session = random() < 0.5 ? people[0] : people[1]
  if (session === undefined) return
  const kind = random()
  const type = kind < 0.3 ? types.reporting : kind < 0.6 ? types.short : types.ringing
  // Of any of the types.
  const id: string = (await session.submit(type, undefined)).id
  if (random() < 0.25) {
    await sleep(random() * 200)
    // It may have ended by itself.
    await session.cancel(id).catch(() => {})
  }
  await session.result(id)
  if (random() < 0.2) {
    await session.delete(id)
    announce({ at: 'deleted' })
  }
}

/** Runs the remaining jobs of all processes. */
async function finish(): Promise<void> {
  isOver = true
  while ((await engine.system.list({ phase: 'active', limit: 1 })).items.length > 0) await sleep(50)
  await engine.idle()
  await engine.stop()
  process.off('disconnect', exitAlone)
  process.disconnect()
}
