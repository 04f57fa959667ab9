import { describe } from 'vitest'
import {
  type AnyEventObject,
  assign,
  cancel,
  createMachine,
  enqueueActions,
  forwardTo,
  fromPromise,
  raise,
  sendParent,
  sendTo,
  setup,
  spawnChild,
} from 'xstate'
import { fidelity } from './run.ts'
import { command, fail, finish, wait } from './script.ts'

// Constructs that are rarely used, or rarely used together.

const end = { value: 'end', outcome: 'success' } as const

const counter = setup({
  types: { context: {} as { n: number }, events: {} as { type: 'ADD' } | { type: 'END' }, output: {} as number },
}).createMachine({
  context: { n: 0 },
  initial: 'on',
  states: {
    on: { on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) }, END: 'off' } },
    off: { type: 'final' },
  },
  output: ({ context }) => context.n,
})

const gotOutput = assign({
  got: ({ context, event }: { context: { got: readonly unknown[] }; event: AnyEventObject }) => [
    ...context.got,
    event.output,
  ],
})
const gotNothing = assign({
  got: ({ context }: { context: { got: readonly unknown[] } }) => [...context.got, 'nothing'],
})

fidelity('several inline promises of one state each end by themselves', {
  build: (outside) => {
    const load = (part: string) => fromPromise(() => outside.call<string>(part))
    return createMachine({
      types: {} as { context: { got: readonly unknown[] } },
      context: { got: [] },
      initial: 'on',
      states: {
        on: {
          invoke: [
            { src: load('a'), onDone: 'wrong', onError: { actions: gotNothing } },
            { src: load('b'), onDone: { actions: gotOutput } },
            { src: load('c'), onDone: { actions: gotOutput } },
          ],
          always: { guard: ({ context }) => context.got.length === 3, target: 'end' },
        },
        wrong: { type: 'final', tags: 'failure' },
        end: { type: 'final' },
      },
      output: ({ context }) => context.got,
    })
  },
  commands: [],
  script: [finish('c', 'C'), fail('a', new Error('torn')), finish('b', 'B')],
  end: { ...end, output: ['C', 'nothing', 'B'] },
})

fidelity('two regions invoke one logic without an id, and each hears of its own', {
  build: (outside) => {
    const region = (side: string) => ({
      initial: 'on',
      states: { on: { invoke: { src: 'work', input: side, onDone: 'off' } }, off: { type: 'final' } },
    })
    return createMachine({
      type: 'parallel',
      states: { left: region('left'), right: region('right') },
    } as never).provide({ actors: { work: outside.promise('work') } } as never)
  },
  commands: [],
  script: [finish('work', 'R', (input) => input === 'right'), finish('work', 'L', (input) => input === 'left')],
  end: { value: { left: 'off', right: 'off' }, outcome: 'success' },
})

fidelity('delayed messages to a child, to the parent and to itself are cancelled by id', {
  build: () =>
    setup({
      actors: {
        child: createMachine({
          initial: 'on',
          entry: sendParent({ type: 'WRONG' }, { delay: 300, id: 'answer' }),
          states: { on: { on: { HUSH: { actions: cancel('answer') }, WRONG: 'off' } }, off: { type: 'final' } },
        }),
      },
    }).createMachine({
      initial: 'on',
      on: { WRONG: '.wrong' },
      states: {
        on: {
          invoke: { id: 'child', src: 'child', onDone: 'wrong' },
          entry: [
            sendTo('child', { type: 'WRONG' }, { delay: 200, id: 'to child' }),
            sendTo(({ self }) => self, { type: 'WRONG' }, { delay: 250, id: 'to self' }),
          ],
          on: { HUSH: { actions: [sendTo('child', { type: 'HUSH' }), cancel('to child'), cancel('to self')] } },
          after: { 1000: 'end' },
        },
        wrong: { type: 'final', tags: 'failure' },
        end: { type: 'final' },
      },
    }),
  commands: ['HUSH'],
  script: [wait(100), command('HUSH'), wait(300), wait(600)],
  end,
})

