import { type NewJob, send as sendEvent } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { JobchartError } from '../../model/error.ts'
import type { Actor } from '../../model/event.ts'
import type { Job, JobId, Overlap } from '../../model/job.ts'
import { typeWhenTouched } from '../../model/migration.ts'
import { canonicalText } from '../../model/storable.ts'
import type { ChartEvent } from '../../model/transition.ts'
import type { Principal, Target } from '../../port/policy.ts'
import { advance, type Change } from '../advance.ts'
import {
  allowed,
  authorizeJob,
  authorizeSubmit,
  commandOf,
  grantOfAnswer,
  reach,
  withoutHidden,
} from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { type Grant, WHOLE, withoutHiddenText } from '../grant.ts'
import { newId } from '../ids.ts'
import { submitOptionsSchema } from '../options.ts'
import { parseCommand, parseInput, parseWith } from '../parse.ts'
import { type JobView, viewOf } from '../view.ts'
import { type Arrival, insertRun } from './runs.ts'

/** What `submit` may be given beside the input. */
export interface SubmitOptions extends CallOptions {
  /** The pipeline that this is a run of: one of its jobs runs at a time. */
  readonly pipeline?: string
  /**
   * Where another run holds the pipeline's slot: `'reject'` (the default) refuses this one, `'queue'` lets it wait for its
   * turn, `'replace'` cancels the other, as `cancel` would, and takes its place once its work has stopped.
   */
  readonly overlap?: Overlap
  /** Not before this time: milliseconds UTC, ISO 8601, or a `Date`. Until then, and for its turn, it is `waiting`. */
  readonly startAt?: number | string | { readonly getTime: () => number }
  /** Higher goes first; a whole number, default 0. */
  readonly priority?: number
  /** Set once; policies and lists may read them. */
  readonly labels?: { readonly [name: string]: string }
  /** Repeating a submit with the same key and input gives the first one's job, as long as that job's row exists. */
  readonly idempotencyKey?: string
  /** For the engine's own session: whose job it is. */
  readonly tenant?: string
}

/** What `send` may be given. */
export interface SendOptions extends CallOptions {}

/** What `cancel` may be given. */
export interface CancelOptions extends CallOptions {
  /** Recorded in the history. */
  readonly reason?: string
  /** Further fields of the type's cancel command. */
  readonly [field: string]: unknown
}

/** Most submits name none. */
const NO_OPTIONS = submitOptionsSchema.parse({})

