import { defineJob } from '../../src/index.ts'
import { STEPS } from './life-options.ts'

/** The effects that the code of the jobs has. */
export interface World {
  /** Records that code was started: `handler`, or a step. */
  readonly ran: (job: string, what: string) => void
  /** A point at which the process may block. */
  readonly reach: (point: string) => void
  readonly applyEffect: (key: string, job: string, step: string) => void
  readonly pause: () => Promise<void>
  readonly say: (at: string, job: string, attempt?: number) => void
  /** Resolves when the parent lets the waiting job continue. */
  readonly opened: (job: string) => Promise<void>
  readonly die: () => void
  /** Blocks the event loop until the parent thaws the process. */
  readonly compute: () => void
}

/** The job types of the crash tests, whose code works on `world`. */
export function jobTypes(world: World) {
  return {
    /** Makes one effect in each of its steps. */
    deliver: defineJob({
      type: 'deliver',
      async execute({ job: { id }, step }) {
        world.ran(id, 'handler')
        world.reach('handler entered')
        for (const name of STEPS) {
          await world.pause()
          await step(name, ({ key }) => {
            world.ran(id, name)
            world.reach(`${name} begun`)
            world.applyEffect(key, id, name)
            world.reach(`${name} took effect`)
            return name.length
          })
          world.reach(`${name} resolved`)
        }
        return 'delivered'
      },
    }),

    /** Waits until it may continue, even when it is asked to stop; then makes one effect. */
    wait: defineJob({
      type: 'wait',
      async execute({ job: { id }, attempt, signal, step, log, progress }) {
        world.ran(id, 'handler')
        signal.addEventListener('abort', () => world.say('stop seen', id, attempt))
        world.say('entered', id, attempt)
        await world.opened(id)
        log(`attempt ${attempt} goes on`)
        progress({ completed: attempt })
        try {
          await step('effect', ({ key }) => world.applyEffect(key, id, 'effect'))
        } catch (error) {
          world.say(`refused: ${codeOf(error)}`, id, attempt)
          throw error
        }
        return process.pid
      },
    }),

    /** Blocks the event loop of its process. */
    compute: defineJob({
      type: 'compute',
      execute: ({ job: { id }, attempt }) => {
        world.ran(id, 'handler')
        world.say('entered', id, attempt)
        world.compute()
        return process.pid
      },
    }),

    /** Crashes its process. */
    poison: defineJob({
      type: 'poison',
      execute: ({ job: { id } }) => {
        world.ran(id, 'handler')
        world.die()
      },
    }),
  }
}

/** The code of a thrown error. */
function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown }).code)
}
