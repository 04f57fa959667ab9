import { describe } from 'vitest'
import { assign, fromEventObservable, fromObservable, setup } from 'xstate'
import { fidelity } from './run.ts'
import { complete, tell } from './script.ts'

// Observables send several events and live as long as their state. Each restart subscribes again, without visible
// effects.

describe('an observable', () => {
  fidelity('an observable is subscribed to again after a restart, and its further values and its end are heard', {
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
              // The first snapshot is that of the start, which has no value. A restart does not add another one.
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

  fidelity('an observable of events is subscribed to again, and its further events are the machine’s own', {
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
