/**
 * The reports of agents on the tasks that they hold.
 *
 * Each report is one changeset. It applies only if the agent's lease on the task has not ended: the storage checks that
 * in the transaction that writes. So a late report changes nothing, and fails with `STALE_CLAIM`.
 */

import { parseWith } from '../context/parse-with.ts'
import { type AgentKey, agentOf } from '../model/agent.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import { batchProgress, isDrained, NO_BATCH_CODE } from '../model/batch-record.ts'
import { type Decision, type DecisionContext, end, release, report, started } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { isUnreadable, JobchartError } from '../model/error.ts'
import { type Actor, progressRow } from '../model/event.ts'
import { exitEnd } from '../model/exit.ts'
import { type ItemReport, parseItem } from '../model/item.ts'
import type { Job } from '../model/job.ts'
import { type ProgressReport, readProgress } from '../model/progress.ts'
import { settingsOf } from '../model/record.ts'
import { stepAddress } from '../model/step-key.ts'
import { isStop, isToldToEnd, stopReasonOf } from '../model/stop.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import { countsOf, type Task } from '../model/task.ts'
import { isRunning } from '../model/task-record.ts'
import type { AgentLine, ClaimAnswer, ClaimKey, HeldClaim } from '../port/agent.ts'
import type { TaskMessage } from '../port/executor.ts'
import type { Note, Write } from '../port/storage.ts'
import type { Core } from './core.ts'
import { checkedReport, ITEMS_MAX, lineOf } from './reports.ts'
import type { Change } from './tick.ts'
import type { WorkingSet } from './working-set.ts'

/** Who reports, and on which claim. */
export interface Reporting {
  readonly core: Core
  readonly agent: AgentKey
  readonly claim: ClaimKey
}

/** A task that an agent holds, as it was read last. */
export interface Held {
  readonly job: Job
  readonly task: Task
  readonly type: AnyJobType
}

/** Reports that the code runs now. A second report changes nothing. */
export async function reportStart(reporting: Reporting): Promise<void> {
  await decided(reporting, (job, type, context, jobs) => {
    return started(type, job, reporting.claim.token, true, context, jobs)
  })
}

/** Stores and publishes the job's progress. Ignored for a batch, whose progress is the counts of its items. */
export async function reportProgress(reporting: Reporting, told: ProgressReport | number): Promise<void> {
  const { job, task, type } = await heldBy(reporting)
  if (settingsOf(type, task).batch !== undefined) return
  const before = job.progress?.token === task.token ? countsOf(job.progress) : undefined
  const { progress, warning } = readProgress(told, before)
  if (progress === undefined) throw new JobchartError('INVALID_INPUT', warning ?? 'progress should have a number')
  const at = reporting.core.clock.now()
  const stamped = { ...progress, at, token: task.token }
  await noted(
    reporting,
    { kind: 'progress', progress: stamped },
    { op: 'append', events: progressRow(job, actorOf(reporting.agent), progress, at) },
  )
  reporting.core.dispatcher.progressed(job.id, stamped)
}

/** Adds lines to the job's log. Lines with the number of an earlier call are not added again. */
export async function reportLines(reporting: Reporting, lines: readonly AgentLine[], number?: number): Promise<void> {
  const { core, claim } = reporting
  if (lines.length === 0) return
  const at = core.clock.now()
  const id = number ?? Buffer.from(core.clock.randomBytes(9)).toString('base64url')
  const key = `${claim.token}.${id}`
  await noted(reporting, { kind: 'log', key, lines: lines.map(({ text, stream }) => lineOf(text, at, stream)) })
  core.publisher.logged(claim.job)
}

/** Records an item. */
export async function reportItem(reporting: Reporting, key: string, told: ItemReport = {}): Promise<void> {
  const { task } = await heldBy(reporting)
  const item = parseItem(key, told, reporting.core.clock.now())
  await noted(reporting, { kind: 'item', invocation: task.invocation, item, max: ITEMS_MAX })
}

/** Records the result of a step. */
export async function reportStep(reporting: Reporting, name: string, result: Json | undefined): Promise<void> {
  const { job, task } = await heldBy(reporting)
  const kept = result === undefined ? {} : { result: storableCopy(result, `result of step "${name}"`, true) }
  await noted(reporting, { kind: 'step', invoke: stepAddress(job, task), ordinal: task.ordinal, name, ...kept })
}