fidelity('enqueueActions spawns, sends, cancels and stops', {
  build: (outside) =>
    setup({
      types: { context: {} as { n: number } },
      actors: { counter, work: outside.promise('work') },
    }).createMachine({
      context: { n: -1 },
      initial: 'on',
      states: {
        on: {
          on: {
            HIRE: {
              actions: enqueueActions(({ enqueue }) => {
                enqueue.spawnChild('counter', { id: 'counter' })
                enqueue.spawnChild('work', { id: 'work' })
                enqueue.sendTo('counter', { type: 'ADD' })
              }),
            },
            ADD: {
              actions: enqueueActions(({ enqueue }) => {
                enqueue.sendTo('counter', { type: 'ADD' }, { delay: 100, id: 'late' })
              }),
            },
            FIRE: {
              actions: enqueueActions(({ enqueue }) => {
                enqueue.stopChild('work')
                enqueue.cancel('late')
                enqueue.sendTo('counter', { type: 'END' })
              }),
            },
            'xstate.done.actor.counter': {
              target: 'end',
              actions: assign({ n: ({ event }) => Number('output' in event ? event.output : -1) }),
            },
          },
        },
        end: { type: 'final' },
      },
      output: ({ context }) => context.n,
    }),
  commands: ['HIRE', 'ADD', 'FIRE'],
  script: [command('HIRE'), command('ADD'), wait(100), command('ADD'), wait(50), command('FIRE')],
  end: { ...end, output: 2 },
})

fidelity('a spawned child with snapshots requested reports each snapshot', {
  build: () =>
    setup({ types: { context: {} as { seen: readonly unknown[] } }, actors: { counter } }).createMachine({
      context: { seen: [] },
      entry: spawnChild('counter', { id: 'counter', syncSnapshot: true }),
      initial: 'on',
      states: {
        on: {
          on: {
            ADD: { actions: sendTo('counter', { type: 'ADD' }) },
            END: { actions: sendTo('counter', { type: 'END' }) },
            'xstate.snapshot.counter': {
              actions: assign({
                seen: ({ context, event }) => [...context.seen, (event as unknown as SnapshotEvent).snapshot.context.n],
              }),
            },
            'xstate.done.actor.counter': 'end',
          },
        },
        end: { type: 'final' },
      },
      output: ({ context }) => context.seen,
    }),
  commands: ['ADD', 'END'],
  script: [command('ADD'), command('ADD'), command('END')],
  end: { ...end, output: [0, 1, 2] },
})

interface SnapshotEvent {
  readonly snapshot: { readonly context: { readonly n: number } }
}

fidelity('a child machine remembers its history', {
  build: () =>
    setup({
      actors: {
        child: createMachine({
          initial: 'on',
          states: {
            on: {
              initial: 'one',
              states: { one: { on: { NEXT: 'two' } }, two: { on: { NEXT: '#over' } }, back: { type: 'history' } },
              on: { OUT: 'off' },
            },
            off: { on: { IN: 'on.back' } },
            over: { id: 'over', type: 'final' },
          },
        }),
      },
    }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { id: 'child', src: 'child', onDone: 'end' }, on: { '*': { actions: forwardTo('child') } } },
        end: { type: 'final' },
      },
    }),
  commands: ['NEXT', 'OUT', 'IN'],
  script: [command('NEXT'), command('OUT'), command('IN'), command('NEXT')],
  end,
})

fidelity('a raise and a send use named delays, and a child has a computed id', {
  build: (outside) =>
    setup({
      types: { context: {} as { ms: number; name: string; n: number } },
      actors: { counter },
      delays: { soon: ({ context }) => context.ms },
    }).createMachine({
      context: { ms: 50, name: 'counter-7', n: -1 },
      entry: spawnChild('counter', { id: ({ context }) => context.name }),
      initial: { target: 'on', actions: () => outside.note('began') },
      states: {
        on: {
          entry: raise({ type: 'TICK' }, { delay: 'soon' }),
          on: {
            TICK: {
              target: 'on',
              reenter: true,
              actions: [
                assign({ ms: ({ context }) => context.ms * 2 }),
                sendTo(({ context }) => context.name, { type: 'ADD' }),
              ],
            },
            END: { actions: sendTo(({ context }) => context.name, { type: 'END' }, { delay: 'soon' }) },
            'xstate.done.actor.counter-7': {
              target: 'end',
              actions: assign({ n: ({ event }) => Number((event as { output?: unknown }).output) }),
            },
          },
        },
        end: { type: 'final' },
      },
      output: ({ context }) => context.n,
    }),
  commands: ['END'],
  isLateWhenAway: true,
  script: [wait(50), wait(100), wait(10), command('END'), wait(190), wait(10)],
  end: { ...end, output: 3, effects: ['began'] },
})

const routed = createMachine({
  initial: 'on',
  states: {
    on: { entry: raise({ type: 'xstate.route', to: '#there' } as never, { delay: 10 }) },
    there: { id: 'there', route: {}, on: { GO: 'end' } },
    end: { type: 'final' },
  },
} as never)

// XState has routes from 5.28 on.
const hasRoutes = [...routed.root.transitions.keys()].some((type) => type.startsWith('xstate.route'))

describe.runIf(hasRoutes)('routes', () => {
  fidelity('a state with a route is entered by its id', {
    build: () => routed,
    commands: ['GO'],
    script: [wait(9), wait(1), command('GO')],
    end,
  })
})
