import { readFileSync } from 'node:fs'
import { defineJob, task } from 'jobchart'
import { explore } from 'jobchart/testing'
import { expect, test } from 'vitest'
import { setup } from 'xstate'
import { z } from 'zod'

const orderMachine = setup({
  types: { context: {} as { sku: string }, input: {} as { sku: string } },
  actors: { ship: task({ input: z.object({ sku: z.string() }) }, async ({ input }) => input.sku) },
}).createMachine({
  context: ({ input }) => ({ sku: input.sku }),
  initial: 'waiting',
  on: { cancel: '.cancelled' },
  states: {
    waiting: { on: { approve: 'shipping' } },
    shipping: {
      invoke: { src: 'ship', input: ({ context }) => ({ sku: context.sku }), onDone: 'shipped', onError: 'failed' },
    },
    shipped: { type: 'final', tags: 'success' },
    failed: { type: 'final', tags: 'failure' },
    cancelled: { type: 'final', tags: 'cancelled' },
  },
})

const order = defineJob({
  type: 'order',
  input: z.object({ sku: z.string() }),
  commands: { approve: z.object({ note: z.string() }), cancel: z.object({}) },
  lifecycle: orderMachine,
})

test('the order of the README is as it says', () => {
  const map = explore(order, {
    inputs: [{ sku: 'book' }],
    events: { approve: [{ note: 'fine' }] }, // examples, where a schema asks for fields
  })
  expect(map.throws).toEqual([]) // no guard, assign, input or output throws
  expect(map.deadEnds).toEqual([]) // an end can be reached from everywhere
  expect(map.unreachable).toEqual([]) // every state of the machine is entered
  expect(map.untried).toEqual([]) // nothing was left out for want of an example
})

test('the README shows what is tested here', () => {
  const source = readFileSync('test/testing/explore-readme.test.ts', 'utf8')
  const begin = source.indexOf('  const map =')
  const body = source.slice(begin, source.indexOf('\n})\n', begin))
  const shown = body.split('\n').map((line) => line.slice(2))
  expect(shown.length).toBeGreaterThan(6)
  expect(readFileSync('README.md', 'utf8')).toContain(shown.join('\n'))
})
