import { assign, emit, enqueueActions, fromCallback, setup } from 'xstate'

type Sign =
  | { type: 'TEMPERATURE'; value: number }
  | { type: 'PULSE'; value: number }
  | { type: 'BREATH'; value: number }

type Alarm = { type: 'alarm'; of: string; value: number }

/** Listens to a patient's monitor and raises an alarm for each sign out of its range, until it is switched off. */
export const vitalSigns = setup({
  types: {
    context: {} as { patient: string; alarms: string[]; readings: number },
    input: {} as { patient: string },
    events: {} as Sign | { type: 'SWITCH_OFF' },
    emitted: {} as Alarm,
  },
  actors: {
    monitor: fromCallback<Sign, { patient: string }>(() => () => {}),
  },
  actions: {
    callNurse: () => {},
    count: assign({ readings: ({ context }) => context.readings + 1 }),
  },
  guards: {
    isOutside: (_, { value, low, high }: { value: number; low: number; high: number }) => value < low || value > high,
  },
}).createMachine({
  id: 'vitalSigns',
  context: ({ input }) => ({ patient: input.patient, alarms: [], readings: 0 }),
  initial: 'watching',
  states: {
    watching: {
      invoke: { id: 'monitor', src: 'monitor', input: ({ context }) => ({ patient: context.patient }) },
      on: {
        TEMPERATURE: {
          actions: enqueueActions(({ enqueue, check, context, event }) => {
            enqueue('count')
            if (!check({ type: 'isOutside', params: { value: event.value, low: 35, high: 38.5 } })) return
            enqueue.assign({ alarms: [...context.alarms, `fever ${event.value}`] })
            enqueue.emit({ type: 'alarm', of: 'fever', value: event.value })
            if (context.alarms.length === 0) enqueue('callNurse')
          }),
        },
        PULSE: [
          {
            guard: { type: 'isOutside', params: ({ event }) => ({ value: event.value, low: 50, high: 120 }) },
            actions: [
              'count',
              assign({ alarms: ({ context, event }) => [...context.alarms, `pulse ${event.value}`] }),
              emit(({ event }) => ({ type: 'alarm', of: 'pulse', value: event.value })),
            ],
          },
          { actions: 'count' },
        ],
        BREATH: { actions: ['count', emit({ type: 'alarm', of: 'breath', value: 0 })] },
        SWITCH_OFF: 'off',
      },
    },
    off: { type: 'final' },
  },
  output: ({ context }) => ({ readings: context.readings, alarms: context.alarms }),
})
