/** How long ended jobs, their log lines and the rows of the event log are kept. */
import type { Outcome } from './job.ts'
import {
  checkOptions,
  duration,
  either,
  isOptions,
  type OptionRule,
  type OptionRules,
  wholeNumber,
} from './option-checks.ts'
import { type Duration, durationMs } from './time.ts'

/** How long ended jobs of a type are kept. */
export interface JobRetention {
  /**
   * How long a job is kept after its end, by its outcome. Jobs of an outcome that is absent or `null` are kept. If
   * `jobs` itself is `null`, no job is pruned for its age.
   */
  readonly jobs?: { readonly [Ended in Outcome]?: Duration | null } | null
  /**
   * How many ended jobs of the type each tenant keeps. If there are more, those that were created first are pruned.
   * `null`: any number.
   */
  readonly max?: number | null
  /** How long the log lines of a job are kept after its end. `null`: as long as the job. */
  readonly logs?: Duration | null
}

/**
 * How long an engine keeps ended jobs and rows of the event log. For a field that is absent or `null`, nothing is
 * pruned.
 */
export interface RetentionOptions extends JobRetention {
  /** How long the event log keeps the rows of jobs that were pruned or deleted, counted from the time of each row. */
  readonly events?: Duration | null
  /** How long `job.progress` events are kept in the event log, also those of running jobs. */
  readonly progress?: Duration | null
}

/** {@link RetentionOptions}, parsed: durations in milliseconds. Null: nothing is pruned. */
export interface Retention {
  readonly jobs?: { readonly [Ended in Outcome]?: number } | undefined
  readonly max?: number | null | undefined
  readonly logs?: number | null | undefined
  readonly events?: number | null | undefined
  readonly progress?: number | null | undefined
}

const NOTHING: OptionRule = { expected: 'null', fits: (value) => value === null }
const kept = either(duration, NOTHING)
const OUTCOMES: OptionRules = { success: kept, failure: kept, cancelled: kept }
const OF_TYPE: OptionRules = {
  jobs: { expected: "an object of durations by outcome, such as { success: '30d' }, or null", fits: isByOutcome },
  max: either(wholeNumber(0), NOTHING),
  logs: kept,
}
const OF_ENGINE: OptionRules = { ...OF_TYPE, events: kept, progress: kept }

function isByOutcome(value: unknown): boolean {
  return value === null || isOptions(value)
}

/**
 * Parses the retention of a job type.
 *
 * @param name  names the type in the error.
 * @throws {JobchartError} `INVALID_DEFINITION` an option is unknown or invalid.
 */
export function parseJobRetention(name: string, options: JobRetention | undefined): Retention | undefined {
  return options === undefined ? undefined : parsed(name, options, OF_TYPE)
}

/** Parses the retention of an engine. @throws {JobchartError} `INVALID_DEFINITION` an option is unknown or invalid. */
export function parseRetention(options: RetentionOptions | undefined): Retention {
  return options === undefined ? {} : parsed('createEngine', options, OF_ENGINE)
}

function parsed(name: string, options: RetentionOptions, rules: OptionRules): Retention {
  checkOptions(name, options, rules, { prefix: 'retention.', form: "{ jobs: { success: '30d' } }" })
  const { jobs, max, ...times } = options
  if (jobs !== undefined && jobs !== null) checkOptions(name, jobs, OUTCOMES, { prefix: 'retention.jobs.' })
  return {
    ...(jobs === undefined ? {} : { jobs: inMilliseconds(jobs ?? {}) }),
    ...(max === undefined ? {} : { max }),
    ...inMilliseconds(times),
  }
}

function inMilliseconds(times: { readonly [name: string]: Duration | null | undefined }) {
  const known = Object.entries(times).filter((each): each is [string, Duration | null] => each[1] !== undefined)
  return Object.fromEntries(known.map(([name, time]) => [name, time === null ? null : durationMs(time, name)]))
}
