/**
 * Submits to a file on which another process works, until its standard input ends. Then it prints the number of jobs
 * stored per second.
 */
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'

/** Number of submits in progress at any time. */
const CLIENTS = 10

const [, , file = ''] = process.argv
// A type that no other engine knows, so these jobs stay stored.
const other = defineJob({ type: 'other', execute: () => undefined })
const engine = await createEngine({ jobs: [other], storage: sqliteStorage(file), work: false })
let isOver = false
let submitted = 0
process.stdin.resume().once('end', () => {
  isOver = true
})
console.log('ready')
const begin = performance.now()
const client = async () => {
  while (!isOver) {
    await engine.system.submit(other, {})
    submitted++
  }
}
await Promise.all(Array.from({ length: CLIENTS }, client))
console.log((submitted * 1_000) / (performance.now() - begin))
await engine.stop()
process.exit()
