import { describe, expect, test } from 'vitest'
import { assign, sendTo } from 'xstate'
import { claim, due, end, lose, release, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, isBusy, wakeAt } from '../../src/model/job.ts'
import { isToldToStop, stopping, stopReasonOf } from '../../src/model/stop.ts'
import { task } from '../../src/model/task.ts'
import {
  cancelled,
  claimed,
  contextAt,
  created,
  ended,
  GRACE,
  HEARTBEAT,
  lost,
  machineType,
  sent,
  taskOf,
} from './one-job.ts'

const slow = defineJob({ type: 'slow', timeout: '10s', execute: () => 1 })
const tried = defineJob({ type: 'tried', timeout: '10s', retry: { limit: 1, backoff: '20s' }, execute: () => 1 })

const failed = { ok: false, error: { name: 'Error', message: 'broken' } } as const

describe('a timeout', () => {
  test('bounds an attempt from its claim, and wakes the job', () => {
    expect(taskOf(created(slow))).not.toHaveProperty('deadlineAt')
    const job = claimed(slow, created(slow), 2_000)
    expect(taskOf(job)).toMatchObject({ status: 'claimed', deadlineAt: 12_000 })
    expect(wakeAt(job)).toBe(12_000)
    expect(due(slow, job, contextAt(11_999)).changed).toBe(false)
  })

  test('without retries is the error of the task, while its code stops in its grace', () => {
    const { job, events } = due(slow, claimed(slow), contextAt(12_000))
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', error: { code: 'TIMEOUT' } })
    expect(events).toMatchObject([{ type: 'job.transitioned', from: 'running', to: 'failed' }])
    expect(taskOf(job)).toMatchObject({ status: 'stopping', stopBy: 12_000 + HEARTBEAT + GRACE })
    expect(stopReasonOf(taskOf(job))).toBe('timeout')
    expect(ended(slow, job, { ok: true, output: 5 }).job).toMatchObject({ status: 'failed', tasks: [] })
  })

  test('with retries left repeats the attempt when the old one has stopped, never beside it', () => {
    const { job, events } = due(tried, claimed(tried), contextAt(12_000, 0.5))
    expect(events).toMatchObject([{ type: 'task.retried', task: 'execute', attempt: 1, error: { code: 'TIMEOUT' } }])
    expect(job).toMatchObject({ status: 'running', phase: 'active' })
    expect(taskOf(job)).toMatchObject({ status: 'stopping', again: 22_000 })
    expect([claimableTasks(job), isBusy(job)]).toEqual([[], true])
    const stopped = ended(tried, job, { ok: true, output: 5 }, contextAt(13_000))
    expect(stopped).toMatchObject({ events: [{ type: 'task.stopped' }], job: { status: 'running' } })
    const [again] = claimableTasks(stopped.job)
    expect(again).toMatchObject({ status: 'available', availableAt: 22_000, attempt: 1, inbox: [] })
    expect(again).not.toHaveProperty('again')
    const second = claimed(tried, stopped.job, 22_000)
    expect(taskOf(second)).toMatchObject({ attempt: 2, deadlineAt: 32_000 })
    expect(due(tried, second, contextAt(32_000)).job).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } })
  })

  test('of an attempt that never stops abandons it at the end of its grace, and repeats it', () => {
    const { job } = due(tried, claimed(tried), contextAt(12_000))
    const abandoned = due(tried, job, contextAt(12_000 + HEARTBEAT + GRACE))
    expect(abandoned).toMatchObject({ events: [{ type: 'task.abandoned' }] })
    expect(taskOf(abandoned.job)).toMatchObject({ status: 'available' })
    expect(end(tried, abandoned.job, taskOf(job).token, { ok: true }, contextAt(30_000))).toBeUndefined()
  })

  test('of an attempt that stops with its process repeats it, and counts no crash', () => {
    const { job } = due(tried, claimed(tried), contextAt(12_000))
    const { job: after } = lose(tried, job, { invocation: 1, reason: 'died', steps: 0 }, contextAt(13_000))
    expect(taskOf(after)).toMatchObject({ status: 'available', crashes: 0, losses: 0 })
  })

  test('ends with its attempt: none remains when the attempt ended, was lost, or was given back', () => {
    const released = release(slow, claimed(slow), 2, contextAt(3_000)).job
    const retried = ended(tried, claimed(tried), failed).job
    for (const job of [released, retried, lost(slow, claimed(slow)).job]) {
      expect(taskOf(job)).not.toHaveProperty('deadlineAt')
      expect(wakeAt(job)).toBeUndefined()
    }
  })

  test('bounds an awaited attempt as well, which has no code here to stop', () => {
    const awaited = defineJob({ type: 'awaited', timeout: '10s', recovery: 'await', execute: () => 1 })
    const again = defineJob({ type: 'again', timeout: '10s', recovery: 'await', retry: { limit: 1 }, execute: () => 1 })
    const { job } = lost(awaited, claimed(awaited))
    expect(wakeAt(job)).toBe(12_000)
    expect(due(awaited, job, contextAt(12_000)).job).toMatchObject({ error: { code: 'TIMEOUT' }, tasks: [] })
    const available = due(again, lost(again, claimed(again)).job, contextAt(12_000)).job
    expect(taskOf(available)).toMatchObject({ status: 'available' })
  })

  test('is dropped if the chart leaves the invoke meanwhile: nothing is repeated, and a kill is sent', () => {
    const { job } = due(tried, claimed(tried), contextAt(12_000))
    const left = send(tried, job, { type: 'cancel' }, contextAt(13_000)).job
    expect(taskOf(left)).not.toHaveProperty('again')
    expect(taskOf(left)).toMatchObject({ status: 'stopping', stopBy: 13_000 + HEARTBEAT })
    expect(taskOf(left).inbox.at(-1)).toEqual({ type: 'task.kill', reason: 'left' })
    expect(ended(tried, left, failed, contextAt(14_000)).job).toMatchObject({ status: 'cancelled', tasks: [] })
  })

  test('counts like a timer: the one that fell due first is handled first', () => {
    const type = telling({ timeout: '10s' }, { after: { 9000: '#z' } })
    expect(due(type, claimed(type), contextAt(99_000)).job).toMatchObject({ status: 'z', outcome: 'success' })
  })
})

