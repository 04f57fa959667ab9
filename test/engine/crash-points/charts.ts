import { task } from 'jobchart'
import { createMachine, fromCallback, fromTransition, sendTo } from 'xstate'
import {
  again,
  awaited,
  both,
  chart,
  counting,
  ends,
  friend,
  later,
  listener,
  lost,
  messages,
  parentAndChild,
  parking,
  talk,
  telling,
  timers,
  versions,
  work,
} from './machines.ts'
import type { Scenario } from './scenario.ts'

/** Scenarios of jobs that are charts. */
export const chartScenarios: readonly Scenario[] = [
  {
    name: 'ending a child machine, after which its parent continues',
    jobs: parentAndChild(200),
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.result('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'cancelling a parent with its child',
    jobs: parentAndChild(3_000),
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.advance(300)
      await life.cancel('a')
      await life.advance(4_000)
    },
    // A client that repeats the cancel is too late if the work has ended before.
    ends: { a: ['cancelled', 'done'] },
  },
  {
    name: 'messages between a parent and its child',
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
    name: 'timers with a command between them',
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
    name: 'sending messages to a task',
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
    name: 'leaving an invoke and entering it again while its work runs',
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
    name: 'parking a job outside its slot and bringing it back',
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
    name: 'running two tasks at once',
    jobs: (code) => [chart(both, { work: work(code) })],
    script: async (life) => {
      await life.submit('a', 'm', { pipeline: 'p' })
      await life.settled('a')
    },
    ends: {},
  },
  {
    name: 'transition logic that moves with its job',
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
    name: 'a task that sends to its chart, which emits events',
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
    name: 'a chart that handles lost work itself',
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
    name: 'migrating a job by a command',
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
    name: 'migrating a job by its claim',
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
    name: 'delayed events of a chart, to itself and to its task',
    jobs: (code) => [chart(later, { ear: listener(code) })],
    script: async (life) => {
      await life.submit('a', 'm')
      await life.settled('a')
    },
    ends: { a: ['done'] },
  },
  {
    name: 'awaiting lost work until the chart gives up',
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
