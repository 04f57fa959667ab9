import { assign, emit, raise, setup } from 'xstate'

/** Makes an appointment at the vet by events alone: sends one event and waits for another. */
export const vetAppointment = setup({
  types: {
    context: {} as { patient?: { name: string; illness: string }; appointment?: { doctor: string; at: string } },
    events: {} as
      | { type: 'MakeVetAppointment'; name: string; illness: string }
      | { type: 'VetAppointmentInfo'; doctor: string; at: string }
      | { type: 'nobody.answers' },
    emitted: {} as { type: 'vet.appointment.wanted'; name: string },
  },
}).createMachine({
  id: 'vetAppointment',
  context: {},
  initial: 'idle',
  states: {
    idle: {
      on: {
        MakeVetAppointment: {
          target: 'asking',
          actions: [
            assign({ patient: ({ event: { name, illness } }) => ({ name, illness }) }),
            emit(({ event }) => ({ type: 'vet.appointment.wanted', name: event.name })),
          ],
        },
      },
    },
    asking: {
      entry: raise({ type: 'nobody.answers' }, { delay: 15_000, id: 'patience' }),
      on: {
        VetAppointmentInfo: {
          target: 'made',
          actions: assign(({ event: { doctor, at } }) => ({ appointment: { doctor, at } })),
        },
        'nobody.*': 'idle',
      },
    },
    made: { type: 'final' },
  },
  output: ({ context }) => context.appointment,
})
