import { assign, fromPromise, setup } from 'xstate'

/** Waits an hour for the decision about a visa. Each possible event has its own handler. */
export const visaDecision = setup({
  types: {
    context: {} as { seen: string[]; result?: string },
    events: {} as
      | { type: 'visa.approved' }
      | { type: 'visa.rejected'; reason: string }
      | { type: 'note'; text: string },
  },
  actors: {
    handle: fromPromise(async ({ input }: { input: { decision: string } }) => input.decision),
  },
  actions: {
    see: assign({ seen: ({ context, event }) => [...context.seen, event.type] }),
  },
}).createMachine({
  id: 'visa',
  context: { seen: [] },
  initial: 'waiting',
  states: {
    waiting: {
      on: {
        'visa.approved': { target: 'handling.approved', actions: 'see' },
        'visa.*': { target: 'handling.rejected', actions: 'see' },
        '*': { actions: 'see' },
      },
      after: { 3600000: 'handling.undecided' },
    },
    handling: {
      initial: 'undecided',
      states: {
        approved: {
          invoke: {
            src: 'handle',
            input: { decision: 'approved' },
            onDone: { target: '#over', actions: assign({ result: ({ event }) => event.output }) },
          },
        },
        rejected: {
          invoke: {
            src: 'handle',
            input: ({ event }) => ({ decision: `rejected: ${'reason' in event ? event.reason : 'no reason'}` }),
            onDone: { target: '#over', actions: assign({ result: ({ event }) => event.output }) },
          },
        },
        undecided: {
          invoke: {
            src: 'handle',
            input: { decision: 'none' },
            onDone: { target: '#over', actions: assign(({ event }) => ({ result: event.output })) },
          },
        },
      },
    },
    over: { id: 'over', type: 'final' },
  },
  output: ({ context }) => ({ seen: context.seen, result: context.result ?? null }),
})
