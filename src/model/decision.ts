/**
 * What a change makes of a job, as data: the next record, what happened, what is to be done after the commit.
 *
 * Each function here is pure: the same job, event and moment give the same decision. None knows a clock, a store or a
 * promise. Whoever commits the decision decides whether it took place.
 */
import type { AnyJobType } from './definition.ts'
import { type Decision, Draft, errorEvent, type Moment, offered, settingsOf } from './draft.ts'
import type { Job, Trigger } from './job.ts'
import type { Json } from './storable.ts'
import type { TaskSettings } from './task.ts'
import type { ChartEvent } from './transition.ts'

export type { Decision, Moment } from './draft.ts'

/** How the code of an attempt ended. */
export type TaskEnd = { readonly ok: true; readonly output?: Json } | { readonly ok: false; readonly error: Json }

/** What a new job starts from. Its input is parsed and storable. */
export interface NewJob {
  readonly id: string
  readonly tenant: string
  readonly createdBy: string
  readonly trigger: Trigger
  readonly input?: Json
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  readonly priority: number
  readonly idempotencyKey?: string
}

/** Attempts lost in a row, without a further step recorded, before the task is given up as poison (I20). */
const CRASHES_MAX = 3

/** A new job: its first state, tasks and timers. */
export function create(type: AnyJobType, seed: NewJob, moment: Moment): Decision {
  const draft = new Draft({
    ...seed,
    type: type.type,
    version: type.version,
    state: {},
    context: {},
    status: '',
    phase: 'active',
    vacates: false,
    timers: [],
    tasks: [],
    counter: 0,
    createdAt: moment.at,
    updatedAt: moment.at,
    revision: 0,
    eventCount: 0,
  })
  const init = { type: 'xstate.init' }
  draft.apply(type, type.chart.start(type.chartTakesInput ? seed.input : undefined), init, moment)
  return draft.decision()
}

/** The job after an event for its chart: a command, or a timer's. */
export function send(type: AnyJobType, job: Job, event: ChartEvent, moment: Moment): Decision {
  const draft = new Draft(job)
  draft.send(type, event, moment)
  return draft.decision()
}

/** The job with one of its offered tasks claimed and started by `holder`. The attempt is counted here (I20). */
export function claim(type: AnyJobType, job: Job, entry: number, holder: string, moment: Moment): Decision {
  const draft = new Draft(job)
  const task = draft.task(entry)
  if (task === undefined || task.status !== 'offered') return draft.decision()
  const counter = job.counter + 1
  const attempt = task.attempt + 1
  draft.job.counter = counter
  draft.put({ ...task, status: 'held', token: counter, holder, attempt, claims: task.claims + 1 })
  draft.job.startedAt ??= draft.time(moment)
  draft.touch(moment)
  draft.events.push({ type: 'task.started', task: task.id, attempt })
  draft.sendNamed(type, { type: 'task.claimed', agent: holder }, moment)
  draft.sendNamed(type, { type: 'task.started' }, moment)
  return draft.decision()
}

/** The job after the attempt under `token` ended, or undefined: the token is no longer good. */
export function end(type: AnyJobType, job: Job, token: number, result: TaskEnd, moment: Moment): Decision | undefined {
  const task = job.tasks.find((each) => each.token === token && each.status !== 'offered')
  if (task === undefined) return undefined
  const draft = new Draft(job)
  draft.touch(moment)
  if (task.status === 'stopping') {
    draft.remove(task)
    draft.events.push({ type: 'task.stopped', task: task.id })
  } else if (result.ok) {
    draft.remove(task)
    draft.send(type, doneEvent(task.id, result.output), moment)
  } else {
    draft.fail(type, task, result.error, moment)
  }
  return draft.decision()
}

/** How an attempt was lost. */
export interface Loss {
  readonly entry: number
  readonly reason: string
  /** Steps recorded under the entry by now. */
  readonly steps: number
}

/** The job after the process of one of its tasks died. */
export function lose(type: AnyJobType, job: Job, { entry, reason, steps }: Loss, moment: Moment): Decision {
  const draft = new Draft(job)
  const task = draft.task(entry)
  if (task === undefined || task.status === 'offered') return draft.decision()
  draft.touch(moment)
  if (task.status === 'stopping') {
    draft.remove(task)
    draft.events.push({ type: 'task.stopped', task: task.id })
    return draft.decision()
  }
  // Work that gets further each time is not what takes its process down.
  const crashes = steps > task.steps ? 1 : task.crashes + 1
  draft.put(offered(task, { crashes, steps, losses: task.losses + 1, availableAt: draft.time(moment) }))
  draft.events.push({ type: 'task.lost', task: task.id, attempt: task.attempt, reason })
  draft.sendNamed(type, { type: 'task.lost', reason }, moment)
  const left = draft.task(entry)
  const error = left === undefined ? undefined : lossError(settingsOf(type, left), crashes, reason)
  if (left === undefined || error === undefined) return draft.decision()
  draft.remove(left)
  draft.send(type, errorEvent(left.id, error), moment)
  return draft.decision()
}

/** The job with an attempt given back by an engine that stops: offered again, and not counted (I45). */
export function release(job: Job, token: number, moment: Moment): Decision {
  const draft = new Draft(job)
  const task = job.tasks.find((each) => each.token === token && each.status === 'held')
  if (task === undefined) return draft.decision()
  draft.touch(moment)
  draft.put(offered(task, { attempt: task.attempt - 1, availableAt: draft.time(moment) }))
  draft.events.push({ type: 'task.released', task: task.id })
  return draft.decision()
}

/** The job after whatever fell due by now: timers in the order of their times, then stopping tasks past their grace. */
export function due(type: AnyJobType, job: Job, moment: Moment): Decision {
  const draft = new Draft(job)
  for (;;) {
    const [timer] = draft.job.timers.filter(({ dueAt }) => dueAt <= moment.at).sort((a, b) => a.dueAt - b.dueAt)
    if (timer === undefined) break
    draft.touch(moment)
    draft.job.timers = draft.job.timers.filter(({ id }) => id !== timer.id)
    draft.send(type, timer.event, moment)
  }
  for (const task of draft.job.tasks) {
    if (task.stopBy === undefined || task.stopBy > moment.at) continue
    draft.touch(moment)
    draft.remove(task)
    draft.events.push({ type: 'task.leaked', task: task.id })
  }
  return draft.decision()
}

function doneEvent(id: string, output: Json | undefined): ChartEvent {
  return { type: `xstate.done.actor.${id}`, output, actorId: id }
}

function lossError(settings: TaskSettings, crashes: number, reason: string): Json | undefined {
  if (settings.recovery === 'fail') {
    return { name: 'JobchartError', code: 'TASK_LOST', message: `the process of the attempt was lost: ${reason}` }
  }
  if (crashes < CRASHES_MAX) return undefined
  const message = `${crashes} attempts in a row were lost with their process; the last: ${reason}`
  return { name: 'JobchartError', code: 'POISON', message }
}