describe('a chart that stays in the invoke', () => {
  test('and sends task.stop gives its work a grace, and gets any end of it', () => {
    const type = telling({ retry: { limit: 5 } })
    const job = sent(type, claimed(type), 'STOP', 3_000)
    expect(taskOf(job)).toMatchObject({ status: 'claimed', stopBy: 3_000 + HEARTBEAT + GRACE })
    expect(stopReasonOf(taskOf(job))).toBe('told')
    expect(ended(type, job, { ok: true, output: 5 }, contextAt(4_000)).job).toMatchObject({ status: 'z' })
    const broken = ended(type, job, failed, contextAt(4_000))
    expect(broken.job).toMatchObject({ status: 'failed', context: { code: 'none' }, tasks: [] })
  })

  test('and sends task.kill, or a stop and then a kill, gives no grace', () => {
    const type = telling({})
    expect(taskOf(sent(type, claimed(type), 'KILL', 3_000))).toMatchObject({ stopBy: 3_000 + HEARTBEAT })
    const told = sent(type, sent(type, claimed(type), 'STOP', 3_000), 'KILL', 4_000)
    expect(taskOf(told)).toMatchObject({ stopBy: 4_000 + HEARTBEAT })
  })

  test('and sends a stop twice keeps the first grace', () => {
    const type = telling({})
    const told = sent(type, sent(type, claimed(type), 'STOP', 3_000), 'STOP', 6_000)
    expect(taskOf(told)).toMatchObject({ stopBy: 3_000 + HEARTBEAT + GRACE })
  })

  test('gets an error of work that does not stop in its grace', () => {
    const type = telling({})
    const job = sent(type, claimed(type), 'STOP', 3_000)
    const { events, ...abandoned } = due(type, job, contextAt(3_000 + HEARTBEAT + GRACE))
    expect(events[0]).toEqual({ type: 'task.abandoned', task: 'w' })
    expect(abandoned.job).toMatchObject({ status: 'failed', context: { code: 'TASK_STOPPED' }, tasks: [] })
    const patient = telling({ killGrace: 'never' })
    expect(wakeAt(sent(patient, claimed(patient), 'STOP', 3_000))).toBeUndefined()
  })

  test('gets an error of awaited work that does not stop in its grace, also if the stop came after its loss', () => {
    const type = telling({ recovery: 'await' })
    const after = sent(type, lost(type, claimed(type)).job, 'STOP', 4_000)
    const before = lost(type, sent(type, claimed(type), 'STOP', 3_000)).job
    for (const [job, told] of [
      [after, 4_000],
      [before, 3_000],
    ] as const) {
      expect(taskOf(job)).toMatchObject({ status: 'lost', stopBy: told + HEARTBEAT + GRACE })
      const given = due(type, job, contextAt(told + HEARTBEAT + GRACE)).job
      expect(given).toMatchObject({ status: 'failed', context: { code: 'TASK_STOPPED' }, tasks: [] })
    }
  })

  test('stops work that has not begun, and that never begins', () => {
    const type = telling({})
    const job = sent(type, created(type), 'STOP', 3_000)
    expect(job).toMatchObject({ status: 'failed', context: { code: 'TASK_STOPPED' }, tasks: [] })
  })

  test('stops an attempt that was only waiting for its retry', () => {
    const type = telling({ retry: { limit: 5 }, timeout: '1s' })
    const timedOut = due(type, claimed(type), contextAt(3_000)).job
    const job = sent(type, timedOut, 'STOP', 4_000)
    expect(job).toMatchObject({ status: 'failed', context: { code: 'TASK_STOPPED' } })
    expect(ended(type, job, failed, contextAt(5_000)).job.tasks).toEqual([])
  })

  test('and sends to its work while a timed-out attempt stops: the next attempt gets the message', () => {
    const type = telling({ retry: { limit: 5 }, timeout: '1s' })
    const timedOut = due(type, claimed(type), contextAt(3_000)).job
    const job = ended(type, sent(type, timedOut, 'DRAIN', 3_500), failed, contextAt(4_000)).job
    expect(taskOf(job)).toMatchObject({ status: 'available', inbox: [{ type: 'task.drain' }] })
  })

  test('gets TASK_LOST of work that was stopping and died, and is not retried', () => {
    const type = telling({})
    const { job } = lost(type, sent(type, claimed(type), 'STOP', 3_000))
    expect(job).toMatchObject({ status: 'failed', context: { code: 'TASK_LOST' }, tasks: [] })
  })

  test('gets the end of work that was stopping and was given back by its engine', () => {
    const type = telling({})
    const job = sent(type, claimed(type), 'STOP', 3_000)
    const { job: after, events } = release(type, job, taskOf(job).token, contextAt(4_000))
    expect(events[0]).toMatchObject({ type: 'task.released' })
    expect(after).toMatchObject({ status: 'failed', context: { code: 'TASK_STOPPED' }, tasks: [] })
  })

  test('and leaves it after a stop sends a kill', () => {
    const type = telling({})
    const left = sent(type, sent(type, claimed(type), 'STOP', 3_000), 'LEAVE', 4_000)
    expect(taskOf(left)).toMatchObject({ status: 'stopping', stopBy: 4_000 + HEARTBEAT })
    expect(taskOf(left).inbox).toEqual([{ type: 'task.stop' }, { type: 'task.kill', reason: 'left' }])
  })

  test('and asks to drain lets it continue, and retries it', () => {
    const type = telling({ retry: { limit: 1 } })
    const job = sent(type, claimed(type), 'DRAIN', 3_000)
    expect(isToldToStop(taskOf(job))).toBe(false)
    expect(wakeAt(job)).toBeUndefined()
    const again = claim(type, ended(type, job, failed, contextAt(4_000)).job, 1, { holder: 'me' }, contextAt(9_000)).job
    expect(taskOf(again)).toMatchObject({ attempt: 2, inbox: [{ type: 'task.drain' }] })
  })
})

