import { assign, fromPromise, sendParent, setup } from 'xstate'

/** Pays one order, and reports its progress to the machine that invoked it. */
export const paymentProcessing = setup({
  types: {
    input: {} as { orderId: string; amount: number },
    context: {} as { orderId: string; amount: number; receipt?: string },
    output: {} as { receipt: string | undefined },
  },
  actors: {
    chargeCard: fromPromise(async (_: { input: { amount: number } }) => 'receipt'),
  },
}).createMachine({
  id: 'payment',
  context: ({ input }) => input,
  initial: 'charging',
  states: {
    charging: {
      entry: sendParent(({ context }) => ({ type: 'PAYMENT_STARTED', orderId: context.orderId })),
      invoke: {
        src: 'chargeCard',
        input: ({ context: { amount } }) => ({ amount }),
        onDone: { target: 'charged', actions: assign({ receipt: ({ event }) => event.output }) },
        onError: { target: 'declined', actions: sendParent({ type: 'PAYMENT_DECLINED' }) },
      },
    },
    charged: { type: 'final', entry: sendParent({ type: 'PAYMENT_RECEIVED' }) },
    declined: { type: 'final' },
  },
  output: ({ context }) => ({ receipt: context.receipt }),
})

/** An order whose payment is a machine that other orders use too. */
export const paidOrder = setup({
  types: {
    input: {} as { orderId: string; amount: number },
    context: {} as { orderId: string; amount: number; heard: string[]; receipt?: string | undefined },
    events: {} as
      | { type: 'PAYMENT_STARTED'; orderId: string }
      | { type: 'PAYMENT_RECEIVED' }
      | { type: 'PAYMENT_DECLINED' }
      | { type: 'CONFIRM' },
  },
  actors: { paymentProcessing },
  actions: {
    hear: assign({ heard: ({ context, event }) => [...context.heard, event.type] }),
  },
}).createMachine({
  id: 'paidOrder',
  context: ({ input }) => ({ ...input, heard: [] }),
  initial: 'created',
  states: {
    created: { on: { CONFIRM: 'paying' } },
    paying: {
      invoke: {
        id: 'payment',
        src: 'paymentProcessing',
        input: ({ context: { orderId, amount } }) => ({ orderId, amount }),
        onDone: { target: 'settled', actions: assign({ receipt: ({ event }) => event.output.receipt }) },
      },
      on: {
        PAYMENT_STARTED: { actions: 'hear' },
        PAYMENT_RECEIVED: { actions: 'hear' },
        PAYMENT_DECLINED: { target: 'declined', actions: 'hear' },
      },
    },
    settled: { type: 'final' },
    declined: { type: 'final', tags: ['failure'] },
  },
  output: ({ context }) => ({ heard: context.heard, receipt: context.receipt }),
})
