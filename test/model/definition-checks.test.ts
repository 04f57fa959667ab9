import { expect, test } from 'vitest'
import {
  and,
  assign,
  createMachine,
  enqueueActions,
  fromPromise,
  not,
  or,
  raise,
  sendTo,
  spawnChild,
  stateIn,
} from 'xstate'
import { z } from 'zod'
import { defineJob } from '../../src/model/definition.ts'

const work = fromPromise(async () => {})

function define(config: object, implementations: object = {}) {
  return () => defineJob({ type: 't', lifecycle: createMachine(config as never, implementations as never) })
}

test.each<[string, object, object, string]>([
  ['spawns inline logic on entry', { entry: spawnChild(work) }, {}, 'spawnChild of logic that has no name'],
  ['spawns inline logic on exit', { exit: spawnChild(work) }, {}, 'spawnChild of logic that has no name'],
  ['spawns inline logic on the way', { on: { A: { actions: [spawnChild(work)] } } }, {}, 'has no name'],
  [
    'spawns inline logic in an action of a name',
    { entry: 'go' },
    { actions: { go: spawnChild(work) } },
    'spawnChild of logic that has no name',
  ],
  [
    'spawns inline logic as an initial state is entered',
    { initial: { target: 'a', actions: spawnChild(work) }, states: { a: {} } },
    {},
    'spawnChild of logic that has no name',
  ],
  [
    'spawns inline logic at the end of an invoke',
    { invoke: { src: work, onDone: { actions: spawnChild(work) } } },
    {},
    'spawnChild of logic that has no name',
  ],
  ['spawns a name that is not there', { entry: spawnChild('work') }, {}, 'spawnChild of "work", which is not defined'],
  ['has a guard that is not there', { on: { A: { guard: 'may' } } }, {}, 'the guard "may" is not defined'],
  [
    'has a guard with params that is not there',
    { always: { guard: { type: 'may' } } },
    {},
    'the guard "may" is not defined',
  ],
  [
    'composes a guard of one that is not there',
    { on: { A: { guard: and([() => true, or([not('may'), stateIn('a')])]) } } },
    {},
    'the guard "may" is not defined',
  ],
  [
    'composes a guard of a name by one that is not there',
    { on: { A: { guard: 'both' } } },
    { guards: { both: and(['may', 'both']) } },
    'the guard "may" is not defined',
  ],
  ['has a delay that is not there', { after: { LONG: {} } }, {}, 'the delay "LONG" is not defined'],
  ['raises after a delay that is not there', { entry: raise({ type: 'A' }, { delay: 'LONG' } as never) }, {}, '"LONG"'],
  [
    'sends after a delay that is not there',
    { exit: sendTo('w', { type: 'A' }, { delay: 'LONG' } as never) },
    {},
    'the delay "LONG" is not defined',
  ],
  ['has a delay that is text', { after: { LONG: {} } }, { delays: { LONG: '10m' } }, '"LONG" should be a number of'],
  ['has a delay that is no time', {}, { delays: { LONG: Number.NaN } }, 'found NaN'],
  ['begins in a state that is not there', { initial: 'b', states: { a: {} } }, {}, 'Initial state node "b" not found'],
])('a machine that %s is refused, and it is said why', (_, config, implementations, why) => {
  const refusal = { code: 'INVALID_DEFINITION', message: expect.stringContaining(why) }
  expect(define(config, implementations)).toThrow(expect.objectContaining(refusal))
  const child = createMachine(config as never, implementations as never)
  expect(define({ invoke: { src: 'child' } }, { actors: { child } })).toThrow(expect.objectContaining(refusal))
})

const ending = (state: object, above: object = {}) =>
  define({ initial: 'a', states: { a: { initial: 'b', ...above, states: { b: { type: 'final', ...state } } } } })

test.each([
  ...['failed', 'fail', 'Failure', 'failures', 'error', 'errored'].map((tag) => [tag, 'failure'] as const),
  ...['canceled', 'Cancelled', 'CANCELLED', 'cancel', 'cancellation'].map((tag) => [tag, 'cancelled'] as const),
  ...['succeeded', 'succeded', 'Success', 'successful'].map((tag) => [tag, 'success'] as const),
])('the tag %s on a final state is refused, and the error names the state and the outcome %s', (tag, outcome) => {
  for (const tags of [tag, ['shown', tag]]) {
    const said = `"(machine).a.b" has the tag "${tag}", which is no outcome; write tags: '${outcome}'`
    expect(ending({ tags })).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringContaining(said) }),
    )
  }
})

test('other tags, tags beside an outcome, and tags of other states are as the author likes', () => {
  expect(ending({ tags: ['happy', 'failover', 'errors-shown', 'success-page'] })).not.toThrow()
  expect(ending({ tags: ['failed', 'failure'] })).not.toThrow()
  expect(ending({ tags: 'error' }, { tags: 'failure' })).not.toThrow()
  expect(define({ initial: 'a', states: { a: { tags: ['error', 'canceled'] } } })).not.toThrow()
})

test('a machine that provides all names that it uses is accepted, however it uses them', () => {
  const config = {
    initial: 'a',
    entry: [
      spawnChild('work'),
      'go',
      raise({ type: 'A' }, { delay: 'LONG' } as never),
      assign({}),
      enqueueActions(() => {}),
    ],
    states: {
      a: {
        after: { LONG: 'b', 100: 'b' },
        on: { A: { guard: and(['may', { type: 'may', params: {} }, not(() => false)]) } },
        always: { guard: stateIn('b'), target: 'b' },
      },
      b: { type: 'parallel', states: { x: {}, y: {} } },
    },
  }
  const implementations = {
    actors: { work },
    actions: { go: () => {} },
    delays: { LONG: 5 },
    guards: { may: () => true },
  }
  expect(define(config, implementations)).not.toThrow()
})

test.each(['task.started', 'task.stop', 'xstate.init', 'xstate.done.actor.w', '*'])(
  'a command that is named %s is refused, though a state takes it',
  (command) => {
    const lifecycle = createMachine({ on: { [command]: {} } })
    expect(() => defineJob({ type: 't', lifecycle, commands: { [command]: z.object({}) } })).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringContaining(command) }),
    )
  },
)

test('if a child ends outside its chart, its label is the one that its parent’s type gives', () => {
  const child = createMachine({})
  const lifecycle = createMachine({ invoke: { src: 'child' } }).provide({ actors: { child } } as never)
  const type = defineJob({ type: 't', lifecycle, labels: { stopped: 'aborted' } })
  expect(type.children.get('child')?.endLabels).toEqual({ error: 'error', stopped: 'aborted', waiting: 'waiting' })
})
