import { describe } from 'vitest'
import {
  type AnyStateMachine,
  assign,
  cancel,
  createMachine,
  fromCallback,
  fromEventObservable,
  raise,
  sendParent,
  sendTo,
  setup,
  spawnChild,
} from 'xstate'
import { fidelity } from './run.ts'
import { command, fail, finish, wait } from './script.ts'

// Trees of machines: their messages, their ends, and who waits for whom.

const counter = setup({ types: { context: {} as { n: number }, output: {} as number } }).createMachine({
  id: 'counter',
  context: { n: 0 },
  initial: 'on',
  states: {
    on: { on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) }, END: 'off' } },
    off: { type: 'final' },
  },
  output: ({ context }) => context.n,
})

describe('messages', () => {
  fidelity('a delayed message to a child arrives at its time, and a cancelled one never arrives', {
    build: () =>
      setup({ actors: { counter } }).createMachine({
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'counter', src: 'counter', onDone: 'end' },
            entry: [
              sendTo('counter', { type: 'ADD' }, { delay: 100 }),
              sendTo('counter', { type: 'ADD' }, { delay: 200, id: 'second' }),
              sendTo('counter', { type: 'ADD' }, { delay: 250, id: 'third' }),
              sendTo('counter', { type: 'END' }, { delay: 300 }),
            ],
            on: { HUSH: { actions: cancel('third') } },
          },
          end: { type: 'final', output: ({ event }) => event },
        },
        output: ({ event }) => (event as unknown as { output: { output: number } }).output.output,
      }),
    commands: ['HUSH'],
    isLateWhenAway: true,
    script: [wait(100), wait(100), command('HUSH'), wait(99), wait(1)],
    end: { value: 'end', outcome: 'success', output: 2 },
  })

  fidelity('a delayed message of a child to its parent arrives at its time', {
    build: () =>
      setup({
        actors: { child: createMachine({ entry: sendParent({ type: 'LATER' }, { delay: 1_000 }) }) },
      }).createMachine({
        initial: 'on',
        states: { on: { invoke: { src: 'child' }, on: { LATER: 'end' } }, end: { type: 'final' } },
      }),
    commands: [],
    script: [wait(999), wait(1)],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a parent hears of each snapshot of its child', {
    build: () =>
      setup({ types: { context: {} as { seen: number[] } }, actors: { counter } }).createMachine({
        context: { seen: [] },
        initial: 'on',
        states: {
          on: {
            invoke: {
              id: 'counter',
              src: 'counter',
              onSnapshot: {
                actions: assign({ seen: ({ context, event }) => [...context.seen, event.snapshot.context.n] }),
              },
              onDone: 'end',
            },
            on: {
              ADD: { actions: sendTo('counter', { type: 'ADD' }) },
              END: { actions: sendTo('counter', { type: 'END' }) },
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.seen,
      }),
    commands: ['ADD', 'END'],
    script: [command('ADD'), command('ADD'), command('END')],
    end: { value: 'end', outcome: 'success', output: [0, 1, 2] },
  })

  fidelity('parent and child exchange messages until one of them stops', {
    build: () =>
      setup({
        types: { context: {} as { rounds: number } },
        actors: {
          echo: createMachine({ on: { PING: { actions: sendParent({ type: 'PONG' }) } } }),
        },
      }).createMachine({
        context: { rounds: 0 },
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'echo', src: 'echo' },
            on: {
              START: { actions: sendTo('echo', { type: 'PING' }) },
              PONG: [
                { guard: ({ context }) => context.rounds >= 9, target: 'end' },
                {
                  actions: [assign({ rounds: ({ context }) => context.rounds + 1 }), sendTo('echo', { type: 'PING' })],
                },
              ],
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['START'],
    script: [command('START')],
    end: { value: 'end', outcome: 'success', output: { rounds: 9 } },
  })
})

describe('lives', () => {
  fidelity('a child that ends at its start is an event for its parent', {
    build: () =>
      setup({
        actors: {
          brief: createMachine({ initial: 'a', states: { a: { always: 'b' }, b: { type: 'final' } }, output: 'brief' }),
        },
      }).createMachine({
        context: { got: null as unknown },
        initial: 'on',
        states: {
          on: {
            invoke: { src: 'brief', onDone: { target: 'end', actions: assign({ got: ({ event }) => event.output }) } },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.got,
      }),
    commands: [],
    script: [],
    end: { value: 'end', outcome: 'success', output: 'brief' },
  })

  fidelity('two regions run one machine each, and the parent waits for both', {
    build: (outside) => {
      const child = setup({
        types: { input: {} as { part: string }, context: {} as { part: string } },
        actors: { work: outside.promise<string, { part: string }>('work') },
      }).createMachine({
        context: ({ input }) => input,
        initial: 'working',
        states: {
          working: { invoke: { src: 'work', input: ({ context }) => context, onDone: 'pausing' } },
          pausing: { after: { 1000: 'over' } },
          over: { type: 'final' },
        },
        output: ({ context }) => context.part,
      })
      return setup({ actors: { child } }).createMachine({
        context: { parts: [] as string[] },
        type: 'parallel',
        states: {
          left: {
            initial: 'on',
            states: {
              on: {
                invoke: {
                  src: 'child',
                  input: { part: 'left' },
                  onDone: {
                    target: 'off',
                    actions: assign({ parts: ({ context, event }) => [...context.parts, event.output as string] }),
                  },
                },
              },
              off: { type: 'final' },
            },
          },
          right: {
            initial: 'on',
            states: {
              on: {
                invoke: {
                  src: 'child',
                  input: { part: 'right' },
                  onDone: {
                    target: 'off',
                    actions: assign({ parts: ({ context, event }) => [...context.parts, event.output as string] }),
                  },
                },
              },
              off: { type: 'final' },
            },
          },
        },
        output: ({ context }) => context.parts,
      })
    },
    isOneLongWork: true,
    commands: [],
    script: [
      finish('work', 'x', (input) => (input as { part: string }).part === 'right'),
      wait(1_000),
      finish('work', 'y', (input) => (input as { part: string }).part === 'left'),
      wait(1_000),
    ],
    end: { value: { left: 'off', right: 'off' }, outcome: 'success', output: ['right', 'left'] },
  })

  fidelity('a parent’s deadline stops its child and all descendants', {
    build: (outside) =>
      setup({
        actors: {
          child: setup({ actors: { work: outside.promise('work'), counter } }).createMachine({
            invoke: [{ src: 'work' }, { src: 'counter' }],
            after: { 5000: { actions: sendParent({ type: 'NEVER' }) } },
          }),
        },
      }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'child' }, after: { 1000: 'late' }, on: { NEVER: 'wrong' } },
          late: { after: { 10000: 'end' }, on: { NEVER: 'wrong' } },
          wrong: { type: 'final', tags: 'failure' },
          end: { type: 'final' },
        },
      }),
    commands: [],
    isLateWhenAway: true,
    script: [wait(1_000), wait(10_000)],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a machine that invokes itself nests as deep as its input says', {
    build: () => {
      const factorial: AnyStateMachine = createMachine({
        types: {} as { input: { n: number }; context: { n: number; product: number } },
        context: ({ input }) => ({ n: input.n, product: 1 }),
        initial: 'asking',
        states: {
          asking: {
            always: { guard: ({ context }) => context.n <= 1, target: 'over' },
            invoke: {
              src: 'factorial',
              input: ({ context }) => ({ n: context.n - 1 }),
              onDone: {
                target: 'pausing',
                actions: assign({ product: ({ context, event }) => context.n * Number(event.output) }),
              },
            },
          },
          pausing: { after: { 10: 'over' } },
          over: { type: 'final' },
        },
        output: ({ context }) => context.product,
      })
      Object.assign(factorial.implementations.actors, { factorial })
      return factorial
    },
    input: { n: 4 },
    commands: [],
    script: [wait(10), wait(10), wait(10)],
    end: { value: 'over', outcome: 'success', output: 24 },
  })

  fidelity('spawned transition logic and a spawned machine outlive the states that spawned them', {
    build: (outside) =>
      setup({ actors: { counter, work: outside.promise<number>('work') } }).createMachine({
        context: { n: -1 },
        initial: 'a',
        states: {
          a: {
            entry: [spawnChild('counter', { id: 'counter' }), spawnChild('work', { id: 'work' })],
            on: { NEXT: 'b' },
          },
          b: {
            entry: sendTo('counter', { type: 'ADD' }),
            on: { 'xstate.done.actor.work': { actions: sendTo('counter', { type: 'END' }) } },
          },
          end: { type: 'final' },
        },
        on: {
          'xstate.done.actor.counter': {
            target: '.end',
            actions: assign({ n: ({ event }) => (event as unknown as { output: number }).output }),
          },
        },
        output: ({ context }) => context.n,
      }),
    commands: ['NEXT'],
    script: [command('NEXT'), finish('work', 1)],
    end: { value: 'end', outcome: 'success', output: 1 },
  })

  fidelity('a failing grandchild fails its parent, and the root handles the error', {
    build: (outside) =>
      setup({
        actors: {
          middle: setup({
            actors: {
              leaf: setup({ actors: { work: outside.promise('work') } }).createMachine({ invoke: { src: 'work' } }),
            },
          }).createMachine({ invoke: { src: 'leaf' } }),
        },
      }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'middle', onError: 'broken' } },
          broken: { type: 'final', tags: 'failure' },
        },
      }),
    commands: [],
    script: [fail('work', new Error('deep down'))],
    end: { value: 'broken', outcome: 'failure', error: 'deep down' },
  })
})

