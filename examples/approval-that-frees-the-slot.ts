/**
 * A nightly load whose numbers a person must release. The wait for the person does not hold up the next night: while it
 * asks, a run does not hold its pipeline's slot. A released run publishes as soon as the slot is free. Numbers that
 * nobody releases in two days lapse.
 *
 *     npm run example examples/approval-that-frees-the-slot.ts
 *
 * The nights pass on a virtual clock.
 */
import { createEngine, defineJob, JobchartError, type JobId, memoryStorage, rolePolicy, task } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { setup } from 'xstate'
import { z } from 'zod'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const clock = virtualClock()
const night = z.object({ day: z.string(), team: z.string() })
type Night = z.infer<typeof night>

/** The person of each team who releases its numbers. */
const owners: { readonly [team: string]: string } = { sales: 'sue', stock: 'stan' }

const hours = (count: number) => new Promise<void>((done) => clock.timer(count * HOUR_MS, done))
const load = task({ input: night }, async () => {
  await hours(1)
  return { rows: 120 }
})
const publish = task({ input: night }, async () => await hours(3))

/**
 * ```
 *  loading ──▶ asking ── release ──▶ released ── slot is free ──▶ publishing ──▶ published
 *                 ├── refuse ──▶ refused
 *                 └── 2 days ──▶ lapsed
 *
 *  the slot is held in: loading, publishing
 * ```
 */
const machine = setup({
  types: { context: {} as Night, input: {} as Night },
  actors: { load, publish },
  delays: { patience: 2 * DAY_MS, atOnce: 1 },
}).createMachine({
  context: ({ input }) => input,
  initial: 'loading',
  states: {
    loading: { invoke: { src: 'load', input: ({ context }) => context, onDone: 'asking', onError: 'failed' } },
    asking: {
      tags: 'vacates',
      on: { release: 'released', refuse: 'refused' },
      after: { patience: 'lapsed' },
    },
    // The timer fires when the slot is free.
    released: { tags: 'vacates', after: { atOnce: 'publishing' } },
    publishing: { invoke: { src: 'publish', input: ({ context }) => context, onDone: 'published', onError: 'failed' } },
    published: { type: 'final', tags: 'success' },
    refused: { type: 'final', tags: 'cancelled' },
    lapsed: { type: 'final', tags: 'cancelled' },
    failed: { type: 'final', tags: 'failure' },
  },
})

const by = { relation: 'assignee' } as const
const nightly = defineJob({
  type: 'nightly',
  input: night,
  lifecycle: machine,
  commands: { release: { schema: z.object({}), by }, refuse: { schema: z.object({ reason: z.string() }), by } },
  assignee: ({ input }) => owners[input.team],
})

const engine = await createEngine({
  jobs: [nightly],
  storage: memoryStorage(),
  // Owners see what is assigned to them, and submit nothing.
  policy: rolePolicy({ assignee: ['owner'] }),
  clock,
  // A single engine need not poll for others, ten times a second, on a clock that passes days.
  poll: '6h',
  sweep: '1m',
  heartbeat: '6h',
})
const robot = engine.as({ id: 'robot', role: 'editor' })
const sue = engine.as({ id: 'sue', role: 'owner' })
const stan = engine.as({ id: 'stan', role: 'owner' })

try {
  const monday = await run('monday')
  await clock.advance(DAY_MS)
  console.log(`sue has to look at: ${await inbox()}`)
  console.log(`monday waits for: ${JSON.stringify(await robot.explain(monday))}`)

  const tuesday = await run('tuesday')
  console.log(`monday asks, and tuesday is ${(await robot.get(tuesday)).status}`)
  await clock.advance(2 * HOUR_MS)
  console.log(`sue has to look at: ${await inbox()}`)

  console.log(`stan releases tuesday: ${await code(stan.send(tuesday, { type: 'release' }))}`)
  console.log(`the robot releases it: ${await code(robot.send(tuesday, { type: 'release' }))}`)
  await sue.send(tuesday, { type: 'release' })
  await clock.advance(MINUTE_MS)
  await sue.send(monday, { type: 'release' })
  await clock.advance(HOUR_MS)
  console.log(`sue released both: tuesday is ${await status(tuesday)}, monday is ${await status(monday)}`)
  await clock.advance(3 * HOUR_MS)
  console.log(`three hours later: tuesday is ${await status(tuesday)}, monday is ${await status(monday)}`)
  await clock.advance(3 * HOUR_MS)

  const wednesday = await run('wednesday')
  await clock.advance(3 * DAY_MS)
  console.log(`nobody looked at wednesday: it is ${await status(wednesday)}`)
  for (const { to, by } of await sue.history(monday)) console.log(`  monday: ${to}, by ${by.id}`)
} finally {
  await engine.stop()
}

async function run(day: string): Promise<JobId<typeof nightly>> {
  return (await robot.submit(nightly, { day, team: 'sales' }, { pipeline: 'nightly', labels: { day } })).id
}

/** What waits for sue. */
async function inbox(): Promise<string> {
  const { items } = await sue.list({ view: 'assigned', status: 'asking', order: 'oldest' })
  return items.map(({ labels }) => labels.day).join(', ')
}

async function status(id: JobId): Promise<string> {
  return (await robot.get(id)).status
}

async function code(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'yes',
    (error: unknown) => (error instanceof JobchartError ? error.code : 'another error'),
  )
}

// Output:
// sue has to look at: monday
// monday waits for: [{"kind":"timer","at":"2026-01-03T01:00:00.000Z"},{"kind":"command","commands":[],"assignee":"sue"}]
// monday asks, and tuesday is loading
// sue has to look at: monday, tuesday
// stan releases tuesday: JOB_NOT_FOUND
// the robot releases it: FORBIDDEN
// sue released both: tuesday is publishing, monday is released
// three hours later: tuesday is published, monday is publishing
// nobody looked at wednesday: it is lapsed
//   monday: loading, by robot
//   monday: asking, by engine
//   monday: released, by sue
//   monday: publishing, by engine
//   monday: published, by engine
