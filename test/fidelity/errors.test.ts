import { memoryStorage } from 'jobchart'
import { describe, expect, test } from 'vitest'
import {
  assign,
  createMachine,
  emit,
  enqueueActions,
  fromCallback,
  fromPromise,
  fromTransition,
  raise,
  sendTo,
  setup,
} from 'xstate'
import { DurableRun } from './durable.ts'
import { fidelity } from './run.ts'
import { command, fail, finish, wait } from './script.ts'

// Errors in a machine and around it, each as small as possible.

describe('an error of outside work', () => {
  const rejections: readonly (readonly [string, unknown, unknown])[] = [
    ['an Error', new TypeError('torn'), 'torn'],
    ['a string', 'plain words', 'plain words'],
    ['a number', 42, '42'],
    ['an object', { type: 'ServiceNotAvailable', after: 3 }, '{"type":"ServiceNotAvailable","after":3}'],
    ['null', null, 'null'],
  ]

  for (const [name, error, shown] of rejections) {
    fidelity(`an error that is ${name} is taken by onError`, {
      build: (outside) =>
        setup({
          types: { context: {} as { said: unknown } },
          actors: { work: outside.promise('work') },
        }).createMachine({
          context: { said: 'nothing' },
          initial: 'on',
          states: {
            on: {
              invoke: {
                src: 'work',
                onError: {
                  target: 'broken',
                  actions: assign({
                    said: ({ event: { error } }) =>
                      typeof error === 'object' && error !== null && 'message' in error ? error.message : error,
                  }),
                },
              },
            },
            broken: { type: 'final', tags: 'failure' },
          },
        }),
      commands: [],
      script: [fail('work', error)],
      end: { value: 'broken', outcome: 'failure', error: shown },
    })

    fidelity(`an error that is ${name} and that no state takes ends the machine`, {
      build: (outside) =>
        setup({ actors: { work: outside.promise('work') } }).createMachine({
          initial: 'on',
          states: { on: { invoke: { src: 'work', onDone: 'end' } }, end: { type: 'final' } },
        }),
      commands: [],
      script: [fail('work', error)],
      end: { value: 'on', outcome: 'failure', error: shown },
    })
  }

  fidelity('an error whose guards all return false ends the machine', {
    build: (outside) =>
      setup({ actors: { work: outside.promise('work') } }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'work', onError: { guard: ({ event }) => event.error === 'known', target: 'end' } } },
          end: { type: 'final' },
        },
      }),
    commands: [],
    script: [fail('work', new Error('unknown'))],
    end: { value: 'on', outcome: 'failure', error: 'unknown' },
  })

  for (const wildcard of ['*', 'xstate.error.actor.*']) {
    fidelity(`an error is taken by ${wildcard}`, {
      build: (outside) =>
        createMachine({
          initial: 'on',
          states: { on: { invoke: { src: 'work' } }, broken: { type: 'final', tags: 'failure' } },
          on: { [wildcard]: '.broken' },
        }).provide({ actors: { work: outside.promise('work') } }),
      commands: [],
      script: [fail('work', new Error('torn'))],
      end: { value: 'broken', outcome: 'failure', error: 'torn' },
    })
  }

  fidelity('an error that leads back into its state is retried until it succeeds', {
    build: (outside) =>
      setup({ actors: { work: outside.promise<string>('work') } }).createMachine({
        context: { tries: 0 },
        initial: 'trying',
        states: {
          trying: {
            entry: assign({ tries: ({ context }) => context.tries + 1 }),
            invoke: {
              src: 'work',
              onDone: 'end',
              onError: [
                { guard: ({ context }) => context.tries < 3, target: 'trying', reenter: true },
                { target: 'broken' },
              ],
            },
          },
          end: { type: 'final' },
          broken: { type: 'final', tags: 'failure' },
        },
        output: ({ context }) => context,
      }),
    commands: [],
    script: [fail('work', new Error('1')), fail('work', new Error('2')), finish('work', 'ok')],
    end: { value: 'end', outcome: 'success', output: { tries: 3 } },
  })

  fidelity('an error of an invoke that was left is ignored', {
    build: (outside) =>
      setup({ actors: { work: outside.promise('work') } }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'work', onDone: { guard: () => false, target: 'never' } }, on: { GO: 'end' } },
          never: {},
          end: { type: 'final' },
        },
      }),
    commands: ['GO'],
    script: [finish('work', 1), wait(10), command('GO')],
    end: { value: 'end', outcome: 'success' },
  })
})