/** Sends an event to the job's chart. */
export async function reportEvent(reporting: Reporting, event: TaskMessage): Promise<void> {
  const { task, type } = await heldBy(reporting)
  // The cast is safe: a report of an event is an event.
  const said = checkedReport(type, settingsOf(type, task), { kind: 'event', event: event as never })
  await decided(reporting, (job, known, context, jobs) => {
    const decision = report(known, job, reporting.claim.token, said, context, jobs)
    if (decision?.handled === false) throw notTaken(job, `the event "${event.type}"`)
    return decision
  })
}

/** Writes that are committed with the end of an attempt, before it. */
type LastWrites = readonly Write[]

/** Ends the task with an output. */
export async function reportDone(reporting: Reporting, output: Json | undefined, last: LastWrites): Promise<void> {
  await ended(reporting, { ok: true, ...(await outputOf(reporting, output)) }, last)
}

async function outputOf(reporting: Reporting, output: Json | undefined): Promise<{ readonly output?: Json }> {
  const { job, task, type } = await heldBy(reporting)
  const { output: schema, batch } = settingsOf(type, task)
  try {
    // Nobody waits for the counts of a task that was told to stop.
    if (batch !== undefined && task.status === 'claimed' && batchProgress(job, task).isOver !== true) {
      throw new JobchartError('INVALID_STATE', NO_BATCH_CODE, { jobId: job.id })
    }
    const parsed = schema === undefined ? output : await parseWith(schema, output, 'output')
    return parsed === undefined ? {} : { output: storableCopy(parsed, 'output', true) }
  } catch (error) {
    await checkLease(reporting)
    throw error
  }
}

/** Ends the attempt with an error. */
export async function reportFailure(
  reporting: Reporting,
  error: Json,
  isFinal: boolean,
  last: LastWrites,
): Promise<void> {
  const copy = storableCopy(error, 'error', true)
  await ended(reporting, { ok: false, error: copy, ...(isFinal ? { isFinal } : {}) }, last)
}

/** Ends the task with the exit code of a program. */
export async function reportExit(reporting: Reporting, exitCode: number, message = ''): Promise<void> {
  const exit = exitEnd({ exitCode, stderr: message })
  // The task may have a schema that an exit does not fit.
  await ended(reporting, exit.ok ? { ...exit, ...(await outputOf(reporting, exit.output)) } : exit)
}

const GIVEN_BACK = 'its agent gave it back'

/** Gives the task back. */
export async function giveBack(reporting: Reporting, last: LastWrites = []): Promise<void> {
  const { token } = reporting.claim
  const decide: Deciding = (job, type, context, jobs) => {
    const task = job.tasks.find((each) => each.token === token)
    // A task that the chart has left ends with its code, and is not given back.
    if (task?.status === 'stopping') return end(type, job, token, { ok: true }, context, jobs)
    return release(type, job, token, context, jobs, GIVEN_BACK)
  }
  await decided(reporting, decide, last)
}

async function ended(reporting: Reporting, result: TaskEnd, last?: LastWrites): Promise<void> {
  const decide: Deciding = (job, type, context, jobs) => {
    const decision = end(type, job, reporting.claim.token, result, context, jobs)
    if (decision?.handled === false) throw notTaken(job, 'the end of this task')
    return decision
  }
  await decided(reporting, decide, last)
}

function notTaken({ id, status }: Job, what: string): JobchartError {
  return new JobchartError('INVALID_STATE', `the job is ${status} and does not take ${what} now`, { jobId: id })
}

/**
 * Renews a lease, and returns what the agent must do with the claim.
 *
 * @param leaseMs  how long the lease lasts from now.
 */
export async function renew(reporting: Reporting, leaseMs: number): Promise<void> {
  const at = reporting.core.clock.steady()
  await reporting.core.ticks.submit({
    by: actorOf(reporting.agent),
    writes: [leaseWrite(reporting, at + leaseMs)],
  })
}

