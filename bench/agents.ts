/**
 * Figures of agents, on SQLite with FULL:
 *
 * ```
 * npm run example bench/agents.ts                 all of them
 * npm run example bench/agents.ts -- races kills  some: races, kills, idle, latency
 * ```
 *
 * - `races`: a claim and a cancel of the same job at once, 10,000 times. Each has one winner.
 * - `kills`: an agent in a process of its own, killed by SIGKILL 100 times at random, and started again at once. No job is
 *   lost, no two tokens of a job are valid together, and a lost task is taken again within its lease and a sweep.
 * - `idle`: which part of a core the engine uses while 1,000 agents wait for tasks.
 * - `latency`: how long it takes from the claim of a task to its start, and from the submit to the start, in process.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { agentTask, createEngine, defineJob, type Engine } from 'jobchart'
import { answerAgent, createAgent, transportOver } from 'jobchart/agents'
import { agents } from 'jobchart/executors'
import type { AgentTransport } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import { setup } from 'xstate'
import { z } from 'zod'

const RACES = 10_000
const KILLS = 100
const KILL_JOBS = 1_000
const LEASE_MS = 1_000
const SWEEP_MS = 1_000
const IDLE_AGENTS = 1_000
const IDLE_MS = 30_000
const LATENCIES = 1_000

/** Waits for an agent; can be cancelled only until one has claimed it. */
const work = setup({ actors: { work: agentTask({ function: 'work' }) } }).createMachine({
  initial: 'open',
  states: {
    open: {
      invoke: { src: 'work', onDone: 'done', onError: 'failed' },
      initial: 'pending',
      states: {
        pending: { on: { cancel: '#canceled', 'task.claimed': 'claimed' } },
        claimed: { on: { 'task.started': 'running', 'task.lost': 'pending', 'task.released': 'pending' } },
        running: { on: { 'task.lost': 'pending', 'task.released': 'pending' } },
      },
    },
    done: { type: 'final', tags: 'success' },
    failed: { type: 'final', tags: 'failure' },
    canceled: { id: 'canceled', type: 'final', tags: 'cancelled' },
  },
})
const job = defineJob({ type: 'work', lifecycle: work, commands: { cancel: z.object({}) } })

