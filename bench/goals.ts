import type { Kind } from './options.ts'
import type { Outcome } from './report.ts'
import { summarize } from './statistics.ts'
import { markdown, number } from './table.ts'

/** Looks up one figure of one measurement in a round. `undefined`: it was not measured. */
type Figure = (kind: Kind, name: string, figure: string) => number | undefined

/** A goal of jobchart: a figure, and the value that it should reach. */
interface Goal {
  readonly label: string
  readonly digits: number
  /** The figure's value in one round. `undefined`: a measurement that it needs is missing. */
  readonly of: (figure: Figure) => number | undefined
  readonly reach: { readonly atLeast: number } | { readonly atMost: number }
}

const GOALS: readonly Goal[] = [
  {
    label: 'closed loop, SQLite FULL: times plainjob at its default',
    digits: 2,
    of: (figure) => ratio(figure, 'closed', ['jobchart-full', 'plainjob-normal'], 'jobsPerSecond'),
    reach: { atLeast: 3.5 },
  },
  {
    label: 'stored, then drained, SQLite FULL: times plainjob at its default',
    digits: 2,
    of: (figure) => ratio(figure, 'stored', ['jobchart-full', 'plainjob-normal'], 'bothPerSecond'),
    reach: { atLeast: 2.2 },
  },
  {
    label: "submitMany, SQLite FULL: times plainjob's addMany",
    digits: 3,
    of: (figure) => ratio(figure, 'stored', ['jobchart-full', 'plainjob-normal'], 'storedPerSecond'),
    reach: { atLeast: 0.3 },
  },
  {
    label: 'closed loop, memory storage: times the build of --against',
    digits: 2,
    of: (figure) => ratio(figure, 'closed', ['jobchart-memory', 'against-memory'], 'jobsPerSecond'),
    reach: { atLeast: 4 },
  },
  {
    label: 'idle, submit to handler, p50: ms above fdatasync',
    digits: 2,
    of: (figure) => figure('latency', 'jobchart-full', 'overSyncMs'),
    reach: { atMost: 0.4 },
  },
  ...(['alone', 'shared'] as const).map((name): Goal => {
    const label = `event loop blocked under load, ${name === 'alone' ? 'alone' : 'file shared'}: p99 ms`
    return { label, digits: 1, of: (figure) => figure('blocking', name, 'turn99Ms'), reach: { atMost: 25 } }
  }),
  {
    label: 'stored, then drained, SQLite FULL: peak RSS MB',
    digits: 0,
    of: (figure) => figure('stored', 'jobchart-full', 'peakMB'),
    reach: { atMost: 120 },
  },
  {
    label: "closed loop, SQLite FULL: promises per job, without the loop's",
    digits: 1,
    of: (figure) => figure('promises', 'jobchart-full', 'ownPromises'),
    reach: { atMost: 12 },
  },
  {
    label: 'many waiting: MB above 1,000 waiting',
    digits: 0,
    of: (figure) => combined(figure('waiting', 'many', 'peakMB'), figure('waiting', 'few', 'peakMB'), (a, b) => a - b),
    reach: { atMost: 60 },
  },
  {
    label: 'many waiting: drained, times 10,000 waiting',
    digits: 2,
    of: (figure) => ratio(figure, 'waiting', ['many', 'some'], 'drainedPerSecond'),
    reach: { atLeast: 0.85 },
  },
  ...(['timers', 'starts'] as const).map((name): Goal => {
    const label = `jobs due at one moment (${name}): ms until committed`
    return { label, digits: 0, of: (figure) => figure('due', name, 'allMs'), reach: { atMost: 300 } }
  }),
  {
    label: 'items of a batch, stored: times one insert and one update per item',
    digits: 2,
    of: (figure) => ratio(figure, 'items', ['storage', 'plain'], 'itemsPerSecond'),
    reach: { atLeast: 0.7 },
  },
  ...(['children', 'tasks'] as const).flatMap((name): readonly Goal[] => [
    {
      label: `${name} of one job, begun, told, ended, left: ms`,
      digits: 0,
      of: (figure) => figure('tree', name, 'allMs'),
      reach: { atMost: 1_000 },
    },
    {
      label: `${name} of one job, event loop blocked: p99 ms`,
      digits: 1,
      of: (figure) => figure('tree', name, 'turn99Ms'),
      reach: { atMost: 25 },
    },
  ]),
]

/**
 * The goals that were measured, as a Markdown table; '' if there are none. Each figure is computed round by round, so a
 * ratio always compares two measurements of the same round.
 */
export function describeGoals(outcomes: readonly Outcome[]): string {
  const rounds = Math.max(0, ...outcomes.map((outcome) => outcome.rounds.length))
  const rows = GOALS.flatMap((goal) => {
    const values = Array.from({ length: rounds }, (_, round) => goal.of(figuresOf(outcomes, round)))
    const known = values.filter((value) => value !== undefined)
    return known.length === 0 ? [] : [rowOf(goal, known)]
  })
  if (rows.length === 0) return ''
  const head = ['', 'rounds', 'median', 'lowest – highest', 'to reach', 'reached']
  return `What to reach, computed round by round; for the default numbers of jobs\n\n${markdown(head, rows)}`
}

function rowOf({ label, digits, reach }: Goal, values: readonly number[]): readonly string[] {
  const { median, lowest, highest } = summarize(values)
  const [sign, wanted] = 'atLeast' in reach ? ['≥', reach.atLeast] : ['≤', reach.atMost]
  const isReached = sign === '≥' ? median >= wanted : median <= wanted
  return [
    label,
    String(values.length),
    number(median, digits),
    `${number(lowest, digits)} – ${number(highest, digits)}`,
    `${sign} ${wanted}`,
    isReached ? 'yes' : 'no',
  ]
}

function figuresOf(outcomes: readonly Outcome[], round: number): Figure {
  return (kind, name, figure) => {
    const outcome = outcomes.find(({ row }) => row.kind === kind && row.name === name)
    return outcome?.rounds[round]?.figures[figure]
  }
}

function ratio(figure: Figure, kind: Kind, [one, other]: readonly [string, string], name: string): number | undefined {
  return combined(figure(kind, one, name), figure(kind, other, name), (a, b) => a / b)
}

function combined(a: number | undefined, b: number | undefined, combine: (a: number, b: number) => number) {
  return a === undefined || b === undefined ? undefined : combine(a, b)
}
