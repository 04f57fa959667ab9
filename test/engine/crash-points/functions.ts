import { defineJob } from 'jobchart'
import type { Code } from './life.ts'
import type { Scenario, Script } from './scenario.ts'

/** Scenarios of jobs that are one function. */

const quick = (code: Code) => [
  defineJob({
    type: 'w',
    execute: code.task(async () => {
      await code.pause(100)
      return 'done'
    }),
  }),
]

/** Ends when it is told to, or after an hour, before which no one abandons it. */
const obedient = (code: Code) => [
  defineJob({
    type: 'w',
    killGrace: 'never',
    execute: code.task(async ({ signal }) => {
      await code.pause(3_600_000, signal)
    }),
  }),
]

/** Records three steps, each after some work. If a write fails, the attempt fails and there is another one. */
const inSteps = (code: Code) => [
  defineJob({
    type: 'w',
    retry: { limit: 1, backoff: '200ms' },
    execute: code.task(async (context) => {
      for (const name of ['extract', 'transform', 'store']) {
        await code.pause(100)
        await code.step(context, name)
      }
      return 'done'
    }),
  }),
]

const submitOne: Script = async (life) => {
  await life.submit('a', 'w')
}

const submitAndWait: Script = async (life) => {
  await life.submit('a', 'w')
  await life.result('a')
}

const runUntilHalf: Script = async (life) => {
  await life.submit('a', 'w', { pipeline: 'p' })
  await life.advance(150)
}

const completed = { a: ['completed'] }

