import { expect, expectTypeOf, test } from 'vitest'
import {
  type AnyStateMachine,
  createMachine,
  fromCallback,
  fromEventObservable,
  fromObservable,
  fromPromise,
  fromTransition,
  setup,
  spawnChild,
} from 'xstate'
import { z } from 'zod'
import type { CommandOf } from '../../src/model/command.ts'
import {
  type CommandsOf,
  childTypeOf,
  defineJob,
  type InputOf,
  type OutputOf,
  withChildren,
} from '../../src/model/definition.ts'
import { task } from '../../src/model/task.ts'

const refuse = (): number => {
  throw new Error('no')
}

const subscribable = { subscribe: () => ({ unsubscribe: () => {} }) }

const idle = createMachine({ id: 'idle', initial: 'idle', states: { idle: { on: { stop: 'gone' } }, gone: {} } })

test('a function alone makes a job type: version 1, a cancel command, one task that may be restarted', () => {
  const type = defineJob({ type: 'extract', execute: () => 1 })
  expect(type).toMatchObject({
    type: 'extract',
    version: '1',
    cancel: 'cancel',
    input: undefined,
    output: undefined,
    endLabels: { error: 'error', stopped: 'stopped', waiting: 'waiting' },
    chartTakesInput: false,
  })
  expect(Object.keys(type.commands)).toEqual(['cancel'])
  expect([...type.tasks.keys()]).toEqual(['execute'])
  expect(type.tasks.get('execute')).toMatchObject({
    executor: 'default',
    recovery: 'restart',
    retry: { limit: 0 },
    killGraceMs: 5_000,
    takesJobInput: true,
  })
})

test('the options of a function become its task’s, whose end its output schema checks', () => {
  const output = z.number()
  const type = defineJob({
    type: 'extract',
    version: '2',
    input: z.object({ path: z.string() }),
    output,
    labels: { error: 'broken', stopped: 'halted' },
    retry: { limit: 2, backoff: '5s' },
    recovery: 'fail',
    killGrace: 'never',
    executor: 'gpu',
    execute: () => 1,
  })
  expect(type).toMatchObject({ version: '2', endLabels: { error: 'broken', stopped: 'halted' }, output: undefined })
  expect(type.tasks.get('execute')).toMatchObject({
    executor: 'gpu',
    recovery: 'fail',
    retry: { limit: 2, baseMs: 5_000 },
    killGraceMs: null,
    output,
    input: undefined,
  })
})

test('a machine has no commands and no cancel unless it declares them', () => {
  const output = z.number()
  const type = defineJob({ type: 'idle', lifecycle: idle, output })
  expect(type).toMatchObject({ commands: {}, cancel: null, output, chartTakesInput: true })
  expect(type.tasks.size).toBe(0)
})

test.each([
  ['an empty name', ''],
  ['a name of 201 characters', 'x'.repeat(201)],
  ['a name that is no text', 5],
])('a type with %s is refused', (_, type) => {
  expect(() => defineJob({ type: type as string, execute: () => 1 })).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message: expect.stringMatching(/^type should be text of 1 to 200 characters; found/),
    }),
  )
})

test('a type with a name of 200 characters is accepted', () => {
  expect(defineJob({ type: 'x'.repeat(200), execute: () => 1 }).type).toHaveLength(200)
})

test.each([
  ['a kill grace', { killGrace: 'a while' }],
  ['a recovery', { recovery: 'perhaps' }],
  ['a retry limit', { retry: { limit: 1.5 } }],
])('%s that cannot work is refused', (_, options) => {
  const given = { type: 'extract', execute: () => 1, ...options } as never
  expect(() => defineJob(given)).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
})

test('an invoke of a name that is not provided is refused, and the message says where it is', () => {
  const lifecycle = createMachine({ id: 'm', initial: 'a', states: { a: { invoke: { src: 'nowhere' } } } })
  expect(() => defineJob({ type: 'order', lifecycle })).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message:
        'job type "order": state "m.a" invokes "nowhere", which is not defined. ' +
        'Provide it in setup({ actors }), made by task(), fromPromise() or other XState actor logic.',
    }),
  )
})

test.each([
  ['promise logic', fromPromise(async () => 1), 'promise'],
  ['a task()', task({}, () => 1), 'promise'],
  ['a callback', fromCallback(() => {}), 'callback'],
  ['an observable', fromObservable(() => subscribable), 'observable'],
  ['an event observable', fromEventObservable(() => subscribable), 'events'],
  ['a reducer', fromTransition((state: number) => state, 0), 'pure'],
  ['a reducer that throws', fromTransition(refuse, 0), 'pure'],
  ['another machine', idle, 'machine'],
] as const)('an invoke of %s is known by its kind, by name and inline', (_, src, kind) => {
  const named = invoking('work').provide({ actors: { work: src } })
  for (const lifecycle of [named, invoking(src)]) {
    const { tasks, inline, children } = defineJob({ type: 'order', lifecycle })
    const counts = { tasks: tasks.size, inline: inline.size, children: children.size }
    const room = kind === 'machine' ? 'children' : kind === 'pure' ? 'inline' : 'tasks'
    expect(counts).toEqual({ tasks: 0, inline: 0, children: 0, [room]: 1 })
    expect([...tasks.values()].map((settings) => settings.kind)).toEqual(room === 'tasks' ? [kind] : [])
  }
})

