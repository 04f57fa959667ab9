import { shownValue } from './option-checks.ts'
import { countsOf, isRunning, type Progress, type StampedProgress, type Task } from './task-record.ts'

/**
 * The argument of `progress`: how many parts are `completed`, out of how many in `total`; how many `failed`; and how
 * many are `running` now.
 */
export interface ProgressReport {
  readonly completed: number
  /** How many parts there are. Absent: unknown. */
  readonly total?: number
  readonly failed?: number
  readonly running?: number
}

/** The result of reading a report. */
export interface ReadProgress {
  /** The new progress. Absent: the report has no valid number. */
  readonly progress?: Progress
  /** Which parts of the report were ignored, for the job's log. */
  readonly warning?: string
}

const COUNTS = ['completed', 'failed', 'running', 'total'] as const

/**
 * Checks a report and computes the new progress. Progress is best effort: a plain number means `completed`, and invalid
 * values are ignored. Within an attempt, no count but `running` ever falls, so reports of concurrent work may come in
 * any order.
 */
export function readProgress(report: unknown, before?: Progress): ReadProgress {
  const given = typeof report === 'number' ? { completed: report } : report
  const counts: { -readonly [Count in keyof Progress]?: number } = {}
  const ignored: string[] = []
  for (const name of COUNTS) {
    const value = (given as { readonly [name: string]: unknown } | null | undefined)?.[name]
    if (isCount(value)) counts[name] = value
    else if (value !== undefined) ignored.push(`${name} ${shownValue(value)}`)
  }
  const isEmpty = Object.keys(counts).length === 0
  if (isEmpty && ignored.length === 0) ignored.push(shownValue(report))
  const warning =
    ignored.length === 0 ? {} : { warning: `progress should be finite numbers from 0; ignored: ${ignored.join(', ')}` }
  return isEmpty ? warning : { progress: after(counts, before), ...warning }
}

function after(counts: { readonly [Count in keyof Progress]?: number }, before: Progress | undefined): Progress {
  const { completed = 0, failed = 0, running = 0, total = before?.total } = counts
  return {
    completed: Math.max(completed, before?.completed ?? 0),
    failed: Math.max(failed, before?.failed ?? 0),
    running,
    ...(total === undefined ? {} : { total: Math.max(total, before?.total ?? 0) }),
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** The fields of a job that progress depends on. */
interface Reporting {
  readonly progress?: StampedProgress
  readonly tasks: readonly Task[]
}

/** The current progress of a job. `running` is 0 once the attempt that reported it has ended. */
export function progressOf({ progress, tasks }: Reporting): Progress | undefined {
  if (progress === undefined) return undefined
  const isRunning = progress.running > 0 && tasks.some((task) => isReporting(task, progress))
  return countsOf(isRunning ? progress : { ...progress, running: 0 })
}

function isReporting(task: Task, { token = task.token }: StampedProgress): boolean {
  return isRunning(task) && task.token === token
}
