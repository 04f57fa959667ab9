/** What one person may do with a job now. */
import type { AnyJobType } from '../../model/definition.ts'
import { JobchartError } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import { takes, takingType } from '../../model/taking.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed, commandOf, maySubmit, type Question } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { moment } from '../deciding.ts'
import type { Grant } from '../grant.ts'
import { readable } from './reads.ts'
import { copiesHidden } from './runs.ts'

/**
 * What one may do with a job now: what both its chart and the policy allow. It may be otherwise a moment later, and each is
 * judged again when it is done.
 */
export interface JobActions {
  /** The names of the commands that can be sent, the type's cancel command among them. */
  readonly commands: readonly string[]
  readonly cancel: boolean
  readonly retry: boolean
  readonly delete: boolean
}

/** Jobs asked about at once. */
const IDS_MAX = 1_000

/** {@inheritDoc Session.actions} */
export async function actions(
  core: Core,
  who: Principal,
  asked: JobId | readonly JobId[],
  { signal }: CallOptions = {},
): Promise<JobActions | ReadonlyMap<string, JobActions>> {
  signal?.throwIfAborted()
  if (typeof asked === 'object' && asked !== null) return await actionsOfMany(core, who, asked, signal)
  const { job, grant } = await readable(core, who, asked, { action: 'get', signal })
  return await actionsOn(core, who, job, grant, signal)
}

async function actionsOfMany(
  core: Core,
  who: Principal,
  asked: readonly JobId[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, JobActions>> {
  const ids = idsIn(asked)
  if (ids === undefined) {
    throw new JobchartError('INVALID_INPUT', `actions takes the id of a job, or a list of up to ${IDS_MAX}`, {
      issues: [{ message: `should be a list of up to ${IDS_MAX} ids`, path: ['ids'] }],
    })
  }
  // Only what may be seen is read whole.
  const heads = await core.storage.heads([...new Set(ids)])
  const seen = await Promise.all(heads.map(async (head) => ((await isSeen(core, who, head, signal)) ? [head.id] : [])))
  const jobs = await core.storage.many(seen.flat())
  const known = await Promise.all(
    jobs.map(async (job) => {
      const grant = await allowed(core, who, job, { action: 'get', signal })
      return grant === undefined ? [] : [[job.id, await actionsOn(core, who, job, grant, signal)] as const]
    }),
  )
  return new Map(known.flat())
}

// Looked at once: a list may be a proxy, or have getters, which are code of whoever asks.
function idsIn(asked: readonly JobId[]): readonly JobId[] | undefined {
  try {
    if (!Array.isArray(asked) || asked.length > IDS_MAX) return undefined
    const ids: readonly unknown[] = [...asked]
    return ids.every((id) => typeof id === 'string') ? ids : undefined
  } catch {
    return undefined
  }
}

async function isSeen(core: Core, who: Principal, head: Parameters<typeof allowed>[2], signal: Question['signal']) {
  return (await allowed(core, who, head, { action: 'get', signal })) !== undefined
}

async function actionsOn(
  core: Core,
  who: Principal,
  job: Job,
  grant: Grant,
  signal: AbortSignal | undefined,
): Promise<JobActions> {
  const may = async (question: Omit<Question, 'signal'>) =>
    (await allowed(core, who, job, { ...question, signal })) !== undefined
  const known = core.types.of(job)
  const type = known === undefined ? undefined : takingType(known, job)
  const names = commandsTaken(core, known, type, job, grant)
  const answers = await Promise.all(
    names.map(async (name) => {
      return await may({ action: 'command', command: commandOf(type, name) })
    }),
  )
  const commands = names.filter((_, index) => answers[index])
  const isAlone = job.parentId === undefined
  return {
    commands,
    cancel: type !== undefined && type.cancel !== null && commands.includes(type.cancel),
    retry:
      isAlone &&
      isRetried(job, known, grant) &&
      (await may({ action: 'retry' })) &&
      (await again(core, who, job, grant, signal)),
    delete: isAlone && (await may({ action: 'delete' })),
  }
}

// Which of its commands a chart takes tells where it stands: to whom that is hidden, all are named.
function commandsTaken(
  core: Core,
  known: AnyJobType | undefined,
  type: AnyJobType | undefined,
  job: Job,
  { hidden }: Grant,
): readonly string[] {
  if (known === undefined || type === undefined || hidden.has('type')) return []
  const names = Object.keys(type.commands)
  if (hidden.has('status')) return names
  const now = moment(core)
  return names.filter((name) => takes(known, job, name, now))
}

function isRetried({ phase }: Job, known: AnyJobType | undefined, grant: Grant): boolean {
  return known !== undefined && (phase === 'settled' || grant.hidden.has('status'))
}

// Another try is a job of who asks for it.
async function again(
  core: Core,
  who: Principal,
  job: Job,
  grant: Grant,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (await copiesHidden(core, who, job, grant)) return false
  const { tenant, type, labels, pipeline } = job
  const target = { tenant, createdBy: who.id, labels, type, ...(pipeline === undefined ? {} : { pipeline }) }
  return await maySubmit(core, who, target, signal)
}
