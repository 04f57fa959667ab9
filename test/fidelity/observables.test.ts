import { describe } from 'vitest'
import { assign, fromEventObservable, fromObservable, setup } from 'xstate'
import { fidelity } from './run.ts'
import { complete, tell } from './script.ts'

// Logic that tells more than once and lives as long as its state: each restart starts it again, and nobody notices.

describe('an observable', () => {
  fidelity('is subscribed to again, and is heard by its further values and its end', {
    build: (outside) =>
      setup({
        types: { context: {} as { seen: readonly unknown[] } },
        actors: { numbers: fromObservable(() => outside.subscribable('numbers')) },
      }).createMachine({
        context: { seen: [] },
        initial: 'on',
        states: {
          on: {
            invoke: {
              src: 'numbers',
              // The first snapshot is that of the start, which has no value; a restart is no further start.
              onSnapshot: {
                actions: assign({ seen: ({ context, event }) => [...context.seen, event.snapshot.context ?? 'start'] }),
              },
              onDone: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.seen,
      }),
    commands: [],
    script: [tell('numbers', 'N', { n: 1 }), tell('numbers', 'N', { n: 2 }), complete('numbers')],
    end: {
      value: 'end',
      outcome: 'success',
      output: ['start', { type: 'N', n: 1 }, { type: 'N', n: 2 }],
    },
  })

  fidelity('of events is subscribed to again, and its further events are the machine’s own', {
    build: (outside) =>
      setup({
        types: { context: {} as { seen: readonly number[] }, events: {} as { type: 'TICK'; n: number } },
        actors: { ticks: fromEventObservable(() => outside.subscribable('ticks')) },
      }).createMachine({
        context: { seen: [] },
        initial: 'on',
        states: {
          on: {
            invoke: { src: 'ticks', onDone: 'end' },
            on: { TICK: { actions: assign({ seen: ({ context, event }) => [...context.seen, event.n] }) } },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.seen,
      }),
    commands: [],
    script: [tell('ticks', 'TICK', { n: 1 }), tell('ticks', 'TICK', { n: 2 }), complete('ticks')],
    end: { value: 'end', outcome: 'success', output: [1, 2] },
  })
})
