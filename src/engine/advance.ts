/**
 * The path of every change to every job:
 *
 * ```
 *  authorize ─ load ─ decide (pure) ─ commit (compare-and-set) ─ publish ─ dispatch
 *   ▲                                   │
 *   └────────────── conflict ───────────┘
 * ```
 *
 * A conflict goes back to the policy, which is asked again about the job as it is now, by what it may know of it. Nothing is published or
 * dispatched that was not committed.
 */
import {
  claim,
  type Decision,
  type DecisionContext,
  isSuspect,
  type JobDecision,
  MissingJob,
  type Relatives,
  send,
} from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { type Actor, eventRow } from '../model/event.ts'
import { mayBeFollowed } from '../model/follow-up.ts'
import { claimableTasks, hadOneAttempt, type Job, wakeAt } from '../model/job.ts'
import type { PipelineChange } from '../model/pipeline.ts'
import { storableCopy } from '../model/storable.ts'
import type { ChartEvent } from '../model/transition.ts'
import type {
  ChangesetResult,
  ClaimedWrite,
  JobWrite,
  PipelineWrite,
  SideWrite,
  Write,
  WrittenRow,
} from '../port/storage.ts'
import { isNotWritten } from './commit.ts'
import { type Core, ENGINE } from './core.ts'
import { decideWith, load, moment } from './deciding.ts'
import { freesPlace, limitTaken } from './limits.ts'
import { asUnit } from './turns.ts'

/** One change to one job. */
export interface Change {
  readonly jobId: string
  readonly by: Actor
  /** The job as last seen; it saves a read, and a conflict tells if it is old. */
  readonly known?: Job
  /** Throws if it may not be, and gives the status by which the policy was asked. */
  readonly authorize?: () => Promise<string>
  /** What needs the job itself, before it is decided. */
  readonly prepare?: (job: Job) => Promise<void>
  /** Throws a typed refusal, or decides. */
  readonly decide: (type: AnyJobType, job: Job, moment: DecisionContext, relatives: Relatives) => Decision
  /** Reports of the attempt that go into the same unit. */
  readonly notes?: readonly Write[]
  /** The attempt that ends recorded no step, so there is none to remove. */
  readonly withoutSteps?: boolean
  /** Nor did it report progress, which is written beside the record. */
  readonly withoutProgress?: boolean
}

/** Takes a change along the whole path. */
export async function advance(core: Core, change: Change): Promise<Job> {
  for (let { known } = change; ; known = undefined) {
    const job = known ?? (await reached(core, change))
    if (job === undefined) continue
    await change.prepare?.(job)
    const type = core.types.require(job)
    const decision = await decideWith(core, (relatives) => change.decide(type, job, moment(core), relatives))
    if (!decision.changed) {
      runEffects(core, decision)
      return job
    }
    const result = await land(core, await asUnit(core, decision), change)
    if (result !== 'conflict') return result
  }
}

/** The job, once the policy was asked; undefined: it has moved in between, so that the policy is asked again. */
async function reached(core: Core, { jobId, by, authorize }: Change): Promise<Job | undefined> {
  const status = await authorize?.()
  const job = await load(core, jobId, by.kind)
  return status === undefined || job.status === status ? job : undefined
}

/**
 * Commits a decision, then publishes and dispatches what was committed: the job's own, and that of its relatives.
 *
 * @throws {JobchartError} the store's refusal as its code.
 */
