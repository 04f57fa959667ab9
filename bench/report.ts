import { FOLLOWERS } from './following.ts'
import type { Machine } from './machine.ts'
import type { Measured } from './measure.ts'
import type { Kind } from './options.ts'
import type { Row } from './plan.ts'
import { quantile, summarize } from './statistics.ts'
import { markdown, number } from './table.ts'
import { IN_FLIGHT } from './throughput.ts'

/** The result of a row: the figures of each round, up to the one that failed. */
export interface Outcome {
  readonly row: Row
  readonly rounds: readonly Measured[]
  readonly failure?: string
}

const HEADINGS: { readonly [kind in Kind]: string } = {
  closed: `No-op jobs a second, submitted, run and stored: ${IN_FLIGHT} clients, each waits for its job's end`,
  stored: `No-op jobs a second: all stored by submitMany (of peers: addMany), then drained with ${IN_FLIGHT} in flight`,
  latency: 'Idle engine: milliseconds from submit to the first line of the handler, and of an fdatasync beside it',
  blocking:
    'How long a turn of the event loop, a transaction and a call of the storage last under the load of closed: ms',
  due: 'Jobs that fall due at one moment: milliseconds until all are committed; SQLite FULL',
  items: 'Items of a batch per second, added and ended in transactions of 1,000; SQLite FULL',
  tree: 'Parts of one job: milliseconds until all are begun, told, ended, and (begun again) left; SQLite FULL',
  promises: 'Promises that a job of a closed loop makes, with and without those of the loop itself',
  actions: 'What one may do with the jobs of a page, by policy and chart: milliseconds',
  events: `${FOLLOWERS} followers of the log in one process: milliseconds from a commit to each of their loops`,
  transition: 'The default lifecycle, without storage: microseconds',
  waiting: 'Jobs that wait with an input of 1 KB: the memory that a process takes at most, and how fast they are run',
  heap: "What is left on the heap after each job, and of the engine's listeners and handles",
  prune: 'Ended jobs pruned by engine.prune() on SQLite FULL: turns of the event loop in ms, and sizes',
  list: 'Pages of 50 jobs by one filter, and counts, on SQLite, after `rounds` fillings of a file: ms',
  memory: 'What 1,000,000 transitions of the default lifecycle leave on the heap, after a collection',
}

/** For each figure: its heading, and how many digits after the point are shown. */
const FIGURES: { readonly [name: string]: { readonly heading: string; readonly digits: number } } = {
  jobsPerSecond: { heading: 'jobs/s', digits: 0 },
  commits: { heading: 'commits per job', digits: 3 },
  cpuUs: { heading: 'CPU µs per job', digits: 1 },
  p50Ms: { heading: 'p50 ms', digits: 2 },
  p90Ms: { heading: 'p90 ms', digits: 2 },
  p99Ms: { heading: 'p99 ms', digits: 2 },
  maxMs: { heading: 'max ms', digits: 2 },
  list50Ms: { heading: 'the page itself, p50 ms', digits: 2 },
  transitionsPerSecond: { heading: 'transitions/s', digits: 0 },
  cpuShare: { heading: 'cores used', digits: 2 },
  transitionUs: { heading: 'µs per transition', digits: 2 },
  jobUs: { heading: 'µs per job', digits: 2 },
  restoreUs: { heading: 'µs to restore', digits: 2 },
  storedPerSecond: { heading: 'stored/s', digits: 0 },
  drainedPerSecond: { heading: 'drained/s', digits: 0 },
  bothPerSecond: { heading: 'both/s', digits: 0 },
  peakMB: { heading: 'peak RSS MB', digits: 0 },
  promises: { heading: 'promises per job', digits: 1 },
  ownPromises: { heading: "without the loop's", digits: 1 },
  sync50Ms: { heading: 'fdatasync p50 ms', digits: 2 },
  overSyncMs: { heading: 'difference', digits: 2 },
  begunMs: { heading: 'begun', digits: 0 },
  toldMs: { heading: 'told', digits: 0 },
  endedMs: { heading: 'ended', digits: 0 },
  leftMs: { heading: 'left', digits: 0 },
  allMs: { heading: 'all ms', digits: 0 },
  write50Ms: { heading: 'write p50', digits: 2 },
  write99Ms: { heading: 'write p99', digits: 2 },
  writeMaxMs: { heading: 'write max', digits: 2 },
  call99Ms: { heading: 'call p99', digits: 2 },
  callMaxMs: { heading: 'call max', digits: 2 },
  turn50Ms: { heading: 'turn p50', digits: 2 },
  turn99Ms: { heading: 'turn p99', digits: 2 },
  turnMaxMs: { heading: 'turn max', digits: 2 },
  waitedMaxMs: { heading: 'answer max', digits: 1 },
  otherPerSecond: { heading: "other's jobs/s", digits: 0 },
  slopeBytes: { heading: 'bytes per job', digits: 2 },
  slopeLowBytes: { heading: '95 % from', digits: 2 },
  slopeHighBytes: { heading: 'to', digits: 2 },
  heapMiB: { heading: 'heap MiB at the end', digits: 1 },
  newHandles: { heading: 'handles left', digits: 0 },
  newListeners: { heading: 'listeners left', digits: 0 },
  found: { heading: 'jobs found', digits: 0 },
  fillSeconds: { heading: 's to fill', digits: 0 },
  fileMiB: { heading: 'file MiB', digits: 0 },
  afterMiB: { heading: 'after', digits: 0 },
  freeMiB: { heading: 'of it free', digits: 0 },
  prunedPerSecond: { heading: 'pruned/s', digits: 0 },
  rssMB: { heading: 'RSS MB before', digits: 0 },
  keptKiB: { heading: 'KiB kept', digits: 0 },
}

