import { task } from 'jobchart'
import { createMachine, fromCallback, fromTransition, sendTo } from 'xstate'
import {
  again,
  awaited,
  both,
  chart,
  counting,
  ends,
  family,
  friend,
  later,
  listener,
  lost,
  messages,
  parking,
  talk,
  telling,
  timers,
  versions,
  work,
} from './machines.ts'
import type { Scenario } from './scenario.ts'

/** Scenarios of jobs whose life is a chart. */
export const chartScenarios: readonly Scenario[] = [
  {
    name: 'a child machine ends, and its parent goes on',
    jobs: family(200),
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.result('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'a parent is cancelled with its child',
    jobs: family(3_000),
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.advance(300)
      await life.cancel('a')
      await life.advance(4_000)
    },
    // Who repeats the cancel comes too late where the work has ended before.
    ends: { a: ['cancelled', 'done'] },
  },
  {
    name: 'a parent and its child talk',
    jobs: () => [chart(talk, { friend }, ['ask'])],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.send('a', 'ask')
      await life.send('a', 'ask')
      await life.settled('a')
    },
    ends: { a: ['done'] },
    waits: ['talking', 'waiting', 'asked'],
  },
  {
    name: 'timers, and a command between them',
    jobs: (code) => [chart(timers, { work: work(code, 5_000) }, ['approve'])],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.settled('a', 'waiting')
      await life.send('a', 'approve')
      await life.settled('a')
    },
    ends: { a: ['done'] },
    waits: ['waiting'],
  },
  {
    name: 'messages to a task',
    jobs: (code) => [chart(messages, { ear: listener(code) }, ['say'])],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.send('a', 'say')
      await life.advance(300)
      await life.send('a', 'say')
      await life.settled('a')
    },
    ends: { a: ['done'] },
    waits: ['listening'],
    isPatient: true,
  },
  {
    name: 'messages to a callback, which answers',
    jobs: () => [
      chart(
        createMachine({
          initial: 'on',
          states: {
            on: {
              invoke: { id: 'ear', src: 'ear' },
              on: { say: { actions: sendTo('ear', { type: 'WORD' }) }, HEARD: 'done' },
            },
            ...ends,
          },
        }),
        { ear: fromCallback(({ receive, sendBack }) => receive(() => sendBack({ type: 'HEARD' }))) },
        ['say'],
      ),
    ],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.advance(100)
      await life.send('a', 'say')
      await life.settled('a')
    },
    ends: { a: ['done'] },
    waits: ['on'],
  },
  {
    name: 'an invoke is left and entered again while its work runs',
    jobs: (code) => [chart(again, { work: work(code, 700) }, ['anew'])],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.advance(200)
      await life.send('a', 'anew')
      await life.settled('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'a job is parked outside its slot, and comes back',
    jobs: (code) => [chart(parking, { work: work(code) }, ['back'])],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.settled('a', 'parked')
      await life.submit('b', 'm', { pipeline: 'p' })
      await life.settled('b', 'parked')
      await life.send('a', 'back')
      await life.settled('a')
      await life.send('b', 'back')
      await life.settled('b')
    },
    ends: { a: ['done'], b: ['done'] },
    waits: ['parked'],
  },
  {
    name: 'two tasks at once',
    jobs: (code) => [chart(both, { work: work(code) })],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.settled('a')
    },
    ends: {},
  },
  {
    name: 'logic that moves with its job',
    jobs: () => [
      chart(counting, { counter: fromTransition(({ count }) => ({ count: count + 1 }), { count: 0 }) }, [
        'more',
        'enough',
      ]),
    ],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.send('a', 'more')
      await life.send('a', 'enough')
    },
    ends: { a: ['done'] },
    waits: ['counting'],
  },
  {
    name: 'a task tells its chart, and the chart tells the world',
    jobs: (code) => [
      chart(telling, {
        work: task(
          { retry: { limit: 1, backoff: 0 } },
          code.task(async ({ send }) => {
            await send({ type: 'PART' })
            await code.pause(100)
            await send({ type: 'PART' })
          }),
        ),
      }),
    ],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.settled('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'a chart that decides over lost work itself',
    jobs: (code) => [chart(lost, { work: work(code) }, ['retry', 'giveUp'])],
    before: [
      async (life) => {
        await life.submit('a', 'm', { pipeline: 'p' })
        await life.advance(100)
      },
    ],
    script: async (life) => {
      await life.settled('a', 'stranded')
      await life.send('a', 'retry')
      await life.settled('a', 'stranded')
    },
    ends: { a: ['done', 'stranded'] },
    waits: ['stranded'],
  },
  {
    name: 'a job is moved to another version by a command',
    jobs: versions,
    before: [
      async (life) => {
        await life.submit('a', 'm', { pipeline: 'p' })
      },
    ],
    script: async (life) => {
      await life.send('a', 'approve')
      await life.settled('a')
    },
    ends: { a: ['done', 'failed'] },
    waits: ['waiting', 'review'],
  },
  {
    name: 'a job is moved to another version by its claim',
    jobs: versions,
    before: [
      async (life) => {
        await life.submit('a', 'm', { pipeline: 'p' })
        await life.send('a', 'approve')
      },
    ],
    script: async (life) => {
      await life.settled('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'events that a chart has put off, to itself and to its task',
    jobs: (code) => [chart(later, { ear: listener(code) })],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.settled('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'lost work that is awaited, until its chart gives up',
    jobs: (code) => [
      chart(awaited, {
        work: task(
          { recovery: 'await' },
          code.task(async () => {
            await code.pause(1_000)
          }),
        ),
      }),
    ],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.settled('a')
    },
    ends: { a: ['done', 'failed'] },
  },
]
