import { type AnyJobType, defineJob, type LifecycleOptions, task } from 'jobchart'
import { type AnyStateMachine, assign, createMachine, emit, raise, sendParent, sendTo } from 'xstate'
import { z } from 'zod'
import type { Code } from './life.ts'
import type { Scenario } from './scenario.ts'

/** The machines of the scenarios, as job types. */

type Commands = readonly string[]

/** A job type `m` of a machine. */
export function chart(machine: unknown, actors: object, commands: Commands = [], options: object = {}): AnyJobType {
  const lifecycle = (machine as AnyStateMachine).provide({ actors } as never)
  const schemas = Object.fromEntries(commands.map((name) => [name, z.object({})]))
  return defineJob({ type: 'm', lifecycle, commands: schemas, ...options } as unknown as LifecycleOptions<
    'm',
    undefined,
    undefined,
    { readonly [command: string]: z.ZodObject }
  >)
}

/** Code that takes this long, and succeeds. */
export const work = (code: Code, ms = 200) =>
  task(
    {},
    code.task(async () => {
      await code.pause(ms)
      return { rows: 3 }
    }),
  )

/** Final states of the machines. */
export const ends = {
  done: { type: 'final' },
  failed: { type: 'final', tags: ['failure'] },
  cancelled: { type: 'final', tags: ['cancelled'] },
} as const

const child = createMachine({
  initial: 'working',
  states: { working: { invoke: { src: 'work', onDone: 'done', onError: 'failed' } }, ...ends },
  output: { rows: 3 },
})

const parent = createMachine({
  initial: 'loading',
  on: { cancel: '.cancelled' },
  context: { rows: 0 },
  states: {
    loading: {
      invoke: {
        src: 'load',
        onDone: { target: 'storing', actions: assign({ rows: ({ event }) => event.output.rows }) },
        onError: 'failed',
      },
    },
    storing: { invoke: { src: 'work', onDone: 'done' } },
    ...ends,
  },
})

export const parentAndChild = (ms: number) => (code: Code) => [
  chart(parent, { load: child.provide({ actors: { work: work(code, ms) } }), work: work(code) }, ['cancel']),
]

export const talk = createMachine({
  initial: 'talking',
  context: { pongs: 0 },
  states: {
    talking: {
      invoke: { id: 'friend', src: 'friend', onDone: 'done' },
      on: {
        ask: { actions: sendTo('friend', { type: 'PING' }) },
        PONG: { actions: assign({ pongs: ({ context }) => context.pongs + 1 }) },
      },
    },
    ...ends,
  },
})

export const friend = createMachine({
  initial: 'waiting',
  states: {
    waiting: { on: { PING: { target: 'asked', actions: sendParent({ type: 'PONG' }) } } },
    asked: { on: { PING: 'over' } },
    over: { type: 'final' },
  },
})

export const timers = createMachine({
  initial: 'early',
  states: {
    early: { after: { 1000: 'late' } },
    late: { invoke: { src: 'work' }, after: { 700: 'waiting' } },
    waiting: { on: { approve: 'approved' }, after: { 86400000: 'failed' } },
    approved: { after: { 300: 'done' } },
    ...ends,
  },
})

export const messages = createMachine({
  initial: 'listening',
  states: {
    listening: {
      invoke: { id: 'ear', src: 'ear', onDone: 'done' },
      on: { say: { actions: sendTo('ear', { type: 'WORD' }) } },
    },
    ...ends,
  },
})

export const again = createMachine({
  initial: 'working',
  states: {
    working: { invoke: { src: 'work', onDone: 'done' }, on: { anew: { target: 'working', reenter: true } } },
    ...ends,
  },
})

export const parking = createMachine({
  initial: 'working',
  states: {
    working: { invoke: { src: 'work', onDone: 'parked' } },
    parked: { tags: ['vacates'], on: { back: 'storing' } },
    storing: { invoke: { src: 'work', onDone: 'done' } },
    ...ends,
  },
})

export const both = createMachine({
  type: 'parallel',
  states: {
    left: {
      initial: 'on',
      states: { on: { invoke: { id: 'l', src: 'work', onDone: 'off' } }, off: { type: 'final' } },
    },
    right: {
      initial: 'on',
      states: { on: { invoke: { id: 'r', src: 'work', onDone: 'off' } }, off: { type: 'final' } },
    },
  },
})

export const counting = createMachine({
  initial: 'counting',
  states: {
    counting: {
      invoke: { id: 'counter', src: 'counter' },
      on: {
        more: { actions: sendTo('counter', { type: 'MORE' }) },
        enough: 'done',
      },
    },
    ...ends,
  },
})

export const telling = createMachine({
  initial: 'working',
  context: { parts: 0 },
  states: {
    working: {
      entry: emit({ type: 'begun' }),
      invoke: { src: 'work', onDone: 'done', onError: 'failed' },
      on: { PART: { actions: [assign({ parts: ({ context }) => context.parts + 1 }), emit({ type: 'part' })] } },
    },
    ...ends,
  },
})

export const lost = createMachine({
  initial: 'working',
  states: {
    working: { invoke: { src: 'work', onDone: 'done' }, on: { 'task.lost': 'stranded' } },
    stranded: { tags: ['indeterminate'], on: { retry: 'working', giveUp: 'failed' } },
    ...ends,
  },
})

/** Fails after 5 seconds unless its task ends before. */
export const awaited = createMachine({
  initial: 'working',
  states: {
    working: { invoke: { src: 'work', onDone: 'done', onError: 'failed' }, after: { 5000: 'failed' } },
    ...ends,
  },
})

/** Sends a delayed event to itself, and one to its task. */
export const later = createMachine({
  initial: 'working',
  states: {
    working: {
      entry: [raise({ type: 'REMIND' }, { delay: 500 }), sendTo('ear', { type: 'WORD' }, { delay: 900 })],
      invoke: { id: 'ear', src: 'ear', onDone: 'done' },
      on: { REMIND: { actions: sendTo('ear', { type: 'WORD' }) } },
    },
    ...ends,
  },
})

/** Ends when it has received two messages. */
export const listener = (code: Code) =>
  task(
    {},
    code.task(async ({ inbox }) => {
      let words = 0
      for await (const { type } of inbox) if (type === 'WORD' && ++words === 2) break
      await code.pause(100)
      return words
    }),
  )

function version(code: Code, name: '1' | '2', previous: readonly AnyJobType[] = []): AnyJobType {
  const start = name === '1' ? 'waiting' : 'review'
  const machine = createMachine({
    id: 'order',
    initial: start,
    states: {
      [start]: { on: { approve: 'shipping' }, after: { 60000: 'failed' } },
      shipping: { invoke: { src: 'work', onDone: 'done' } },
      ...ends,
    },
  } as never)
  const migrate = ({ state }: { readonly state: unknown }) => ({ state: state === 'waiting' ? 'review' : state })
  const options = name === '1' ? {} : { version: name, previous, migrate }
  return chart(machine, { work: work(code) }, ['approve'], options)
}

export const versions: Scenario['jobs'] = (code, isBefore) =>
  isBefore ? [version(code, '1')] : [version(code, '2', [version(code, '1')])]
