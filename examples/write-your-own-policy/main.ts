/**
 * A policy of your own: rights follow from the projects that people are members of, in a table that the app already
 * has. Members submit surveys, readers see them without the answers, and the lead publishes surveys of others.
 *
 *     npm run example examples/write-your-own-policy/main.ts
 *
 * The policy is in `policy.ts`. The program works in a temporary folder, which it removes at its end.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, JobchartError, type Policy, task } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { createMemberships, ProjectPolicy } from './policy.ts'

const answers = z.object({ hours: z.array(z.number()).min(1) })

const evaluate = task({ input: answers }, ({ input: { hours } }) => {
  const sorted = hours.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
})

const survey = defineJob({
  type: 'survey',
  input: answers,
  // The median of many answers reveals no single one.
  safe: ['output'],
  // The policy decides what `roles` means.
  commands: { publish: { schema: z.object({}), by: { relation: 'others', roles: ['lead'] } } },
  lifecycle: setup({
    types: {
      context: {} as z.infer<typeof answers> & { readonly median: number },
      input: {} as z.infer<typeof answers>,
      output: {} as { readonly median: number },
    },
    actors: { evaluate },
  }).createMachine({
    context: ({ input }) => ({ ...input, median: 0 }),
    initial: 'evaluating',
    states: {
      evaluating: {
        invoke: {
          src: 'evaluate',
          input: ({ context }) => ({ hours: context.hours }),
          onDone: { target: 'draft', actions: assign({ median: ({ event }) => event.output }) },
          onError: 'failed',
        },
      },
      draft: { on: { publish: 'published' } },
      published: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
    output: ({ context }) => ({ median: context.median }),
  }),
})

const folder = await mkdtemp(join(tmpdir(), 'write-your-own-policy-'))
const app = new DatabaseSync(join(folder, 'app.db'))
createMemberships(app)
app.exec(`
  insert into memberships values
    ('acme', 'lea', 'sleep', 'lead'), ('acme', 'mo', 'sleep', 'member'), ('acme', 'ria', 'sleep', 'reader'),
    ('acme', 'mo', 'food', 'lead'), ('globex', 'gus', 'sleep', 'lead')
`)

const projects = new ProjectPolicy(app)
let isSilent = false
/** The same table, over a network that may lose an answer. */
const policy: Policy = {
  scope: (principal) => projects.scope(principal),
  authorize: async (principal, action, target) => {
    if (isSilent) await new Promise(() => {})
    return await projects.authorize(principal, action, target)
  },
}

const clock = virtualClock()
const engine = await createEngine({ jobs: [survey], policy, clock, storage: sqliteStorage(join(folder, 'jobs.db')) })
const [lea, mo, ria] = [as('lea'), as('mo'), as('ria')]
const strangers = { gus: engine.as({ id: 'gus', tenant: 'globex' }), nobody: as('nobody') }

try {
  await tellTheStory()
} finally {
  await engine.stop()
  app.close()
  await rm(folder, { recursive: true })
}

function as(id: string) {
  return engine.as({ id, tenant: 'acme' })
}

async function tellTheStory(): Promise<void> {
  const { id } = await mo.submit(survey, { hours: [8, 5, 7] }, { labels: { project: 'sleep' } })
  await mo.submit(survey, { hours: [1, 2, 3] }, { labels: { project: 'food' } })
  console.log(`ria submits: ${await answer(ria.submit(survey, { hours: [9] }, { labels: { project: 'sleep' } }))}`)
  console.log(`lea submits to no project: ${await answer(lea.submit(survey, { hours: [9] }))}`)
  await engine.idle()

  console.log('The lists are those of the table')
  for (const [name, session] of Object.entries({ lea, mo, ria, ...strangers })) {
    const seen = session.list().then(({ items }) => items.map(({ labels }) => labels.project).sort())
    console.log(`  ${name}: ${(await answer(seen)) || 'no jobs'}`)
  }

  console.log('Who may publish what mo has submitted')
  for (const [name, session] of Object.entries({ mo, ria, ...strangers, lea })) {
    console.log(`  ${name}: ${await answer(session.send(id, { type: 'publish' }).then(({ status }) => status))}`)
  }

  console.log('What they see of it')
  for (const [name, session] of Object.entries({ mo, ria })) {
    const { input, output } = await session.get(id)
    console.log(`  ${name}: ${JSON.stringify({ input, output })}`)
  }

  console.log('Mo leaves the project')
  app.exec(`delete from memberships where person = 'mo' and project = 'sleep'`)
  console.log(`  mo, of what mo submitted: ${await answer(mo.get(id))}`)

  console.log('A policy that does not answer denies')
  isSilent = true
  const asked = answer(lea.get(id))
  await clock.advance(5_000)
  console.log(`  after 5 s: ${await asked}`)
  isSilent = false
  app.exec('alter table memberships rename to memberships_of_the_next_version')
  console.log(`  its table is gone: ${await answer(lea.list())}, ${await answer(lea.get(id))}`)
}

/** The result of a call: its value, or its error code. */
async function answer(call: Promise<unknown>): Promise<string> {
  try {
    return String(await call)
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

// Output:
// ria submits: FORBIDDEN
// lea submits to no project: FORBIDDEN
// The lists are those of the table
//   lea: sleep
//   mo: food,sleep
//   ria: sleep
//   gus: no jobs
//   nobody: FORBIDDEN
// Who may publish what mo has submitted
//   mo: FORBIDDEN
//   ria: FORBIDDEN
//   gus: JOB_NOT_FOUND
//   nobody: JOB_NOT_FOUND
//   lea: published
// What they see of it
//   mo: {"input":{"hours":[8,5,7]},"output":{"median":7}}
//   ria: {"output":{"median":7}}
// Mo leaves the project
//   mo, of what mo submitted: JOB_NOT_FOUND
// A policy that does not answer denies
//   after 5 s: JOB_NOT_FOUND
//   its table is gone: FORBIDDEN, JOB_NOT_FOUND
