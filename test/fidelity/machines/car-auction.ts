import { assign, setup } from 'xstate'

export interface Bid {
  readonly carId: string
  readonly bidder: string
  readonly amount: number
}

/** Takes bids while the auction lasts. The best one wins. */
export const carAuction = setup({
  types: {
    context: {} as { carId: string; openMs: number; bids: Bid[]; winner?: Bid },
    input: {} as { carId: string; openMs: number },
    events: {} as { type: 'CarBidEvent'; bid: Bid },
    output: {} as { winner: Bid | null; count: number },
  },
  guards: {
    isForThisCar: ({ context, event }) => event.bid.carId === context.carId,
    isHigher: ({ context }, { amount }: { amount: number }) => context.bids.every((bid) => bid.amount < amount),
  },
  delays: {
    auctionTime: ({ context }) => context.openMs,
  },
}).createMachine({
  id: 'carAuctionBids',
  context: ({ input }) => ({ ...input, bids: [] }),
  initial: 'open',
  states: {
    open: {
      on: {
        CarBidEvent: {
          guard: {
            type: 'isHigher',
            params: ({ event }) => ({ amount: event.bid.amount }),
          },
          actions: assign({ bids: ({ context, event }) => context.bids.concat(event.bid) }),
        },
      },
      after: { auctionTime: 'closed' },
    },
    closed: {
      entry: assign(({ context }) => {
        const [winner] = [...context.bids].sort((a, b) => b.amount - a.amount)
        return winner === undefined ? {} : { winner }
      }),
      always: [{ guard: ({ context }) => context.winner !== undefined, target: 'sold' }, 'unsold'],
    },
    sold: { type: 'final' },
    unsold: { type: 'final' },
  },
  output: ({ context }) => ({ winner: context.winner ?? null, count: context.bids.length }),
})
