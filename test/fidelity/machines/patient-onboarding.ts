import { assign, fromPromise, setup } from 'xstate'

const MAX_TRIES = 10

/**
 * Stores a new patient, then assigns a doctor and a first appointment. An unavailable service is tried again in 3
 * seconds.
 */
export const patientOnboarding = setup({
  types: {
    context: {} as { patient?: { name: string; condition: string }; doctor?: string; tries: number; time?: string },
    events: {} as { type: 'NewPatientEvent'; name: string; condition: string },
  },
  actors: {
    storePatient: fromPromise(async (_: { input: { name: string } }) => {}),
    assignDoctor: fromPromise(async (_: { input: { condition: string } }): Promise<{ doctor: string }> => {
      throw new Error('ServiceNotAvailable')
    }),
    scheduleAppointment: fromPromise(async (_: { input: { doctor: string } }) => 'tomorrow'),
  },
  actions: {
    countTry: assign({ tries: ({ context }) => context.tries + 1 }),
  },
  guards: {
    mayRetry: ({ context }) => context.tries < MAX_TRIES,
    isServiceAway: (_, params: { error: unknown }) =>
      params.error instanceof Object && 'message' in params.error && params.error.message === 'ServiceNotAvailable',
  },
  delays: { retryDelay: 3_000 },
}).createMachine({
  id: 'patientOnboarding',
  context: { tries: 0 },
  initial: 'idle',
  states: {
    idle: {
      on: {
        NewPatientEvent: {
          target: 'onboarding',
          actions: assign({ patient: ({ event: { name, condition } }) => ({ name, condition }) }),
        },
      },
    },
    onboarding: {
      initial: 'storing',
      states: {
        storing: {
          invoke: {
            src: 'storePatient',
            input: ({ context }) => ({ name: context.patient?.name ?? '' }),
            onDone: '#assigning',
            onError: '#onboardingFailed',
          },
        },
        assigning: {
          id: 'assigning',
          entry: 'countTry',
          invoke: {
            src: 'assignDoctor',
            input: ({ context }) => ({ condition: context.patient?.condition ?? '' }),
            onDone: { target: 'scheduling', actions: assign(({ event }) => ({ doctor: event.output.doctor })) },
            onError: [
              {
                guard: { type: 'isServiceAway', params: ({ event }) => ({ error: event.error }) },
                target: 'pausing',
              },
              { target: '#onboardingFailed' },
            ],
          },
        },
        pausing: {
          always: { guard: ({ context }) => context.tries >= MAX_TRIES, target: '#onboardingFailed' },
          after: { retryDelay: { target: 'assigning', guard: 'mayRetry' } },
        },
        scheduling: {
          invoke: {
            id: 'appointments',
            src: 'scheduleAppointment',
            input: ({ context }) => ({ doctor: context.doctor ?? '' }),
            onDone: { target: 'done', actions: assign({ time: ({ event }) => event.output }) },
          },
        },
        done: { type: 'final' },
      },
      onDone: 'onboarded',
    },
    onboarded: { type: 'final' },
    failed: { id: 'onboardingFailed', type: 'final', tags: 'failure' },
  },
  output: ({ context }) => ({ doctor: context.doctor, time: context.time, tries: context.tries }),
})
