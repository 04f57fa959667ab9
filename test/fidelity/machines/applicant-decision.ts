import { assign, createMachine, fromPromise, setup } from 'xstate'

export interface Applicant {
  readonly name: string
  readonly age: number
}

/** Work for an accepted applicant: a machine without a `setup`. */
const startApplication = createMachine({
  id: 'startApplication',
  types: {} as { input: { applicant: Applicant }; context: { applicant: Applicant } },
  context: ({ input }) => ({ applicant: input.applicant }),
  initial: 'registering',
  states: {
    registering: { after: { 5000: 'registered' } },
    registered: { type: 'final' },
  },
  output: ({ context }) => ({ file: `file of ${context.applicant.name}` }),
})

/** Accepts an application if the applicant is of age; otherwise sends a mail of rejection. */
export const applicantDecision = setup({
  types: {
    context: {} as { applicant: Applicant; file?: string },
    input: {} as { applicant: Applicant },
    events: {} as { type: 'Submit' },
  },
  actors: {
    startApplication,
    sendRejection: fromPromise(async ({ input }: { input: { applicant: Applicant } }) => input.applicant.name),
  },
  guards: {
    isOver18: ({ context }, { from }: { from: number }) => context.applicant.age >= from,
  },
}).createMachine({
  id: 'applicantRequest',
  context: ({ input }) => ({ applicant: input.applicant }),
  initial: 'checking',
  states: {
    checking: {
      on: {
        Submit: [
          { target: 'taken', guard: { type: 'isOver18', params: { from: 18 } }, reenter: false },
          { target: 'rejecting', reenter: false },
        ],
      },
    },
    taken: {
      invoke: {
        src: 'startApplication',
        input: ({ context }) => ({ applicant: context.applicant }),
        onDone: { target: 'end', actions: assign({ file: ({ event }) => (event.output as { file: string }).file }) },
        onError: 'rejecting',
      },
    },
    rejecting: {
      invoke: {
        src: 'sendRejection',
        input: ({ context }) => ({ applicant: context.applicant }),
        onDone: 'rejected',
        onError: 'rejected',
      },
    },
    end: { type: 'final' },
    rejected: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context }) => context,
})