test('work that is left is abandoned at the end of its grace, or never', () => {
  const { job } = cancelled(slow)
  const patient = defineJob({ type: 'patient', killGrace: 'never', execute: () => 1 })
  expect(taskOf(job)).toMatchObject({ status: 'stopping', stopBy: 3_000 + HEARTBEAT + GRACE })
  expect(taskOf(job)).not.toHaveProperty('deadlineAt')
  expect(stopReasonOf(taskOf(job))).toBe('left')
  expect(stopping(patient, taskOf(claimed(patient)), 9_000, 'left')).not.toHaveProperty('stopBy')
})

interface Failure {
  readonly event: { readonly error: { readonly code?: string } }
}

/** A chart that stays in its invoke while it sends to it. */
function telling(options: Parameters<typeof task>[0], more: object = {}): AnyJobType {
  const note = assign(({ event }: Failure) => ({ code: event.error.code ?? 'none' })) as never
  const tell = (type: string) => ({ actions: sendTo('w', { type }) })
  const work = task(options, async () => {})
  return machineType(
    {
      initial: 'a',
      context: {},
      states: {
        a: {
          invoke: { id: 'w', src: work, onDone: 'z', onError: { target: 'failed', actions: note } },
          on: { STOP: tell('task.stop'), KILL: tell('task.kill'), DRAIN: tell('task.drain'), LEAVE: 'b' },
          ...more,
        },
        b: {},
        z: { id: 'z', type: 'final' },
        failed: { type: 'final', tags: 'failure' },
      },
    },
    {},
  )
}
