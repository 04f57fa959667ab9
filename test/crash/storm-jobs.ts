import { createMachine } from 'xstate'
import { z } from 'zod'
import { defineJob, type TaskContext, task } from '../../src/index.ts'

/** The effects that the code of the storm's jobs has. */
export interface StormWorld {
  readonly pause: (signal: AbortSignal) => Promise<void>
  /** Runs a step, which makes its effect in the target. */
  readonly ran: (key: string, job: string, step: string) => void
  readonly recorded: (key: string) => void
}

/** The job types of the storm: a function with steps and a retry, a machine over a child machine, and timers. */
export function stormTypes(world: StormWorld) {
  const step = async ({ job, step, signal }: TaskContext, name: string) => {
    await world.pause(signal)
    const ranUnder = await step(name, ({ key }) => {
      world.ran(key, job.id, name)
      return key
    })
    world.recorded(ranUnder)
  }
  const work = task({}, async (context) => await step(context, 'work'))
  const ends = {
    done: { type: 'final' },
    failed: { type: 'final', tags: ['failure'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  } as const

  const child = createMachine({
    initial: 'working',
    states: { working: { invoke: { src: 'work', onDone: 'done', onError: 'failed' } }, ...ends },
  }).provide({ actors: { work } })

  const parent = createMachine({
    initial: 'loading',
    on: { cancel: '.cancelled' },
    states: {
      loading: { invoke: { src: 'load', onDone: 'storing', onError: 'failed' } },
      storing: { invoke: { src: 'work', onDone: 'done', onError: 'failed' } },
      ...ends,
    },
  }).provide({ actors: { load: child, work } })

  const timed = createMachine({
    initial: 'waiting',
    on: { cancel: '.cancelled' },
    states: {
      waiting: { after: { 120: 'working' } },
      working: { invoke: { src: 'work', onDone: 'resting', onError: 'failed' } },
      resting: { tags: ['vacates'], after: { 80: 'done' } },
      ...ends,
    },
  }).provide({ actors: { work } })

  const commands = { cancel: z.object({}) }
  return {
    plain: defineJob({
      type: 'plain',
      retry: { limit: 3, backoff: '20ms' },
      async execute(context) {
        await step(context, 'extract')
        // Every fourth job fails once, between its steps.
        if (context.attempt === 1 && context.job.id.charCodeAt(35) % 4 === 0) throw new Error('once more')
        await step(context, 'store')
      },
    }),
    family: defineJob({ type: 'family', lifecycle: parent, commands }),
    timed: defineJob({ type: 'timed', lifecycle: timed, commands }),
  }
}
