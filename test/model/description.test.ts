import { expect, test } from 'vitest'
import { defineJob } from '../../src/model/definition.ts'
import { describeMove } from '../../src/model/description.ts'
import type { Job } from '../../src/model/job.ts'

test('by default the record carries an event’s reason and the error', () => {
  const type = defineJob({ type: 'extract', execute: () => 1 })
  expect(describeMove(type, job, { type: 'cancel', reason: 'late' }, undefined, true)).toEqual({ reason: 'late' })
  expect(describeMove(type, job, { type: 'cancel', reason: 5 }, undefined, true)).toEqual({})
  expect(describeMove(type, job, { type: 'x' }, 'broken', true)).toEqual({ error: 'broken' })
})

test('describe gets the state and the event, and its answer is used', () => {
  const seen: unknown[] = []
  const type = defineJob({
    type: 'extract',
    execute: () => 1,
    describe: (snapshot, event) => {
      seen.push(snapshot, event)
      return { message: 'said', reason: 'mine', exitCode: 3 }
    },
  })
  const event = { type: 'cancel', reason: 'late' }
  const said = { message: 'said', reason: 'mine', exitCode: 3, error: 'broken' }
  expect(describeMove(type, job, event, 'broken', false)).toEqual(said)
  expect(seen).toEqual([{ value: 'running', context: { n: 1 }, output: undefined, status: 'active' }, event])
  describeMove(type, { ...job, output: 5 }, event, undefined, true)
  expect(seen[2]).toMatchObject({ output: 5, status: 'done' })
})

test.each([
  ['says nothing', () => undefined],
  ['leaves all out', () => ({})],
  ['says what is undefined', () => ({ message: undefined, error: undefined, exitCode: undefined, reason: undefined })],
  ['says what cannot be recorded', () => ({ message: 5, exitCode: Number.NaN, reason: {} })],
  ['gives no object', () => 'text'],
  ['throws', refuse],
])('a description that %s leaves the defaults', (_, describe) => {
  const type = defineJob({ type: 'extract', execute: () => 1, describe: describe as never })
  const event = { type: 'cancel', reason: 'late' }
  expect(describeMove(type, job, event, 'broken', true)).toEqual({ reason: 'late', error: 'broken' })
})

const job: Job = {
  id: 'j1',
  type: 'extract',
  version: '1',
  tenant: 'acme',
  createdBy: 'ada',
  trigger: 'manual',
  labels: {},
  state: 'running',
  context: { n: 1 },
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
}

function refuse(): never {
  throw new Error('no')
}
