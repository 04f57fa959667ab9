/**
 * The path of every change to every job:
 *
 * ```
 *  load ─ authorize ─ decide (pure) ─ commit (compare-and-set) ─ publish ─ dispatch
 *   ▲                                   │
 *   └────────────── conflict ───────────┘
 * ```
 *
 * A conflict goes back to load, so that the policy is asked again about the job as it is now. Nothing is published or
 * dispatched that was not committed.
 */
import { claim, type Decision, type Moment } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError, jobNotFound } from '../model/error.ts'
import { type Actor, type EventDraft, eventRow } from '../model/event.ts'
import { claimableTasks, type Job, wakeAt } from '../model/job.ts'
import type { JobWrite, UnitResult, Write } from '../port/storage.ts'
import { type Core, ENGINE } from './core.ts'

/** One change to one job. */
export interface Change {
  readonly jobId: string
  readonly by: Actor
  /** The job as last seen; it saves a read, and a conflict tells if it is old. */
  readonly known?: Job
  /** Throws if it may not be. */
  readonly authorize?: (job: Job) => Promise<void>
  /** Throws a typed refusal, or decides. */
  readonly decide: (type: AnyJobType, job: Job, moment: Moment) => Decision
  /** Reports of the attempt that go into the same unit. */
  readonly notes?: readonly Write[]
  /** The attempt that ends recorded no step, so there is none to remove. */
  readonly withoutSteps?: boolean
}

/** Takes a change along the whole path. */
export async function advance(core: Core, change: Change): Promise<Job> {
  for (let { known } = change; ; known = undefined) {
    const job = known ?? (await load(core, change.jobId))
    await change.authorize?.(job)
    const decision = change.decide(core.types.require(job), job, moment(core))
    if (!decision.changed) {
      runEffects(decision)
      return job
    }
    const result = await land(core, { before: job, decision, change })
    if (result !== 'conflict') return result
  }
}

/** A decision on its way to the store. */
export interface Landing {
  /** The job that it was made from; absent for a new one. */
  readonly before?: Job
  readonly decision: Decision
  readonly change: Pick<Change, 'by' | 'notes' | 'withoutSteps'>
}

/**
 * Commits a decision, then publishes and dispatches what was committed.
 *
 * @throws {JobchartError} the store's refusal as its code.
 */
export async function land(core: Core, landing: Landing): Promise<Job | 'conflict'> {
  const { before, decision, change } = landing
  const waiting: JobWrite = { job: decision.job, events: rowOf(change.by, decision.job, decision) }
  const claimed = claimAtOnce(core, change.by, decision)
  const write = { ...waiting, ...(claimed === undefined ? {} : { claimed: claimed.write }) }
  const first: Write =
    before === undefined ? { op: 'insert', ...write } : { op: 'update', revision: before.revision, ...write }
  let result: UnitResult
  try {
    result = await core.group.commit([...(change.notes ?? []), first, ...sideWrites(core, landing)])
  } finally {
    claimed?.giveBackRoom()
  }
  if (result.status === 'conflict') return 'conflict'
  if (result.status !== 'applied') throw refusal(result)
  const committed = result.claimed && claimed !== undefined ? claimed.write : waiting
  core.publisher.publish(committed.events, result.sequences[0] ?? 0)
  runEffects(decision)
  dispatch(core, committed.job, result.claimed ? claimed?.entry : undefined)
  return committed.job
}

/** What the world looks like to a decision that is made now. */
export function moment(core: Core): Moment {
  const bytes = core.clock.randomBytes(4)
  const random = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
  return { at: core.clock.now(), random, heartbeatMs: core.settings.heartbeatMs }
}

/** Makes sure that what a committed job asks for happens: its work starts, stops, or is looked for at its time. */
export function dispatch(core: Core, job: Job, claimedEntry?: number): void {
  core.dispatcher.observe(job)
  if (claimedEntry !== undefined) core.dispatcher.start(job, claimedEntry)
  const wake = wakeAt(job)
  if (wake !== undefined) core.alarm.set(wake)
  for (const task of claimableTasks(job)) {
    if (task.availableAt <= core.clock.now()) core.dispatcher.claimSoon()
    else core.alarm.set(task.availableAt)
  }
}

async function load(core: Core, id: string): Promise<Job> {
  const job = await core.storage.get(id)
  if (job === undefined) throw jobNotFound(id)
  return job
}

function rowOf(by: Actor, job: Job, decision: Decision, more: readonly EventDraft[] = []) {
  return eventRow(job, by, [...decision.events, ...more], decision.inputs)
}

interface ClaimAtOnce {
  readonly entry: number
  readonly write: JobWrite
  readonly giveBackRoom: () => void
}

/** Where this engine has room, a job is written with its task already claimed: one commit instead of two. */
function claimAtOnce(core: Core, by: Actor, { job, ...decision }: Decision): ClaimAtOnce | undefined {
  const now = core.clock.now()
  const task = claimableTasks(job).find(({ availableAt }) => availableAt <= now)
  if (task === undefined || !core.dispatcher.reserve(task.executor)) return undefined
  const type = core.types.require(job)
  const claimed = claim(type, job, task.entry, core.instance, moment(core))
  const events = claimed.events.map((event) => ({ ...event, by: ENGINE }))
  const inputs = [...decision.inputs, ...claimed.inputs]
  return {
    entry: task.entry,
    write: { job: claimed.job, events: rowOf(by, claimed.job, { ...decision, job, inputs }, events) },
    giveBackRoom: () => core.dispatcher.giveBack(task.executor),
  }
}

function sideWrites(core: Core, { decision, change }: Landing): readonly Write[] {
  const { job, logs, over } = decision
  const writes: Write[] = change.withoutSteps ? [] : over.map((entry) => ({ op: 'forget', jobId: job.id, entry }))
  if (logs.length > 0) {
    const lines = logs.map((text) => ({ at: core.clock.now(), text }))
    writes.push({ op: 'log', jobId: job.id, key: `chart-${job.revision}`, lines })
  }
  return writes
}

function refusal(result: Exclude<UnitResult, { status: 'applied' | 'conflict' }>): JobchartError {
  switch (result.status) {
    case 'stale':
      return new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task; what it reports is not taken')
    case 'slot-taken':
      return new JobchartError(
        'ALREADY_RUNNING',
        'another job of this pipeline is running; it has to end first',
        result.by === undefined ? {} : { jobId: result.by },
      )
    case 'duplicate':
      return new JobchartError('INVALID_INPUT', 'the idempotency key was used before', { jobId: result.id })
  }
}

// The machine's own actions are best effort: one that throws harms neither the job nor the next action.
function runEffects({ effects }: Decision): void {
  for (const run of effects) {
    try {
      run()
    } catch {
      // A lasting effect belongs in an invoke, whose failure the chart hears of.
    }
  }
}
