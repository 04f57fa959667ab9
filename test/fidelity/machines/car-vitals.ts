import { assign, fromPromise, setup } from 'xstate'

interface Vitals {
  readonly tirePressure?: number
  readonly oilPressure?: number
}

/** Checks two vitals of a car at the same time. */
export const vitalsCheck = setup({
  types: { context: {} as Vitals, output: {} as Vitals },
  actors: {
    checkTires: fromPromise(async () => ({ value: 100 })),
    checkOil: fromPromise(async () => ({ value: 100 })),
  },
}).createMachine({
  id: 'vitalsCheck',
  type: 'parallel',
  context: {},
  states: {
    tires: {
      initial: 'checking',
      states: {
        checking: {
          invoke: {
            src: 'checkTires',
            onDone: { target: 'checked', actions: assign({ tirePressure: ({ event }) => event.output.value }) },
          },
        },
        checked: { type: 'final' },
      },
    },
    oil: {
      initial: 'checking',
      states: {
        checking: {
          invoke: {
            src: 'checkOil',
            onDone: { target: 'checked', actions: assign({ oilPressure: ({ event }) => event.output.value }) },
          },
        },
        checked: { type: 'final' },
      },
    },
  },
  output: ({ context }) => context,
})

/** Checks the vitals of a car again and again while it is on, with a pause between. */
export const carVitals = setup({
  types: {
    context: {} as { checks: Vitals[] },
    events: {} as { type: 'CarTurnedOnEvent' } | { type: 'CarTurnedOffEvent' },
  },
  actors: { vitalsCheck },
  delays: { pause: 1_000 },
}).createMachine({
  id: 'carVitals',
  context: { checks: [] },
  initial: 'off',
  states: {
    off: { on: { CarTurnedOnEvent: 'on' } },
    on: {
      initial: 'checking',
      states: {
        checking: {
          invoke: {
            id: 'check',
            src: 'vitalsCheck',
            onDone: {
              target: 'pausing',
              actions: assign({ checks: ({ context, event }) => [...context.checks, event.output] }),
            },
          },
        },
        pausing: { after: { pause: 'checking' } },
      },
      on: { CarTurnedOffEvent: { target: 'parked' } },
    },
    parked: { type: 'final' },
  },
  output: ({ context }) => context.checks,
})
