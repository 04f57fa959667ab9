import { expect, test } from 'vitest'
import { claimableTasks, holdsSlot, isBusy, type Job, wakeAt } from '../../src/model/job.ts'
import type { Task } from '../../src/model/task.ts'

test('code may be running while a task is claimed or stopping, not while it is only available', () => {
  expect(isBusy(jobWith({ tasks: [] }))).toBe(false)
  expect(isBusy(jobWith({ tasks: [taskWith({ status: 'available' })] }))).toBe(false)
  expect(isBusy(jobWith({ tasks: [taskWith({ status: 'available' }), taskWith({ status: 'claimed' })] }))).toBe(true)
  expect(isBusy(jobWith({ tasks: [taskWith({ status: 'stopping' })] }))).toBe(true)
})

test.each([
  ['an active job', { phase: 'active' }, true],
  ['a job whose contact is lost', { phase: 'indeterminate' }, true],
  ['a job whose state vacates', { phase: 'active', vacates: true }, false],
  ['a job whose state vacates while its code runs', { vacates: true, tasks: [taskWith({ status: 'claimed' })] }, true],
  ['a settled job', { phase: 'settled' }, false],
  ['a settled job whose code has not stopped', { phase: 'settled', tasks: [taskWith({ status: 'stopping' })] }, true],
  ['a settled job whose last state vacates', { phase: 'settled', vacates: true }, false],
] as const)('whether %s holds its slot', (_, change, holds) => {
  expect(holdsSlot(jobWith({ pipeline: 'nightly', ...change }))).toBe(holds)
})

test('a job without a pipeline never holds a slot', () => {
  expect(holdsSlot(jobWith({ tasks: [taskWith({ status: 'claimed' })] }))).toBe(false)
})

test('a job wakes at the first of its timers and graces', () => {
  const timers = [300, 200].map((dueAt) => ({ id: `t${dueAt}`, event: { type: 'due' }, dueAt }))
  const tasks = [taskWith({ status: 'stopping', stopBy: 150 }), taskWith({ status: 'stopping' })]
  expect(wakeAt(jobWith({}))).toBeUndefined()
  expect(wakeAt(jobWith({ timers }))).toBe(200)
  expect(wakeAt(jobWith({ timers, tasks }))).toBe(150)
  expect(wakeAt(jobWith({ tasks }))).toBe(150)
})

test('a job does not wake for a task that is available later: the storage finds it by its route', () => {
  expect(wakeAt(jobWith({ tasks: [taskWith({ status: 'available', availableAt: 900 })] }))).toBeUndefined()
})

test('only available tasks are claimable, also those of a later time', () => {
  const available = taskWith({ id: 'a', invocation: 1, status: 'available', availableAt: 9_999 })
  const job = jobWith({ tasks: [available, taskWith({ id: 'b', invocation: 2, status: 'claimed' })] })
  expect(claimableTasks(job)).toEqual([available])
})

test('a stopping invocation blocks the next one of the same invoke, and no other', () => {
  const again = taskWith({ id: 'work', invocation: 3, status: 'available' })
  const other = taskWith({ id: 'else', invocation: 4, status: 'available' })
  const stopping = taskWith({ id: 'work', invocation: 1, status: 'stopping' })
  expect(claimableTasks(jobWith({ tasks: [stopping, again, other] }))).toEqual([other])
  expect(claimableTasks(jobWith({ tasks: [again, other, stopping] }))).toEqual([other])
  expect(claimableTasks(jobWith({ tasks: [again, other] }))).toEqual([again, other])
})

function jobWith(change: Partial<Job>): Job {
  return {
    id: 'j1',
    type: 'plain',
    version: '1',
    tenant: 'acme',
    createdBy: 'ada',
    trigger: 'manual',
    labels: {},
    state: 'running',
    context: {},
    status: 'running',
    phase: 'active',
    vacates: false,
    priority: 0,
    timers: [],
    tasks: [],
    counter: 0,
    createdAt: 0,
    updatedAt: 0,
    revision: 1,
    eventCount: 1,
    ...change,
  }
}

function taskWith(change: Partial<Task>): Task {
  return {
    id: 'work',
    invocation: 1,
    ordinal: 1,
    src: 'work',
    executor: 'default',
    status: 'available',
    token: 0,
    availableAt: 0,
    attempt: 0,
    claims: 0,
    crashes: 0,
    losses: 0,
    steps: 0,
    inbox: [],
    ...change,
  }
}