test('an invoked machine is a type of its own, named after its parent’s, with the parent’s version', () => {
  const grandchild = createMachine({ invoke: { src: 'deep' } }).provide({
    actors: { deep: fromPromise(async () => 1) },
  })
  const child = createMachine({ invoke: { src: 'below' } }).provide({ actors: { below: grandchild } })
  const lifecycle = invoking('child').provide({ actors: { child } })
  const type = defineJob({ type: 'order', version: '7', lifecycle })
  expect([...withChildren(type)].map((each) => `${each.type} ${each.version}`)).toEqual([
    'order 7',
    'order/child 7',
    'order/child/below 7',
  ])
  const made = childTypeOf(type, 'child')
  expect(made).toMatchObject({
    commands: {},
    cancel: null,
    chartTakesInput: true,
    endLabels: { stopped: 'stopped' },
  })
  expect(made === undefined ? undefined : [...(childTypeOf(made, 'below')?.tasks.keys() ?? [])]).toEqual(['deep'])
  expect(childTypeOf(type, 'nobody')).toBeUndefined()
})

test('a machine that invokes itself is one type, not an endless chain', () => {
  const lifecycle = createMachine({ initial: 'a', states: { a: { on: { GO: 'b' } }, b: { invoke: { src: 'again' } } } })
  Object.assign(lifecycle.implementations.actors, { again: lifecycle })
  const type = defineJob({ type: 'order', lifecycle })
  expect([...withChildren(type)].map((each) => each.type)).toEqual(['order', 'order/again'])
})

test('promise logic has the default options, a task() its own, each under its name', () => {
  const lifecycle = setup({
    actors: { plain: fromPromise(async () => 1), careful: task({ retry: { limit: 4 } }, () => 2) },
  }).createMachine({
    initial: 'a',
    states: { a: { invoke: { src: 'plain', onDone: 'b' } }, b: { invoke: { src: 'careful' } } },
  })
  const { tasks } = defineJob({ type: 'order', lifecycle })
  expect(tasks.get('plain')).toMatchObject({ retry: { limit: 0 }, takesJobInput: false })
  expect(tasks.get('careful')).toMatchObject({ retry: { limit: 4 }, takesJobInput: false })
})

test('inline promise logic is found, each of several in one state by its own place', async () => {
  const lifecycle = createMachine({
    id: 'm',
    initial: 'a',
    states: {
      a: {
        invoke: [
          { src: task({ executor: 'first' }, () => 1) },
          { src: fromPromise(async () => 2) },
          { src: task({ executor: 'third' }, () => 3) },
        ],
      },
    },
  })
  const { tasks, chart } = defineJob({ type: 'order', lifecycle })
  const sources = chart.start(undefined).actions.flatMap((action) => (action.kind === 'start' ? [action.src] : []))
  expect(sources.map((src) => tasks.get(src)?.executor)).toEqual(['first', 'default', 'third'])
})

test('provided logic replaces the logic that the machine was made with', () => {
  const machine = setup({ actors: { work: task({ executor: 'one' }, () => 1) } }).createMachine({
    invoke: { src: 'work' },
  })
  const lifecycle = machine.provide({ actors: { work: task({ executor: 'other' }, () => 1) } })
  expect(defineJob({ type: 'order', lifecycle }).tasks.get('work')?.executor).toBe('other')
})

test('logic that is only spawned by name is known as well', () => {
  const lifecycle = setup({ actors: { work: task({ executor: 'gpu' }, () => 1) } }).createMachine({
    entry: spawnChild('work', { id: 'w' }),
  })
  expect(defineJob({ type: 'order', lifecycle }).tasks.get('work')?.executor).toBe('gpu')
})

test('a command that no state takes is refused', () => {
  expect(() => defineJob({ type: 'order', lifecycle: idle, commands: { approve: z.object({}) } })).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message: expect.stringContaining('no state takes the command "approve"'),
    }),
  )
})

test.each([
  ['its own name', 'order.approve', true],
  ['a wildcard', '*', true],
  ['a partial descriptor', 'order.*', true],
  ['a partial descriptor of the whole name', 'order.approve.*', true],
  ['a partial descriptor of another', 'invoice.*', false],
  ['a partial descriptor that cuts a word', 'ord.*', false],
  ['a longer name', 'order.approve.all', false],
])('a command is taken by %s: %s → %s', (_, descriptor, isTaken) => {
  const lifecycle = createMachine({
    initial: 'a',
    states: { a: { initial: 'b', states: { b: { on: { [descriptor]: {} } } } } },
  })
  const define = () => defineJob({ type: 'order', lifecycle, commands: { 'order.approve': z.object({}) } })
  if (isTaken) expect(define().commands).toHaveProperty(['order.approve'])
  else expect(define).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
})

