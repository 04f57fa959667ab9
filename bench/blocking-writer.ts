/**
 * Submits jobs to a file that another process uses too. When its standard input ends, it stops and prints how many jobs
 * it stored per second.
 */
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'

/** How many submits are in progress at any time. */
const CLIENTS = 10

const [, , file = ''] = process.argv
// No other engine knows this type, so nobody runs these jobs.
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
