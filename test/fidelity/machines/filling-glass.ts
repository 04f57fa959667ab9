import { assign, fromPromise, setup } from 'xstate'

/** Fills a glass of water, a bit at a time, until it is full. */
export const fillingGlass = setup({
  types: {
    context: {} as { max: number; current: number },
    input: {} as { max: number },
  },
  actors: {
    addWater: fromPromise(async ({ input }: { input: { current: number } }) => input.current + 1),
  },
  guards: {
    isFull: ({ context: { current, max } }) => current >= max,
  },
}).createMachine({
  id: 'fillingWater',
  context: ({ input }) => ({ max: input.max, current: 0 }),
  initial: 'checking',
  states: {
    checking: { always: [{ target: 'full', guard: 'isFull' }, { target: 'adding' }] },
    adding: {
      invoke: {
        src: 'addWater',
        input: ({ context }) => ({ current: context.current }),
        onDone: { target: 'checking', actions: assign({ current: ({ event }) => event.output }) },
      },
    },
    full: { type: 'final' },
  },
  output: ({ context }) => ({ glasses: context.current }),
})
