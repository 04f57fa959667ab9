/**
 * Measures the model alone, without storage, executor or promises, and compares it with XState on the same machine:
 * that of the default lifecycle.
 *
 * This is the only measurement that imports `src/` instead of the built package, because no public entry exports the
 * decisions. Before the timing, it checks that all four ways end a job in the same state.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createActor, initialTransition, transition } from 'xstate'
import { claim, create, end, type NewJob, send } from '../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../src/model/definition.ts'
import { listed } from '../src/model/xstate-internals.ts'
import type { Measured } from './measure.ts'

/** The ways to move a chart that are compared. */
export const MOVERS = {
  'jobchart-chart': { label: "jobchart's chart: snapshot and event to snapshot" },
  'jobchart-model': { label: "jobchart's model: job record and event to job record" },
  'xstate-transition': { label: 'XState, transition()' },
  'xstate-actor': { label: 'XState, a live actor per job' },
} as const

type MoverName = keyof typeof MOVERS

/** How many milliseconds each figure is measured. A run of the same length before it is discarded. */
const MEASURED_MS = 150
/** How many repetitions are made between two reads of the clock. */
const BATCH = 100

/** A chart snapshot in the form in which a row stores it. */
const STORED = JSON.stringify({ state: 'running', context: {} })
const NOTHING = { type: 'nothing of it' }
const STARTED = { type: 'task.started' }
const LOST = { type: 'task.lost' }
const DONE = { type: 'xstate.done.actor.execute', output: 42, actorId: 'execute' }
/** What the chart knows of its children after the task has ended: none is left. */
const ENDED = { children: listed([]), nextInvocation: 2 }
const MOMENT = { at: 1_700_000_000_000, random: 0.5, heartbeatMs: 2_000 }
const SEED: NewJob = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  tenant: 'default',
  createdBy: 'ada',
  trigger: 'manual',
  labels: {},
  priority: 0,
}

/** A way to move a chart. */
interface Mover {
  /** Makes two transitions: `task.started` moves the chart from queued to running, and `task.lost` moves it back. */
  readonly thereAndBack: () => void
  /**
   * Moves the chart of a new job to its end: its start, `task.started`, and the end of its task. Returns the last
   * state.
   */
  readonly wholeJob: () => unknown
  /** Restores a snapshot from a stored record, and asks whether the chart takes an event. Makes no transition. */
  readonly restore?: () => void
}

/**
 * Measures the microseconds per transition, per whole job, and per restored snapshot.
 *
 * @throws {Error}  there is no mover of this name, or it does not end a job as completed.
 */
export async function measureTransitions(name: string): Promise<Measured> {
  if (!isMoverName(name)) throw new Error(`no mover "${name}"`)
  checkEnd(name)
  const mover = moverOf(name)
  const transitionUs = microsecondsOf(mover.thereAndBack) / 2
  const jobUs = microsecondsOf(mover.wholeJob)
  const restored = mover.restore === undefined ? {} : { restoreUs: microsecondsOf(mover.restore) }
  return { figures: { transitionUs, jobUs, ...restored }, facts: {} }
}

const MANY = 1_000_000

/**
 * Measures how much a million transitions leave on the heap, in KiB. Some move one record there and back; the others
 * move new jobs to their ends.
 *
 * @throws {Error}  there is no mover of this name.
 */
export async function measureMemory(name: string): Promise<Measured> {
  if (!isMoverName(name)) throw new Error(`no mover "${name}"`)
  const mover = moverOf(name)
  moveOften(mover, MANY / 50)
  const before = await heapBytes()
  // One round has five transitions: two for there and back, and three for a whole job.
  moveOften(mover, MANY / 5)
  return { figures: { keptKiB: ((await heapBytes()) - before) / 1_024 }, facts: {} }
}

function moveOften({ thereAndBack, wholeJob }: Mover, rounds: number): void {
  for (let n = 0; n < rounds; n++) {
    thereAndBack()
    wholeJob()
  }
}

