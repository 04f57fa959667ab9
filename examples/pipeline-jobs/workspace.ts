import { readFileSync } from 'node:fs'
import { parse } from 'csv-parse/sync'
import { pipelineJobs } from 'jobchart/presets'
import { virtualClock } from 'jobchart/testing'
import { z } from 'zod'

/** The clock of the example. Its days pass in a moment. */
export const clock = virtualClock()

/** The jobs of a workspace: their rights, their pipelines, and the rows of its screen. */
export const workspaces = pipelineJobs()

/** What the pipelines have computed so far, by their names. */
export const reports = new Map<string, string>()

/** Sources that cannot be read at the moment. */
export const missing = new Set<string>()

const input = z.object({
  source: z.enum(['flights', 'delays', 'weather']),
  /** How long the run takes, in seconds. */
  seconds: z.number().default(1),
  timeout: z.number().default(0),
})

/** A run of a pipeline: reads real data of `vega-datasets`, and reports on it. A time-out of 0 is 300 s. */
export const run = workspaces.defineJob({
  type: 'PIPELINE_RUN',
  input,
  timeout: ({ timeout }) => timeout,
  maxRetries: 1,
  execute: async ({ input: { source, seconds }, signal, log }) => {
    await sleep(seconds, signal)
    if (missing.delete(source)) throw new Error(`the source of ${source} cannot be read`)
    const report = READERS[source]()
    log(report)
    reports.set(source, report)
    return report
  },
})

/** Configures a new pipeline before its first run. */
export const config = workspaces.defineJob({
  type: 'PIPELINE_CONFIG',
  input: z.object({ pipeline: z.string() }),
  execute: async ({ input: { pipeline }, signal }) => {
    await sleep(2, signal)
    return `${pipeline} is configured`
  },
})

/** Sets up a new workspace. */
export const init = workspaces.defineJob({ type: 'WORKSPACE_INIT', execute: () => 'the workspace is set up' })

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.timer(1_000 * seconds, resolve)
    signal.addEventListener('abort', () => {
      cancel()
      reject(signal.reason as Error)
    })
  })
}

const READERS = { flights: countFlights, delays: worstDelay, weather: wettestDay }

interface Flight {
  readonly delay: number
  readonly origin: string
}

function flights(): readonly Flight[] {
  return JSON.parse(dataset('flights-20k.json')) as readonly Flight[]
}

function countFlights(): string {
  return `${flights().length} flights`
}

function worstDelay(): string {
  const worst = flights().reduce((a, b) => (b.delay > a.delay ? b : a))
  return `the worst delay: ${worst.delay} minutes, from ${worst.origin}`
}

function wettestDay(): string {
  const rows: { readonly date: string; readonly precipitation: string }[] = parse(dataset('seattle-weather.csv'), {
    columns: true,
  })
  const wettest = rows.reduce((a, b) => (Number(b.precipitation) > Number(a.precipitation) ? b : a))
  return `the wettest day of Seattle: ${wettest.date}, ${wettest.precipitation} mm`
}

// Read at once: while a run waits for the disk, days of the example's clock would pass.
function dataset(name: string): string {
  return readFileSync(new URL(`../data/${name}`, import.meta.resolve('vega-datasets')), 'utf8')
}
