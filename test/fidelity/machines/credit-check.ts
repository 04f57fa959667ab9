import { assign, fromPromise, setup } from 'xstate'

export interface Customer {
  readonly id: string
  readonly salary: number
}

export interface CreditReport {
  readonly decision: 'Approved' | 'Denied'
  readonly score: number
}

/** Asks an office to check a customer's credit. The decision determines which mail is sent. */
export const creditCheck = setup({
  types: {
    context: {} as { customer: Customer; report: CreditReport | null; reason?: string },
    input: {} as { customer: Customer },
    output: {} as { customer: string; decision: string },
  },
  actors: {
    askOffice: fromPromise<CreditReport, { customer: Customer }>(async () => {
      throw new Error('provided by who runs it')
    }),
    mailApproval: fromPromise<void, { to: string }>(async () => {}),
    mailDenial: fromPromise<void, { to: string; score: number }>(async () => {}),
  },
  guards: {
    isApproved: ({ context }) => context.report?.decision === 'Approved',
  },
}).createMachine({
  id: 'customerCreditCheck',
  context: ({ input }) => ({ customer: input.customer, report: null }),
  initial: 'checking',
  states: {
    checking: {
      invoke: {
        src: 'askOffice',
        input: ({ context }) => ({ customer: context.customer }),
        onDone: { target: 'evaluating', actions: assign({ report: ({ event }) => event.output }) },
        onError: {
          target: 'unavailable',
          actions: assign({ reason: ({ event }) => (event.error as Error).message }),
        },
      },
      after: { 900000: { target: 'unavailable', actions: assign({ reason: 'no answer within 15 minutes' }) } },
    },
    evaluating: {
      always: [{ guard: 'isApproved', target: 'approving' }, { target: 'denying' }],
    },
    approving: {
      invoke: {
        src: 'mailApproval',
        input: ({ context }) => ({ to: context.customer.id }),
        onDone: 'approved',
        onError: 'unavailable',
      },
    },
    denying: {
      invoke: {
        src: 'mailDenial',
        input: ({ context }) => ({ to: context.customer.id, score: context.report?.score ?? 0 }),
        onDone: 'denied',
        onError: 'unavailable',
      },
    },
    approved: { type: 'final' },
    denied: { type: 'final' },
    unavailable: { type: 'final', tags: ['failure'] },
  },
  output: ({ context }) => ({
    customer: context.customer.id,
    decision: context.report?.decision ?? context.reason ?? 'unknown',
  }),
})
