/**
 * The first durable job: a function, a file for its storage, and its result.
 *
 *     npm run example examples/first-job.ts
 */
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const greet = defineJob({
  type: 'greet',
  input: z.object({ name: z.string() }),
  async execute({ input }) {
    return `Hello, ${input.name}!`
  },
})

const engine = await createEngine({ jobs: [greet], storage: sqliteStorage('jobs.db') })
const ada = engine.as({ id: 'ada', role: 'editor' })

const job = await ada.submit(greet, { name: 'world' })
const { outcome, output } = await ada.result(job.id)
console.log(`${outcome}: ${output}`)

for (const { from, to } of await ada.history(job.id)) console.log(from === undefined ? to : `${from} -> ${to}`)
await engine.stop()

// Output:
// success: Hello, world!
// queued
// queued -> running
// running -> completed
