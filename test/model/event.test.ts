import { expect, expectTypeOf, test } from 'vitest'
import {
  type Actor,
  type EventDraft,
  type EventRow,
  eventRow,
  type JobEvent,
  progressRow,
  publicEvents,
} from '../../src/model/event.ts'
import type { Job } from '../../src/model/job.ts'
import type { Json } from '../../src/model/storable.ts'

const ada: Actor = { kind: 'user', id: 'ada' }
const engine: Actor = { kind: 'system', id: 'engine' }

const job: Job = {
  id: 'j1',
  type: 'plain',
  version: '1',
  tenant: 'acme',
  createdBy: 'ada',
  trigger: 'manual',
  labels: { team: 'blue' },
  state: 'running',
  context: { secret: 1 },
  status: 'running',
  phase: 'active',
  vacates: false,
  input: { secret: 2 },
  priority: 0,
  timers: [],
  tasks: [],
  counter: 1,
  createdAt: 1_000,
  updatedAt: 5_000,
  revision: 3,
  eventCount: 7,
}

const drafts: readonly EventDraft[] = [
  { type: 'task.started', task: 'work', attempt: 1, by: engine },
  { type: 'job.transitioned', from: 'queued', to: 'running' },
]

test('a row begins at the number of its first event, where the job counts them already', () => {
  expect(eventRow(job, ada, drafts, [{ type: 'task.started' }])).toEqual({
    jobId: 'j1',
    jobType: 'plain',
    tenant: 'acme',
    createdBy: 'ada',
    labels: { team: 'blue' },
    at: 5_000,
    by: ada,
    jobSequence: 6,
    events: drafts,
    inputs: [{ type: 'task.started' }],
  })
})

test('a row of a pipeline names it', () => {
  expect(eventRow({ ...job, pipeline: 'nightly' }, ada, drafts, []).pipeline).toBe('nightly')
  expect(eventRow(job, ada, drafts, [])).not.toHaveProperty('pipeline')
})

test('each event is published with its own number, whoever caused it', () => {
  const [started, moved] = publicEvents(eventRow(job, ada, drafts, []), 40)
  expect(started).toEqual({
    sequence: 40,
    jobSequence: 6,
    jobId: 'j1',
    jobType: 'plain',
    tenant: 'acme',
    createdBy: 'ada',
    labels: { team: 'blue' },
    at: '1970-01-01T00:00:05.000Z',
    by: engine,
    type: 'task.started',
    task: 'work',
    attempt: 1,
  })
  expect(moved).toMatchObject({ sequence: 41, jobSequence: 7, by: ada, from: 'queued', to: 'running' })
})

test('no published event contains the event that moved the chart', () => {
  const row = eventRow(job, ada, drafts, [{ type: 'approve', note: 'private' }])
  expect(JSON.stringify(publicEvents(row, 1))).not.toContain('private')
})

test('progress is not history: it has a sequence and no jobSequence', () => {
  const progress = { completed: 1, failed: 0, running: 2, total: 9 }
  const row = progressRow(job, engine, progress, 6_000)
  expect(row).toMatchObject({ jobSequence: 0, at: 6_000, inputs: [] })
  const [event] = publicEvents(row, 50)
  expect(event).toMatchObject({ type: 'job.progress', progress, sequence: 50 })
  expect(event).not.toHaveProperty('jobSequence')
})

test('a row without events publishes nothing', () => {
  const row: EventRow = eventRow(job, ada, [], [])
  expect(publicEvents(row, 9)).toEqual([])
})

test('an event is typed by its name', () => {
  expectTypeOf<JobEvent<'job.emitted'>['event']>().toEqualTypeOf<Json>()
  expectTypeOf<JobEvent<'task.lost'>['reason']>().toEqualTypeOf<string>()
  expectTypeOf<JobEvent>().toHaveProperty('sequence')
})