// XState refuses an event of this type, so sending it would end the job.
test('a command named * is refused', () => {
  const lifecycle = createMachine({ on: { '*': {} } })
  expect(() => defineJob({ type: 'order', lifecycle, commands: { '*': z.object({}) } })).toThrow(
    expect.objectContaining({ code: 'INVALID_DEFINITION' }),
  )
})

test('cancel sends the command named cancel if there is one, or the one that is named, or none', () => {
  const lifecycle = createMachine({ on: { cancel: {}, stop: {} } })
  const commands = { cancel: z.object({}), stop: z.object({}) }
  expect(defineJob({ type: 'order', lifecycle, commands }).cancel).toBe('cancel')
  expect(defineJob({ type: 'order', lifecycle, commands, cancel: 'stop' }).cancel).toBe('stop')
  expect(defineJob({ type: 'order', lifecycle, commands, cancel: null }).cancel).toBeNull()
  expect(defineJob({ type: 'order', lifecycle, commands: { stop: commands.stop } }).cancel).toBeNull()
})

test.each(['stop', 'toString'])('a cancel that names no command is refused: %s', (cancel) => {
  const given = { type: 'order', lifecycle: idle, commands: {}, cancel } as never
  expect(() => defineJob(given)).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message: expect.stringContaining(`cancel names "${cancel}"`),
    }),
  )
})

test('the default cancel takes a reason of at most 500 characters, and drops other fields', async () => {
  const { cancel } = defineJob({ type: 'extract', execute: () => 1 }).commands
  const validate = (value: unknown) => cancel?.['~standard'].validate(value)
  expect(await validate({})).toEqual({ value: {} })
  expect(await validate(undefined)).toEqual({ value: {} })
  expect(await validate({ reason: 'late', isAdmin: true })).toEqual({ value: { reason: 'late' } })
  expect(await validate({ reason: 'x'.repeat(500) })).toHaveProperty('value')
  for (const reason of ['x'.repeat(501), 5, null]) {
    expect(await validate({ reason })).toMatchObject({ issues: [{ path: ['reason'] }] })
  }
})

test('execute’s input is typed by the parsed schema, submit’s by the schema’s input', () => {
  const type = defineJob({
    type: 'extract',
    input: z.object({ path: z.string(), limit: z.coerce.number().default(5) }),
    execute: ({ input }) => {
      expectTypeOf(input).toEqualTypeOf<{ path: string; limit: number }>()
      return { rows: 1 }
    },
  })
  expectTypeOf<InputOf<typeof type>>().toEqualTypeOf<{ path: string; limit?: unknown }>()
  expectTypeOf<OutputOf<typeof type>>().toEqualTypeOf<{ rows: number }>()
  expectTypeOf(type.type).toEqualTypeOf<'extract'>()
})

test('without a schema the input is unknown, and a returned promise gives its output', () => {
  const type = defineJob({
    type: 'extract',
    execute: async ({ input }) => {
      expectTypeOf(input).toBeUnknown()
      return 5
    },
  })
  expectTypeOf<InputOf<typeof type>>().toBeUnknown()
  expectTypeOf<OutputOf<typeof type>>().toBeNumber()
})

test('with an output schema the output is what it parses to', () => {
  const type = defineJob({
    type: 'extract',
    output: z.object({ rows: z.coerce.number() }),
    execute: () => ({ rows: '5' }),
  })
  expectTypeOf<OutputOf<typeof type>>().toEqualTypeOf<{ rows: number }>()
})

test('a command is typed by its schema, and cancel by the names of the commands', () => {
  const lifecycle = createMachine({ on: { approve: {}, stop: {} } })
  const commands = { approve: z.object({ note: z.string() }), stop: z.object({}) }
  const type = defineJob({ type: 'order', lifecycle, commands, cancel: 'stop' })
  type Command = CommandOf<CommandsOf<typeof type>>
  expectTypeOf<{ type: 'approve'; note: string }>().toExtend<Command>()
  expectTypeOf<{ type: 'stop' }>().toExtend<Command>()
  expectTypeOf<{ type: 'approve' }>().not.toExtend<Command>()
  expectTypeOf<{ type: 'approve'; note: number }>().not.toExtend<Command>()
  expectTypeOf<{ type: 'refuse' }>().not.toExtend<Command>()
  // @ts-expect-error no command has this name
  expect(() => defineJob({ type: 'order', lifecycle, commands, cancel: 'halt' })).toThrow('not one of its commands')
})

// The kinds of logic have different types; these tests only look at the result.
function invoking(src: unknown): AnyStateMachine {
  return createMachine({ id: 'm', initial: 'a', states: { a: { invoke: { src } } } } as never)
}
