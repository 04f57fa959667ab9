import { describe } from 'vitest'
import { type ActorRefFrom, assign, emit, forwardTo, sendParent, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { fidelity } from './run.ts'
import { command, fail, finish, wait } from './script.ts'

// Machines that invoke and spawn machines, each as small as possible.

describe('machines of machines', () => {
  const leaf = setup({
    types: { input: {} as { n: number }, context: {} as { n: number; told: string[] } },
  }).createMachine({
    id: 'leaf',
    context: ({ input }) => ({ n: input.n, told: [] }),
    initial: 'waiting',
    states: {
      waiting: {
        on: {
          TELL: {
            actions: [
              assign({ told: ({ context, event }) => [...context.told, event.text] }),
              sendParent(({ context }) => ({ type: 'HEARD', count: context.told.length })),
            ],
          },
          FINISH: 'over',
        },
        after: { 10000: 'over' },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => ({ n: context.n, told: context.told }),
  })

  fidelity('a grandchild gets events through its parent, and its output comes all the way up', {
    build: () =>
      setup({
        types: { context: {} as { heard: number; result: unknown } },
        actors: {
          middle: setup({ actors: { leaf } }).createMachine({
            id: 'middle',
            context: { got: null as unknown },
            initial: 'on',
            states: {
              on: {
                invoke: {
                  id: 'leaf',
                  src: 'leaf',
                  input: { n: 7 },
                  onDone: { target: 'off', actions: assign({ got: ({ event }) => event.output }) },
                },
                on: { TELL: { actions: forwardTo('leaf') }, FINISH: { actions: forwardTo('leaf') } },
              },
              off: { type: 'final' },
            },
            on: { HEARD: { actions: sendParent(({ event }) => event) } },
            output: ({ context }) => ({ via: 'middle', got: context.got }),
          }),
        },
      }).createMachine({
        context: { heard: 0, result: null },
        initial: 'on',
        states: {
          on: {
            invoke: {
              id: 'middle',
              src: 'middle',
              onDone: { target: 'off', actions: assign({ result: ({ event }) => event.output }) },
            },
            on: {
              TELL: { actions: forwardTo('middle') },
              HEARD: { actions: assign({ heard: ({ event }) => event.count }) },
              FINISH: { actions: sendTo('middle', { type: 'FINISH' }) },
            },
          },
          off: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['TELL', 'FINISH'],
    script: [command('TELL', { text: 'a' }), wait(5_000), command('TELL', { text: 'b' }), command('FINISH')],
    end: {
      value: 'off',
      outcome: 'success',
      output: { heard: 2, result: { via: 'middle', got: { n: 7, told: ['a', 'b'] } } },
    },
  })

  fidelity('a grandchild ends by its own timer', {
    build: () =>
      setup({
        actors: {
          middle: setup({ actors: { leaf } }).createMachine({
            initial: 'on',
            states: {
              on: { invoke: { src: 'leaf', input: { n: 1 }, onDone: 'off' } },
              off: { type: 'final', output: ({ event }) => event },
            },
            on: { HEARD: {} },
          }),
        },
      }).createMachine({
        initial: 'on',
        states: { on: { invoke: { src: 'middle', onDone: 'off' } }, off: { type: 'final' } },
      }),
    commands: [],
    script: [wait(9_999), wait(1)],
    end: { value: 'off', outcome: 'success' },
  })

  fidelity('an error of a child machine is an event for its parent', {
    build: (outside) =>
      setup({
        types: { context: {} as { message: string } },
        actors: {
          child: setup({ actors: { work: outside.promise('work') } }).createMachine({
            initial: 'on',
            states: { on: { invoke: { src: 'work', onDone: 'off' } }, off: { type: 'final' } },
          }),
        },
      }).createMachine({
        context: { message: '' },
        initial: 'on',
        states: {
          on: {
            invoke: {
              id: 'child',
              src: 'child',
              onDone: 'off',
              onError: {
                target: 'broken',
                actions: assign({ message: ({ event }) => (event.error as { message: string }).message }),
              },
            },
          },
          off: { type: 'final' },
          broken: { type: 'final', tags: ['failure'] },
        },
        output: ({ context }) => context,
      }),
    commands: [],
    script: [fail('work', new TypeError('the child broke'))],
    end: { value: 'broken', outcome: 'failure', output: { message: 'the child broke' }, error: 'the child broke' },
  })

  fidelity('a child that is left is stopped, and one of the same id starts anew', {
    build: () =>
      setup({ actors: { leaf } }).createMachine({
        context: { left: 0 },
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'leaf', src: 'leaf', input: ({ context }) => ({ n: context.left }), onDone: 'end' },
            on: {
              LEAVE: { target: 'off', actions: assign({ left: ({ context }) => context.left + 1 }) },
              AGAIN: { target: 'on', reenter: true },
              HEARD: {},
              TELL: { actions: forwardTo('leaf') },
            },
          },
          off: { on: { RETURN: 'on' } },
          end: { type: 'final', output: ({ event }) => event },
        },
        output: ({ event }) => (event as unknown as { output: { output: unknown } }).output.output,
      }),
    commands: ['LEAVE', 'RETURN', 'AGAIN', 'TELL'],
    script: [
      command('TELL', { text: 'lost' }),
      wait(9_000),
      command('LEAVE'),
      wait(9_000),
      command('RETURN'),
      wait(9_000),
      command('AGAIN'),
      wait(9_000),
      wait(1_000),
    ],
    end: { value: 'end', outcome: 'success', output: { n: 1, told: [] } },
  })

  fidelity('spawned children are started and stopped by name, and known by their ids', {
    build: (outside) =>
      setup({
        types: {
          context: {} as { workers: string[]; results: unknown[] },
          events: {} as { type: 'HIRE'; name: string } | { type: 'FIRE'; name: string } | { type: 'END' },
          children: {} as { [id: string]: 'worker' },
        },
        actors: { worker: outside.promise<string, { name: string }>('worker') },
      }).createMachine({
        context: { workers: [], results: [] },
        initial: 'on',
        states: {
          on: {
            on: {
              HIRE: {
                actions: [
                  spawnChild('worker', {
                    id: ({ event }) => `worker-${'name' in event ? event.name : ''}`,
                    input: ({ event }) => ({ name: 'name' in event ? event.name : '' }),
                  }),
                  assign({ workers: ({ context, event }) => [...context.workers, event.name] }),
                ],
              },
              FIRE: { actions: stopChild(({ event }) => `worker-${'name' in event ? event.name : ''}`) },
              'xstate.done.actor.*': {
                actions: assign({
                  results: ({ context, event }) => [...context.results, 'output' in event ? event.output : null],
                }),
              },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['HIRE', 'FIRE', 'END'],
    script: [
      command('HIRE', { name: 'ada' }),
      command('HIRE', { name: 'bob' }),
      finish('worker', 'from ada', (input) => (input as { name: string }).name === 'ada'),
      command('FIRE', { name: 'bob' }),
      command('END'),
    ],
    end: { value: 'end', outcome: 'success', output: { workers: ['ada', 'bob'], results: ['from ada'] } },
  })

  fidelity('children in the context are addressed by their references', {
    build: () =>
      setup({
        types: { context: {} as { leaves: ActorRefFrom<typeof leaf>[]; heard: number } },
        actors: { leaf },
      }).createMachine({
        context: ({ spawn }) => ({
          leaves: [spawn('leaf', { id: 'one', input: { n: 1 } }), spawn('leaf', { id: 'two', input: { n: 2 } })],
          heard: 0,
        }),
        initial: 'on',
        states: {
          on: {
            on: {
              TELL: {
                actions: sendTo(
                  ({ context, event }) => context.leaves[event.index] ?? 'one',
                  ({ event }) => event,
                ),
              },
              HEARD: { actions: assign({ heard: ({ context }) => context.heard + 1 }) },
              STOP: {
                actions: [
                  stopChild(({ context }) => context.leaves[0] ?? 'one'),
                  assign({ leaves: ({ context }) => context.leaves.slice(1) }),
                ],
              },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.heard,
      }),
    commands: ['TELL', 'STOP', 'END'],
    script: [
      command('TELL', { index: 1, text: 'x' }),
      command('TELL', { index: 0, text: 'y' }),
      command('STOP'),
      command('TELL', { index: 0, text: 'z' }),
      command('END'),
    ],
    end: { value: 'end', outcome: 'success', output: 3 },
  })

  fidelity('actors find each other by their system ids', {
    build: () =>
      setup({
        types: { context: {} as { heard: number } },
        actors: { leaf },
      }).createMachine({
        context: { heard: 0 },
        invoke: { src: 'leaf', id: 'leaf', systemId: 'the-leaf', input: { n: 1 } },
        initial: 'on',
        states: {
          on: {
            on: {
              TELL: {
                actions: sendTo(
                  ({ system }) => system.get('the-leaf'),
                  ({ event }) => event,
                ),
              },
              HEARD: { actions: assign({ heard: ({ context }) => context.heard + 1 }) },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.heard,
      }),
    commands: ['TELL', 'END'],
    script: [command('TELL', { text: 'x' }), command('TELL', { text: 'y' }), command('END')],
    end: { value: 'end', outcome: 'success', output: 2 },
  })

  fidelity('a machine emits events with computed values', {
    build: () =>
      setup({
        types: { emitted: {} as { type: 'progress'; percent: number }, context: {} as { done: number } },
      }).createMachine({
        context: { done: 0 },
        initial: 'on',
        entry: emit({ type: 'progress', percent: 0 }),
        states: {
          on: {
            on: {
              STEP: {
                actions: [
                  assign({ done: ({ context }) => context.done + 1 }),
                  emit(({ context }) => ({ type: 'progress', percent: context.done * 50 })),
                ],
              },
            },
            always: { guard: ({ context }) => context.done === 2, target: 'end' },
          },
          end: { type: 'final', entry: emit({ type: 'progress', percent: 100 }) },
        },
      }),
    commands: ['STEP'],
    script: [command('STEP'), command('STEP')],
    end: {
      value: 'end',
      outcome: 'success',
      emitted: [0, 50, 100, 100].map((percent) => ({ type: 'progress', percent })),
    },
  })
})
