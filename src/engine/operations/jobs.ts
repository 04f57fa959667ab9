import type { ChartEvent } from '../../model/chart.ts'
import { type Decision, type DecisionContext, send as sendEvent } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import { typeWhenTouched } from '../../model/migration.ts'
import type { Principal, Target } from '../../port/policy.ts'
import { commandOf, maskOfAnswer, reach, toldRefusal } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { WHOLE } from '../field-mask.ts'
import { jobFor, load } from '../load.ts'
import { parseCommand } from '../parse.ts'
import { actorOf } from '../principal.ts'
import { ChangedMeanwhile, untilUnchanged } from '../tick.ts'
import { type JobView, viewOf } from '../view.ts'
import type { WorkingSet } from '../working-set.ts'

/** The options of `send`. */
export interface SendOptions extends CallOptions {}

/** The options of `cancel`. */
export interface CancelOptions extends CallOptions {
  /** Why the job is cancelled. It is recorded in the job's history. */
  readonly reason?: string
  /** Further fields of the type's cancel command. */
  readonly [field: string]: unknown
}

/** {@inheritDoc Session.send} */
export async function send(
  core: Core,
  who: Principal,
  id: JobId,
  command: { readonly type: string; readonly [field: string]: unknown },
  { signal }: SendOptions = {},
): Promise<JobView> {
  if (typeof command?.type !== 'string') {
    throw new JobchartError('INVALID_INPUT', 'a command should be an object with its name as type', {
      issues: [{ message: 'expected a name', path: ['type'] }],
    })
  }
  const asked = { ...command } as ChartEvent
  return await sendCommand(core, who, id, () => asked, signal)
}

/** {@inheritDoc Session.cancel} */
export async function cancel(
  core: Core,
  who: Principal,
  id: JobId,
  { signal, ...fields }: CancelOptions = {},
): Promise<JobView> {
  const named = (type: AnyJobType) => {
    if (type.cancel !== null) return { ...fields, type: type.cancel }
    throw new JobchartError('INVALID_INPUT', `jobs of type "${type.type}" have no cancel command`, {
      issues: [{ message: 'no such command', path: ['type'] }],
      jobId: id,
    })
  }
  return await sendCommand(core, who, id, named, signal)
}

async function sendCommand(
  core: Core,
  who: Principal,
  id: JobId,
  commandFor: CommandFor,
  signal: AbortSignal | undefined,
): Promise<JobView> {
  let mask = WHOLE
  /**
   * The version of the type that will handle the command. It is newer than the job's version if the job migrates first.
   */
  let version: AnyJobType | undefined
  const sent = untilUnchanged(async () => {
    // The policy is asked first: errors about the job and its type's commands are only for callers who may see it.
    const reached = await reach(core, who, id, (summary) => {
      const type = version ?? core.types.of(summary)
      return { action: 'command', command: commandAsked(type, commandFor), signal }
    })
    mask = reached.mask
    const type = version ?? core.types.require(reached.summary)
    if (version === undefined && type.successor !== undefined) {
      version = typeWhenTouched(type, await load(core, id, who.kind))
      if (version !== type) throw new ChangedMeanwhile()
    }
    const event = await parseCommand(type, commandFor(type))
    signal?.throwIfAborted()
    const decide = (jobs: WorkingSet, context: DecisionContext): Decision => {
      const stored = jobFor(jobs, id, who.kind)
      const known = jobs.typeOf(stored)
      const decides = typeWhenTouched(known, stored)
      const isOther = decides !== type
      version = isOther ? decides : version
      if (isOther || stored.status !== reached.summary.status) throw new ChangedMeanwhile()
      return taken(sendEvent(known, unsettled(stored), event, context, jobs), stored, event)
    }
    return await core.ticks.change({ by: actorOf(who), jobs: [id], decide })
  })
  try {
    const job = await sent
    return viewOf(job, await maskOfAnswer(core, who, job, mask))
  } catch (error) {
    throw await toldRefusal(core, who, error, mask)
  }
}

function taken(decision: Decision, { id, status }: Job, event: ChartEvent): Decision {
  if (decision.handled) return decision
  throw new JobchartError('INVALID_STATE', `the job is ${status}, and "${event.type}" is not taken in this state`, {
    jobId: id,
  })
}

function unsettled(job: Job): Job {
  if (job.phase !== 'settled') return job
  const how = `the job has already ended as ${job.status}`
  throw new JobchartError('ALREADY_SETTLED', how, { jobId: job.id })
}

type CommandFor = (type: AnyJobType) => ChartEvent

// The command that the policy is asked about. If the type has no cancel command, the policy is asked about a command
// named `cancel`. So only a caller who may see the job learns that the type has no cancel command.
function commandAsked(type: AnyJobType | undefined, commandFor: CommandFor): NonNullable<Target['command']> {
  if (type === undefined) return { name: 'unknown', isCancel: false }
  return commandOf(type, nameOf(type, commandFor))
}

function nameOf(type: AnyJobType, commandFor: CommandFor): string {
  try {
    return String(commandFor(type).type)
  } catch {
    return 'cancel'
  }
}
