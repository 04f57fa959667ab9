import { describe } from 'vitest'
import {
  type ActorRefFrom,
  assign,
  createMachine,
  forwardTo,
  fromCallback,
  fromObservable,
  fromPromise,
  fromTransition,
  sendTo,
  setup,
} from 'xstate'
import { fidelity } from './run.ts'
import { command, fail, finish, tell, wait } from './script.ts'

// Charts that use other actors, each as small as possible.

const count = fromTransition(
  (state: { n: number }, event: { type: 'ADD'; by: number }) => ({ n: state.n + event.by }),
  {
    n: 0,
  },
)

describe('outside work', () => {
  fidelity('several invokes of one state and one logic each end by themselves', {
    build: (outside) =>
      setup({ actors: { load: outside.promise<string, { part: string }>('load') } }).createMachine({
        context: { parts: [] as string[] },
        initial: 'loading',
        states: {
          loading: {
            invoke: [
              {
                id: 'a',
                src: 'load',
                input: { part: 'a' },
                onDone: { actions: assign({ parts: ({ context, event }) => [...context.parts, event.output] }) },
              },
              {
                id: 'b',
                src: 'load',
                input: { part: 'b' },
                onDone: { actions: assign({ parts: ({ context, event }) => [...context.parts, event.output] }) },
                onError: { actions: assign({ parts: ({ context }) => [...context.parts, 'no b'] }) },
              },
              { id: 'c', src: 'load', input: { part: 'c' } },
            ],
            always: { guard: ({ context }) => context.parts.length === 2, target: 'loaded' },
          },
          loaded: { type: 'final' },
        },
        output: ({ context }) => context.parts,
      }),
    commands: [],
    script: [
      fail('load', new Error('torn'), (input) => (input as { part: string }).part === 'b'),
      finish('load', 'A', (input) => (input as { part: string }).part === 'a'),
    ],
    end: { value: 'loaded', outcome: 'success', output: ['no b', 'A'] },
  })

  fidelity('an invoke at the root keeps running while the states change', {
    build: (outside) =>
      setup({ actors: { work: outside.promise<number>('work') } }).createMachine({
        invoke: { src: 'work', onDone: '.end' },
        initial: 'a',
        states: { a: { on: { GO: 'b' } }, b: {}, end: { type: 'final', output: ({ event }) => event } },
        output: ({ event }) => ('output' in event ? (event.output as { output: number }).output : null),
      }),
    commands: ['GO'],
    script: [command('GO'), finish('work', 7)],
    end: { value: 'end', outcome: 'success', output: 7 },
  })

  fidelity('the input of an invoke is computed from the context and the event', {
    build: (outside) =>
      setup({
        types: { context: {} as { base: number; got: unknown }, events: {} as { type: 'GO'; by: number } },
        actors: { add: outside.promise<number, { sum: number; self: boolean }>('add') },
      }).createMachine({
        context: { base: 40, got: null },
        initial: 'idle',
        states: {
          idle: { on: { GO: 'adding' } },
          adding: {
            invoke: {
              src: 'add',
              input: ({ context, event, self }) => ({
                sum: context.base + (event.type === 'GO' ? event.by : 0),
                self: self !== undefined,
              }),
              onDone: { target: 'end', actions: assign({ got: ({ event }) => event.output }) },
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.got,
      }),
    commands: ['GO'],
    script: [
      command('GO', { by: 2 }),
      finish('add', 42, (input) => {
        const { sum, self } = input as { sum: number; self: boolean }
        return sum === 42 && self
      }),
    ],
    end: { value: 'end', outcome: 'success', output: 42 },
  })

  fidelity('inline logic of every kind can be invoked', {
    build: (outside) =>
      createMachine({
        initial: 'promise',
        states: {
          promise: { invoke: { src: fromPromise(() => outside.call<string>('inline')), onDone: 'machine' } },
          machine: {
            invoke: {
              src: createMachine({
                initial: 'on',
                states: { on: { after: { 100: 'off' } }, off: { type: 'final' } },
              }),
              onDone: 'callback',
            },
          },
          callback: {
            invoke: { src: fromCallback(({ sendBack }) => sendBack({ type: 'BACK' })) },
            on: { BACK: 'end' },
          },
          end: { type: 'final' },
        },
      }),
    commands: [],
    script: [finish('inline', 'x'), wait(100)],
    end: { value: 'end', outcome: 'success' },
  })
})

describe('long-lived logic', () => {
  fidelity('a callback lives as long as its state, over any number of restarts', {
    build: (outside) =>
      setup({ actors: { ear: outside.callback('ear') } }).createMachine({
        initial: 'on',
        states: { on: { invoke: { src: 'ear' }, on: { GO: 'end' } }, end: { type: 'final' } },
      }),
    commands: [],
    script: [wait(1_000), wait(1_000), wait(1_000), wait(1_000), tell('ear', 'GO')],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a callback gets events by its id, and forwarded events', {
    build: (outside) =>
      setup({ actors: { ear: outside.callback('ear') } }).createMachine({
        context: { answers: [] as string[] },
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'ear', src: 'ear' },
            on: {
              SAY: { actions: forwardTo('ear') },
              WHISPER: { actions: sendTo('ear', ({ event }) => ({ type: 'WHISPERED', text: event.text })) },
              ANSWER: { actions: assign({ answers: ({ context, event }) => [...context.answers, event.text] }) },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.answers,
      }),
    commands: ['SAY', 'WHISPER', 'END'],

    script: [
      command('SAY', { text: 'hello' }),
      command('WHISPER', { text: 'psst' }),
      tell('ear', 'ANSWER', { text: 'what?' }),
      command('END'),
    ],
    end: { value: 'end', outcome: 'success', output: ['what?'] },
  })

  fidelity('transition logic keeps its state and gets events, whether invoked or spawned', {
    build: () =>
      setup({
        types: { context: {} as { counter: ActorRefFrom<typeof count> | null } },
        actors: { count },
      }).createMachine({
        context: { counter: null },
        entry: assign({ counter: ({ spawn }) => spawn('count', { id: 'spawned' }) }),
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'invoked', src: 'count' },
            on: {
              TICK: {
                actions: [
                  sendTo('invoked', { type: 'ADD', by: 1 }),
                  sendTo(({ context }) => context.counter ?? 'spawned', { type: 'ADD', by: 10 }),
                ],
              },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
      }),
    commands: ['TICK', 'END'],
    script: [command('TICK'), command('TICK'), wait(10), command('TICK'), command('END')],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a chart hears of an observable’s snapshots and of its end', {
    build: () =>
      setup({
        types: { context: {} as { seen: unknown[] } },
        actors: {
          numbers: fromObservable(() => ({
            // The smallest possible observable: three values.
            subscribe: (observer: unknown) => {
              const { next, complete } = observer as { next: (value: number) => void; complete: () => void }
              for (const value of [1, 2, 3]) next(value)
              complete()
              return { unsubscribe: () => {} }
            },
          })),
        },
      }).createMachine({
        context: { seen: [] },
        initial: 'idle',
        states: {
          idle: { on: { GO: 'listening' } },
          listening: {
            invoke: {
              src: 'numbers',
              onSnapshot: {
                // The first snapshot is that of the start, which has no value.
                guard: ({ event }) => event.snapshot.context !== undefined,
                actions: assign({ seen: ({ context, event }) => [...context.seen, event.snapshot.context] }),
              },
              onDone: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.seen,
      }),
    commands: ['GO'],
    script: [command('GO')],
    end: { value: 'end', outcome: 'success', output: [1, 2, 3] },
  })
})
