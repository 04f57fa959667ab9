import { countsOf, type Progress, type StampedProgress, type Task } from './task-record.ts'

/** What a task reports of its progress: `completed` of `total`, and where it matters how many failed or run now. */
export interface ProgressReport {
  readonly completed: number
  /** Absent: it is not known. */
  readonly total?: number
  readonly failed?: number
  readonly running?: number
}

/** What a report makes of the progress before. */
export interface ReadProgress {
  /** Absent: the report says nothing that can be taken. */
  readonly progress?: Progress
  /** What was ignored of it, and why. */
  readonly warning?: string
}

const COUNTS = ['completed', 'failed', 'running', 'total'] as const

/**
 * Reads a report. Progress is best effort: a number is `completed`, and what is no count is ignored. Counts but `running`
 * never fall within an attempt, whatever order the reports of concurrent work come in.
 */
export function readProgress(report: unknown, before?: Progress): ReadProgress {
  const given = typeof report === 'number' ? { completed: report } : report
  const counts: { -readonly [Count in keyof Progress]?: number } = {}
  const ignored: string[] = []
  for (const name of COUNTS) {
    const value = (given as { readonly [name: string]: unknown } | null | undefined)?.[name]
    if (isCount(value)) counts[name] = value
    else if (value !== undefined) ignored.push(`${name} ${shown(value)}`)
  }
  const isEmpty = Object.keys(counts).length === 0
  if (isEmpty && ignored.length === 0) ignored.push(shown(report))
  const warning =
    ignored.length === 0 ? {} : { warning: `progress should be numbers from 0; ignored: ${ignored.join(', ')}` }
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

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value).slice(0, 100)
}

/** What is looked at of a job. */
interface Reporting {
  readonly progress?: StampedProgress
  readonly tasks: readonly Task[]
}

/** A job's progress as it is now: what an attempt said that it runs is 0 when that attempt is gone. */
export function progressOf({ progress, tasks }: Reporting): Progress | undefined {
  if (progress === undefined) return undefined
  const counts = countsOf(progress)
  return counts.running === 0 || tasks.some((task) => isReporting(task, progress)) ? counts : { ...counts, running: 0 }
}

function isReporting({ status, token }: Task, { token: reporting = token }: StampedProgress): boolean {
  return (status === 'claimed' || status === 'stopping') && token === reporting
}
