import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createEngine, defineJob, type Engine, queueExecutor, task } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { type AnyActorLogic, type AnyActorRef, type AnyEventObject, assign, createMachine, sendTo } from 'xstate'
import { z } from 'zod'
import type { Measured } from './measure.ts'
import { Tally } from './tally.ts'

/** A smaller job of this many parts is run first, so that the code is compiled. */
const WARM_UP = 50

interface Parts {
  readonly label: string
  readonly logicOf: (tally: Tally) => AnyActorLogic
  /** Counts the engine's events that tell about the parts. Parts that can count by themselves do so instead. */
  readonly listen: (engine: Engine, type: string, tally: Tally) => void
}

/** The kinds of parts that the job can have. */
export const PARTS: { readonly [name: string]: Parts } = {
  children: {
    label: 'child machines',
    logicOf: () =>
      createMachine({
        initial: 'begun',
        states: { begun: { on: { tell: 'told' } }, told: { on: { finish: 'ended' } }, ended: { type: 'final' } },
      }),
    listen: (engine, type, tally) => {
      engine.on('job.created', ({ jobType }) => {
        if (jobType === `${type}/part`) tally.add('begun')
      })
      engine.on('job.transitioned', ({ jobType, to }) => {
        if (jobType === `${type}/part`) tally.add(to)
      })
    },
  },
  tasks: {
    label: 'promise tasks',
    logicOf: (tally) =>
      task({}, async ({ inbox }) => {
        tally.add('begun')
        for await (const { type } of inbox) {
          if (type === 'finish') return
          tally.add('told')
        }
      }),
    listen: (engine, _, tally) => {
      engine.on('task.stopped', () => tally.add('stopped'))
    },
  },
}

/**
 * Measures, on SQLite FULL, one job of many parts (child machines or tasks): how many milliseconds it takes until all
 * have begun, until each has got an event, and until the job has heard that all have ended. Then all begin again, and
 * it measures how long it takes to leave and stop them. Also measures the turns of the event loop meanwhile.
 *
 * @throws {Error}  there are no parts of this name.
 */
export async function tree(name: string, size: number, folder: string): Promise<Measured> {
  const parts = PARTS[name]
  if (parts === undefined) throw new Error(`no parts "${name}"`)
  await run(parts, Math.min(size, WARM_UP), join(folder, 'warm-up.db'))
  return { figures: await run(parts, size, join(folder, 'jobchart.db')), facts: {} }
}

async function run(parts: Parts, size: number, file: string) {
  const tally = new Tally()
  const whole = wholeOf(size, parts.logicOf(tally))
  const executors = { default: queueExecutor({ concurrency: size }) }
  const engine = await createEngine({ jobs: [whole], storage: sqliteStorage(file), executors })
  parts.listen(engine, whole.type, tally)
  engine.on('job.transitioned', ({ jobType, to }) => {
    if (jobType === whole.type) tally.add(`whole ${to}`)
  })
  try {
    const { id } = await engine.system.submit(whole, undefined)
    const turns = monitorEventLoopDelay({ resolution: 1 })
    turns.enable()
    // Sends a command, and waits until its effect has been counted. Returns how many milliseconds this took.
    const timed = async (type: 'begin' | 'tell' | 'finish' | 'leave', heard: string, count: number) => {
      const begin = performance.now()
      await Promise.all([engine.system.send(id, { type }), tally.reached(heard, count)])
      return performance.now() - begin
    }
    const begunMs = await timed('begin', 'begun', size)
    const toldMs = await timed('tell', 'told', size)
    const endedMs = await timed('finish', 'whole between', 1)
    await timed('begin', 'begun', 2 * size)
    const leftMs = await timed('leave', 'stopped', size)
    turns.disable()
    const allMs = begunMs + toldMs + endedMs + leftMs
    const loop = { turn99Ms: turns.percentile(99) / 1e6, turnMaxMs: turns.max / 1e6 }
    return { begunMs, toldMs, endedMs, leftMs, allMs, ...loop }
  } finally {
    await engine.stop()
  }
}

/** The context of the job: how many parts have ended. */
interface Context {
  readonly ended: number
}

/**
 * A job that invokes `size` parts twice. The first time it waits until all have ended; the second time it leaves them.
 */
function wholeOf(size: number, part: AnyActorLogic) {
  const invoke = Array.from({ length: size }, (_, n) => ({ id: `part-${n}`, src: 'part' }))
  const toAll = (type: string) =>
    invoke.map(({ id }) => sendTo<Context, AnyEventObject, undefined, AnyActorRef, AnyEventObject>(id, { type }))
  const lifecycle = createMachine({
    context: { ended: 0 },
    initial: 'ready',
    states: {
      ready: { on: { begin: 'first' } },
      first: {
        invoke,
        on: {
          tell: { actions: toAll('tell') },
          finish: { actions: toAll('finish') },
          'xstate.done.actor.*': [
            { guard: ({ context }) => context.ended === size - 1, target: 'between' },
            { actions: assign({ ended: ({ context }) => context.ended + 1 }) },
          ],
        },
      },
      between: { on: { begin: 'second' } },
      second: { invoke, on: { leave: 'over' } },
      over: { type: 'final' },
    },
  }).provide({ actors: { part } as never })
  const commands = { begin: z.object({}), tell: z.object({}), finish: z.object({}), leave: z.object({}) }
  return defineJob({ type: 'whole', lifecycle, commands })
}
