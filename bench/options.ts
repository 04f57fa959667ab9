import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

interface KindSettings {
  /** How many jobs one measurement has, if `--jobs` is not given. Absent: `--jobs` does not apply. */
  readonly jobs?: number
  /** True: it takes minutes, so it is measured only if `--only` names it. */
  readonly isLong?: boolean
}

/** The kinds of measurement, in the order of the report. */
export const KINDS = {
  closed: { jobs: 10_000 },
  stored: { jobs: 20_000 },
  latency: {},
  blocking: { jobs: 10_000 },
  due: { jobs: 3_000 },
  tree: { jobs: 1_000 },
  items: { jobs: 200_000 },
  promises: { jobs: 1_000 },
  actions: {},
  events: {},
  transition: {},
  memory: { isLong: true },
  waiting: { jobs: 1_000_000, isLong: true },
  heap: { jobs: 1_000_000, isLong: true },
  prune: { jobs: 1_000_000, isLong: true },
  list: { jobs: 1_000_000, isLong: true },
} as const satisfies { readonly [name: string]: KindSettings }

/** The name of a kind of measurement. */
export type Kind = keyof typeof KINDS

const SETTINGS: { readonly [name in Kind]: KindSettings } = KINDS
const NAMES = Object.keys(KINDS) as readonly Kind[]
const LONG = NAMES.filter((kind) => SETTINGS[kind].isLong === true)

/** The options of the command line, each with its text for `--help`. */
const OPTIONS = {
  only: {
    type: 'string',
    value: 'KIND,…',
    about: `what is measured: ${NAMES.join(', ')}; by default all but ${LONG.join(', ')}, which take minutes`,
  },
  subjects: {
    type: 'string',
    value: 'NAME,…',
    about: 'only rows whose name contains one of these, e.g. jobchart, plainjob-full, children',
  },
  against: {
    type: 'string',
    value: 'FOLDER',
    about: 'another checkout of jobchart, built: its closed loops are measured beside those of this build',
  },
  jobs: {
    type: 'string',
    value: 'N',
    about: `jobs of a run; by default ${NAMES.flatMap((kind) => defaultOf(kind)).join(', ')}`,
  },
  rounds: { type: 'string', value: 'N', about: 'runs of which the median is taken; default 3' },
  dir: {
    type: 'string',
    value: 'FOLDER',
    about: 'where the databases are made, in a folder of their own; default: here. It must be on a disk',
  },
  json: { type: 'string', value: 'FILE', about: 'also write the figures of every round there' },
  timeout: {
    type: 'string',
    value: 'SECONDS',
    about: `how long one measurement may take before it is killed; default 60, for ${LONG.join(', ')} 1800`,
  },
  help: { type: 'boolean', value: '', about: 'print this' },
} as const

/** The parsed command line. */
export interface Options {
  readonly kinds: readonly Kind[]
  /** Only rows whose name contains one of these texts are measured. Empty: all rows. */
  readonly names: readonly string[]
  /** Absolute path of another build of jobchart. */
  readonly against: string | undefined
  /** Absent: the default of the kind. */
  readonly jobs: number | undefined
  readonly rounds: number
  /** Absolute path. */
  readonly dir: string
  /** Absolute path of the file to write all figures to. */
  readonly json: string | undefined
  /** Time limit of one measurement, in milliseconds. Absent: the default of the kind. */
  readonly timeoutMs: number | undefined
}

/** The text of `--help`. */
export const USAGE = [
  'Usage: npm run bench -- [options]',
  '',
  ...Object.entries(OPTIONS).map(([name, { value, about }]) => `  ${`--${name} ${value}`.padEnd(18)} ${about}`),
].join('\n')

/**
 * Parses the command line. `undefined`: help was requested.
 *
 * @throws {Error}  an option is unknown or invalid.
 */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({ args: [...args], options: OPTIONS })
  if (values.help === true) return undefined
  return {
    kinds: values.only === undefined ? NAMES.filter((kind) => !LONG.includes(kind)) : kindsIn(values.only),
    names: values.subjects?.split(',') ?? [],
    against: values.against === undefined ? undefined : resolve(values.against),
    jobs: values.jobs === undefined ? undefined : wholeNumber('jobs', values.jobs, 10_000_000),
    rounds: wholeNumber('rounds', values.rounds ?? '3', 100),
    dir: resolve(values.dir ?? '.'),
    json: values.json === undefined ? undefined : resolve(values.json),
    timeoutMs: values.timeout === undefined ? undefined : wholeNumber('timeout', values.timeout, 3_600) * 1_000,
  }
}

/** How many jobs one measurement of this kind has. 0 if the kind has no number of jobs. */
export function jobsOf(kind: Kind, { jobs }: Options): number {
  const byDefault = SETTINGS[kind].jobs
  return byDefault === undefined ? 0 : (jobs ?? byDefault)
}

/** Time limit of one measurement of this kind, in milliseconds. */
export function timeoutOf(kind: Kind, { timeoutMs }: Options): number {
  return timeoutMs ?? (LONG.includes(kind) ? 1_800_000 : 60_000)
}

function defaultOf(kind: Kind): readonly string[] {
  const { jobs } = SETTINGS[kind]
  return jobs === undefined ? [] : [`${kind} ${jobs}`]
}

function kindsIn(text: string): readonly Kind[] {
  const asked = text.split(',')
  const unknown = asked.filter((each) => !NAMES.some((kind) => kind === each))
  if (unknown.length > 0) throw new Error(`--only takes ${NAMES.join(', ')}; found "${unknown.join(',')}"`)
  return NAMES.filter((kind) => asked.includes(kind))
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value
  throw new Error(`--${name} takes a whole number from 1 to ${max}; found "${text}"`)
}
