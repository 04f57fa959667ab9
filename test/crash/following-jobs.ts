import { createMachine, emit } from 'xstate'
import { z } from 'zod'
import { defineJob, type TaskContext, task } from '../../src/index.ts'

/** Number of reports of one run of `reporting`: enough that some are replaced before they are written. */
const REPORTS = 40

/** The job types of the followed processes; `pause` is the wait of their code between two reports. */
export function followedTypes(pause: (signal: AbortSignal) => Promise<void>) {
  const report = async ({ progress, signal }: TaskContext, reports: number) => {
    for (let completed = 1; completed <= reports; completed++) {
      progress({ completed, total: reports })
      await pause(signal)
    }
    // The last value is reported with the end.
    progress({ completed: reports, total: reports })
  }

  const ringing = createMachine({
    entry: emit({ type: 'rang', where: 'at the start' }),
    initial: 'first',
    on: { cancel: '.cancelled' },
    states: {
      first: { invoke: { src: 'work', onDone: 'second', onError: 'failed' } },
      second: {
        entry: [emit({ type: 'rang', where: 'in the midst' }), emit({ type: 'rang', where: 'and again' })],
        invoke: { src: 'work', onDone: 'done', onError: 'failed' },
      },
      done: { type: 'final' },
      failed: { type: 'final', tags: ['failure'] },
      cancelled: { type: 'final', tags: ['cancelled'] },
    },
  }).provide({ actors: { work: task({}, async (context) => await report(context, 3)) } })

  return {
    reporting: defineJob({ type: 'reporting', execute: async (context) => await report(context, REPORTS) }),
    short: defineJob({ type: 'short', execute: async (context) => await report(context, 2) }),
    ringing: defineJob({ type: 'ringing', lifecycle: ringing, commands: { cancel: z.object({}) } }),
  }
}
