/** Lists what a principal may do with a job now. */
import { canHandle, typeThatHandles } from '../../model/can-handle.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { type ErrorCode, JobchartError } from '../../model/error.ts'
import type { Job, JobId, JobSummary } from '../../model/job.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed, commandOf, maySubmit, type Question } from '../authorization.ts'
import { type CallOptions, idOf } from '../call-options.ts'
import { type Core, contextOf } from '../core.ts'
import { type Facts, factsOfRetry } from '../facts.ts'
import type { FieldMask } from '../field-mask.ts'
import { treeOf } from '../load.ts'
import { enteredPipeline } from '../pipeline-entry.ts'
import { readable } from './reads.ts'
import { cancelOfUnsettled } from './runs.ts'

/**
 * What a principal may do with a job now: allowed both by its chart and by the policy. This may change at any time;
 * each action is checked again when it is done.
 */
export interface JobActions {
  /**
   * The names of the commands that can be sent, including the type's cancel command. A command that needs the
   * pipeline's slot is listed also while another run holds the slot: it is `ALREADY_RUNNING` then, and `explain` names
   * the run.
   */
  readonly commands: readonly string[]
  readonly cancel: boolean
  readonly retry: boolean
  readonly delete: boolean
}

/** The most ids that one call may ask about. */
const IDS_MAX = 1_000

/** {@inheritDoc Session.actions} */
export async function actions(
  core: Core,
  who: Principal,
  asked: JobId | readonly JobId[],
  { signal }: CallOptions = {},
): Promise<JobActions | ReadonlyMap<string, JobActions>> {
  if (Array.isArray(asked)) return await actionsOfMany(core, who, asked, signal)
  const { job, mask } = await readable(core, who, idOf(asked, 'job'), { action: 'get', signal })
  return await actionsOn(core, who, job, mask, signal)
}

async function actionsOfMany(
  core: Core,
  who: Principal,
  asked: readonly JobId[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, JobActions>> {
  if (asked.length > IDS_MAX || !asked.every((id) => typeof id === 'string')) {
    throw new JobchartError('INVALID_INPUT', `actions takes the id of a job, or a list of up to ${IDS_MAX} ids`, {
      issues: [{ message: `should be a list of up to ${IDS_MAX} ids`, path: ['ids'] }],
    })
  }
  // Only jobs that the caller may see are read whole.
  const found = await core.storage.summaries([...new Set(asked)])
  const seen = await Promise.all(found.map(async (job) => ((await isSeen(core, who, job, signal)) ? [job.id] : [])))
  const jobs = await core.storage.many(seen.flat())
  const known = await Promise.all(
    jobs.map(async (job) => {
      const mask = await allowed(core, who, job, { action: 'get', signal })
      return mask === undefined ? [] : [[job.id, await actionsOn(core, who, job, mask, signal)] as const]
    }),
  )
  return new Map(known.flat())
}

async function isSeen(core: Core, who: Principal, job: JobSummary, signal: Question['signal']) {
  return (await allowed(core, who, job, { action: 'get', signal })) !== undefined
}

async function actionsOn(
  core: Core,
  who: Principal,
  job: Job,
  mask: FieldMask,
  signal: AbortSignal | undefined,
): Promise<JobActions> {
  const may = async (question: Omit<Question, 'signal'>) =>
    (await allowed(core, who, job, { ...question, signal })) !== undefined
  const known = core.types.of(job)
  // An engine that does not know the job's type refuses every change.
  if (known === undefined) return { commands: [], cancel: false, retry: false, delete: false }
  const type = typeThatHandles(known, job)
  const names = await commandsTaken(core, known, type, job, mask)
  const commands = await allowedCommands(core, who, job, type, names, signal)
  const isAlone = job.parentId === undefined
  const running = cancelOfUnsettled(core, job)
  return {
    commands,
    cancel: type !== undefined && type.cancel !== null && commands.includes(type.cancel),
    retry:
      isAlone &&
      (job.phase === 'settled' || mask.hidden.has('status')) &&
      (await may({ action: 'retry' })) &&
      (await again(core, who, job, known, mask, signal)),
    delete:
      isAlone &&
      (await may({ action: 'delete' })) &&
      (running === undefined || (await may({ action: 'command', command: running }))),
  }
}

/** The commands of a job that the policy lets the principal send. */
export async function allowedCommands(
  core: Core,
  who: Principal,
  job: Job,
  type: AnyJobType | undefined,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const answers = await Promise.all(
    names.map((name) => allowed(core, who, job, { action: 'command', command: commandOf(type, name), signal })),
  )
  return names.filter((_, index) => answers[index] !== undefined)
}

// The commands that a chart takes now reveal its state. A caller who may not see the status gets all commands of the type.
async function commandsTaken(
  core: Core,
  known: AnyJobType,
  type: AnyJobType | undefined,
  job: Job,
  { hidden }: FieldMask,
): Promise<readonly string[]> {
  if (type === undefined || hidden.has('type')) return []
  const names = Object.keys(type.commands)
  if (hidden.has('status')) return names
  const now = contextOf(core)
  const tree = await treeOf(core, job)
  return names.filter((name) => canHandle(known, job, name, now, tree))
}

// The caller becomes the creator of the retry, so the caller needs the right to submit such a job.
async function again(
  core: Core,
  who: Principal,
  job: Job,
  type: AnyJobType,
  mask: FieldMask,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (mask.hidden.has('input')) return false
  const { tenant, labels, assignee: kept, input, pipeline } = job
  const owned = { tenant, createdBy: who.id, ...(pipeline === undefined ? {} : { pipeline }) }
  const facts = factsIfAny(() => factsOfRetry(type, { ...owned, input }, { labels, kept }))
  if (facts === undefined) return false
  const mayMake = await maySubmit(core, who, { ...owned, ...facts, type: job.type }, signal)
  return mayMake && (await mayEnter(core, who, job, signal))
}

// The facts of a retry. `undefined`: `facts` or `assignee` of the type fails, so a retry would be refused.
function factsIfAny(decide: () => Facts): Facts | undefined {
  try {
    return decide()
  } catch {
    return undefined
  }
}

const REFUSALS: ReadonlySet<unknown> = new Set<ErrorCode>(['PIPELINE_NOT_FOUND', 'FORBIDDEN', 'INVALID_STATE'])

async function mayEnter(core: Core, who: Principal, job: Job, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await enteredPipeline(core, who, job, signal)
    return true
  } catch (error) {
    if (error instanceof JobchartError && REFUSALS.has(error.code)) return false
    throw error
  }
}
