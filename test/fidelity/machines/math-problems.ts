import { assign, createMachine, fromPromise } from 'xstate'

/** Solves expressions one by one, in a state that re-enters itself. */
export const mathProblems = createMachine(
  {
    id: 'solveMathProblems',
    types: {} as {
      input: { expressions: string[] }
      context: { expressions: string[]; results: number[] }
      output: { results: number[] }
      actors: {
        src: 'solveMathExpression'
        logic: ReturnType<typeof fromPromise<number, { expression: string | undefined }>>
      }
    },
    context: ({ input }) => ({ expressions: input.expressions, results: [] }),
    initial: 'solving',
    states: {
      solving: {
        invoke: {
          src: 'solveMathExpression',
          input: ({ context }) => ({ expression: context.expressions[context.results.length] }),
          onDone: [
            {
              guard: ({ context }) => context.results.length + 1 < context.expressions.length,
              target: 'solving',
              reenter: true,
              actions: assign({ results: ({ context, event }) => context.results.concat(event.output) }),
            },
            {
              target: 'solved',
              actions: assign({ results: ({ context, event }) => context.results.concat(event.output) }),
            },
          ],
        },
      },
      solved: { type: 'final' },
    },
    output: ({ context }) => ({ results: context.results }),
  },
  {
    actors: {
      solveMathExpression: fromPromise<number, { expression: string | undefined }>(async () => 0),
    },
  },
)