async function inEngine(run: (engine: Engine) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-agents-'))
  const engine = await createEngine({
    jobs: [job],
    storage: sqliteStorage(join(folder, 'jobs.db')),
    executors: { agents: agents({ lease: LEASE_MS }) },
    sweep: SWEEP_MS,
  })
  try {
    await run(engine)
  } finally {
    await engine.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function agentOf(engine: Engine, id: string): Promise<AgentTransport> {
  const agent = engine.asAgent({ id }).agents
  await agent.register({ functions: [{ name: 'work' }] })
  return agent
}

async function races(): Promise<void> {
  await inEngine(async (engine) => {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    const agent = await agentOf(engine, 'a1')
    const wins = { claim: 0, cancel: 0, both: 0, none: 0, wrong: 0 }
    for (let race = 0; race < RACES; race++) {
      const { id } = await ada.submit(job)
      const isFirst = race % 2 === 0
      const claim = () => later(() => agent.claim({ job: id }))
      const cancel = () => later(() => ada.cancel(id))
      const calls = isFirst ? [claim(), cancel()] : [cancel(), claim()]
      const [one, two] = await Promise.all(calls)
      const [claimed, cancelled] = isFirst ? [one, two] : [two, one]
      const { status } = await ada.get(id)
      if (claimed === cancelled) wins[claimed === true ? 'both' : 'none']++
      else wins[claimed === true ? 'claim' : 'cancel']++
      if (status !== (claimed === true ? 'claimed' : 'canceled')) wins.wrong++
    }
    console.log(`races: ${RACES} claims against cancels: ${JSON.stringify(wins)}`)
  })
}

// The calls differ in how many turns they take, so each begins at a random one.
async function later(call: () => Promise<unknown>): Promise<boolean> {
  for (let turns = Math.floor(Math.random() * 8); turns > 0; turns--) await turn()
  return await call().then(() => true, isRefused)
}

function isRefused(error: unknown): boolean {
  if ((error as { readonly code?: unknown }).code === 'INVALID_STATE') return false
  if ((error as { readonly code?: unknown }).code === 'ALREADY_SETTLED') return false
  throw error
}

async function kills(): Promise<void> {
  await inEngine(async (engine) => {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    /** When the agent that holds a job was killed. 0: it lives. */
    const held = new Map<string, number>()
    const ended = new Set<string>()
    const recoveries: number[] = []
    let overlaps = 0
    engine.on('task.claimed', ({ jobId = '' }) => {
      // A claim before the loss of the last one would make a second valid token.
      if (held.has(jobId)) overlaps++
      held.set(jobId, 0)
    })
    engine.on('task.lost', ({ jobId = '', at }) => {
      recoveries.push(Date.parse(at) - (held.get(jobId) ?? 0))
      held.delete(jobId)
    })
    engine.on('job.transitioned', ({ jobId = '', outcome }) => {
      if (outcome === undefined) return
      ended.add(jobId)
      held.delete(jobId)
    })
    const ids = (await Promise.all(Array.from({ length: KILL_JOBS }, () => ada.submit(job)))).map(({ id }) => id)
    const living = () => [...held].some(([, killedAt]) => killedAt === 0)
    let child = spawned(engine)
    let count = 0
    for (; count < KILLS && ended.size < KILL_JOBS; count++) {
      while (!living() && ended.size < KILL_JOBS) await wait(5)
      await wait(Math.random() * 150)
      child.kill('SIGKILL')
      for (const [id, killedAt] of held) if (killedAt === 0) held.set(id, Date.now())
      child = spawned(engine)
    }
    while (ended.size < KILL_JOBS) await wait(50)
    child.kill('SIGKILL')
    const outcomes = await Promise.all(ids.map(async (id) => (await ada.get(id)).outcome))
    const failed = outcomes.filter((outcome) => outcome !== 'success').length
    const [p50, longest] = [recoveries.toSorted((x, y) => x - y)[recoveries.length >> 1], Math.max(...recoveries)]
    console.log(
      `kills: ${count} agents killed; ${KILL_JOBS} jobs, ${failed} without success, ${overlaps} claims of a held task; ` +
        `${recoveries.length} tasks were lost, and free again ${p50} ms (p50), at most ${longest} ms after the kill ` +
        `(lease ${LEASE_MS} ms + sweep ${SWEEP_MS} ms)`,
    )
  })
}

function spawned(engine: Engine): ChildProcess {
  const child = fork(fileURLToPath(import.meta.url), ['agent'], { serialization: 'json' })
  const { agents: transport } = engine.asAgent({ id: 'a1' })
  child.on('message', ({ id, request }: { readonly id: number; readonly request: unknown }) => {
    answerAgent(transport, request).then(
      (answer) => child.connected && child.send({ id, answer }, () => {}),
      () => {},
    )
  })
  return child
}

/** The agent: a process that talks to the engine by messages. */
async function asAgent(): Promise<void> {
  const waiting = new Map<number, (answer: never) => void>()
  let last = 0
  process.on('message', ({ id, answer }: { readonly id: number; readonly answer: never }) => {
    waiting.get(id)?.(answer)
    waiting.delete(id)
  })
  process.on('disconnect', () => process.exit())
  const agent = createAgent({
    transport: transportOver(
      (request) =>
        new Promise((resolve) => {
          waiting.set(++last, resolve)
          process.send?.({ id: last, request })
        }),
    ),
    functions: [{ name: 'work', run: () => wait(20 + Math.random() * 60) }],
    concurrency: 4,
  })
  await agent.start()
}

async function idle(): Promise<void> {
  await inEngine(async (engine) => {
    const waiting: Promise<unknown>[] = []
    const stop = new AbortController()
    for (let count = 0; count < IDLE_AGENTS; count++) {
      const agent = await agentOf(engine, `a${count}`)
      const loop = async () => {
        while (!stop.signal.aborted) await agent.claim({ wait: '30s' }, { signal: stop.signal })
      }
      waiting.push(loop().catch(() => {}))
    }
    await wait(2_000)
    const before = process.cpuUsage()
    await wait(IDLE_MS)
    const { user, system } = process.cpuUsage(before)
    stop.abort(new Error('over'))
    await Promise.all(waiting)
    const share = ((user + system) / 1_000 / IDLE_MS) * 100
    console.log(`idle: ${IDLE_AGENTS} agents wait: ${share.toFixed(2)} % of a core over ${IDLE_MS / 1_000} s`)
  })
}

async function latency(): Promise<void> {
  await inEngine(async (engine) => {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    const agent = await agentOf(engine, 'a1')
    const fromClaim: number[] = []
    const fromSubmit: number[] = []
    for (let round = 0; round < LATENCIES; round++) {
      const claiming = agent.claim({ wait: '10s' })
      const submitted = performance.now()
      await ada.submit(job)
      const [task] = await claiming
      if (task === undefined) throw new Error('no task came')
      const claimed = performance.now()
      await agent.started({ job: task.job.id, token: task.token })
      const now = performance.now()
      fromClaim.push(now - claimed)
      fromSubmit.push(now - submitted)
      await agent.done({ job: task.job.id, token: task.token })
    }
    const p50 = (times: readonly number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]?.toFixed(2)
    console.log(
      `latency, p50 of ${LATENCIES}: claim to started ${p50(fromClaim)} ms, submit to started ${p50(fromSubmit)} ms`,
    )
  })
}

const figures = { races, kills, idle, latency }
const [first, ...more] = process.argv.slice(2)
if (first === 'agent') await asAgent()
else {
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`)
  const asked = first === undefined ? Object.keys(figures) : [first, ...more]
  for (const name of asked) await figures[name as keyof typeof figures]()
}
