/**
 * Measures what a run costs, in jobchart and in other libraries. See README.md.
 *
 * Each round makes every measurement once, each in a process of its own. Every second round goes in the opposite order,
 * so that other activity on the machine affects all measurements alike.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fdatasyncMs } from './disk.ts'
import { measureInFreshProcess } from './fresh-process.ts'
import { describeGoals } from './goals.ts'
import { readMachine } from './machine.ts'
import type { Measured } from './measure.ts'
import { type Options, parseOptions, timeoutOf, USAGE } from './options.ts'
import { planRows, type Row } from './plan.ts'
import { describeOutcomes, describeRun, type Outcome } from './report.ts'

/**
 * Measures everything, and prints and writes the report.
 *
 * @returns the exit code: 1 if a measurement failed.
 */
async function bench(options: Options, args: readonly string[], signal: AbortSignal): Promise<number> {
  const rows = planRows(options)
  if (rows.length === 0) throw new Error('nothing of that name is measured; see --help')
  const machine = readMachine(options.dir, options.against)
  const command = ['npm run bench', ...(args.length === 0 ? [] : ['--', ...args])].join(' ')
  const folder = await mkdtemp(join(options.dir, 'jobchart-bench-'))
  try {
    const { outcomes, syncsMs } = await measureAll(rows, options, folder, signal)
    const parts = [describeRun(machine, command, syncsMs), describeOutcomes(outcomes), describeGoals(outcomes)]
    console.log(parts.filter((part) => part !== '').join('\n\n'))
    if (options.json !== undefined) {
      await writeFile(
        options.json,
        `${JSON.stringify({ command, machine, fdatasyncMs: syncsMs, outcomes }, null, 2)}\n`,
      )
    }
    return outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measureAll(rows: readonly Row[], options: Options, folder: string, signal: AbortSignal) {
  const measured = new Map<Row, Measured[]>(rows.map((row) => [row, []]))
  const failures = new Map<Row, string>()
  const syncsMs: number[] = []
  for (let round = 1; round <= options.rounds; round++) {
    syncsMs.push(...(await fdatasyncMs(folder, 0)))
    for (const row of round % 2 === 1 ? rows : rows.toReversed()) {
      // A measurement that has failed is not tried again, because it might use up its time limit in every round.
      if (failures.has(row)) continue
      say(`round ${round} of ${options.rounds}: ${row.kind} ${row.name}`)
      try {
        const result = await measureInFreshProcess(row, { folder, timeoutMs: timeoutOf(row.kind, options), signal })
        measured.get(row)?.push(result)
      } catch (error) {
        signal.throwIfAborted()
        failures.set(row, error instanceof Error ? error.message : String(error))
      }
    }
  }
  say('')
  const outcomes = rows.map((row): Outcome => {
    const failure = failures.get(row)
    return { row, rounds: measured.get(row) ?? [], ...(failure === undefined ? {} : { failure }) }
  })
  return { outcomes, syncsMs }
}

/** Shows the progress in one line, which is overwritten. Only on a terminal. */
function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stop.abort(new Error(`stopped by ${name}`)))
}

try {
  const args = process.argv.slice(2)
  const options = parseOptions(args)
  if (options === undefined) console.log(USAGE)
  else process.exitCode = await bench(options, args, stop.signal)
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
