import { describe } from 'vitest'
import { and, assign, createMachine, not, or, setup, stateIn } from 'xstate'
import { fidelity } from './run.ts'
import { command, finish, wait } from './script.ts'

// States, events and timers of a chart, each as small as possible.

describe('states', () => {
  fidelity('a shallow and a deep history are remembered', {
    build: () =>
      createMachine({
        initial: 'a',
        states: {
          a: {
            initial: 'one',
            states: {
              one: { on: { NEXT: 'two' } },
              two: {
                initial: 'left',
                states: { left: { on: { NEXT: 'right' } }, right: { on: { NEXT: '#end' } } },
              },
              shallow: { type: 'history' },
              deep: { type: 'history', history: 'deep' },
              fallback: { type: 'history', target: 'two' },
            },
            on: { OUT: 'b' },
          },
          b: { on: { SHALLOW: 'a.shallow', DEEP: 'a.deep' } },
          end: { id: 'end', type: 'final' },
        },
      }),
    commands: ['NEXT', 'OUT', 'SHALLOW', 'DEEP'],
    script: [
      command('NEXT'),
      command('NEXT'),
      command('OUT'),
      command('SHALLOW'),
      command('NEXT'),
      command('OUT'),
      command('DEEP'),
      command('NEXT'),
    ],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a history of parallel regions is remembered, and its default is taken if none is stored', {
    build: () =>
      createMachine({
        initial: 'out',
        states: {
          out: { on: { IN: 'both.known', END: 'end' } },
          both: {
            type: 'parallel',
            states: {
              x: { initial: 'x1', states: { x1: { on: { X: 'x2' } }, x2: {} } },
              y: { initial: 'y1', states: { y1: { on: { Y: 'y2' } }, y2: {} } },
              known: { type: 'history', history: 'deep' },
            },
            on: { OUT: 'out' },
          },
          end: { type: 'final' },
        },
      }),
    commands: ['IN', 'OUT', 'X', 'Y', 'END'],
    script: [command('IN'), command('X'), command('OUT'), command('IN'), command('Y'), command('OUT'), command('END')],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('a state that is entered again starts its work and its timer anew', {
    build: (outside) =>
      setup({
        actors: { work: outside.promise<string>('work') },
        actions: { entered: () => outside.note('entered'), left: () => outside.note('left') },
      }).createMachine({
        initial: 'on',
        states: {
          on: {
            entry: 'entered',
            exit: 'left',
            invoke: { src: 'work', onDone: 'end' },
            after: { 1000: 'late' },
            on: { AGAIN: { target: 'on', reenter: true }, STAY: { target: 'on' }, TOUCH: {} },
          },
          late: { type: 'final', tags: 'failure' },
          end: { type: 'final' },
        },
      }),
    commands: ['AGAIN', 'STAY', 'TOUCH'],
    script: [wait(900), command('AGAIN'), wait(900), command('AGAIN'), wait(900), finish('work', 'x')],
    end: { value: 'end', outcome: 'success', effects: ['entered', 'left', 'entered', 'left', 'entered', 'left'] },
  })

  fidelity('a transition to the current state keeps its work and its timer', {
    build: (outside) =>
      setup({ actors: { work: outside.promise<string>('work') } }).createMachine({
        context: { stays: 0 },
        initial: 'on',
        states: {
          on: {
            invoke: { src: 'work', onDone: 'end' },
            after: { 1000: 'late' },
            on: { STAY: { actions: assign({ stays: ({ context }) => context.stays + 1 }) } },
          },
          late: { type: 'final', tags: 'failure' },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['STAY'],
    script: [wait(600), command('STAY'), wait(300), command('STAY'), wait(100)],
    end: { value: 'late', outcome: 'failure', output: { stays: 2 } },
  })

  fidelity('final states pass their outputs upwards, through nested and parallel states', {
    build: () =>
      createMachine({
        context: { got: null as unknown },
        initial: 'outer',
        states: {
          outer: {
            type: 'parallel',
            states: {
              a: {
                initial: 'inner',
                states: {
                  inner: {
                    initial: 'wait',
                    states: { wait: { on: { A: 'over' } }, over: { type: 'final', output: { deep: 1 } } },
                    onDone: { target: 'after', actions: assign({ got: ({ event }) => event.output }) },
                  },
                  after: { type: 'final' },
                },
              },
              b: { initial: 'wait', states: { wait: { on: { B: 'over' } }, over: { type: 'final' } } },
            },
            onDone: [{ guard: ({ context }) => context.got === null, target: 'wrong' }, { target: 'end' }],
          },
          wrong: { type: 'final', tags: 'failure' },
          end: { type: 'final', output: ({ context }) => ({ got: context.got }) },
        },
        output: ({ event }) => ({ fromEnd: event.output }),
      }),
    commands: ['A', 'B'],
    script: [command('A'), command('B')],
    end: { value: 'end', outcome: 'success', output: { fromEnd: { got: { deep: 1 } } } },
  })

  fidelity('a parallel machine is in all its regions, and ends when they have ended', {
    build: () =>
      createMachine({
        type: 'parallel',
        states: {
          lamp: { initial: 'off', states: { off: { on: { LAMP: 'on' } }, on: { type: 'final' } } },
          door: { initial: 'shut', states: { shut: { after: { 50: 'open' } }, open: { type: 'final' } } },
        },
        output: 'all done',
      }),
    commands: ['LAMP'],
    script: [command('LAMP'), wait(50)],
    end: { value: { lamp: 'on', door: 'open' }, outcome: 'success', output: 'all done' },
  })

  fidelity('a machine without states lives by its context alone', {
    build: () =>
      createMachine({
        types: {} as { input: { from: number }; context: { sum: number }; events: { type: 'ADD'; by: number } },
        context: ({ input }) => ({ sum: input.from }),
        on: { ADD: { actions: assign({ sum: ({ context, event }) => context.sum + event.by }) } },
        initial: 'counting',
        states: {
          counting: { always: { guard: ({ context }) => context.sum >= 10, target: 'end' } },
          end: { type: 'final' },
        },
        output: ({ context }) => context.sum,
      }),
    input: { from: 3 },
    commands: ['ADD'],
    script: [command('ADD', { by: 4 }), command('ADD', { by: 5 })],
    end: { value: 'end', outcome: 'success', output: 12 },
  })

  fidelity('several targets are entered at once, by their ids', {
    build: () =>
      createMachine({
        initial: 'idle',
        states: {
          idle: { on: { GO: { target: ['#right', '#high'] } } },
          both: {
            type: 'parallel',
            states: {
              x: { initial: 'left', states: { left: {}, right: { id: 'right', type: 'final' } } },
              y: {
                initial: 'low',
                states: { low: {}, high: { id: 'high', on: { END: 'over' } }, over: { type: 'final' } },
              },
            },
            onDone: 'end',
          },
          end: { type: 'final' },
        },
      } as never),
    commands: ['GO', 'END'],
    script: [command('GO'), command('END')],
    end: { value: 'end', outcome: 'success' },
  })
})

describe('decisions', () => {
  fidelity('a chain of always decides by guards, and by the states of other regions', {
    build: () =>
      setup({
        types: { context: {} as { level: number } },
        guards: {
          isAbove: ({ context }, params: { level: number }) => context.level > params.level,
          isPowered: stateIn({ main: { power: 'on' } }),
        },
      }).createMachine({
        context: { level: 0 },
        initial: 'main',
        states: {
          main: {
            type: 'parallel',
            states: {
              power: { initial: 'off', states: { off: { on: { POWER: 'on' } }, on: {} } },
              gauge: {
                initial: 'idle',
                on: { RAISE: { actions: assign({ level: ({ context }) => context.level + 5 }) } },
                states: {
                  idle: {
                    always: { guard: and(['isPowered', { type: 'isAbove', params: { level: 3 } }]), target: 'low' },
                  },
                  low: { always: { guard: { type: 'isAbove', params: { level: 8 } }, target: 'high' } },
                  high: {
                    always: { guard: not(or([stateIn({ main: { power: 'off' } }), 'isPowered'])), target: 'never' },
                  },
                  never: {},
                },
              },
            },
            always: { guard: and([stateIn({ main: { gauge: 'high' } }), 'isPowered']), target: 'end' },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['POWER', 'RAISE'],
    script: [command('RAISE'), command('POWER'), command('RAISE')],
    end: { value: 'end', outcome: 'success', output: { level: 10 } },
  })

  fidelity('an event is taken by its name, by a wildcard of its family, or by *', {
    build: () =>
      createMachine({
        context: { by: [] as string[] },
        initial: 'on',
        states: {
          on: {
            on: {
              'mouse.click': { actions: assign({ by: ({ context }) => [...context.by, 'name'] }) },
              'mouse.*': { actions: assign({ by: ({ context }) => [...context.by, 'family'] }) },
              'key.forbidden': {},
              STOP: '#end',
              '*': { actions: assign({ by: ({ context }) => [...context.by, 'any'] }) },
            },
          },
          end: { id: 'end', type: 'final' },
        },
        on: { 'key.forbidden': '.end' },
        output: ({ context }) => context.by,
      }),
    commands: ['mouse.click', 'mouse.move.far', 'key.forbidden', 'else', 'STOP'],
    script: [
      command('mouse.click'),
      command('mouse.move.far'),
      command('key.forbidden'),
      command('else'),
      command('STOP'),
    ],
    end: { value: 'end', outcome: 'success', output: ['name', 'family', 'any'] },
  })
})