/** What the agent must do with a claim, as the job's row says. */
export function answerOf(agent: AgentKey, job: Job | undefined, { messages = 0, ...claim }: HeldClaim): ClaimAnswer {
  const task = job === undefined ? undefined : taskOf(agent, job, claim.token)
  const key = { job: claim.job, token: claim.token }
  if (task === undefined) return goneAnswer(key)
  const sent = task.inbox.filter((message) => !isStop(message)).slice(messages) as unknown as TaskMessage[]
  const reason = stopReasonOf(task)
  const drained = isDrained(task) ? { draining: true as const } : {}
  if (reason === undefined && task.status === 'claimed') return { ...key, state: 'held', ...drained, messages: sent }
  const why =
    reason === 'timeout'
      ? ({ code: 'TIMEOUT', message: 'the attempt took longer than its timeout' } as const)
      : ({ code: 'TASK_STOPPED', message: 'the job no longer wants this work' } as const)
  return { ...key, state: isToldToEnd(task) ? 'killing' : 'stopping', reason: why, ...drained, messages: sent }
}

/** The answer for a claim that is no longer valid. */
export function goneAnswer(claim: ClaimKey): ClaimAnswer {
  const reason = { code: 'STALE_CLAIM', message: 'the agent no longer holds this task' } as const
  return { ...claim, state: 'gone', reason, messages: [] }
}

// The task that the agent holds under this token. `undefined`: it holds none.
function taskOf({ tenant, id }: AgentKey, { tasks }: Job, token: number): Task | undefined {
  return tasks.find((task) => {
    if (task.token !== token || task.holder === undefined || !isRunning(task)) return false
    const agent = agentOf(task.holder)
    return agent?.tenant === tenant && agent.id === id
  })
}

/**
 * Reads the job of a claim. An agent learns nothing of a job of which it holds no task.
 *
 * @throws {JobchartError} `STALE_CLAIM` the agent does not hold the task.
 */
export async function heldBy({ core, agent, claim }: Reporting): Promise<Held> {
  const job = await core.storage.get(claim.job).catch(withoutBroken)
  const task = job === undefined ? undefined : taskOf(agent, job, claim.token)
  if (job === undefined || task === undefined) throw stale()
  return { job, task, type: core.types.require(job) }
}

function withoutBroken(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}

type Deciding = (job: Job, type: AnyJobType, context: DecisionContext, jobs: WorkingSet) => Decision | undefined

async function decided(reporting: Reporting, decide: Deciding, last: LastWrites = []): Promise<void> {
  const { core, agent, claim } = reporting
  const change: Change = {
    by: actorOf(agent),
    jobs: [claim.job],
    isReadAnew: true,
    writes: [leaseWrite(reporting), ...last],
    decide: (jobs, context) => {
      const job = jobs.require(claim.job)
      if (taskOf(agent, job, claim.token) === undefined) throw stale()
      const decision = decide(job, jobs.typeOf(job), context, jobs)
      if (decision === undefined) throw stale()
      return decision
    },
  }
  try {
    await core.ticks.submit(change)
  } catch (error) {
    if (!(error instanceof JobchartError)) throw error
    if (error.code === 'JOB_NOT_FOUND') throw stale()
    if (error.code === 'INVALID_STATE') await checkLease(reporting)
    throw error
  }
}

// A refusal came before the storage could check the lease. If the lease has ended, that is the error.
async function checkLease(reporting: Reporting): Promise<void> {
  await reporting.core.ticks.submit({ by: actorOf(reporting.agent), writes: [leaseWrite(reporting)] })
}

async function noted(reporting: Reporting, note: Note, ...more: readonly Write[]): Promise<void> {
  const { core, agent, claim } = reporting
  const full = () => new JobchartError('PAYLOAD_TOO_LARGE', `a job has at most ${ITEMS_MAX} items`)
  const write: Write = { op: 'note', jobId: claim.job, token: claim.token, note }
  await core.ticks.submit({ by: actorOf(agent), writes: [leaseWrite(reporting), write, ...more], full })
}

/** Lets a changeset apply only if the agent has its lease. `until`: the new end of the lease. */
export function leaseWrite({ core, agent, claim }: Reporting, until?: number): Write {
  const { tenant, id } = agent
  const held = { op: 'lease', jobId: claim.job, token: claim.token, agent: { tenant, id } } as const
  return { ...held, at: core.clock.steady(), ...(until === undefined ? {} : { until }) }
}

/** The agent as the cause of an event. */
export function actorOf({ id }: AgentKey): Actor {
  return { kind: 'agent', id }
}

/** The error for a report of an agent that does not hold the task. */
export function stale(): JobchartError {
  return new JobchartError('STALE_CLAIM', 'this agent no longer holds the task, so its report was refused')
}
