import { JobchartError, type JobType, type OnDefine, type PipelineOptions, type PipelineView } from 'jobchart'
import { z } from 'zod'

/** How often a project runs: a name, or a cron pattern of five fields, e.g. `'10 * * * *'`. */
export type ScrapingInterval = 'hourly' | 'daily' | 'weekly' | 'monthly' | 'once' | (string & {})

/** How often mails are sent: of each run, as a digest of a day or a week, or never. */
export type NotifyOn = 'never' | 'with_every_run' | 'daily' | 'weekly'

/** A project: items that are run again and again, with at most one run at a time. */
export interface ProjectOptions {
  /** Unique in the account: 1 to 200 characters. */
  readonly id: string
  /** Default: `Project created at` and the time. */
  readonly name?: string
  /** The items of each run. */
  readonly list: readonly unknown[]
  /** Default `'weekly'`. */
  readonly scrapingInterval?: ScrapingInterval
  /**
   * When the next run starts: ISO 8601, or `'now'`, the default: when the project is defined. A project that runs once
   * starts `'now'` when it is defined as such; if it is defined again, start it by `pipelines.run`. With `'now'`, a project
   * whose scheduling is off does not start by itself, and a monthly one runs on the first of each month. A cron pattern
   * has times of its own. Of a monthly project, the day and the time of day count, and the month does not: it runs on
   * that day of each month, from this month on, or on the last day if the day is above 28.
   */
  readonly scheduledAt?: string
  /** False: after the next run, which is at `scheduledAt`, there are no more. Default true. */
  readonly schedulingEnabled?: boolean
  /** A name of the IANA database, for cron patterns and months. Default `'UTC'`. */
  readonly timeZone?: string
  readonly notificationConfig?: {
    /** Default `'never'`. */
    readonly notifyOnSuccess?: NotifyOn
    /** Default `'with_every_run'`. */
    readonly notifyOnFailure?: NotifyOn
  }
}

/** A project as a row. Times are ISO 8601. */
export interface ProjectRow {
  readonly id: string
  readonly name: string
  readonly schedulingEnabled: boolean
  readonly scrapingInterval: string
  /** When the next run starts. Null: never. */
  readonly scheduledAt: string | null
  readonly createdAt: string
  readonly notificationConfig: { readonly notifyOnSuccess: NotifyOn; readonly notifyOnFailure: NotifyOn }
}

const ITEMS_MAX = 100_000
const notifyOn = z.enum(['never', 'with_every_run', 'daily', 'weekly'])
const INTERVAL = /^(hourly|daily|weekly|monthly|once|\S+( +\S+){4})$/
const INTERVAL_SHOULD = 'should be hourly, daily, weekly, monthly, once, or a cron pattern of five fields'
const optionsSchema = z.strictObject({
  id: z.string(),
  name: z.string().min(1).max(200).optional(),
  list: z.array(z.unknown()).max(ITEMS_MAX),
  scrapingInterval: z.string().regex(INTERVAL, INTERVAL_SHOULD).default('weekly'),
  scheduledAt: z.string().default('now'),
  schedulingEnabled: z.boolean().default(true),
  timeZone: z.string().default('UTC'),
  notificationConfig: z
    .strictObject({ notifyOnSuccess: notifyOn.default('never'), notifyOnFailure: notifyOn.default('with_every_run') })
    .prefault({}),
})

/** The value of `notifyOnSuccess` and `notifyOnFailure` that asks for a mail of each run. */
export const EACH_RUN = 'with_every_run'

/** The labels of a project, which its runs have too. */
export const PROJECT = {
  name: 'name',
  interval: 'scrapingInterval',
  scheduling: 'schedulingEnabled',
  onSuccess: 'notifyOnSuccess',
  onFailure: 'notifyOnFailure',
} as const

/**
 * The pipeline of a project.
 *
 * @throws {JobchartError} `INVALID_INPUT` an option is invalid.
 */