describe('code that throws', () => {
  const throwing = {
    promise: fromPromise(() => {
      throw new Error('at once')
    }),
    callback: fromCallback(() => {
      throw new Error('at once')
    }),
    transition: fromTransition(() => {
      throw new Error('at once')
    }, 0),
    machine: createMachine({
      context: () => {
        throw new Error('at once')
      },
    }),
  }

  for (const [kind, logic] of Object.entries(throwing)) {
    fidelity(`a throw in ${kind} logic is taken by onError`, {
      build: () =>
        setup({ actors: { logic } }).createMachine({
          initial: 'off',
          states: {
            off: { on: { GO: 'on' } },
            on: {
              invoke: { id: 'logic', src: 'logic', onError: 'broken' },
              on: { POKE: { actions: sendTo('logic', { type: 'POKE' }) } },
            },
            broken: { type: 'final', output: 'broken' },
          },
        }),
      commands: ['GO', 'POKE'],
      script: [command('GO'), command('POKE')],
      end: { value: 'broken', outcome: 'success' },
    })
  }

  const boom = () => {
    throw new Error('boom')
  }
  const places = {
    'an assign': { actions: assign(boom) },
    'an emit': { actions: emit(boom) },
    'a target’s entry': { target: 'entering' },
    'the input of an invoke': { target: 'invoking' },
    'the output of a final state': { target: 'ending' },
    'a delay': { actions: raise({ type: 'LATE' }, { delay: boom }) },
    'a raised event': { actions: raise(boom) },
    'enqueued actions': { actions: enqueueActions(boom) },
  }
  for (const [place, transition] of Object.entries(places)) {
    fidelity(`a throw in ${place} ends the machine in its state`, {
      build: (outside) =>
        createMachine({
          initial: 'on',
          states: {
            on: { on: { GO: transition } },
            entering: { entry: assign(boom) },
            invoking: { invoke: { src: 'work', input: boom } },
            ending: { type: 'final', output: boom },
          },
        }).provide({ actors: { work: outside.promise('work') } }),
      commands: ['GO'],
      script: [command('GO')],
      end: { value: 'on', outcome: 'failure', error: 'boom' },
    })
  }
})

describe('a guard that throws', () => {
  const boom = () => {
    throw new Error('boom')
  }
  const states = {
    'of a transition': { on: { GO: { guard: boom, target: 'end' } } },
    'of an always': { on: { GO: 'asking' } },
  }
  for (const [place, on] of Object.entries(states)) {
    fidelity(`${place} ends the machine in its state`, {
      build: () =>
        createMachine({
          initial: 'on',
          states: { on, asking: { always: { guard: boom, target: 'end' } }, end: { type: 'final' } },
        }),
      commands: ['GO'],
      script: [command('GO')],
      end: { value: 'on', outcome: 'failure', error: expect.stringMatching(/boom$/) },
    })
  }
})

describe('a value that is no JSON ends its job alone, and the error names its place', () => {
  const values = { 'a Date': new Date(0), 'a Map': new Map([[1, 2]]), 'a function': () => 1, 'a bigint': 1n }

  test.each(Object.entries(values))('%s', async (_, value) => {
    const run = new DurableRun(
      {
        build: () =>
          setup({ types: { context: {} as { deep: unknown[] } } }).createMachine({
            context: { deep: [] },
            initial: 'on',
            states: { on: { on: { GO: { actions: assign({ deep: () => [{ at: value }] }) } } } },
          }),
        commands: ['GO'],
      },
      memoryStorage(),
    )
    await run.submit()
    await run.after('stop', command('GO'))
    const { outcome, context, error } = await run.job()
    expect({ outcome, context }).toEqual({ outcome: 'failure', context: { deep: [] } })
    expect(error).toMatchObject({ code: 'NOT_STORABLE', message: expect.stringContaining('context.deep.0.at') })
    await run.end()
  })

  fidelity('a value that is no JSON as the result of outside work is an error of that work', {
    build: (outside) =>
      setup({ actors: { work: outside.promise('work') } }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'work', onDone: 'end', onError: 'end' } },
          end: { type: 'final' },
        },
      }),
    commands: [],
    script: [finish('work', new Date(0))],
    end: { value: 'end', outcome: 'success' },
  })
})