/** The text above the tables: the command, the machine and the versions. */
export function describeRun(machine: Machine, command: string, syncsMs: readonly number[]): string {
  const { packages, sqlite } = machine
  const source = machine.source === undefined ? '' : ` (${machine.source})`
  const peers = Object.entries(packages).map(
    ([name, version]) => `${name} ${version}${name === 'jobchart' ? source : ''}`,
  )
  const lines = [
    `command     ${command}`,
    `machine     ${machine.cores} cores, ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}`,
    `load        ${machine.loadBefore.toFixed(2)} in the minute before`,
    `disk        ${machine.filesystem}; a page appended and synced: p50 ${number(quantile(syncsMs, 0.5), 2)} ms, p99 ${number(quantile(syncsMs, 0.99), 2)} ms`,
    `Node        ${machine.node}, with SQLite ${sqlite['node:sqlite']}; better-sqlite3 has SQLite ${sqlite['better-sqlite3']}`,
    `packages    ${peers.join(', ')}`,
    ...(machine.against === undefined ? [] : [`against     ${machine.against}`]),
  ]
  return lines.join('\n')
}

/** One Markdown table for each kind of measurement. */
export function describeOutcomes(outcomes: readonly Outcome[]): string {
  const byKind = Map.groupBy(outcomes, ({ row }) => row.kind)
  return [...byKind].map(([kind, rows]) => `${HEADINGS[kind]}\n\n${tableOf(rows.flatMap(casesOf))}`).join('\n\n')
}

// Splits an outcome whose measurement has several cases. Its figures are named `case|figure`, and each case becomes a
// row.
function casesOf(outcome: Outcome): readonly Outcome[] {
  const { row, rounds } = outcome
  const cases = new Set(rounds.flatMap(({ figures }) => Object.keys(figures)).map((name) => name.split('|')[0]))
  const [first = ''] = Object.keys(rounds[0]?.figures ?? {})
  if (!first.includes('|')) return [outcome]
  return [...cases].map((name) => ({
    row: { ...row, label: `${row.label}, ${name}` },
    rounds: rounds.map(({ figures, facts }) => {
      const own = Object.entries(figures).filter(([figure]) => figure.startsWith(`${name}|`))
      return { figures: Object.fromEntries(own.map(([figure, value]) => [figure.split('|')[1] ?? '', value])), facts }
    }),
  }))
}

function tableOf(outcomes: readonly Outcome[]): string {
  const measured = new Set(outcomes.flatMap(({ rounds }) => Object.keys(rounds[0]?.figures ?? {})))
  const names = [...measured]
  const isStored = outcomes.some(({ rounds }) => rounds[0]?.facts.synchronous !== undefined)
  const hasJobs = outcomes.some(({ row }) => row.jobs > 0)
  // For a single round, the column with the lowest and highest value is left out.
  const cells = outcomes.some(({ rounds }) => rounds.length > 1) ? 2 : 1
  const measuredHeadings = names.flatMap((name) => [FIGURES[name]?.heading ?? name, 'lowest – highest'].slice(0, cells))
  // If all rounds failed, there are no figures, so the reason needs a column of its own.
  const headings = names.length === 0 ? [''] : measuredHeadings
  const head = ['', ...(isStored ? ['synchronous'] : []), ...(hasJobs ? ['jobs'] : []), 'rounds', ...headings]
  const rows = outcomes.map(({ row, rounds, failure }) => {
    const figures = names.flatMap((name) => figureCells(name, rounds).slice(0, cells))
    return [
      row.label,
      ...(isStored ? [rounds[0]?.facts.synchronous ?? ''] : []),
      ...(hasJobs ? [number(row.jobs, 0)] : []),
      String(rounds.length),
      ...(failure === undefined ? figures : [`FAILED: ${failure}`]),
    ]
  })
  return markdown(head, rows)
}

function figureCells(name: string, rounds: readonly Measured[]): readonly string[] {
  const values = rounds.flatMap(({ figures }) => figures[name] ?? [])
  if (values.length === 0) return ['', '']
  const { median, lowest, highest } = summarize(values)
  const digits = FIGURES[name]?.digits ?? 2
  return [number(median, digits), `${number(lowest, digits)} – ${number(highest, digits)}`]
}
