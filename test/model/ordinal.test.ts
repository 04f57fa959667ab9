import { expect, test } from 'vitest'
import { createMachine, fromPromise, spawnChild, stopChild } from 'xstate'
import { end, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import type { Job } from '../../src/model/job.ts'
import { claimed, contextAt, created, ended, machineType, taskOf } from './one-job.ts'

const round = machineType({
  id: 'm',
  initial: 'a',
  states: {
    a: {
      invoke: [
        { id: 'x', src: 'work', onDone: 'b' },
        { id: 'y', src: 'work' },
      ],
      on: { GO: 'b', AGAIN: { target: 'a', reenter: true } },
    },
    b: { invoke: { id: 'z', src: 'work' }, on: { GO: 'a' } },
    end: { type: 'final' },
  },
  on: { END: '.end' },
})

test('an invoke that is entered again counts up, whatever the number of the invocation', () => {
  let job = created(round)
  expect(ordinals(job)).toEqual({ x: 1, y: 1 })
  for (const [index, expected] of [{ z: 1 }, { x: 2, y: 2 }, { z: 2 }, { x: 3, y: 3 }].entries()) {
    job = sent(job, 'GO')
    expect(ordinals(job)).toEqual(expected)
    expect(Math.min(...job.tasks.map(({ invocation }) => invocation))).toBeGreaterThan(index + 2)
  }
})

test('an invoke whose earlier work still stops counts up, and no other invoke of its state', () => {
  const job = sent(claimed(round), 'AGAIN')
  expect(job.tasks.map(({ id, ordinal, status }) => [id, ordinal, status])).toEqual([
    ['x', 1, 'stopping'],
    ['x', 2, 'available'],
    ['y', 2, 'available'],
  ])
  const stopped = end(round, job, taskOf(job).token, { ok: true }, contextAt(5_000))?.job as Job
  expect(ordinals(sent(stopped, 'AGAIN'))).toEqual({ x: 3, y: 3 })
})

test('a task that is retried keeps its ordinal', () => {
  const type = defineJob({ type: 'retried', execute: () => 1, retry: { limit: 1, backoff: 0 } })
  const { job } = ended(type, claimed(type), { ok: false, error: { message: 'no' } })
  expect(taskOf(job)).toMatchObject({ ordinal: 1, attempt: 1, status: 'available' })
})

test('the record counts invocations whose work is gone, and none once the job has settled', () => {
  const job = ended(round, claimed(round), { ok: true }).job
  expect(job.ordinals).toEqual({ 'm.a': 1 })
  expect(sent(sent(job, 'GO'), 'GO').ordinals).toEqual({ 'm.a': 2, 'm.b': 1 })
  expect(sent(job, 'END')).not.toHaveProperty('ordinals')
})

test('an id that two states invoke is counted over both', () => {
  const type = machineType({
    initial: 'a',
    states: {
      a: { invoke: { id: 'x', src: 'work' }, on: { GO: 'b' } },
      b: { invoke: { id: 'x', src: 'work' }, on: { GO: 'a' } },
    },
  })
  const job = sentTo(type, created(type), 'GO')
  expect([ordinals(job), ordinals(sentTo(type, job, 'GO'))]).toEqual([{ x: 2 }, { x: 3 }])
})

test('a spawned actor, which may have any id, is counted among all spawned actors', () => {
  const type = machineType({
    on: {
      GO: { actions: [spawnChild('work', { id: 'one' }), spawnChild('work')] },
      STOP: { actions: stopChild('one') },
    },
  })
  const job = sentTo(type, sentTo(type, sentTo(type, created(type), 'GO'), 'STOP'), 'GO')
  expect(job.tasks.map(({ id, ordinal }) => [id, ordinal])).toEqual([
    ['work:2', 2],
    ['one', 3],
    ['work:4', 4],
  ])
  expect(job.ordinals).toEqual({ '': 4 })
})

test('a migration keeps counting by the ids of invokes, whatever their states are called', () => {
  const job = ended(round, claimed(round), { ok: true }).job
  const actors = { work: fromPromise(async () => {}) }
  const renamed: AnyJobType = defineJob({
    type: 'chart',
    version: '2',
    previous: [round],
    migrate: () => ({ state: 'second' }),
    lifecycle: createMachine({
      id: 'm',
      initial: 'first',
      states: {
        first: {
          invoke: [
            { id: 'x', src: 'work' },
            { id: 'y', src: 'work' },
          ],
        },
        second: { on: { GO: 'first' } },
      },
    }).provide({ actors }),
  })
  const moved = send({ ...round, successor: renamed }, job, { type: 'GO' }, contextAt(9_000)).job
  expect(moved).toMatchObject({ version: '2', ordinals: { 'm.first': 1 } })
  expect(ordinals(moved)).toEqual({ x: 2, y: 2 })
})

function ordinals(job: Job): object {
  return Object.fromEntries(job.tasks.map(({ id, ordinal }) => [id, ordinal]))
}

function sent(job: Job, type: string): Job {
  return sentTo(round, job, type)
}

function sentTo(type: AnyJobType, job: Job, event: string): Job {
  return send(type, job, { type: event }, contextAt(4_000)).job
}
