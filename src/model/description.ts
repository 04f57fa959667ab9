import type { ChartEvent } from './chart.ts'
import type { Job } from './job.ts'
import type { AnyJobType, DescribedSnapshot, Description } from './job-type.ts'
import { type Json, jsonCopy } from './storable.ts'

/** The description of a transition: what `describe` returns, with defaults for missing or unusable values. */
export function describeMove(
  type: AnyJobType,
  job: Job,
  event: ChartEvent,
  error: unknown,
  isEnd: boolean,
): Description {
  const reason = eventReason(event)
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

/** The `reason` field of an event. */
export function eventReason(event: ChartEvent | undefined): string | undefined {
  return textOrNothing(event?.reason)
}

// If `describe` throws, the transition is stored without its description.
function askDescribe(type: AnyJobType, job: Job, event: ChartEvent, isEnd: boolean): Description {
  const status: DescribedSnapshot['status'] = isEnd ? 'done' : 'active'
  try {
    if (type.describe === undefined) return {}
    const { state: value, context, output } = job
    // Gives copies, because user code may change them.
    const shown = { value: jsonCopy(value), context: jsonCopy(context), output: output && jsonCopy(output), status }
    const said = type.describe(shown, jsonCopy(event as unknown as Json) as unknown as ChartEvent)
    return typeof said === 'object' && said !== null ? said : {}
  } catch {
    return {}
  }
}

const TEXT_CHARACTERS_MAX = 2_000

function textOrNothing(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, TEXT_CHARACTERS_MAX).toWellFormed() : undefined
}