export async function land(
  core: Core,
  decision: Decision,
  change: Pick<Change, 'by' | 'notes' | 'withoutSteps' | 'withoutProgress'> & { readonly queuedMax?: number },
): Promise<Job | 'conflict'> {
  // A relative may have changed and the job itself not: what was not changed is not written.
  const decided = [decision, ...decision.others].filter(({ before, job }) => job.revision !== before?.revision)
  const landings = decided.map((each) => landingOf(core, change.by, each, change.withoutSteps === true))
  let result: ChangesetResult
  try {
    const pipelines = (decision.pipelines ?? []).map(pipelineWrite)
    const writes = landings.map((each) => withBound(writeOf(each), each.decided === decision, change.queuedMax))
    result = await core.group.commit([...(change.notes ?? []), ...pipelines, ...writes])
  } catch (error) {
    // It may have landed after all: what it asked for is found by looking at the rows.
    if (!isNotWritten(error)) core.dispatcher.suspect()
    throw error
  } finally {
    for (const { claimed } of landings) claimed?.giveBackRoom()
  }
  if (result.status === 'conflict') return 'conflict'
  if (result.status === 'full' && change.queuedMax !== undefined) throw queueFull(decision.job, change.queuedMax)
  if (result.status !== 'applied') throw refusal(result)
  const written = change.withoutProgress === true && hadOneAttempt(decision.job) ? decision.job : undefined
  for (const { events, sequence } of result.rows) {
    core.publisher.publish(events, sequence, events.jobId === written?.id ? written : undefined)
  }
  for (const landing of landings) {
    runEffects(core, landing.decided)
    if (isClaimed(landing, result.rows)) landing.claimed?.runEffects()
  }
  for (const landing of landings) dispatchLanding(core, landing, result.rows)
  for (const { before, job } of decision.others) if (before === undefined) admitSoon(core, job)
  if (decided.some(freesPlace)) core.dispatcher.claimSoon()
  const own = landings.find((landing) => landing.decided === decision)
  return own === undefined ? decision.job : committedOf(own, result.rows).job
}

/** A decision of one job, on its way to the store. */
interface Landing {
  readonly decided: JobDecision
  readonly waiting: JobWrite
  readonly claimed: ClaimAtOnce | undefined
}

interface ClaimAtOnce {
  readonly invocation: number
  readonly write: ClaimedWrite
  readonly giveBackRoom: () => void
  readonly runEffects: () => void
}

function landingOf(core: Core, by: Actor, decided: JobDecision, withoutSteps: boolean): Landing {
  const { job, events, inputs } = decided
  return {
    decided,
    waiting: { job, events: eventRow(job, by, events, inputs), also: sideWrites(core, decided, withoutSteps) },
    claimed: claimAtOnce(core, by, decided, withoutSteps),
  }
}

/** Where this engine has room, a job is written with its task already claimed: one commit instead of two. */
function claimAtOnce(core: Core, by: Actor, decided: JobDecision, withoutSteps: boolean): ClaimAtOnce | undefined {
  const { type, job, events, inputs } = decided
  // The place of abandoned code is counted once this is committed: only then is it known whether there is room.
  if (events.some((event) => event.type === 'task.abandoned')) return undefined
  const now = core.clock.now()
  const task = claimableTasks(job).find((each) => each.availableAt <= now && !isSuspect(each))
  if (task === undefined || !core.dispatcher.reserve(task.executor)) return undefined
  const giveBackRoom = () => core.dispatcher.giveBack(task.executor)
  const claimed = claimAlone(() => claim(type, job, task.invocation, core.instance, moment(core)))
  if (claimed === undefined) {
    giveBackRoom()
    return undefined
  }
  const started = claimed.events.map((event) => ({ ...event, by: ENGINE }))
  const row = eventRow(claimed.job, by, [...events, ...started], [...inputs, ...claimed.inputs])
  const also = [...sideWrites(core, decided, withoutSteps), ...sideWrites(core, claimed)]
  return {
    invocation: task.invocation,
    write: { job: claimed.job, events: row, also, ...limitTaken(claimed) },
    giveBackRoom,
    runEffects: () => runEffects(core, claimed),
  }
}

/** A claim that touches the job alone; undefined where its chart sends to relatives on it, or where others follow it: that takes a unit. */
export function claimAlone(decide: () => Decision): Decision | undefined {
  try {
    const decision = decide()
    const { changed, others, type, before, job } = decision
    return changed && others.length === 0 && !mayBeFollowed(type, before, job) ? decision : undefined
  } catch (error) {
    if (error instanceof MissingJob) return undefined
    throw error
  }
}

