/** Options of a task whose value may be a function. Such a function is called when the task becomes available. */
import { JobchartError } from './error.ts'
import type { Job } from './job.ts'
import { text } from './option-checks.ts'
import type { Task } from './task-record.ts'

/** The argument of a function that computes the key of a limit, or the `function` or `version` of a task. */
export interface LimitScope<Input = unknown> {
  /**
   * The task's input from the chart, before the task's own schema has parsed it. For a job type without a `lifecycle`:
   * the job's parsed input.
   */
  readonly input: Input
  /** The type of the task's job. */
  readonly type: string
  readonly tenant: string
  readonly createdBy: string
  readonly labels: { readonly [name: string]: string }
  readonly pipeline?: string
}

/** A task that becomes available, and its job. */
export interface Offering {
  readonly task: Task
  readonly job: Job
  /** True: the task receives the input of its job. */
  readonly takesJobInput: boolean
}

const TEXT = text()

/**
 * The text that an option of a task gives.
 *
 * @param name  names the option in the error.
 * @throws {JobchartError} `INVALID_INPUT` the option is a function that threw, or the value is not text of 1 to 200
 *   characters.
 */
export function textOf(of: Offering, name: string, option: unknown): string {
  const given = givenBy(of, name, option)
  if (TEXT.fits(given)) return String(given)
  throw misgiven(of, name, `found ${shown(given)}`)
}

/** The text that an option of a task gives, or `undefined`. @throws {JobchartError} as {@link textOf}. */
export function optionalTextOf(of: Offering, name: string, option: unknown): string | undefined {
  const given = givenBy(of, name, option)
  return given === undefined ? undefined : textOf(of, name, given)
}

function givenBy(of: Offering, name: string, option: unknown): unknown {
  if (typeof option !== 'function') return option
  try {
    const given: unknown = option(scopeOf(of))
    // The promise of an async function is refused. Its rejection is ignored, so that it does not end the process.
    if (given instanceof Promise) given.catch(() => {})
    return given
  } catch (error) {
    throw misgiven(of, name, `it threw ${shown(error)}`)
  }
}

// Gives copies, because the user's function may change them.
function scopeOf({ task, job, takesJobInput }: Offering): LimitScope {
  const { type, tenant, createdBy, labels, pipeline } = job
  const input = structuredClone(takesJobInput ? job.input : task.input)
  const given = { input, type, tenant, createdBy, labels: { ...labels } }
  return pipeline === undefined ? given : { ...given, pipeline }
}

function misgiven({ task }: Offering, name: string, found: string): JobchartError {
  return new JobchartError('INVALID_INPUT', `"${task.id}": ${name} should be ${TEXT.expected}; ${found}`)
}

// Text for any value that a user's function returned or threw.
function shown(value: unknown): string {
  try {
    return String(value).slice(0, 200).toWellFormed()
  } catch {
    return 'something that cannot be shown'
  }
}
