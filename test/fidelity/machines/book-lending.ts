import { assign, fromPromise, setup } from 'xstate'

interface Book {
  readonly title: string
  readonly status: 'available' | 'onloan'
}

interface Lender {
  readonly name: string
}

/**
 * A reader asks for a book. It is lent at once if it is there. Otherwise the reader declines, or holds it and is asked
 * again in two weeks.
 */
export const bookLending = setup({
  types: {
    context: {} as { book: Book | null; lender: Lender | null },
    events: {} as
      | { type: 'bookLendingRequest'; title: string; lender: Lender }
      | { type: 'holdBook' }
      | { type: 'declineBookhold' },
  },
  actors: {
    getStatus: fromPromise(async ({ input }: { input: { title: string } }): Promise<Book> => {
      return { title: input.title, status: 'available' }
    }),
    sendStatus: fromPromise(async (_: { input: { lender: Lender | null; book: Book | null } }) => {}),
    requestHold: fromPromise(async (_: { input: { lender: Lender | null } }) => {}),
    cancelHold: fromPromise(async (_: { input: { lender: Lender | null } }) => {}),
    checkOut: fromPromise(async (_: { input: { lender: Lender | null; book: Book | null } }) => ({ due: 14 })),
    notifyLender: fromPromise(async (_: { input: { lender: Lender | null } }) => {}),
  },
  delays: { P2W: 14 * 86_400_000 },
}).createMachine({
  id: 'bookLending',
  context: { book: null, lender: null },
  initial: 'requested',
  states: {
    requested: {
      on: {
        bookLendingRequest: {
          target: 'gettingStatus',
          actions: assign({
            book: ({ event }) => ({ title: event.title, status: 'onloan' as const }),
            lender: ({ event }) => event.lender,
          }),
        },
      },
    },
    gettingStatus: {
      invoke: {
        src: 'getStatus',
        input: ({ context }) => ({ title: context.book?.title ?? '' }),
        onDone: { target: 'deciding', actions: assign({ book: ({ event }) => event.output }) },
      },
    },
    deciding: {
      always: [
        { guard: ({ context }) => context.book?.status === 'onloan', target: 'reportingStatus' },
        { guard: ({ context }) => context.book?.status === 'available', target: 'checkingOut' },
        { target: 'ended' },
      ],
    },
    reportingStatus: {
      invoke: {
        src: 'sendStatus',
        input: ({ context: { lender, book } }) => ({ lender, book }),
        onDone: 'waitingForLender',
      },
    },
    waitingForLender: { on: { holdBook: 'holding', declineBookhold: 'cancelling' } },
    holding: {
      invoke: {
        src: 'requestHold',
        input: ({ context: { lender } }) => ({ lender }),
        onDone: 'sleeping',
      },
    },
    sleeping: { after: { P2W: 'gettingStatus' } },
    cancelling: {
      invoke: { src: 'cancelHold', input: ({ context: { lender } }) => ({ lender }), onDone: 'ended' },
    },
    checkingOut: {
      initial: 'checkingOut',
      states: {
        checkingOut: {
          invoke: {
            src: 'checkOut',
            input: ({ context: { lender, book } }) => ({ lender, book }),
            onDone: 'notifying',
          },
        },
        notifying: {
          invoke: { src: 'notifyLender', input: ({ context: { lender } }) => ({ lender }), onDone: 'over' },
        },
        over: { type: 'final' },
      },
      onDone: 'lent',
    },
    lent: { type: 'final' },
    ended: { type: 'final', tags: 'cancelled' },
  },
  output: ({ context }) => context.book,
})
