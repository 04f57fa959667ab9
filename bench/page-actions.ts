import { join } from 'node:path'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { setup } from 'xstate'
import { z } from 'zod'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'

/** How many jobs are on the page. */
export const PAGE = 50
const SAMPLES = 1_000
const WARM_UP = 200

const request = defineJob({
  type: 'request',
  input: z.object({ amount: z.number() }),
  commands: {
    approve: { schema: z.object({ note: z.string() }), by: { relation: 'others' } },
    raise: z.object({}),
    close: z.object({}),
    cancel: z.object({}),
  },
  lifecycle: setup({
    types: { context: {} as { amount: number }, input: {} as { amount: number } },
    guards: { isSmall: ({ context }) => context.amount < 25 },
  }).createMachine({
    context: ({ input }) => ({ amount: input.amount }),
    initial: 'open',
    on: { cancel: '.cancelled' },
    states: {
      open: { on: { approve: { guard: 'isSmall', target: 'approved' }, raise: {} } },
      approved: { on: { close: 'closed' } },
      closed: { type: 'final' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  }),
})

/**
 * Measures, on SQLite FULL, how many milliseconds `actions` takes for a page of 50 jobs with four commands each, and
 * how many the page itself takes.
 */
export async function pageActions(folder: string): Promise<Measured> {
  const engine = await createEngine({ jobs: [request], storage: sqliteStorage(join(folder, 'jobchart.db')) })
  try {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    for (let amount = 0; amount < PAGE; amount++) await ada.submit(request, { amount })
    const lists: number[] = []
    const asked: number[] = []
    for (let n = 0; n < WARM_UP + SAMPLES; n++) {
      const begin = performance.now()
      const { items } = await ada.list({ limit: PAGE })
      const listed = performance.now()
      const known = await ada.actions(items.map(({ id }) => id))
      const ended = performance.now()
      if (known.size !== PAGE) throw new Error(`${known.size} jobs were answered for; expected ${PAGE}`)
      if (n < WARM_UP) continue
      lists.push(listed - begin)
      asked.push(ended - listed)
    }
    const figures = {
      p50Ms: quantile(asked, 0.5),
      p90Ms: quantile(asked, 0.9),
      p99Ms: quantile(asked, 0.99),
      list50Ms: quantile(lists, 0.5),
    }
    return { figures, facts: {} }
  } finally {
    await engine.stop()
  }
}