function writeOf({ decided, waiting, claimed }: Landing): Write {
  const write = { ...waiting, ...(claimed === undefined ? {} : { claimed: claimed.write }) }
  const { before } = decided
  if (before === undefined) return { op: 'insert', ...write }
  return { op: 'update', revision: before.revision, ...write, ...limitTaken(decided) }
}

// Only what somebody asks for is refused: what follows a job, or belongs to one, is never lost.
function withBound(write: Write, isOwn: boolean, queuedMax: number | undefined): Write {
  return isOwn && write.op === 'insert' && queuedMax !== undefined ? { ...write, queuedMax } : write
}

function queueFull({ type }: Job, max: number): JobchartError {
  return new JobchartError(
    'QUEUE_FULL',
    `${max} jobs of type "${type}" have not begun, and no more are taken; try later`,
  )
}

/** What becomes of a pipeline's row; one that stays is only looked at. */
export function pipelineWrite(change: PipelineChange): PipelineWrite {
  const { before, after } = change
  const { tenant, id } = change.before ?? change.after
  const next = after === before ? {} : { after: after ?? null }
  return { op: 'pipeline', tenant, id, revision: before?.revision ?? 0, ...next }
}

/** What a decision writes beside the job's row. */
export function sideWrites(core: Core, { job, logs, over }: JobDecision, withoutSteps = false): readonly SideWrite[] {
  const forget: SideWrite[] = withoutSteps
    ? []
    : over.map((invocation) => ({ op: 'forget', jobId: job.id, invocation }))
  if (logs.length === 0) return forget
  const lines = logs.map((text) => ({ at: core.clock.now(), text }))
  return [...forget, { op: 'log', jobId: job.id, key: `chart-${job.revision}`, lines }]
}

function isClaimed({ decided }: Landing, rows: readonly WrittenRow[]): boolean {
  return rows.some((row) => row.claimed && row.events.jobId === decided.job.id)
}

function committedOf(landing: Landing, rows: readonly WrittenRow[]): JobWrite {
  const { waiting, claimed } = landing
  return claimed !== undefined && isClaimed(landing, rows) ? claimed.write : waiting
}

function dispatchLanding(core: Core, landing: Landing, rows: readonly WrittenRow[]): void {
  const committed = committedOf(landing, rows)
  const isClaimed = committed === landing.claimed?.write
  dispatch(core, committed.job, isClaimed ? landing.claimed?.invocation : undefined)
}

// A run that another's end asked for: its slot may be free now.
function admitSoon(core: Core, { phase, startAt }: Job): void {
  if (phase === 'waiting') core.alarm.set(startAt ?? core.clock.now())
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

// What an action sends by `self.send` comes when it comes, as the action itself: in a turn of its own, or a chart whose
// actions send without end would let nothing else of its process run.
async function tellJob(core: Core, jobId: string, event: ChartEvent): Promise<void> {
  const stored = storableCopy(event, 'event', true) as unknown as ChartEvent
  await new Promise<void>((resume) => core.clock.turn(resume))
  await advance(core, {
    jobId,
    by: ENGINE,
    decide: (type, job, at, relatives) => send(type, job, stored, at, relatives),
  })
}

function refusal(result: Exclude<ChangesetResult, { status: 'applied' | 'conflict' }>): JobchartError {
  switch (result.status) {
    case 'stale':
      return new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task; what it reports is not taken')
    case 'full':
      return new JobchartError('STALE_CLAIM', 'as many tasks of its limit key run as may; it waits for its place')
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

/** Runs the machine's own actions, best effort: one that throws, or rejects, harms neither the job nor the next action. */
export function runEffects(core: Core, { job, effects }: JobDecision): void {
  const sendToSelf = (event: ChartEvent) => void tellJob(core, job.id, event).catch(() => {})
  for (const run of effects) {
    try {
      Promise.resolve(run(sendToSelf)).catch(() => {})
    } catch {
      // A lasting effect belongs in an invoke, whose failure the chart hears of.
    }
  }
}
