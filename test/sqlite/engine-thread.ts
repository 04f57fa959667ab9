// An engine in a thread: submits jobs to a file, waits for their ends, and stops.
import { writeFileSync } from 'node:fs'
import { threadId, workerData } from 'node:worker_threads'
import { z } from 'zod'
import { createEngine, defineJob } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'

const { file, jobs } = workerData as { readonly file: string; readonly jobs: number }
const job = defineJob({
  type: 'job',
  input: z.string(),
  execute: ({ input }) => writeFileSync(`${file}.runs`, `${input}\n`, { flag: 'a' }),
})
const engine = await createEngine({ jobs: [job], storage: sqliteStorage(file) })
const submitted = await Promise.all(
  Array.from({ length: jobs }, (_, n) => engine.system.submit(job, `${threadId} ${n}`)),
)
await Promise.all(submitted.map(({ id }) => engine.system.result(id)))
await engine.stop()
