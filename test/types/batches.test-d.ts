import { type BatchCounts, batch, batchRun, type ItemContext, type TaskContext } from 'jobchart'
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const items = ({ input }: { readonly input: { readonly count: number } }) => Array.from({ length: input.count })

test('the same function makes the items of a batch and of its code elsewhere', () => {
  const input = z.object({ count: z.number() })
  batch({ input, items, executor: 'agents' })
  const run = batchRun({ items, each: ({ index }) => index })
  expectTypeOf(run).toEqualTypeOf<(context: TaskContext<{ readonly count: number }>) => Promise<BatchCounts>>()
})

test('the code of an item is typed by the schema of items', () => {
  batchRun({
    item: z.object({ url: z.url() }),
    each: (context) => {
      expectTypeOf(context).toEqualTypeOf<ItemContext<{ url: string }>>()
      return context.item.url.length
    },
  })
  batch({ item: z.string(), key: (item) => item, each: ({ item }) => item.length })
})
