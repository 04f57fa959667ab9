/**
 * The program that each execution runs: it reads a source, and loads it into a table of its own warehouse file, in one
 * transaction. A run that is killed or stopped leaves nothing of itself.
 *
 *     node examples/task-executions/elt.ts flights flights.db
 *
 * Exit codes: 0 loaded, 2 the source cannot be read.
 */
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readSource, sources } from './sources.ts'

/** Rows that are loaded between two lines of the log. */
const CHUNK_ROWS = 5_000

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { pause: { type: 'string', default: '0' } },
})
const [name = '', file = ''] = positionals
process.exitCode = await load(name, file, Number(values.pause))

/** @returns the exit code. */
async function load(name: string, file: string, pauseMs: number): Promise<number> {
  console.log(`process ${process.pid}`)
  const source = sources[name]
  if (source === undefined) return failed(`there is no source "${name}"`)
  const lines = await readSource(source).catch((error: Error) => error)
  if (lines instanceof Error) return failed(lines.message)
  console.log(`extract: ${lines.length} lines of ${source.file}`)
  const rows = lines.map(source.row).filter((row) => row !== undefined)
  console.log(`transform: ${rows.length} rows, ${lines.length - rows.length} rejected`)
  using warehouse = new DatabaseSync(file)
  warehouse.exec(`begin immediate; drop table if exists ${name}; create table ${name} (${source.columns}) strict`)
  const insert = warehouse.prepare(`insert into ${name} values (${source.columns.split(',').fill('?')})`)
  for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
    for (const row of rows.slice(start, start + CHUNK_ROWS)) insert.run(...row)
    console.log(`load: ${Math.min(start + CHUNK_ROWS, rows.length)} of ${rows.length} rows`)
    await sleep(pauseMs)
  }
  warehouse.exec('commit')
  return 0
}

function failed(why: string): number {
  console.error(why)
  return 2
}
