import { defineJob } from 'jobchart'
import { expect, expectTypeOf, test } from 'vitest'
import { setup } from 'xstate'
import { z } from 'zod'
import { Bench } from '../engine/bench.ts'

const machine = setup({
  types: {
    context: {} as { readonly count: number },
    events: {} as { readonly type: 'add'; readonly by: number } | { readonly type: 'close' },
    output: {} as { readonly total: number },
  },
}).createMachine({
  context: { count: 1 },
  initial: 'open',
  states: { open: { on: { add: {}, close: 'closed' } }, closed: { type: 'final' } },
  output: ({ context }) => ({ total: context.count }),
})
const commands = { add: z.object({ by: z.number() }), close: z.object({}) }

test('describe gets the types of its machine', async () => {
  const type = defineJob({
    type: 'counter',
    lifecycle: machine,
    commands,
    describe: ({ value, context, output, status }, event) => {
      expectTypeOf(context).toEqualTypeOf<{ readonly count: number }>()
      expectTypeOf(value).toEqualTypeOf<'open' | 'closed'>()
      expectTypeOf(output).toEqualTypeOf<{ readonly total: number } | undefined>()
      expectTypeOf(status).toEqualTypeOf<'active' | 'done'>()
      if (event.type === 'add') expectTypeOf(event.by).toEqualTypeOf<number>()
      if (event.type === 'xstate.init') return { message: `begun at ${context.count}` }
      // @ts-expect-error -- the machine takes no such event
      if (event.type === 'added') return {}
      return { message: `${value}: ${output?.total}` }
    },
  })
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const job = await ada.submit(type, undefined as never)
  expect(job.message).toBe('begun at 1')
  expect((await ada.send(job.id, { type: 'close' })).message).toBe('closed: 1')
})

test('describe of a function gets the states of the default lifecycle', () => {
  defineJob({
    type: 'plain',
    execute: () => 1,
    describe: ({ value }) => {
      expectTypeOf(value).toEqualTypeOf<'queued' | 'running' | 'completed' | 'failed' | 'cancelled'>()
      return { message: value }
    },
  })
})
