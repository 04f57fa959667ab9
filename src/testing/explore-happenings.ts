import { holderOf } from '../model/agent.ts'
import type { BatchCounts } from '../model/batch-piece.ts'
import {
  claim,
  type Decision,
  type DecisionContext,
  due,
  end,
  lose,
  release,
  report,
  send,
  started,
} from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import type { Job, Timer } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Examples } from './explore-examples.ts'

/** Something that can happen to a job, e.g. a command or the end of a task. */
export interface Happening {
  /** The types of the events by which the chart learns of it. Other events of the decision are only consequences. */
  readonly says: readonly string[]
  /** The name of the command, if this is one. */
  readonly command?: string
  readonly decide: () => Decision | undefined
}

/** The context of all decisions. Time stands still at 0, so a timer's due time equals its delay. */
export const NOW: DecisionContext = { at: 0, random: 0, heartbeatMs: 0 }

const BEFORE = -1

const ENGINE = { holder: 'explorer' }
const AGENT = { holder: holderOf({ tenant: 'default', id: 'explorer' }), agent: { id: 'explorer', name: 'explorer' } }

/**
 * Everything that can happen to a job next: commands, timers, and what its tasks and children send and how they end.
 */
export function happeningsOf(type: AnyJobType, job: Job, examples: Examples): readonly Happening[] {
  const commands = examples.commands.map((event) => ({
    says: [event.type],
    command: event.type,
    decide: () => send(type, job, event, NOW),
  }))
  const tasks = job.tasks.flatMap((task) => happeningsOfTask(type, job, task, examples))
  const timers = job.timers.filter((timer) => mayFire(job, timer)).map((timer) => firing(type, job, timer))
  return [...commands, ...tasks, ...timers]
}

function happeningsOfTask(type: AnyJobType, job: Job, task: Task, examples: Examples): readonly Happening[] {
  const { invocation, id, token, status } = task
  if (status === 'inline') return []
  // A program or an agent reports its start some time after the claim, so the start is an event of its own.
  const { program, isForAgents = false } = type.tasks.get(task.src) ?? {}
  const startsLater = program !== undefined || isForAgents
  if (status === 'available') {
    return [
      {
        says: startsLater ? ['task.claimed'] : ['task.claimed', 'task.started'],
        decide: () => claim(type, job, invocation, { ...(isForAgents ? AGENT : ENGINE), startsLater }, NOW),
      },
    ]
  }
  const begun = { says: ['task.started'], decide: () => started(type, job, token, undefined, NOW) }
  const done = examples.outputs(task).map((output) => {
    const result = { ok: true as const, ...(output === undefined ? {} : { output }) }
    return { says: [`xstate.done.actor.${id}`], decide: () => unlessRefused(task, end(type, job, token, result, NOW)) }
  })
  const failed = examples.errors(task).map((error) => {
    const last = withLastAttempt(type, job, task)
    return { says: [`xstate.error.actor.${id}`], decide: () => end(type, last, token, { ok: false, error }, NOW) }
  })
  const sent = examples.sent(task).map((event) => ({
    says: [event.type],
    decide: () => unlessRefused(task, report(type, job, token, { kind: 'event', event }, NOW)),
  }))
  return [
    ...(startsLater && status === 'claimed' ? [begun] : []),
    ...done,
    ...failed,
    ...sent,
    ...(status === 'claimed' ? counted(type, job, task, examples) : []),
    ...(status === 'claimed' && !isChild(type, task) ? interrupted(type, job, task) : []),
  ]
}

/** The counts of a batch, which a chart hears of if it names `task.progress`. */
function counted(type: AnyJobType, job: Job, task: Task, examples: Examples): readonly Happening[] {
  if (type.tasks.get(task.src)?.batch === undefined || !type.chart.isNamed('task.progress')) return []
  return examples.outputs(task).map((counts) => ({
    says: ['task.progress'],
    // The cast is safe: the output of a batch is its counts.
    decide: () => report(type, job, task.token, { kind: 'counts', counts: counts as unknown as BatchCounts }, NOW),
  }))
}

// A report of an agent that the chart does not take is refused, and changes nothing.
function unlessRefused({ queue }: Task, decision: Decision | undefined): Decision | undefined {
  return queue === undefined || decision?.handled !== false ? decision : undefined
}

/** How a task can be interrupted: its process dies, or its engine stops and gives the task back. */
function interrupted(type: AnyJobType, job: Job, { invocation, id, token }: Task): readonly Happening[] {
  const loss = { invocation, reason: 'an example of a loss', steps: 0 }
  return [
    { says: ['task.lost', `xstate.error.actor.${id}`], decide: () => lose(type, job, loss, NOW) },
    { says: ['task.released'], decide: () => release(type, job, token, NOW) },
  ]
}

/**
 * The job with the task in its last attempt. Before that, a failure leads to a retry, and the chart does not hear of
 * it.
 */
function withLastAttempt(type: AnyJobType, job: Job, task: Task): Job {
  const attempt = (type.tasks.get(task.src)?.retry.limit ?? 0) + 1
  return { ...job, tasks: job.tasks.map((each) => (each === task ? { ...each, attempt } : each)) }
}

/** Whether the task stands for a child job. In the walk, such a task is not claimed by an executor. */
export function isChild(type: AnyJobType, { src }: Task): boolean {
  return type.tasks.get(src)?.kind === 'machine'
}

/**
 * Whether the timer can be the next one to fire. If another timer was set earlier or at the same time, and its delay is
 * shorter or equal, that one fires first. Otherwise any order is possible, because any time may have passed between the
 * starts of two timers.
 */
function mayFire({ timers }: Job, timer: Timer): boolean {
  return !timers.slice(0, timers.indexOf(timer)).some(({ dueAt }) => dueAt <= timer.dueAt)
}

function firing(type: AnyJobType, job: Job, timer: Timer): Happening {
  const timers = job.timers.map((each) => (each === timer ? { ...each, dueAt: BEFORE } : each))
  const decide = () => {
    const decision = due(type, { ...job, timers }, { ...NOW, at: BEFORE })
    return { ...decision, job: { ...decision.job, timers: decision.job.timers.map(setNow) } }
  }
  // The decision is made at the time `BEFORE`, so a new timer is due at `BEFORE` plus its delay. This sets its due time
  // to its delay again.
  const setNow = (each: Timer) => (timers.includes(each) ? each : { ...each, dueAt: each.dueAt - BEFORE })
  return { says: [timer.event.type], decide }
}
