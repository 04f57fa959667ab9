import { assign, log, setup } from 'xstate'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** An order that a supplier has to confirm and ship within 30 days; otherwise it is cancelled. */
export const purchaseOrder = setup({
  types: {
    context: {} as { orderId: string; confirmedBy: string | null; tracking: string | null },
    input: {} as { orderId: string },
    events: {} as
      | { type: 'order.confirmed'; supplier: string }
      | { type: 'shipment.sent'; tracking: string }
      | { type: 'delivery.noticed' },
    output: {} as { orderId: string; tracking: string | null },
  },
  actions: {
    tellBuyer: (_, _params: { text: string }) => {},
  },
  delays: {
    orderDeadline: 30 * DAY,
  },
}).createMachine({
  id: 'purchaseOrder',
  context: ({ input }) => ({ orderId: input.orderId, confirmedBy: null, tracking: null }),
  initial: 'open',
  states: {
    open: {
      entry: log(({ context }) => `order ${context.orderId} is open`),
      initial: 'awaitingConfirmation',
      after: {
        orderDeadline: { target: 'cancelled', actions: { type: 'tellBuyer', params: { text: 'deadline passed' } } },
      },
      states: {
        awaitingConfirmation: {
          on: {
            'order.confirmed': {
              target: 'awaitingShipment',
              actions: assign({ confirmedBy: ({ event }) => event.supplier }),
            },
          },
        },
        awaitingShipment: {
          on: {
            'shipment.sent': { target: 'shipped', actions: assign({ tracking: ({ event }) => event.tracking }) },
          },
        },
        shipped: {
          after: { [3 * DAY]: 'arrived' },
          on: { 'delivery.noticed': 'arrived' },
        },
        arrived: { type: 'final' },
      },
      onDone: {
        target: 'completed',
        actions: { type: 'tellBuyer', params: ({ context }) => ({ text: `delivered ${context.tracking}` }) },
      },
    },
    completed: { type: 'final' },
    cancelled: { type: 'final', tags: 'cancelled' },
  },
  output: ({ context }) => ({ orderId: context.orderId, tracking: context.tracking }),
})
