import { type BatchCounts, batch, defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

test('the items of a batch and of its retry are in one report, and failed items run again alone', async () => {
  const bench = new Bench()
  let down = new Set(['b', 'd'])
  const scrape = batch({
    concurrency: 2,
    item: z.string(),
    key: (url) => url,
    each: ({ item }) => {
      if (down.has(item)) throw new Error(`=${item} is down`)
      return { url: item, statusCode: 200 }
    },
  })
  const hasFailed = ({ event }: { readonly event: { readonly output?: unknown } }) =>
    (event.output as BatchCounts).failed > 0
  const lifecycle = createMachine({
    context: ({ input }) => ({ urls: input }),
    initial: 'scraping',
    states: {
      scraping: {
        invoke: {
          src: 'scrape',
          input: ({ context }) => context.urls,
          onDone: [{ guard: hasFailed, target: 'failed' }, { target: 'done' }],
        },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  }).provide({ actors: { scrape } })
  const type = defineJob({ type: 'scrape', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, ['a', 'b', 'c', 'd'])
  await bench.clock.advance(5_000)
  expect((await ada.get(id)).status).toBe('failed')
  down = new Set(['d'])
  const { items } = await ada.retryMany({ ids: [id], items: 'failed' })
  const again = items[0]?.retriedBy ?? ''
  await bench.clock.advance(5_000)
  let text = ''
  for await (const piece of ada.report(again, { format: 'csv' })) text += piece
  expect(text.replaceAll(id, 'first').replaceAll(again, 'again').split('\n')).toEqual([
    'key,status,attempts,reason,code,job,input,output.url,output.statusCode',
    'a,completed,1,,,first,a,a,200',
    'b,completed,1,,,again,b,b,200',
    'c,completed,1,,,first,c,c,200',
    "d,failed,1,'=d is down,,again,d,,",
    '',
  ])
})
