import { describe } from 'vitest'
import {
  type AnyActorRef,
  assign,
  createMachine,
  emit,
  fromCallback,
  raise,
  sendTo,
  setup,
  spawnChild,
  stateIn,
  stopChild,
} from 'xstate'
import { fidelity } from './run.ts'
import { command, finish, tell, wait } from './script.ts'

// Legal but unusual machines, each as small as possible.

const end = { value: 'end', outcome: 'success' } as const

const counter = createMachine({
  context: { n: 0 },
  on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
})

describe('corners of time', () => {
  fidelity('negative, zero and fractional delays fire in their order', {
    build: () =>
      createMachine({
        context: { rung: [] as string[] },
        initial: 'on',
        states: {
          on: {
            entry: [
              raise({ type: 'BELOW' }, { delay: -5 }),
              raise({ type: 'NOTHING' }, { delay: 0 }),
              raise({ type: 'FRACTION' }, { delay: 1.5 }),
            ],
            on: {
              BELOW: { actions: assign({ rung: ({ context }) => [...context.rung, 'below'] }) },
              NOTHING: { actions: assign({ rung: ({ context }) => [...context.rung, 'nothing'] }) },
              FRACTION: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.rung,
      }),
    commands: [],
    script: [wait(2)],
    end: { ...end, output: ['below', 'nothing'] },
  })

  fidelity('an infinite delay never fires', {
    build: () =>
      setup({ delays: { never: Number.POSITIVE_INFINITY, soon: 10 } }).createMachine({
        initial: 'on',
        states: { on: { after: { never: 'wrong', soon: 'end' } }, wrong: {}, end: { type: 'final' } },
      }),
    commands: [],
    script: [wait(9), wait(1)],
    end,
  })

  fidelity('a polling loop that doubles its delay each time ends when it has its answer', {
    build: (outside) =>
      setup({
        types: { context: {} as { asked: number } },
        actors: { ask: outside.promise<boolean>('ask') },
        delays: { backoff: ({ context }) => 1_000 * 2 ** context.asked },
      }).createMachine({
        context: { asked: 0 },
        initial: 'asking',
        states: {
          asking: {
            invoke: {
              src: 'ask',
              onDone: [
                { guard: ({ event }) => event.output, target: 'end' },
                { target: 'waiting', actions: assign({ asked: ({ context }) => context.asked + 1 }) },
              ],
            },
          },
          waiting: { after: { backoff: 'asking' } },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: [],
    script: [finish('ask', false), wait(2_000), finish('ask', false), wait(4_000), finish('ask', true)],
    end: { ...end, output: { asked: 2 } },
  })
})

describe('corners of names', () => {
  fidelity('a new child gets the id of an old one that was stopped in the same transition', {
    build: () =>
      setup({ actors: { counter } }).createMachine({
        initial: 'on',
        states: {
          on: {
            on: {
              RENEW: { actions: [stopChild('child'), spawnChild('counter', { id: 'child' })] },
              ADD: { actions: sendTo('child', { type: 'ADD' }) },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
      }),
    commands: ['RENEW', 'ADD', 'END'],
    script: [command('RENEW'), command('ADD'), command('RENEW'), command('ADD'), command('END')],
    end,
  })

  fidelity('a system id passes from one child to the next', {
    build: () =>
      setup({ actors: { counter } }).createMachine({
        initial: 'invoked',
        on: { ADD: { actions: sendTo(({ system }) => system.get('the-counter') as AnyActorRef, { type: 'ADD' }) } },
        states: {
          invoked: {
            invoke: { id: 'first', src: 'counter', systemId: 'the-counter' },
            on: { AGAIN: { target: 'invoked', reenter: true }, NEXT: 'spawned' },
          },
          spawned: {
            entry: spawnChild('counter', { id: 'second', systemId: 'the-counter' }),
            on: { NEXT: 'end' },
          },
          end: { type: 'final' },
        },
      }),
    commands: ['ADD', 'AGAIN', 'NEXT'],
    script: [command('ADD'), command('AGAIN'), command('ADD'), command('NEXT'), command('ADD'), command('NEXT')],
    end,
  })

  fidelity('one logic at the root and in a state ends under two names', {
    build: (outside) =>
      setup({ actors: { work: outside.promise<string, string>('work') } }).createMachine({
        invoke: { id: 'root', src: 'work', input: 'root' },
        initial: 'on',
        states: {
          on: {
            invoke: { id: 'inner', src: 'work', input: 'inner' },
            on: { 'xstate.done.actor.root': 'left', 'xstate.done.actor.inner': 'wrong' },
          },
          left: { on: { 'xstate.done.actor.inner': 'wrong', GO: 'end' } },
          wrong: { type: 'final', tags: 'failure' },
          end: { type: 'final' },
        },
      }),
    commands: ['GO'],
    script: [finish('work', 'x', (input) => input === 'root'), command('GO')],
    end,
  })

  fidelity('a guard checks a state by its id, in another region', {
    build: () =>
      createMachine({
        type: 'parallel',
        states: {
          a: { initial: 'x', states: { x: { on: { X: 'y' } }, y: { id: 'why', type: 'final' } } },
          b: {
            initial: 'x',
            states: { x: { on: { GO: { guard: stateIn('#why'), target: 'y' } } }, y: { type: 'final' } },
          },
        },
      }),
    commands: ['GO', 'X'],
    script: [command('GO'), command('X'), command('GO')],
    end: { value: { a: 'y', b: 'y' }, outcome: 'success' },
  })
})

describe('corners of values', () => {
  fidelity('undefined fields count as absent', {
    build: () =>
      createMachine({
        types: {} as { context: { kept: object; gone?: string | undefined } },
        context: { kept: { a: undefined, b: 1 }, gone: undefined },
        initial: 'on',
        states: {
          on: {
            entry: emit({ type: 'began', nothing: undefined, something: 1 }),
            on: { GO: { target: 'end', actions: assign({ kept: ({ event }) => ({ ...event, more: undefined }) }) } },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.kept,
      }),
    commands: ['GO'],
    script: [command('GO', { field: 1 })],
    end: { ...end, output: { type: 'GO', field: 1 }, emitted: [{ type: 'began', something: 1 }] },
  })

  fidelity('a context of many thousand values is kept', {
    build: () =>
      createMachine({
        types: {} as { context: { rows: { readonly n: number }[] } },
        context: { rows: [] },
        initial: 'on',
        states: {
          on: {
            on: {
              FILL: { actions: assign({ rows: () => Array.from({ length: 5_000 }, (_, n) => ({ n })) }) },
              END: 'end',
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.rows.reduce((sum, { n }) => sum + n, 0),
      }),
    commands: ['FILL', 'END'],
    script: [command('FILL'), wait(1), command('END')],
    end: { ...end, output: 12_497_500 },
  })
})

describe('corners of work', () => {
  fidelity('a chart hears each of a hundred events that a callback sends at once', {
    build: () =>
      setup({
        types: { context: {} as { heard: number } },
        actors: {
          burst: fromCallback(({ sendBack }) => {
            for (let n = 0; n < 100; n++) sendBack({ type: 'TICK' })
          }),
        },
      }).createMachine({
        context: { heard: 0 },
        initial: 'off',
        states: {
          off: { on: { GO: 'on' } },
          on: {
            invoke: { src: 'burst' },
            on: { TICK: { actions: assign({ heard: ({ context }) => context.heard + 1 }) } },
            always: { guard: ({ context }) => context.heard === 100, target: 'end' },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.heard,
      }),
    commands: ['GO'],
    script: [command('GO')],
    end: { ...end, output: 100 },
  })

  fidelity('two callbacks of one logic both send events', {
    build: (outside) =>
      setup({ types: { context: {} as { heard: number } }, actors: { ear: outside.callback('ear') } }).createMachine({
        context: { heard: 0 },
        initial: 'on',
        states: {
          on: {
            invoke: [
              { id: 'left', src: 'ear' },
              { id: 'right', src: 'ear' },
            ],
            on: { SOUND: { actions: assign({ heard: ({ context }) => context.heard + 1 }) } },
            always: { guard: ({ context }) => context.heard === 4, target: 'end' },
          },
          end: { type: 'final' },
        },
      }),

    commands: [],
    script: [tell('ear', 'SOUND'), tell('ear', 'SOUND')],
    end,
  })

  fidelity('a history state starts the work of its state anew', {
    build: (outside) =>
      setup({ actors: { work: outside.promise('work') } }).createMachine({
        initial: 'on',
        states: {
          on: {
            initial: 'idle',
            states: {
              idle: { on: { NEXT: 'working' } },
              working: { invoke: { src: 'work', onDone: '#end' } },
              last: { type: 'history' },
            },
            on: { OUT: 'off' },
          },
          off: { on: { BACK: 'on.last' } },
          end: { id: 'end', type: 'final' },
        },
      }),
    commands: ['NEXT', 'OUT', 'BACK'],
    script: [command('NEXT'), command('OUT'), command('BACK'), finish('work')],
    end,
  })

  fidelity('actions without an implementation are skipped', {
    build: () =>
      createMachine({
        initial: 'on',
        entry: ['nobody', { type: 'noone', params: { at: 'all' } }],
        states: { on: { on: { GO: { target: 'end', actions: 'nothing' } } }, end: { type: 'final' } },
      }),
    commands: ['GO'],
    script: [command('GO')],
    end,
  })
})
