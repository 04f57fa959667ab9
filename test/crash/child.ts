// The program that the crash tests kill: an engine on a SQLite file, controlled by messages of its parent.
import { flushCompileCache } from 'node:module'
import { createEngine, JobchartError, queueExecutor } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { announce, standStill, standStillUntil } from './announce.ts'
import { acknowledge, jobsFile, noteRun, Target, thawFile } from './files.ts'
import { Gates } from './gates.ts'
import { jobTypes } from './jobs.ts'
import type { Command, LifeOptions } from './life-options.ts'
import { pointedStorage } from './pointed-storage.ts'
import { randomFrom } from './random.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as LifeOptions
const { folder, stopAt, work = true, concurrency = 40, seed = 1 } = options
const { heartbeatMs = 2_000, deadAfterMs, sweepMs = 1_000, isStoppedBySignals = false } = options

const PAUSE_MS_MAX = 30
const random = randomFrom(seed)
const target = new Target(folder)
const gates = new Gates()

function reach(point: string): void {
  if (point !== stopAt) return
  announce({ at: point })
  standStill()
}

const types = jobTypes({
  reach,
  ran: (job, what) => noteRun(folder, { job, what, pid: process.pid }),
  applyEffect: (key, job, step) => target.apply(key, job, step),
  pause: () => new Promise((resume) => setTimeout(resume, random() * PAUSE_MS_MAX)),
  say: (at, id, attempt) => announce({ at, id, ...(attempt === undefined ? {} : { attempt }) }),
  opened: (id) => gates.opened(id),
  die: () => process.kill(process.pid, 'SIGKILL'),
  compute: () => standStillUntil(thawFile(folder, process.pid)),
})

// A dead parent cannot kill this process any more.
const exitAlone = () => process.exit(8)
process.once('disconnect', exitAlone)

announce({ at: 'opening' })
const engine = await createEngine({
  jobs: Object.values(types),
  storage: pointedStorage(sqliteStorage(jobsFile(folder)), reach),
  executors: { default: queueExecutor({ concurrency }) },
  work,
  heartbeat: heartbeatMs,
  ...(deadAfterMs === undefined ? {} : { deadAfter: deadAfterMs }),
  sweep: sweepMs,
})
const ada = engine.as({ id: 'ada', role: 'editor' })
engine.on('task.stopped', ({ jobId }) => announce({ at: 'stopped', id: jobId }))
process.on('message', (command: Command) => void obey(command))
if (isStoppedBySignals) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
}
flushCompileCache()
announce({ at: 'ready' })

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case 'submit':
      return await submit(command)
    case 'cancel': {
      const { status } = await ada.cancel(command.id)
      return announce({ at: status, id: command.id })
    }
    case 'open':
      return gates.open(command.id)
    case 'freeze':
      announce({ at: 'frozen' })
      return standStillUntil(thawFile(folder, process.pid))
    case 'load':
      return await load(command)
    case 'explain': {
      const reasons = await ada.explain(command.id)
      const { silent = [] } = engine.health
      return announce({
        at: 'explained',
        id: command.id,
        kinds: reasons.map(({ kind }) => kind),
        silent: silent.length,
      })
    }
    case 'finish':
      return await finish()
  }
}

async function submit({ type, input, ...options }: Extract<Command, { do: 'submit' }>): Promise<void> {
  const { pipeline, key, priority } = options
  const given = { pipeline, priority, idempotencyKey: key }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  try {
    const { id } = await ada.submit(types[type], input, set)
    acknowledge(folder, id)
    reach('submit acknowledged')
    announce({ at: 'submitted', id })
  } catch (error) {
    if (!(error instanceof JobchartError)) throw error
    announce({ at: 'refused', code: error.code, ...(error.jobId === undefined ? {} : { id: error.jobId }) })
  }
}

async function load({ name, lanes, jobs = Number.POSITIVE_INFINITY }: Extract<Command, { do: 'load' }>): Promise<void> {
  let submitted = 0
  let acknowledged = 0
  const lane = async () => {
    while (submitted < jobs) {
      const { id } = await ada.submit(types.deliver, {}, { idempotencyKey: `${name}-${++submitted}` })
      acknowledge(folder, id)
      if (acknowledged++ === 0) announce({ at: 'under load' })
      await ada.result(id)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  announce({ at: 'loaded' })
}

async function finish(): Promise<void> {
  await engine.idle()
  await engine.stop()
  target.close()
  process.off('disconnect', exitAlone)
  // Nothing keeps the process alive from here on; the test checks that it exits.
  process.disconnect()
}
