import { assign, fromPromise, setup } from 'xstate'

interface Reading {
  readonly kind: 'temperature' | 'humidity'
  readonly value: number
}

/** Gathers the readings of a room and reports them every hour, then starts anew. */
export const roomReadings = setup({
  types: {} as {
    context: { room: string; readings: Reading[]; reports: number }
    input: { room: string }
    events: { type: 'TemperatureEvent'; value: number } | { type: 'HumidityEvent'; value: number } | { type: 'Vacated' }
  },
  actors: {
    produceReport: fromPromise(async (_: { input: { readings: readonly Reading[] } }) => {}),
  },
  actions: {
    keep: assign({
      readings: ({ context }, { kind, value }: Reading) => [...context.readings, { kind, value }],
    }),
  },
  delays: { PT1H: 3_600_000 },
}).createMachine({
  id: 'roomReadings',
  context: ({ input }) => ({ room: input.room, readings: [], reports: 0 }),
  initial: 'consuming',
  states: {
    consuming: {
      entry: assign({ readings: [] }),
      on: {
        TemperatureEvent: {
          actions: { type: 'keep', params: ({ event }) => ({ kind: 'temperature', value: event.value }) },
        },
        HumidityEvent: {
          actions: { type: 'keep', params: ({ event }) => ({ kind: 'humidity', value: event.value }) },
        },
      },
      after: { PT1H: 'reporting' },
    },
    reporting: {
      invoke: {
        src: 'produceReport',
        input: ({ context }) => ({ readings: context.readings }),
        onDone: { target: 'consuming', actions: assign({ reports: ({ context }) => context.reports + 1 }) },
        onError: { target: 'reporting', reenter: true },
      },
    },
    vacated: { type: 'final' },
  },
  on: { Vacated: '.vacated' },
  output: ({ context: { reports, readings } }) => ({ reports, unreported: readings.length }),
})
