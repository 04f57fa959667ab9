import { setup } from 'xstate'

const piece = (name: 'ApplicationSubmitted' | 'SATScoresReceived' | 'RecommendationLetterReceived') =>
  ({
    initial: 'missing',
    states: { missing: { on: { [name]: 'here' } }, here: { type: 'final' } },
  }) as const

/** Finalizes a college application when all three of its pieces have arrived, in any order. */
export const finalizeApplication = setup({
  types: {
    events: {} as {
      type: 'ApplicationSubmitted' | 'SATScoresReceived' | 'RecommendationLetterReceived' | 'Withdraw'
    },
  },
}).createMachine({
  id: 'finalizeCollegeApplication',
  initial: 'collecting',
  states: {
    collecting: {
      type: 'parallel',
      states: {
        application: piece('ApplicationSubmitted'),
        scores: piece('SATScoresReceived'),
        letter: piece('RecommendationLetterReceived'),
      },
      on: { Withdraw: { target: 'withdrawn' } },
      onDone: 'finalized',
    },
    finalized: { type: 'final', output: 'complete' },
    withdrawn: { type: 'final', tags: 'cancelled', output: 'withdrawn' },
  },
  output: ({ event }) => (event as { output?: unknown }).output,
})