/** {@inheritDoc Session.submit} */
export async function submit(
  core: Core,
  who: Principal,
  asked: AnyJobType,
  input: unknown,
  { signal, ...options }: SubmitOptions = {},
): Promise<JobView> {
  signal?.throwIfAborted()
  const { pipeline, overlap, startAt, priority, labels, idempotencyKey, tenant } =
    Object.keys(options).length === 0
      ? { ...NO_OPTIONS, labels: {} }
      : await parseWith(submitOptionsSchema, options, 'options')
  const type = core.types.require(asked)
  const fixed = {
    tenant: (who.kind === 'system' ? tenant : undefined) ?? who.tenant,
    createdBy: who.id,
    labels,
    ...(pipeline === undefined ? {} : { pipeline }),
  }
  const target: Target = { ...fixed, type: type.type }
  const grant = await authorizeSubmit(core, who, target, signal)
  const parsed = await parseInput(type, input)
  const seed: NewJob = {
    ...fixed,
    id: newId(core),
    trigger: 'manual',
    priority,
    ...(parsed === undefined ? {} : { input: parsed }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(startAt === undefined ? {} : { startAt }),
  }
  signal?.throwIfAborted()
  return await insertFirst(core, { who, by: actorOf(who), type, seed, overlap }, grant)
}

/** {@inheritDoc Session.send} */
export async function send(
  core: Core,
  who: Principal,
  id: JobId,
  command: { readonly type: string; readonly [field: string]: unknown },
  { signal }: SendOptions = {},
): Promise<JobView> {
  const asked = commandIn(command)
  if (asked === undefined) {
    throw new JobchartError('INVALID_INPUT', 'a command should be an object with its name as type', {
      issues: [{ message: 'expected a name', path: ['type'] }],
    })
  }
  return await sendCommand(core, who, id, () => asked, signal)
}

// Looked at once: getters, and the traps of a proxy, are code of whoever asks.
function commandIn(command: unknown): ChartEvent | undefined {
  try {
    if (typeof command !== 'object' || command === null) return undefined
    const { type, ...fields }: { readonly type?: unknown } = command
    return typeof type === 'string' ? { ...fields, type } : undefined
  } catch {
    return undefined
  }
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
    throw new JobchartError('INVALID_STATE', `jobs of type "${type.type}" have no cancel command`, { jobId: id })
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
  signal?.throwIfAborted()
  let grant = WHOLE
  let asked: Target['command']
  let event: ChartEvent = { type: '' }
  const change: Change = {
    jobId: id,
    by: actorOf(who),
    // Policy is asked before anything is said of the job, its type's commands included.
    authorize: async () => {
      const reached = await reach(core, who, id, (head) => {
        asked = commandAsked(head === undefined ? undefined : core.types.of(head), commandFor)
        return { action: 'command', command: asked, signal }
      })
      grant = reached.grant
      return reached.head.status
    },
    prepare: async (stored) => {
      const type = typeWhenTouched(core.types.require(stored), stored)
      const command = commandAsked(type, commandFor)
      // Under the version that it is moved to, the command may be another's to send.
      if (!isSame(command, asked)) grant = await authorizeJob(core, who, stored, { action: 'command', command, signal })
      event = await parseCommand(type, commandFor(type))
      signal?.throwIfAborted()
    },
    decide: (type, stored, at, relatives) => {
      if (stored.phase === 'settled') throw settled(stored)
      const decision = sendEvent(type, stored, event, at, relatives)
      if (decision.handled) return decision
      const where = `the job is ${stored.status}, where "${event.type}" is not taken`
      throw new JobchartError('INVALID_STATE', where, { jobId: id })
    },
  }
  try {
    const job = await advance(core, change)
    return viewOf(job, await grantOfAnswer(core, who, job, grant))
  } catch (error) {
    throw withoutHiddenText(await withoutHidden(core, who, error), grant)
  }
}

type CommandFor = (type: AnyJobType) => ChartEvent

// That a type has no cancel command is told only to who may see the job.
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

function isSame(a: Target['command'], b: Target['command']): boolean {
  return canonicalText(a) === canonicalText(b)
}

function settled(job: Job): JobchartError {
  const how = `the job ended as ${job.status}; nothing moves it any more`
  return new JobchartError('ALREADY_SETTLED', how, { jobId: job.id })
}

/** Stores a run; where its idempotency key was used before for the same input, shows that job. */
export async function insertFirst(core: Core, arrival: Arrival, grant: Grant): Promise<JobView> {
  const { who, seed } = arrival
  try {
    return viewOf(await insertRun(core, arrival), grant)
  } catch (error) {
    const first = await firstOfKey(core, seed, error)
    if (first === undefined) throw error
    // As a look at it would show it; where that is nothing, that it is there.
    if (canonicalText(first.input) === canonicalText(seed.input)) {
      return viewOf(first, await grantOfAnswer(core, who, first, grant))
    }
    throw keyUsed((await allowed(core, who, first, { action: 'get' })) === undefined ? undefined : first.id)
  }
}

/** The job that used the idempotency key before; undefined: something else is wrong. */
async function firstOfKey(core: Core, seed: NewJob, error: unknown): Promise<Job | undefined> {
  if (seed.idempotencyKey === undefined || !(error instanceof JobchartError) || error.code !== 'INVALID_INPUT') return
  const first = error.jobId === undefined ? undefined : await core.storage.get(error.jobId)
  return first?.idempotencyKey === seed.idempotencyKey ? first : undefined
}

// The job is named only to who may see it.
function keyUsed(jobId: string | undefined): JobchartError {
  return new JobchartError('INVALID_INPUT', 'the idempotency key was used before with another input', {
    issues: [{ message: 'used before with another input', path: ['idempotencyKey'] }],
    ...(jobId === undefined ? {} : { jobId }),
  })
}

/** A principal, as the cause of an event. */
function actorOf({ kind, id }: Principal): Actor {
  return { kind, id }
}
