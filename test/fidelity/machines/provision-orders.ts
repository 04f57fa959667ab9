import { assign, createMachine, fromPromise } from 'xstate'

export interface Order {
  readonly id: string
  readonly item: string
  readonly quantity: number
}

/** Provisions orders. Each kind of fault has its own handler, which the machine provides inline. */
export function provisionOrders(services: {
  provision: (order: Order) => Promise<{ readonly parcel: string }>
  handle: (problem: string) => Promise<string>
}) {
  return createMachine({
    id: 'provisionOrders',
    types: {} as {
      context: { order: Order; parcel: string | null; note: string | null }
      input: { order: Order }
    },
    context: ({ input }) => ({ order: input.order, parcel: null, note: null }),
    initial: 'provisioning',
    states: {
      provisioning: {
        invoke: {
          src: fromPromise(({ input }: { input: { order: Order } }) => services.provision(input.order)),
          input: ({ context }) => ({ order: context.order }),
          onDone: { target: 'applying', actions: assign({ parcel: ({ event }) => event.output.parcel }) },
          onError: [
            { guard: ({ event }) => (event.error as Error).message === 'missing order id', target: 'missingId' },
            { guard: ({ event }) => (event.error as Error).message === 'missing item', target: 'missingItem' },
            { guard: ({ event }) => (event.error as Error).message === 'missing quantity', target: 'missingQuantity' },
          ],
        },
      },
      applying: { always: 'provisioned' },
      provisioned: { type: 'final' },
      missingId: {
        invoke: {
          src: fromPromise(() => services.handle('no id')),
          onDone: { target: 'handled', actions: assign({ note: ({ event }) => event.output }) },
        },
      },
      missingItem: {
        invoke: {
          src: fromPromise(() => services.handle('no item')),
          onDone: { target: 'handled', actions: assign({ note: ({ event }) => event.output }) },
        },
      },
      missingQuantity: {
        invoke: {
          src: fromPromise(() => services.handle('no quantity')),
          onDone: { target: 'handled', actions: assign({ note: ({ event }) => event.output }) },
        },
      },
      handled: { type: 'final' },
    },
    output: ({ context }) => ({ parcel: context.parcel, note: context.note }),
  })
}