async function heapBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let n = 0; n < 3; n++) {
    collect()
    await new Promise((resume) => setImmediate(resume))
  }
  return process.memoryUsage().heapUsed
}

function isMoverName(name: string): name is MoverName {
  return Object.hasOwn(MOVERS, name)
}

function checkEnd(name: MoverName): void {
  const found = moverOf(name).wholeJob()
  if (found !== 'completed') throw new Error(`${name} should end as completed; found ${String(found)}`)
}

function microsecondsOf(run: () => unknown): number {
  timed(run)
  return timed(run)
}

function timed(run: () => unknown): number {
  const begin = performance.now()
  for (let runs = BATCH; ; runs += BATCH) {
    for (let n = 0; n < BATCH; n++) run()
    const ms = performance.now() - begin
    if (ms >= MEASURED_MS) return (ms * 1_000) / runs
  }
}

function moverOf(name: MoverName): Mover {
  switch (name) {
    case 'jobchart-chart':
      return chartMover(defineJob({ type: 'noop', execute: () => 42 }))
    case 'jobchart-model':
      return modelMover(defineJob({ type: 'noop', execute: () => 42 }))
    case 'xstate-transition':
      return transitionMover()
    case 'xstate-actor':
      return actorMover()
  }
}

function chartMover({ chart }: AnyJobType): Mover {
  const origin = { children: listed([{ id: 'execute', src: 'execute', invocation: 1 }]), nextInvocation: 2 }
  let { snapshot } = chart.start(undefined)
  return {
    thereAndBack: () => {
      snapshot = chart.transition(snapshot, STARTED, origin).snapshot
      snapshot = chart.transition(snapshot, LOST, origin).snapshot
    },
    wholeJob: () => {
      const begun = chart.start(undefined)
      const running = chart.transition(begun.snapshot, STARTED, origin)
      return chart.transition(running.snapshot, DONE, ENDED).info.label
    },
    restore: () => chart.canHandle(JSON.parse(STORED), NOTHING, origin),
  }
}

function modelMover(type: AnyJobType): Mover {
  let { job } = create(type, SEED, MOMENT)
  return {
    thereAndBack: () => {
      job = send(type, job, STARTED, MOMENT).job
      job = send(type, job, LOST, MOMENT).job
    },
    wholeJob: () => {
      const created = create(type, SEED, MOMENT).job
      const [task] = created.tasks
      const claimed = claim(type, created, task?.invocation ?? 0, { holder: 'instance' }, MOMENT).job
      return end(type, claimed, claimed.counter, { ok: true, output: 42 }, MOMENT)?.job.status
    },
  }
}

/**
 * The machine of a job that runs one function. Here the function is replaced by logic that does nothing when XState
 * starts it.
 */
function defaultLifecycle() {
  const still = { status: 'active', output: undefined, error: undefined, input: undefined } as const
  // The cast is needed because XState's type has more methods. They are never called for a chart without a running
  // child.
  const inert = { transition: () => still, getInitialSnapshot: () => still, getPersistedSnapshot: () => still } as never
  return defineJob({ type: 'noop', execute: () => 42 }).lifecycle.provide({ actors: { execute: inert } })
}

function transitionMover(): Mover {
  const machine = defaultLifecycle()
  let [snapshot] = initialTransition(machine)
  return {
    thereAndBack: () => {
      ;[snapshot] = transition(machine, snapshot, STARTED)
      ;[snapshot] = transition(machine, snapshot, LOST)
    },
    wholeJob: () => {
      const [begun] = initialTransition(machine)
      const [running] = transition(machine, begun, STARTED)
      return transition(machine, running, DONE)[0].value
    },
  }
}

function actorMover(): Mover {
  const machine = defaultLifecycle()
  const actor = createActor(machine).start()
  return {
    thereAndBack: () => {
      actor.send(STARTED)
      actor.send(LOST)
    },
    wholeJob: () => {
      const job = createActor(machine).start()
      job.send(STARTED)
      job.send(DONE)
      return job.getSnapshot().value
    },
  }
}
