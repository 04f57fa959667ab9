import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** What can be measured, in the order of the report. */
export const KINDS = [
  'closed',
  'burst',
  'latency',
  'actions',
  'events',
  'transition',
  'memory',
  'waiting',
  'blocking',
  'heap',
  'oracle',
  'list',
] as const
/** Minutes long each, so only measured when they are asked for. */
const LONG_KINDS: ReadonlySet<string> = new Set(['waiting', 'blocking', 'heap', 'oracle', 'list'])
/** One of them. */
export type Kind = (typeof KINDS)[number]

/** The command line, read once. */
export interface Options {
  readonly kinds: readonly Kind[]
  /** Only rows whose name contains one of these; empty: all. */
  readonly names: readonly string[]
  /** Absent: as many as the kind has by default. */
  readonly jobs: number | undefined
  readonly rounds: number
  /** Absolute. */
  readonly dir: string
  /** Absolute; where raw figures are written. */
  readonly json: string | undefined
  /** For one measurement; absent: as long as the kind has by default. */
  readonly timeoutMs: number | undefined
}

/** Printed for `--help`. */
export const USAGE = `Usage: npm run bench -- [options]

  --only KIND,…     what is measured: ${KINDS.join(', ')};
                    by default all but the last five, which take minutes
  --subjects NAME,… only rows whose name contains one of these, e.g. jobchart or plainjob-full
  --jobs N          jobs of a run; default 2000 (p-queue runs 30 times as many, plainjob on FULL a quarter);
                    waiting 200000, blocking 20000, heap and list 1000000; of oracle, samples: 10000;
                    of events, seconds: 10
  --rounds N        runs of which the median is taken; default 5
  --dir FOLDER      where the databases are made, in a folder of their own; default: here. It must be on a disk
  --json FILE       also write the figures of every round there
  --timeout SECONDS how long one measurement may take before it is killed; default 60,
                    for the last five 900`

/**
 * Reads the command line; undefined: help was asked for.
 *
 * @throws {Error}  an option is unknown or cannot work.
 */
export function parseOptions(args: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: text,
      subjects: text,
      jobs: text,
      rounds: text,
      dir: text,
      json: text,
      timeout: text,
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) return undefined
  return {
    kinds: kindsIn(values.only ?? KINDS.filter((kind) => !LONG_KINDS.has(kind)).join(',')),
    names: values.subjects?.split(',') ?? [],
    jobs: values.jobs === undefined ? undefined : wholeNumber('jobs', values.jobs, 10_000_000),
    rounds: wholeNumber('rounds', values.rounds ?? '5', 100),
    dir: resolve(values.dir ?? '.'),
    json: values.json === undefined ? undefined : resolve(values.json),
    timeoutMs: values.timeout === undefined ? undefined : wholeNumber('timeout', values.timeout, 3_600) * 1_000,
  }
}

function kindsIn(text: string): readonly Kind[] {
  const asked = text.split(',')
  const unknown = asked.filter((each) => !KINDS.some((kind) => kind === each))
  if (unknown.length > 0) throw new Error(`--only takes ${KINDS.join(', ')}; found "${unknown.join(',')}"`)
  return KINDS.filter((kind) => asked.includes(kind))
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value
  throw new Error(`--${name} takes a whole number from 1 to ${max}; found "${text}"`)
}

/** How long a measurement of a kind may take. */
export function timeoutOf(kind: Kind, { timeoutMs }: Options): number {
  return timeoutMs ?? (LONG_KINDS.has(kind) ? 900_000 : 60_000)
}
