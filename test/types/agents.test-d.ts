/** The types of the functions of an agent. Compiled by `npm run typecheck`, never run. */
import type { TaskContext } from 'jobchart'
import { type AgentRunOptions, createAgent } from 'jobchart/agents'
import type { AgentTransport } from 'jobchart/port'
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'

declare const transport: AgentTransport

test('each function receives the input that its own schema gives', () => {
  createAgent({
    transport,
    functions: [
      { name: 'a', input: z.object({ file: z.string() }), run: ({ input }) => input.file.length },
      {
        name: 'b',
        run: async (context, more) => {
          expectTypeOf(context).toEqualTypeOf<TaskContext<unknown>>()
          expectTypeOf(more).toEqualTypeOf<AgentRunOptions>()
          return await context.step('one', () => 1)
        },
      },
      { name: 'c', version: '2.1', input: z.number(), output: z.string(), run: ({ input }) => input.toFixed() },
    ],
  })
})

test('code for another input than that of the schema does not compile', () => {
  // @ts-expect-error the input is text
  createAgent({ transport, functions: [{ name: 'a', input: z.string(), run: ({ input }) => input * 2 }] })
  // @ts-expect-error a function needs its code
  createAgent({ transport, functions: [{ name: 'a' }] })
})
