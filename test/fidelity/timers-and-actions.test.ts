import { describe } from 'vitest'
import { assign, cancel, createMachine, emit, enqueueActions, log, raise, sendTo, setup } from 'xstate'
import { fidelity } from './run.ts'
import { command, wait } from './script.ts'

// Timers and actions, each as small as possible.

describe('timers', () => {
  fidelity('a delay is computed from the context and the event', {
    build: () =>
      setup({
        types: {
          context: {} as { tries: number },
          events: {} as { type: 'TRY'; factor: number },
        },
        delays: { backoff: ({ context, event }) => context.tries * 100 * (event.type === 'TRY' ? event.factor : 1) },
      }).createMachine({
        context: { tries: 0 },
        initial: 'idle',
        states: {
          idle: {
            on: { TRY: { target: 'pausing', actions: assign({ tries: ({ context }) => context.tries + 1 }) } },
          },
          pausing: {
            after: { backoff: [{ guard: ({ context }) => context.tries > 2, target: 'end' }, { target: 'idle' }] },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['TRY'],
    script: [
      command('TRY', { factor: 10 }),
      wait(1_000),
      command('TRY', { factor: 1 }),
      wait(200),
      command('TRY', { factor: 2 }),
      wait(599),
      wait(1),
    ],
    end: { value: 'end', outcome: 'success', output: { tries: 3 } },
  })

  fidelity('a delayed raise is cancelled by its id, and the timers of one state each fire at their time', {
    build: () =>
      setup({
        types: {
          context: {} as { rung: string[] },
          events: {} as { type: 'RING'; name: string } | { type: 'SNOOZE' } | { type: 'STOP'; name: string },
        },
        actions: { ring: assign({ rung: ({ context }, name: string) => [...context.rung, name] }) },
      }).createMachine({
        context: { rung: [] },
        initial: 'on',
        states: {
          on: {
            entry: [
              raise({ type: 'RING', name: 'a' }, { delay: 100, id: 'a' }),
              raise({ type: 'RING', name: 'b' }, { delay: 200, id: 'b' }),
              raise({ type: 'RING', name: 'c' }, { delay: 300, id: 'c' }),
            ],
            on: {
              RING: { actions: { type: 'ring', params: ({ event }) => event.name } },
              STOP: { actions: cancel(({ event }) => event.name) },
              SNOOZE: { actions: [cancel('c'), raise({ type: 'RING', name: 'c again' }, { delay: 500, id: 'c' })] },
            },
            after: { 900: 'end' },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.rung,
      }),
    commands: ['STOP', 'SNOOZE'],
    isLateWhenAway: true,
    script: [wait(100), command('STOP', { name: 'b' }), wait(150), command('SNOOZE'), wait(400), wait(200), wait(50)],
    end: { value: 'end', outcome: 'success', output: ['a', 'c again'] },
  })

  fidelity('timers that one wait passes fire in order, each with all that follows from it', {
    build: () =>
      createMachine({
        context: { seen: [] as string[] },
        type: 'parallel',
        states: {
          slow: {
            initial: 'a',
            states: {
              a: { after: { 70: 'b' } },
              b: { entry: assign({ seen: ({ context }) => [...context.seen, 'slow'] }), after: { 70: 'c' } },
              c: { type: 'final', entry: assign({ seen: ({ context }) => [...context.seen, 'slow end'] }) },
            },
          },
          fast: {
            initial: 'a',
            states: {
              a: { after: { 40: 'b' } },
              b: { entry: assign({ seen: ({ context }) => [...context.seen, 'fast'] }), after: { 40: 'c' } },
              c: { type: 'final', entry: assign({ seen: ({ context }) => [...context.seen, 'fast end'] }) },
            },
          },
        },
        output: ({ context }) => context.seen,
      }),
    commands: [],
    isLateWhenAway: true,
    script: [wait(200)],
    end: {
      value: { slow: 'c', fast: 'c' },
      outcome: 'success',
      output: ['fast', 'slow', 'fast end', 'slow end'],
    },
  })

  fidelity('an after of 0 and one of a day work together', {
    build: () =>
      createMachine({
        initial: 'a',
        states: {
          a: { after: { 0: 'b', 86400000: 'wrong' } },
          b: { after: { 86400000: 'c', 172800000: 'wrong' } },
          c: { type: 'final' },
          wrong: { type: 'final', tags: 'failure' },
        },
      }),
    commands: [],
    script: [wait(0), wait(86_400_000)],
    end: { value: 'c', outcome: 'success' },
  })

  fidelity('a delayed message to itself survives restarts', {
    build: () =>
      createMachine({
        initial: 'a',
        states: {
          a: { entry: sendTo(({ self }) => self, { type: 'LATER' }, { delay: 500 }) },
          b: { type: 'final' },
        },
        on: { LATER: '.b' },
      }),
    commands: [],
    script: [wait(499), wait(1)],
    end: { value: 'b', outcome: 'success' },
  })
})

describe('actions', () => {
  fidelity('actions run once and in order: exit, transition, entry', {
    build: (outside) =>
      setup({ actions: { note: (_, text: string) => outside.note(text) } }).createMachine({
        entry: { type: 'note', params: 'root in' },
        exit: { type: 'note', params: 'root out' },
        initial: 'a',
        states: {
          a: {
            entry: [{ type: 'note', params: 'a in' }],
            exit: { type: 'note', params: 'a out' },
            on: { GO: { target: 'b.deep', actions: { type: 'note', params: ({ event }) => `go ${event.how}` } } },
          },
          b: {
            entry: { type: 'note', params: 'b in' },
            exit: { type: 'note', params: 'b out' },
            initial: 'shallow',
            states: {
              shallow: {},
              deep: {
                entry: { type: 'note', params: 'deep in' },
                exit: { type: 'note', params: 'deep out' },
                on: { END: '#end' },
              },
            },
          },
          end: { id: 'end', type: 'final', entry: { type: 'note', params: 'end in' } },
        },
      }),
    commands: ['GO', 'END'],
    script: [wait(10), command('GO', { how: 'fast' }), wait(10), command('END')],
    end: {
      value: 'end',
      outcome: 'success',
      effects: ['root in', 'a in', 'a out', 'go fast', 'b in', 'deep in', 'deep out', 'b out', 'end in', 'root out'],
    },
  })

  fidelity('enqueueActions checks guards, and enqueues actions of every kind', {
    build: (outside) =>
      setup({
        types: {
          context: {} as { total: number },
          events: {} as { type: 'ADD'; by: number } | { type: 'FULL' } | { type: 'TIMEOUT' },
          emitted: {} as { type: 'grew'; to: number } | { type: 'overflow' },
        },
        guards: { isFull: ({ context }) => context.total >= 10 },
        actions: { shout: (_, params: { text: string }) => outside.note(params.text) },
      }).createMachine({
        context: { total: 0 },
        initial: 'filling',
        states: {
          filling: {
            entry: enqueueActions(({ enqueue }) => {
              enqueue.raise({ type: 'TIMEOUT' }, { delay: 60_000, id: 'timeout' })
              enqueue(log('filling'))
            }),
            on: {
              ADD: {
                actions: enqueueActions(({ enqueue, event, check }) => {
                  enqueue.assign({ total: ({ context }) => context.total + event.by })
                  enqueue.emit(({ context }) => ({ type: 'grew', to: context.total }))
                  if (check(({ context }) => context.total + event.by >= 10)) {
                    enqueue.cancel('timeout')
                    enqueue({ type: 'shout', params: { text: `full by ${event.by}` } })
                    enqueue.raise({ type: 'FULL' })
                  }
                }),
              },
              FULL: { guard: 'isFull', target: 'full', actions: emit({ type: 'overflow' }) },
              TIMEOUT: 'empty',
            },
          },
          full: { type: 'final' },
          empty: { type: 'final', tags: 'failure' },
        },
        output: ({ context }) => context.total,
      }),
    commands: ['ADD'],
    script: [command('ADD', { by: 4 }), wait(59_000), command('ADD', { by: 7 }), wait(2_000)],
    end: {
      value: 'full',
      outcome: 'success',
      output: 11,
      emitted: [{ type: 'grew', to: 4 }, { type: 'grew', to: 11 }, { type: 'overflow' }],
      effects: ['full by 7'],
    },
  })

  fidelity('raised events are handled before the next one from outside, in order', {
    build: () =>
      createMachine({
        context: { seen: [] as string[] },
        initial: 'on',
        states: {
          on: {
            on: {
              START: { actions: [raise({ type: 'ONE' }), raise({ type: 'TWO' })] },
              ONE: {
                actions: [
                  assign({ seen: ({ context }) => context.seen.concat('one') }),
                  raise(({ context }) => ({ type: 'THREE', count: context.seen.length })),
                ],
              },
              TWO: { actions: assign({ seen: ({ context }) => context.seen.concat('two') }) },
              THREE: {
                target: 'end',
                actions: assign({ seen: ({ context, event }) => context.seen.concat(`three ${event.count}`) }),
              },
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context.seen,
      }),
    commands: ['START'],
    script: [command('START')],
    end: { value: 'end', outcome: 'success', output: ['one', 'two', 'three 1'] },
  })

  fidelity('tags, meta and descriptions do not change the transitions', {
    build: () =>
      createMachine({
        description: 'a machine that says much',
        meta: { owner: 'ops' },
        initial: 'a',
        states: {
          a: {
            tags: ['waiting', 'visible'],
            meta: { status: 'waiting for somebody', color: 'red' },
            description: 'nobody is here',
            on: { GO: { target: 'b', description: 'somebody came', meta: { by: 'foot' } } },
          },
          b: { type: 'final', tags: 'happy', meta: { color: 'green' } },
        },
      }),
    commands: ['GO'],
    script: [command('GO')],
    end: { value: 'b', outcome: 'success' },
  })

  fidelity('a context with nulls, deep lists and fields that come and go is kept unchanged', {
    build: () =>
      createMachine({
        types: {} as { context: { tree: unknown; gone?: string; list: unknown[] } },
        context: { tree: { a: { b: [null, { c: [[1], []] }] } }, gone: 'here', list: [] },
        initial: 'on',
        states: {
          on: {
            on: {
              DROP: { actions: assign({ gone: undefined }) },
              KEEP: { actions: assign(({ context, event }) => ({ list: [...context.list, event] })) },
              END: { guard: ({ context }) => context.gone === undefined, target: 'end' },
            },
          },
          end: { type: 'final' },
        },
        output: ({ context }) => context,
      }),
    commands: ['DROP', 'KEEP', 'END'],
    script: [
      command('END'),
      command('KEEP', { text: 'ümlaut \u0000 "quoted"', number: -0.5, nested: { deep: [true, null] } }),
      command('DROP'),
      command('END'),
    ],
    end: {
      value: 'end',
      outcome: 'success',
      output: {
        tree: { a: { b: [null, { c: [[1], []] }] } },
        list: [{ type: 'KEEP', text: 'ümlaut \u0000 "quoted"', number: -0.5, nested: { deep: [true, null] } }],
      },
    },
  })
})
