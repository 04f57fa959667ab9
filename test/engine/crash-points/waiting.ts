import { defineJob } from 'jobchart'
import type { Code } from './life.ts'
import type { Scenario } from './scenario.ts'

/** Scenarios of runs that wait for their time or their turn. */

const quick = (code: Code) =>
  defineJob({
    type: 'quick',
    execute: code.task(async () => {
      await code.pause(100)
      return 'done'
    }),
  })

/** Its ends start pipelines. */
const starting = (code: Code) =>
  defineJob({
    type: 'starting',
    startsPipelines: true,
    execute: code.task(async () => {
      await code.pause(100)
      return 'done'
    }),
  })

/** Ends when it is told to, or after an hour. */
const endless = (code: Code) =>
  defineJob({
    type: 'endless',
    execute: code.task(async ({ signal }) => {
      await code.pause(3_600_000, signal)
    }),
  })

/** Fails, and is retried twice. */
const stubborn = (code: Code) =>
  defineJob({
    type: 'stubborn',
    execute: code.task(async () => {
      await code.pause(100)
      throw new Error('no')
    }),
    followUp: ({ outcome, retries }) => (outcome === 'failure' && retries < 2 ? [{ kind: 'retry' }] : []),
  })

/** A job with two follow-ups: one in a pipeline, and a delayed one. */
const leading = (code: Code) => {
  const follower = quick(code)
  const lead = defineJob({
    type: 'leading',
    execute: code.task(async () => await code.pause(50)),
    followUp: () => [
      { kind: 'submit', job: follower, pipeline: 'p' },
      { kind: 'submit', job: follower, delay: '700ms' },
    ],
  })
  return [follower, lead]
}

const completed = { a: ['completed'], b: ['completed'] }

export const waitingScenarios: readonly Scenario[] = [
  {
    name: 'a due run of a pipeline, and the runs that follow it',
    jobs: (code) => [quick(code), starting(code)],
    script: async (life) => {
      await life.define({ id: 'q', job: 'quick', dependsOn: [{ job: life.type('starting') }] })
      await life.define({ id: 'r', job: 'quick', dependsOn: [{ pipeline: 'q' }] })
      await life.define({ id: 'p', job: 'starting', schedule: { every: '1h' } })
      await life.advance(2_000)
    },
    ends: {},
    total: 3,
  },
  {
    name: 'queueing two runs behind a first one',
    jobs: (code) => [quick(code)],
    script: async (life) => {
      await life.submit('a', 'quick', { pipeline: 'p' })
      await life.submit('b', 'quick', { pipeline: 'p', overlap: 'queue' })
      await life.submit('c', 'quick', { pipeline: 'p', overlap: 'queue' })
      for (const key of ['a', 'b', 'c']) await life.settled(key)
    },
    ends: { ...completed, c: ['completed'] },
  },
  {
    name: 'a run that waits for its start time',
    jobs: (code) => [quick(code)],
    script: async (life) => {
      await life.submit('a', 'quick', { startAt: '2026-01-01T00:00:02.500Z' })
      await life.settled('a')
    },
    ends: { a: ['completed'] },
  },
  {
    name: 'a run that replaces another',
    jobs: (code) => [quick(code), endless(code)],
    script: async (life) => {
      await life.submit('a', 'endless', { pipeline: 'p' })
      await life.submit('b', 'quick', { pipeline: 'p', overlap: 'replace' })
      await life.settled('b')
    },
    ends: { a: ['cancelled'], b: ['completed'] },
    // The second run may never have been submitted.
    waits: ['running'],
    isPatient: true,
  },
  {
    name: 'retrying a failed run in its slot',
    jobs: (code) => [stubborn(code), quick(code)],
    script: async (life) => {
      await life.submit('a', 'stubborn', { pipeline: 'p' })
      await life.submit('b', 'quick', { pipeline: 'p', overlap: 'queue' })
      await life.settled('a')
      await life.settled('b')
    },
    ends: { a: ['failed'], b: ['completed'] },
    total: 4,
  },
  {
    name: 'two follow-ups of a job',
    jobs: leading,
    script: async (life) => {
      await life.submit('a', 'leading')
      await life.submit('b', 'quick', { pipeline: 'p', overlap: 'queue' })
      await life.settled('a')
      await life.settled('b')
    },
    ends: completed,
    total: 4,
  },
]