export const functionScenarios: readonly Scenario[] = [
  { name: 'submitting, claiming and completing a job', jobs: quick, script: submitAndWait, ends: completed },
  {
    name: 'submitting where no engine works',
    jobs: quick,
    options: { work: false },
    script: submitOne,
    ends: { a: ['queued'] },
    waits: ['queued'],
  },
  {
    name: 'claiming a waiting task',
    jobs: quick,
    options: { concurrency: 1 },
    before: [
      async (life) => {
        for (const key of ['a', 'b', 'c']) await life.submit(key, 'w', { priority: key === 'c' ? 1 : 0 })
      },
    ],
    script: async (life) => {
      for (const key of ['a', 'b', 'c']) await life.settled(key)
    },
    ends: { ...completed, b: ['completed'], c: ['completed'] },
  },
  {
    name: 'five submits in one turn',
    jobs: quick,
    options: { concurrency: 3 },
    script: async (life) => {
      const keys = ['a', 'b', 'c', 'd', 'e']
      await Promise.all(keys.map((key) => life.submit(key, 'w', { pipeline: key })))
      for (const key of keys) await life.settled(key)
    },
    ends: Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((key) => [key, ['completed']])),
  },
  {
    name: 'one run of a pipeline after the other',
    jobs: quick,
    script: async (life) => {
      for (const key of ['a', 'b']) {
        await life.submit(key, 'w', { pipeline: 'p' })
        await life.settled(key)
        await life.advance(1_500)
      }
    },
    ends: { ...completed, b: ['completed'] },
  },
  {
    name: 'two runs of a pipeline that want its slot at once',
    jobs: quick,
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      // Refused while the other run is active, and requested again.
      await life.submitWhenFree('b', 'w', { pipeline: 'p' })
      await life.settled('b')
    },
    ends: { ...completed, b: ['completed'] },
  },
  {
    name: 'reporting progress and log lines',
    jobs: (code) => [
      defineJob({
        type: 'w',
        execute: code.task(async ({ progress, log }) => {
          for (let part = 1; part <= 3; part++) {
            log(`part ${part} begins`)
            progress({ completed: part, total: 3 })
            await code.pause(150)
            log(`part ${part} ends`)
          }
          return 'done'
        }),
      }),
    ],
    script: submitAndWait,
    ends: completed,
  },
  {
    name: 'failing',
    jobs: (code) => [
      defineJob({
        type: 'w',
        execute: code.task(async () => {
          await code.pause(100)
          throw new Error('as it is written')
        }),
      }),
    ],
    script: submitAndWait,
    ends: { a: ['failed'] },
  },
  {
    name: 'retrying with a backoff',
    jobs: (code) => [
      defineJob({
        type: 'w',
        retry: { limit: 2, backoff: '500ms' },
        execute: code.task(async ({ attempt }) => {
          await code.pause(100)
          if (attempt < 3) throw new Error('once more')
          return 'done'
        }),
      }),
    ],
    script: submitAndWait,
    ends: completed,
  },
  { name: 'recording steps', jobs: inSteps, script: submitAndWait, ends: completed },
  {
    name: 'a retry that reads its recorded steps',
    jobs: (code) => [
      defineJob({
        type: 'w',
        retry: { limit: 2, backoff: '100ms' },
        execute: code.task(async (context) => {
          await code.step(context, 'extract')
          if (context.attempt === 1) throw new Error('between the two')
          await code.step(context, 'store')
          return 'done'
        }),
      }),
    ],
    script: submitAndWait,
    ends: completed,
  },
  {
    name: 'cancelling work that stops',
    jobs: obedient,
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.advance(100)
      await life.cancel('a')
      await life.advance(500)
    },
    ends: { a: ['cancelled'] },
    waits: ['running'],
    isPatient: true,
  },
  {
    name: 'cancelling work that ignores it, and is abandoned',
    jobs: (code) => [
      defineJob({
        type: 'w',
        killGrace: '1s',
        execute: code.task(async () => {
          await code.pause(20_000)
        }),
      }),
    ],
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.advance(100)
      await life.cancel('a')
      await life.advance(5_000)
    },
    // A client that repeats the cancel is too late if the work has ended before.
    ends: { a: ['cancelled', 'completed'] },
  },
  {
    name: 'cancelling a waiting job',
    jobs: quick,
    options: { work: false },
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.cancel('a')
    },
    ends: { a: ['cancelled'] },
    waits: ['queued'],
  },
  {
    name: 'a timeout of work that stops, and another attempt',
    jobs: (code) => [
      defineJob({
        type: 'w',
        timeout: '1s',
        retry: { limit: 5, backoff: '100ms' },
        execute: code.task(async ({ attempt, signal }) => {
          if (attempt === 1) await code.pause(3_600_000, signal)
          return 'done'
        }),
      }),
    ],
    script: submitAndWait,
    ends: completed,
  },
  {
    name: 'a timeout of work that ignores it, without another attempt',
    jobs: (code) => [
      defineJob({
        type: 'w',
        timeout: '1s',
        killGrace: '1s',
        execute: code.task(async () => {
          await code.pause(10_000)
        }),
      }),
    ],
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.settled('a')
      await life.advance(4_000)
    },
    ends: { a: ['failed'] },
  },
  {
    name: 'stopping with running work, and starting again',
    jobs: (code) => [
      defineJob({
        type: 'w',
        execute: code.task(async (context) => {
          await code.step(context, 'extract')
          context.log('between the steps')
          await code.pause(2_000, context.signal)
          await code.step(context, 'store')
          return 'done'
        }),
        retry: { limit: 1, backoff: 0 },
      }),
    ],
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.advance(100)
      await life.stop(500)
      await life.resume()
      await life.settled('a')
    },
    ends: completed,
  },
  {
    name: 'recovering the work of a dead process',
    jobs: inSteps,
    before: [runUntilHalf],
    script: submitAndWait,
    ends: completed,
  },
  {
    name: 'recovering work that crashed two processes',
    jobs: (code) => [
      defineJob({
        type: 'w',
        execute: code.task(async () => {
          await code.pause(500)
          return 'done'
        }),
      }),
    ],
    before: [runUntilHalf, runUntilHalf],
    script: async (life) => {
      await life.settled('a')
    },
    // One more crash while it runs makes it POISON, as documented.
    ends: { a: ['completed', 'failed'] },
  },
  {
    name: 'recovering work that must not be repeated',
    jobs: (code) => [
      defineJob({
        type: 'w',
        recovery: 'fail',
        execute: code.task(async () => {
          await code.pause(500)
        }),
      }),
    ],
    before: [runUntilHalf],
    script: async (life) => {
      await life.settled('a')
    },
    ends: { a: ['failed'] },
  },
  {
    name: 'recovering work that was stopping when its process died',
    jobs: obedient,
    before: [
      async (life) => {
        await life.submit('a', 'w', { pipeline: 'p' })
        await life.cancel('a')
      },
    ],
    script: async (life) => {
      await life.settled('a')
    },
    ends: { a: ['cancelled'] },
  },
  {
    name: 'two engines on one disk',
    jobs: inSteps,
    options: { concurrency: 1 },
    isBeside: true,
    script: async (life) => {
      for (const key of ['a', 'b', 'c']) await life.submit(key, 'w', { pipeline: key })
      for (const key of ['a', 'b', 'c']) await life.settled(key)
    },
    ends: { ...completed, b: ['completed'], c: ['completed'] },
  },
  {
    name: 'a living engine taking over the work of a dead one',
    jobs: inSteps,
    isBeside: true,
    before: [],
    script: async (life) => {
      await life.submit('a', 'w', { pipeline: 'p' })
      await life.advance(150)
      await life.cancel('a')
      await life.submit('b', 'w')
      await life.settled('b')
    },
    ends: { a: ['cancelled', 'completed'], b: ['completed'] },
  },
]