describe('listeners', () => {
  fidelity('events of an observable are events of the machine', {
    build: () =>
      setup({
        types: { context: {} as { ticks: number } },
        actors: {
          ticks: fromEventObservable(() => ({
            subscribe: (observer: unknown) => {
              const { next } = observer as { next: (event: { type: string }) => void }
              for (let tick = 0; tick < 3; tick++) next({ type: 'TICK' })
              return { unsubscribe: () => {} }
            },
          })),
        },
      }).createMachine({
        context: { ticks: 0 },
        initial: 'off',
        states: {
          off: { on: { GO: 'on' } },
          on: {
            invoke: { src: 'ticks' },
            on: { TICK: { actions: assign({ ticks: ({ context }) => context.ticks + 1 }) } },
            always: { guard: ({ context }) => context.ticks === 3, target: 'end' },
          },
          end: { type: 'final' },
        },
      }),
    commands: ['GO'],
    script: [command('GO')],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a callback is cleaned up when its state is left', {
    build: (outside) =>
      setup({
        actors: {
          door: fromCallback(({ sendBack, input }) => {
            if (input === 'open') sendBack({ type: 'OPENED' })
            return () => outside.note('closed')
          }),
        },
      }).createMachine({
        initial: 'off',
        states: {
          off: { on: { GO: 'on' } },
          on: { invoke: { src: 'door', input: 'open' }, on: { OPENED: 'end' } },
          end: { type: 'final', entry: raise({ type: 'NOBODY' }) },
        },
      }),
    commands: ['GO'],
    script: [command('GO')],
    end: { value: 'end', outcome: 'success', effects: ['closed'] },
  })
})