export function projectPipeline<Type extends JobType>(job: Type, options: ProjectOptions): PipelineOptions<Type> {
  const { data, error } = optionsSchema.safeParse(options)
  if (data === undefined) {
    const issues = error.issues.map(({ message, path }) => ({ message, path: path.map(String) }))
    const said = issues.map(({ message, path }) => [...path, message].join(': '))
    throw new JobchartError('INVALID_INPUT', `project: ${said.join('; ')}`, { issues })
  }
  const { id, name, list, scrapingInterval, schedulingEnabled, notificationConfig } = data
  const schedule = scheduleOf(data)
  const startsNow = schedulingEnabled && scrapingInterval === 'once' && schedule === undefined
  // The cast is safe: the job type checks the list when the project is defined.
  return {
    id,
    job,
    input: { list },
    // A person who starts a second run is refused. A run of the schedule is skipped while another runs.
    overlap: { manual: 'reject', schedule: 'skip' },
    ...(schedule === undefined ? {} : { schedule }),
    ...(startsNow ? { onDefine: ({ before }: Definition) => firstRun(before, job, list) } : {}),
    labels: {
      ...(name === undefined ? {} : { [PROJECT.name]: name }),
      [PROJECT.interval]: scrapingInterval,
      [PROJECT.scheduling]: String(schedulingEnabled),
      [PROJECT.onSuccess]: notificationConfig.notifyOnSuccess,
      [PROJECT.onFailure]: notificationConfig.notifyOnFailure,
    },
  } as unknown as PipelineOptions<Type>
}

interface Definition {
  readonly before: PipelineView | undefined
}

// A project that runs once and now runs with its definition, and not again when it is changed.
function firstRun(before: PipelineView | undefined, job: JobType, list: readonly unknown[]): readonly OnDefine[] {
  return before?.labels[PROJECT.interval] === 'once' ? [] : [{ kind: 'submit', job, input: { list } }]
}

type Parsed = z.output<typeof optionsSchema>

const EVERY: { readonly [interval: string]: string } = { hourly: '1h', daily: '1d', weekly: '7d' }

function scheduleOf({ scrapingInterval, scheduledAt, schedulingEnabled, timeZone }: Parsed) {
  const isNow = scheduledAt === 'now'
  if (!schedulingEnabled || scrapingInterval === 'once') return isNow ? undefined : { at: scheduledAt }
  const every = EVERY[scrapingInterval]
  if (every !== undefined) return isNow ? { every } : { every, from: scheduledAt }
  if (scrapingInterval !== 'monthly') return { cron: scrapingInterval, fields: 5, timeZone }
  return { cron: isNow ? '0 0 1 * *' : monthlyFrom(scheduledAt), fields: 5, timeZone: isNow ? timeZone : 'UTC' }
}

// Each month on the day and at the minute of a time, in UTC. A day that some months do not have is their last day.
function monthlyFrom(time: string): string {
  const found = /^\d{4}-\d{2}-(\d{2})T(\d{2}):(\d{2}).*Z$/.exec(time)
  if (found === null) {
    const message = 'should be a time in UTC, e.g. 2027-01-31T02:00:00Z, for a monthly project'
    throw new JobchartError('INVALID_INPUT', `scheduledAt ${message}`, { issues: [{ message, path: ['scheduledAt'] }] })
  }
  const [day, hour, minute] = found.slice(1).map(Number)
  return `${minute} ${hour} ${(day ?? 1) > 28 ? 'L' : day} * *`
}

/** Shows a project as a row. */
export function projectRow(view: PipelineView): ProjectRow {
  const { id, labels, createdAt, nextAt } = view
  return {
    id,
    name: labels[PROJECT.name] ?? `Project created at ${createdAt}`,
    schedulingEnabled: labels[PROJECT.scheduling] !== 'false',
    scrapingInterval: labels[PROJECT.interval] ?? 'weekly',
    scheduledAt: nextAt ?? null,
    createdAt,
    notificationConfig: {
      // The casts are safe: the schema has parsed the values.
      notifyOnSuccess: (labels[PROJECT.onSuccess] ?? 'never') as NotifyOn,
      notifyOnFailure: (labels[PROJECT.onFailure] ?? 'with_every_run') as NotifyOn,
    },
  }
}
