import type { AnyJobType } from './definition.ts'
import type { Job } from './job.ts'
import type { ChartEvent } from './transition.ts'

/** What `describe` may say of a job; what it leaves out keeps its default. */
export interface Description {
  readonly message?: string
  readonly error?: unknown
  readonly exitCode?: number
  readonly reason?: string
}

/** What `describe` reads: where the chart stands after the event. */
export interface DescribedSnapshot {
  readonly value: unknown
  readonly context: unknown
  readonly output: unknown
  readonly status: string
}

/** What `describe` says of a move, with the defaults where it says nothing, or nothing that can be recorded. */
export function describeMove(
  type: AnyJobType,
  job: Job,
  event: ChartEvent,
  error: unknown,
  isEnd: boolean,
): Description {
  const reason = textOrNothing(event.reason)
  const said = askDescribe(type, job, event, isEnd)
  const message = textOrNothing(said.message)
  const own = textOrNothing(said.reason) ?? reason
  return {
    ...(own === undefined ? {} : { reason: own }),
    ...(message === undefined ? {} : { message }),
    ...(Number.isSafeInteger(said.exitCode) ? { exitCode: Number(said.exitCode) } : {}),
    ...(said.error === undefined && error === undefined ? {} : { error: said.error ?? error }),
  }
}

// It is user code: one that throws costs the job its description, not its move.
function askDescribe(type: AnyJobType, job: Job, event: ChartEvent, isEnd: boolean): Description {
  const status = isEnd ? 'done' : 'active'
  try {
    const said = type.describe?.({ value: job.state, context: job.context, output: job.output, status }, event)
    return typeof said === 'object' && said !== null ? said : {}
  } catch {
    return {}
  }
}

const TEXT_CHARACTERS_MAX = 2_000

function textOrNothing(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, TEXT_CHARACTERS_MAX).toWellFormed() : undefined
}
