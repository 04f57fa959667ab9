/**
 * A program of the operating system as a job: its lines as they come, its exit code, and a stop.
 *
 *     npm run example examples/run-a-command.ts
 */
import { writeFile } from 'node:fs/promises'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

// Any program will do; this one is Node, which counts the lines of a file, and refuses a long one.
const COUNT = `
  const lines = require('node:fs').readFileSync(process.argv[1], 'utf8').split('\\n').length
  if (lines > 400) console.error('the file is too long'), process.exit(3)
  for (let seen = 100; seen < lines; seen += 100) console.log('seen ' + seen)
`

const count = defineJob({
  type: 'count',
  input: z.object({ file: z.string() }),
  killGrace: '2s', // after SIGTERM; then it is SIGKILL, for all that the program has started
  run: { command: process.execPath, args: ({ input }) => ['-e', COUNT, input.file] },
})
const wait = defineJob({ type: 'wait', run: { command: 'sleep', args: ['1000'] } })

const engine = await createEngine({ jobs: [count, wait], storage: sqliteStorage('jobs.db') })
const ada = engine.as({ id: 'ada', role: 'editor' })

for (const name of ['short.txt', 'long.txt']) {
  const file = await textFile(name, name === 'short.txt' ? 250 : 450)
  const job = await ada.submit(count, { file })
  for await (const { text, stream } of ada.logs(job.id, { follow: true })) console.log(`${stream}: ${text}`)
  const { outcome, exitCode, error } = await ada.result(job.id)
  console.log(`${name}: ${outcome}, exit code ${exitCode}${error === undefined ? '' : `, "${error.message}"`}`)
}

const { id } = await ada.submit(wait)
await ada.cancel(id)
console.log(`sleep: ${(await ada.result(id)).outcome}`)
await engine.stop()

async function textFile(name: string, lines: number): Promise<string> {
  await writeFile(name, 'line\n'.repeat(lines - 1))
  return name
}

// Output:
// stdout: seen 100
// stdout: seen 200
// short.txt: success, exit code 0
// stderr: the file is too long
// long.txt: failure, exit code 3, "the file is too long"
// sleep: cancelled
