import { agentTask, defineJob, JobchartError, task } from 'jobchart'
import { type ExploreOptions, explore, type JobMap } from 'jobchart/testing'
import { describe, expect, test } from 'vitest'
import {
  assign,
  createMachine,
  fromCallback,
  fromPromise,
  fromTransition,
  raise,
  sendParent,
  sendTo,
  setup,
} from 'xstate'
import { z } from 'zod'
import { elt } from '../../examples/elt/job.ts'

type MachineConfig = Parameters<typeof createMachine>[0]

/** A job type of a machine, and its map. */
function mapOf(
  config: MachineConfig,
  options: ExploreOptions & { readonly commands?: readonly string[] } = {},
): JobMap {
  const { commands = [], ...rest } = options
  const lifecycle = createMachine(config).provide({ actors: { work: fromPromise(async () => {}) } })
  const schemas = Object.fromEntries(commands.map((command) => [command, z.object({})]))
  return explore(defineJob({ type: 't', lifecycle, commands: schemas }), rest)
}

function edgesOf(map: JobMap): readonly string[] {
  return map.edges.map(({ from, event, to }) => `${from} --${event}--> ${to}`)
}

function typesOf(path: readonly { readonly type: string }[] | undefined): readonly string[] | undefined {
  return path?.map(({ type }) => type)
}

function pathTo(map: JobMap, name: string): readonly string[] | undefined {
  return typesOf(map.states.find((state) => state.name === name)?.path)
}

describe('contents of a map', () => {
  test('a job of one function: all its states, edges, commands and ends', () => {
    const map = explore(defineJob({ type: 'plain', execute: () => 'done' }))
    expect(edgesOf(map)).toEqual([
      'queued --cancel--> cancelled',
      'queued --task.started--> running',
      'running --cancel--> cancelled',
      'running --task.lost--> queued',
      'running --task.released--> queued',
      'running --xstate.done.actor.execute--> completed',
      'running --xstate.error.actor.execute--> failed',
    ])
    expect(map.commands).toEqual([
      { state: 'queued', taken: ['cancel'], refused: [] },
      { state: 'running', taken: ['cancel'], refused: [] },
    ])
    expect(map.ends).toEqual([
      { state: 'cancelled', outcome: 'cancelled' },
      { state: 'completed', outcome: 'success' },
      { state: 'failed', outcome: 'failure' },
    ])
    expect(map.states.find(({ name }) => name === 'running')).toEqual({
      name: 'running',
      value: 'running',
      label: 'running',
      phase: 'active',
      tags: [],
      tasks: ['execute'],
      timers: [],
      path: [{ type: 'xstate.init' }, { type: 'task.started', at: 0 }],
    })
    const { throws, deadEnds, unreachable, untried, isComplete } = map
    expect({ throws, deadEnds, unreachable, untried, isComplete }).toEqual({
      throws: [],
      deadEnds: [],
      unreachable: [],
      untried: [],
      isComplete: true,
    })
  })

  test('the ELT example can always end, never throws, and uses every state', () => {
    const map = explore(elt, {
      inputs: [{ folder: '/tmp', paceSeconds: 0, chunkRows: 500 }],
      outputs: {
        extract: [{ airports: staged, flights: staged }],
        clean: [{ flights: staged, rejected: staged, reasons: [] }],
        load: [{ flights: 1, chunks: 1, found: 0 }],
        verify: [{ origins: 1, totals: { flights: 1, delayMinutes: 0, distanceMiles: 0 } }],
      },
    })
    expect(map).toMatchObject({ throws: [], deadEnds: [], unreachable: [], untried: [], isComplete: true })
    expect(map.commands.flatMap(({ refused }) => refused)).toEqual([])
    expect(pathTo(map, 'completed')).toEqual([
      'xstate.init',
      'xstate.done.actor.0.elt.extracting',
      'xstate.done.actor.0.elt.cleaning',
      'xstate.done.actor.0.elt.loading',
      'xstate.done.actor.0.elt.verifying',
    ])
  })

  test('labels, tags, phase and outcome are those that a job would have', () => {
    const map = mapOf({
      initial: 'away',
      states: {
        away: {
          tags: ['indeterminate', 'vacates'],
          meta: { status: 'lost contact' },
          invoke: { src: 'work', onDone: 'back' },
        },
        back: { type: 'final', tags: 'failure' },
      },
    })
    expect(map.states.map(({ name, label, phase, tags, outcome }) => [name, label, phase, tags, outcome])).toEqual([
      ['(error)', 'error', 'settled', [], 'failure'],
      ['away', 'lost contact', 'indeterminate', ['indeterminate', 'vacates'], undefined],
      ['back', 'back', 'settled', ['failure'], 'failure'],
    ])
  })

  test('parallel regions are named by all their leaves, and each moves by itself', () => {
    const region = (event: string) => ({
      initial: 'off',
      states: { off: { on: { [event]: 'on' } }, on: { type: 'final' as const } },
    })
    const map = mapOf(
      {
        initial: 'both',
        states: {
          both: { type: 'parallel', states: { left: region('l'), right: region('r') }, onDone: 'end' },
          end: { type: 'final' },
        },
      },
      { commands: ['l', 'r'] },
    )
    expect(edgesOf(map)).toEqual([
      'both.left.off + both.right.off --l--> both.left.on + both.right.off',
      'both.left.off + both.right.off --r--> both.left.off + both.right.on',
      'both.left.off + both.right.on --l--> end',
      'both.left.on + both.right.off --r--> end',
    ])
    expect(map.commands.find(({ state }) => state === 'both.left.on + both.right.off')).toEqual({
      state: 'both.left.on + both.right.off',
      taken: ['r'],
      refused: ['l'],
    })
  })

  test('a history state leads back to the former state of the chart', () => {
    const map = mapOf(
      {
        initial: 'open',
        states: {
          open: {
            initial: 'one',
            on: { pause: 'paused', close: 'closed' },
            states: { one: { on: { next: 'two' } }, two: {}, back: { type: 'history' } },
          },
          paused: { on: { resume: 'open.back' } },
          closed: { type: 'final' },
        },
      },
      { commands: ['next', 'pause', 'resume', 'close'] },
    )
    expect(edgesOf(map).filter((edge) => edge.includes('resume'))).toEqual([
      'paused --resume--> open.one',
      'paused --resume--> open.two',
    ])
    expect(map.unreachable).toEqual([])
  })

  test('a guard on the context: one state, whose commands only some contexts take', () => {
    const map = mapOf(
      {
        initial: 'counting',
        context: { n: 0 },
        states: {
          counting: {
            on: {
              add: { guard: ({ context }) => context.n < 2, actions: assign({ n: ({ context }) => context.n + 1 }) },
              stop: { guard: ({ context }) => context.n === 2, target: 'full' },
            },
          },
          full: { type: 'final' },
        },
      },
      { commands: ['add', 'stop'] },
    )
    expect(edgesOf(map)).toEqual(['counting --add--> counting', 'counting --stop--> full'])
    expect(map.commands).toEqual([{ state: 'counting', taken: ['add', 'stop'], refused: ['add', 'stop'] }])
    expect(pathTo(map, 'full')).toEqual(['xstate.init', 'add', 'add', 'stop'])
  })

  test('each input and each example of a command is tried, and a path carries the one that was used', () => {
    const lifecycle = setup({
      types: { input: {} as { readonly vip: boolean }, context: {} as { readonly vip: boolean } },
    }).createMachine({
      context: ({ input }) => ({ vip: input.vip }),
      initial: 'asked',
      states: {
        asked: {
          on: {
            pay: [
              { guard: ({ context, event }) => context.vip && event.sum === 0, target: 'free' },
              { guard: ({ event }) => event.sum > 0, target: 'paid' },
            ],
          },
        },
        free: { type: 'final' },
        paid: { type: 'final' },
      },
    })
    const input = z.object({ vip: z.boolean() })
    const shop = defineJob({ type: 'shop', lifecycle, input, commands: { pay: z.object({ sum: z.number() }) } })
    const map = explore(shop, { inputs: [{ vip: false }, { vip: true }], events: { pay: [{ sum: 0 }, { sum: 5 }] } })
    expect(map.states.find(({ name }) => name === 'free')?.path).toEqual([
      { type: 'xstate.init', input: { vip: true } },
      { type: 'pay', sum: 0 },
    ])
    expect(map.commands).toEqual([{ state: 'asked', taken: ['pay'], refused: ['pay'] }])
    expect(map.isComplete).toBe(true)
  })

  test('the chart gets the value that a schema parses an example to', () => {
    const lifecycle = createMachine({ initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' } } })
    const commands = { go: z.object({ by: z.string().default('foot') }) }
    const job = defineJob({ type: 't', lifecycle, commands, input: z.object({ n: z.number().default(3) }) })
    const expected = [
      { type: 'xstate.init', input: { n: 3 } },
      { type: 'go', by: 'foot' },
    ]
    expect(explore(job).states[1]?.path).toEqual(expected)
    expect(explore(job, { inputs: [{}], events: { go: [{}] } }).states[1]?.path).toEqual(expected)
  })

  test('a map is frozen, sorted, and the same each time', () => {
    const job = defineJob({ type: 'plain', execute: () => 'done' })
    const map = explore(job)
    expect(explore(job)).toEqual(map)
    expect(map.states.map(({ name }) => name)).toEqual(['cancelled', 'completed', 'failed', 'queued', 'running'])
    expect([map, map.states, map.states[0], map.states[0]?.path[0]].every(Object.isFrozen)).toBe(true)
    expect(JSON.parse(JSON.stringify(map))).toEqual(map)
  })
})

describe('findings', () => {
  test('a guard that throws, with the state, the event, the error and the path', () => {
    const map = mapOf(
      {
        initial: 'one',
        context: { list: null as null | readonly string[] },
        states: {
          one: { on: { next: 'two' } },
          two: {
            on: {
              next: { guard: ({ context }) => (context.list as readonly string[]).length > 0, target: 'end' },
              leave: 'end',
            },
          },
          end: { type: 'final' },
        },
      },
      { commands: ['next', 'leave'] },
    )
    expect(map.throws).toEqual([
      {
        state: 'two',
        event: 'next',
        error: { name: 'Error', message: expect.stringContaining('Cannot read properties of null') },
        path: [{ type: 'xstate.init' }, { type: 'next' }, { type: 'next' }],
      },
    ])
    expect(edgesOf(map)).toContain('two --next--> (error)')
  })

  test.each([
    ['an assign', { on: { go: { target: 'end', actions: assign(() => fail()) } } }, 'go'],
    ['an input of an invoke', { on: { go: 'working' } }, 'go'],
    ['an output of a final state', { on: { go: 'saying' } }, 'go'],
    ['a context that cannot be stored', { on: { go: { actions: assign({ at: () => new Map() }) } } }, 'go'],
    [
      'an assign on an error',
      { invoke: { src: 'work', onDone: 'end', onError: { actions: assign(() => fail()) } } },
      'xstate.error.actor.0.(machine).start',
    ],
  ])('code that throws is reported: %s', (_, start, event) => {
    const map = mapOf(
      {
        initial: 'start',
        context: {},
        output: ({ event: done }: { readonly event: { readonly output?: unknown } }) => done.output,
        states: {
          start,
          working: { invoke: { src: 'work', input: () => fail() } },
          saying: { type: 'final', output: () => fail() },
          end: { type: 'final' },
        },
      } as MachineConfig,
      { commands: event === 'go' ? ['go'] : [] },
    )
    expect(map.throws.map((cell) => [cell.state, cell.event])).toEqual([['start', event]])
  })

  test('a thrown error is reported as it is, whatever the type’s describe says of errors', () => {
    const by = (message: string) => ({
      actions: assign(() => {
        throw new Error(message)
      }),
    })
    const lifecycle = createMachine({ initial: 'a', states: { a: { on: { one: by('first'), two: by('second') } } } })
    const commands = { one: z.object({}), two: z.object({}) }
    const job = defineJob({ type: 't', lifecycle, commands, describe: () => ({ error: 'something went wrong' }) })
    expect(explore(job).throws.map(({ error }) => error.message)).toEqual(['first', 'second'])
  })

  test('a context that throws at the submit is reported as a throw of the start', () => {
    const map = mapOf({ context: () => fail(), initial: 'a', states: { a: {} } })
    expect(map.throws).toMatchObject([
      { state: '(start)', event: 'xstate.init', error: { message: 'on purpose' }, path: [{ type: 'xstate.init' }] },
    ])
    expect(map.states.map(({ name }) => name)).toEqual(['(error)'])
  })

  test('an error of a task that no state takes is an end, not a throw', () => {
    const map = mapOf({
      initial: 'a',
      states: { a: { invoke: { id: 'w', src: 'work', onDone: 'b' } }, b: { type: 'final' } },
    })
    expect(map.throws).toEqual([])
    expect(map.ends).toEqual([
      { state: '(error)', outcome: 'failure' },
      { state: 'b', outcome: 'success' },
    ])
    expect(edgesOf(map)).toContain('a --xstate.error.actor.w--> (error)')
  })

  test('dead ends: a state where nothing can happen, and a circle that never ends', () => {
    const map = mapOf(
      {
        initial: 'start',
        states: {
          start: { on: { halt: 'halted', spin: 'ping', finish: 'end' } },
          halted: {},
          ping: { after: { 10: 'pong' } },
          pong: { on: { spin: 'ping' } },
          end: { type: 'final' },
        },
      },
      { commands: ['halt', 'spin', 'finish'] },
    )
    expect(map.deadEnds.map(({ state, kind, path }) => [state, kind, typesOf(path)])).toEqual([
      ['halted', 'stuck', ['xstate.init', 'halt']],
      ['ping', 'trapped', ['xstate.init', 'spin']],
      ['pong', 'trapped', ['xstate.init', 'spin', 'xstate.after.10.(machine).ping']],
    ])
  })

  test('a state in which a task ends and no transition takes its end is a dead end of its own', () => {
    const map = mapOf({ initial: 'a', states: { a: { invoke: { id: 'w', src: 'work' } } } })
    expect(map.deadEnds.map(({ state, kind }) => [state, kind])).toEqual([['a []', 'stuck']])
    expect(map.states.map(({ name }) => name)).toEqual(['(error)', 'a []', 'a [w]'])
  })

  test('a dead end of one context only is found', () => {
    const map = mapOf(
      {
        initial: 'a',
        context: { spent: false },
        states: {
          a: {
            on: {
              spend: { actions: assign({ spent: true }) },
              end: { guard: ({ context }) => !context.spent, target: 'b' },
            },
          },
          b: { type: 'final' },
        },
      },
      { commands: ['spend', 'end'] },
    )
    expect(map.deadEnds).toEqual([{ state: 'a', kind: 'trapped', path: [{ type: 'xstate.init' }, { type: 'spend' }] }])
  })

  test('states that are never entered; a state that is only passed through counts as entered', () => {
    const map = mapOf({
      initial: 'begun',
      states: {
        begun: { entry: raise({ type: 'begin' }), on: { begin: 'choosing' } },
        choosing: { always: [{ guard: () => false, target: 'never' }, { target: 'working' }] },
        working: { invoke: { src: 'work', onDone: 'done', onError: 'done' } },
        never: { initial: 'inner', states: { inner: {}, back: { type: 'history' } } },
        done: { type: 'final' },
      },
    })
    expect(map.unreachable).toEqual(['never', 'never.inner'])
    expect(map.states.map(({ name }) => name)).toEqual(['done', 'working'])
  })
})

describe('possible events', () => {
  test('timers fire in their order, or in any order if time may pass between them', () => {
    const region = (ms: number) => ({
      initial: 'off',
      states: { off: { after: { [ms]: 'on' } }, on: { type: 'final' as const } },
    })
    const both = mapOf({ type: 'parallel', states: { slow: region(500), fast: region(50) } })
    expect(pathTo(both, 'slow.on + fast.off')).toBeUndefined()
    expect(both.edges).toHaveLength(2)

    const later = mapOf(
      {
        type: 'parallel',
        states: {
          slow: region(500),
          fast: { initial: 'idle', states: { idle: { on: { go: 'armed' } }, armed: region(50) } },
        },
      },
      { commands: ['go'] },
    )
    expect(pathTo(later, 'slow.on + fast.armed.off')).toBeDefined()
    expect(pathTo(later, 'slow.off + fast.armed.on')).toBeDefined()
  })

  test('a delayed raise is a timer, and a cancelled one never fires', () => {
    const map = mapOf(
      {
        initial: 'a',
        states: {
          a: { entry: raise({ type: 'tick' }, { delay: 100 }), on: { tick: 'b', leave: 'c' } },
          b: { type: 'final' },
          c: { after: { 50: 'd' } },
          d: { type: 'final' },
        },
      },
      { commands: ['leave'] },
    )
    expect(map.states.find(({ name }) => name === 'a')?.timers).toEqual(['tick'])
    expect(edgesOf(map)).toContain('a --tick--> b')
    // The raise is still due in c, where no transition takes it.
    expect(map.deadEnds).toEqual([])

    const config: MachineConfig = {
      initial: 'on',
      states: {
        on: { entry: raise({ type: 'tick' }, { delay: 100 }), on: { tick: 'off' } },
        off: { after: { 10: 'on' } },
      },
    }
    const again = mapOf(config, { limit: 2 })
    expect(again.isComplete).toBe(true)
    expect(again.edges).toHaveLength(2)
  })

  test('an attempt can be given back and start again, and a loss is not counted as a failure', () => {
    const map = mapOf({
      initial: 'a',
      invoke: { id: 'w', src: 'work', onDone: '.done', onError: '.failed' },
      states: {
        a: { on: { 'task.started': 'b' } },
        b: { on: { 'task.lost': { actions: assign(() => ({})) }, 'task.started': 'c' } },
        c: { on: { 'task.lost': 'd' } },
        d: {},
        done: { type: 'final' },
        failed: { type: 'final' },
      },
    })
    expect(pathTo(map, 'c')).toEqual(['xstate.init', 'task.started', 'task.started'])
    expect(edgesOf(map)).toContain('d --xstate.error.actor.w--> failed')
  })

  test('a path contains only events that the chart hears, whatever happens beside it', () => {
    const on = (to: string) => ({ on: { step: to } })
    const map = mapOf(
      {
        initial: 'a',
        states: {
          a: { ...on('b'), invoke: { id: 'w', src: 'work', onDone: 'm' } },
          b: on('c'),
          c: on('x'),
          m: { invoke: { id: 'v', src: 'work', onDone: 'x' } },
          x: on('end'),
          end: { type: 'final' },
        },
      },
      { commands: ['step'] },
    )
    expect(pathTo(map, 'end')).toEqual(['xstate.init', 'xstate.done.actor.w', 'xstate.done.actor.v', 'step'])
  })

  test('a child machine ends and fails like a task, sends the events that have examples, and is not claimed', () => {
    const child = createMachine({ initial: 'x', states: { x: { entry: sendParent({ type: 'half' }) } } })
    const lifecycle = setup({ actors: { child } }).createMachine({
      initial: 'a',
      states: {
        a: {
          invoke: { id: 'pay', src: 'child', onDone: 'paid', onError: 'unpaid' },
          entry: sendTo('pay', { type: 'hurry' }),
          on: { half: 'halfway', 'task.started': 'wrong', 'task.lost': 'wrong' },
        },
        halfway: { type: 'final' },
        paid: { type: 'final' },
        unpaid: { type: 'final' },
        wrong: { type: 'final' },
      },
    })
    const map = explore(defineJob({ type: 'parent', lifecycle }), { events: { half: [{}] } })
    expect(edgesOf(map)).toEqual([
      'a --half--> halfway',
      'a --xstate.done.actor.pay--> paid',
      'a --xstate.error.actor.pay--> unpaid',
    ])
    expect(map.unreachable).toEqual(['wrong'])
  })

  test('a task sends the events that it declares, and is lost if its recovery tells the chart', () => {
    const sender = task({ events: ['found', 'lost count'], recovery: 'fail', retry: { limit: 3 } }, async () => {})
    const noteless = task({ events: [] }, async () => {})
    const lifecycle = setup({ actors: { sender, noteless } }).createMachine({
      context: { at: 0 },
      initial: 'a',
      states: {
        a: {
          invoke: { id: 's', src: 'sender', onDone: 'end', onError: { guard: isLost, target: 'gone' } },
          on: { found: { target: 'b', actions: assign({ at: ({ event }) => event.at }) } },
        },
        b: { invoke: { id: 'n', src: 'noteless', onDone: 'end' }, on: { found: 'end' } },
        gone: { type: 'final' },
        end: { type: 'final' },
      },
    })
    const map = explore(defineJob({ type: 't', lifecycle }), { events: { found: [{ at: 7 }] } })
    expect(edgesOf(map)).toEqual([
      'a --found--> b',
      'a --xstate.done.actor.s--> end',
      'a --xstate.error.actor.s--> (error)',
      'a --xstate.error.actor.s--> gone',
      'b --xstate.done.actor.n--> end',
      'b --xstate.error.actor.n--> (error)',
    ])
    expect(map.states.find(({ name }) => name === 'b')?.path[1]).toEqual({ type: 'found', at: 7 })
  })

  test('transition logic is moved, and live logic sends the events that have examples', () => {
    const lifecycle = setup({
      actors: { tally: fromTransition((n: number) => n + 1, 0), ear: fromCallback(() => {}) },
    }).createMachine({
      type: 'parallel',
      states: {
        hearing: {
          initial: 'on',
          states: { on: { invoke: { id: 'ear', src: 'ear' }, on: { heard: 'off' } }, off: { type: 'final' } },
        },
        counting: {
          initial: 'low',
          states: {
            low: {
              invoke: {
                id: 'tally',
                src: 'tally',
                onSnapshot: { guard: ({ event }) => event.snapshot.context === 2, target: 'high' },
              },
              on: { add: { actions: sendTo('tally', { type: 'add' }) } },
            },
            high: { type: 'final' },
          },
        },
      },
    })
    const job = defineJob({ type: 't', lifecycle, commands: { add: z.object({}) } })
    const map = explore(job, { events: { heard: [{}] } })
    expect(map).toMatchObject({ unreachable: [], throws: [], untried: [], isComplete: true })
    expect(pathTo(map, 'hearing.on + counting.high')).toEqual(['xstate.init', 'add', 'add'])
    expect(map.edges.map(({ event }) => event)).not.toContain('xstate.done.actor.ear')
  })

  test('a timer for transition logic is an edge named by what that logic sends', () => {
    const lifecycle = setup({ actors: { tally: fromTransition((n: number) => n + 1, 0) } }).createMachine({
      initial: 'a',
      states: {
        a: {
          invoke: {
            id: 'tally',
            src: 'tally',
            onSnapshot: { guard: ({ event }) => event.snapshot.context === 1, target: 'b' },
          },
          entry: sendTo('tally', { type: 'add' }, { delay: 100 }),
        },
        b: { type: 'final' },
      },
    })
    expect(edgesOf(explore(defineJob({ type: 't', lifecycle })))).toEqual(['a --xstate.snapshot.tally--> b'])
  })

  test('outputs and errors are given by the name of the logic or by the id of the invoke', () => {
    const work = task({ output: z.object({ ok: z.boolean() }) }, async () => ({ ok: true }))
    const lifecycle = setup({ actors: { work } }).createMachine({
      initial: 'a',
      states: {
        a: {
          invoke: {
            id: 'w',
            src: 'work',
            onDone: [{ guard: ({ event }) => event.output.ok, target: 'good' }, { target: 'poor' }],
            onError: [{ guard: isLost, target: 'gone' }, { target: 'failed' }],
          },
        },
        good: { type: 'final' },
        poor: { type: 'final' },
        gone: { type: 'final' },
        failed: { type: 'final' },
      },
    })
    const job = defineJob({ type: 't', lifecycle })
    const outputs = [{ ok: true }, { ok: false }]
    const errors = [new Error('no'), { code: 'TASK_LOST', message: 'lost' }]
    expect(explore(job, { outputs: { w: outputs }, errors: { work: errors } }).unreachable).toEqual([])
    expect(explore(job, { outputs: { work: outputs } }).unreachable).toEqual(['gone'])
    expect(explore(job).untried).toEqual([
      {
        event: 'xstate.done.actor.w',
        reason: expect.stringMatching(/output of "w" needs an example: .*expected object.*"work"/),
      },
    ])
    expect(errors.every((error) => !Object.isFrozen(error))).toBe(true)
    expect(() => explore(job, { outputs: { w: [{ ok: 'yes' }] } })).toThrow(/example of output of "w" does not fit/)
  })
})

describe('untried events', () => {
  test('a command whose schema requires fields, or is asynchronous, is untried', () => {
    const late = z.object({ id: z.string().optional() }).refine(async () => true)
    const lifecycle = createMachine({
      initial: 'a',
      states: { a: { on: { approve: 'b', check: 'c' } }, b: { type: 'final' }, c: { type: 'final' } },
    })
    const commands = { approve: z.object({ note: z.string() }), check: late }
    const job = defineJob({ type: 't', lifecycle, commands })
    const map = explore(job)
    expect(map.untried).toEqual([
      { event: 'approve', reason: expect.stringContaining('command "approve" needs an example: note: ') },
      { event: 'check', reason: expect.stringContaining('answers asynchronously') },
    ])
    // A state with an untried event is not reported as a dead end.
    expect(map).toMatchObject({ deadEnds: [], unreachable: ['b', 'c'] })

    const tried = explore(job, { events: { approve: [{ note: 'fine' }], check: [{ id: 'x' }] } })
    expect(tried).toMatchObject({ untried: [], deadEnds: [], unreachable: [] })
    const without = explore(job, { events: { approve: [], check: [] } })
    expect(without).toMatchObject({ untried: [], deadEnds: [{ state: 'a', kind: 'stuck' }], unreachable: ['b', 'c'] })
  })

  test('a state where the end of a task is untried is not reported as a dead end', () => {
    const work = task({ output: z.object({ ok: z.boolean() }) }, async () => ({ ok: true }))
    const lifecycle = setup({ actors: { work } }).createMachine({
      initial: 'a',
      states: {
        a: { invoke: { src: 'work', onDone: 'b', onError: { target: 'a', reenter: true } } },
        b: { type: 'final' },
      },
    })
    const job = defineJob({ type: 't', lifecycle })
    expect(explore(job).deadEnds).toEqual([])
    expect(explore(job, { outputs: { work: [] } }).deadEnds).toMatchObject([{ state: 'a', kind: 'trapped' }])
  })

  test('a schema that answers too late is not waited for, and may reject unheard', () => {
    const validate = () => Promise.reject(new Error('no database'))
    const late = { '~standard': { version: 1, vendor: 'test', validate } } as const
    const lifecycle = createMachine({ initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' } } })
    const job = defineJob({ type: 't', lifecycle, commands: { go: late } })
    expect(explore(job).untried.map(({ event }) => event)).toEqual(['go'])
  })

  test('a context that counts without end hits the limit; with a key of the context the map is complete', () => {
    const config: MachineConfig = {
      initial: 'a',
      context: { n: 0 },
      states: {
        a: { on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) }, end: 'b' } },
        b: { type: 'final' },
      },
    }
    const options = { commands: ['add', 'end'], limit: 20 }
    const cut = mapOf(config, options)
    expect(cut).toMatchObject({ isComplete: false, deadEnds: [], unreachable: [] })
    const whole = mapOf(config, { ...options, distinguish: () => null })
    expect(whole.isComplete).toBe(true)
    expect(whole.edges).toEqual(cut.edges)
  })

  test('states beyond the limit are not reported as dead ends', () => {
    const chain = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`s${n}`, { on: { next: `s${n + 1}` } }]))
    const config: MachineConfig = { initial: 's0', states: { ...chain, s9: { type: 'final' } } }
    const cut = mapOf(config, { commands: ['next'], limit: 4 })
    expect(cut).toMatchObject({ isComplete: false, deadEnds: [] })
    expect(cut.states).toHaveLength(5)
    expect(mapOf(config, { commands: ['next'], limit: 9 })).toMatchObject({ isComplete: true, unreachable: [] })
  })

  test('snapshots of a child that the chart listens to are untried without an example', () => {
    const child = createMachine({ initial: 'x', context: { n: 1 }, states: { x: {} } })
    const lifecycle = setup({ actors: { child } }).createMachine({
      initial: 'a',
      states: {
        a: {
          invoke: {
            id: 'c',
            src: 'child',
            onDone: 'end',
            onSnapshot: { guard: ({ event }) => event.snapshot.context.n === 1, target: 'seen' },
          },
        },
        seen: { type: 'final' },
        end: { type: 'final' },
      },
    })
    const job = defineJob({ type: 't', lifecycle })
    const map = explore(job)
    expect(map.untried.map(({ event }) => event)).toEqual(['xstate.snapshot.c'])
    expect(map).toMatchObject({ throws: [], unreachable: ['seen'] })
    const events = { 'xstate.snapshot.c': [{ snapshot: { status: 'active', context: { n: 1 } } }] }
    expect(explore(job, { events })).toMatchObject({ untried: [], unreachable: [] })
  })
})

describe('refused arguments', () => {
  const lifecycle = createMachine({ initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' } } })
  const job = defineJob({
    type: 't',
    lifecycle,
    input: z.object({ path: z.string() }),
    commands: { go: z.object({ n: z.number() }) },
  })

  test.each([
    ['no input that fits', {}, 'INVALID_INPUT', /inputs should have an example: .*/],
    [
      'an input that does not fit',
      { inputs: [{ path: 1 }] },
      'INVALID_INPUT',
      /example of input does not fit its schema: path/,
    ],
    [
      'fields that do not fit',
      { inputs: [{ path: '' }], events: { go: [{ n: 'x' }] } },
      'INVALID_INPUT',
      /command "go".*: n: /,
    ],
    [
      'examples of nothing',
      { inputs: [{ path: '' }], events: { gone: [{}] } },
      'INVALID_INPUT',
      /"gone", which is no command \(go\)/,
    ],
    [
      'a limit of none',
      { inputs: [{ path: '' }], limit: 0 },
      'INVALID_INPUT',
      /limit should be a whole number from 1; found 0/,
    ],
  ])('%s', (_, options, code, message) => {
    let thrown: unknown
    try {
      explore(job, options as ExploreOptions<{ path: string }>)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(JobchartError)
    expect(thrown).toMatchObject({ code, message: expect.stringMatching(message) })
  })
})

const staged = { path: 'x', rows: 1, sha256: '0' }

function fail(): never {
  throw new Error('on purpose')
}

function isLost({ event }: { readonly event: { readonly error?: unknown } }): boolean {
  return (event.error as { readonly code?: string } | undefined)?.code === 'TASK_LOST'
}

describe('a task for agents', () => {
  const lifecycle = setup({ actors: { work: agentTask({ events: ['checking'] }) } }).createMachine({
    initial: 'open',
    states: {
      open: {
        initial: 'pending',
        invoke: { id: 'work', src: 'work', onError: 'failed' },
        states: {
          pending: { on: { cancel: '#canceled', 'task.claimed': 'claimed' } },
          claimed: { on: { 'task.started': 'running', 'task.lost': 'pending', 'task.released': 'pending' } },
          running: { on: { checking: 'checking', 'task.lost': '#failed', 'task.released': '#failed' } },
          checking: {
            on: { 'xstate.done.actor.work': '#completed', 'task.lost': '#failed', 'task.released': '#failed' },
          },
        },
      },
      completed: { id: 'completed', type: 'final' },
      failed: { id: 'failed', type: 'final', tags: 'failure' },
      canceled: { id: 'canceled', type: 'final', tags: 'cancelled' },
    },
  })
  const type = defineJob({ type: 't', lifecycle, commands: { cancel: z.object({}) } })

  test('is claimed, then started; what the chart does not take in its state is refused, and the task goes on', () => {
    const map = explore(type)
    expect(edgesOf(map)).toEqual([
      'open.checking --task.lost--> failed',
      'open.checking --task.released--> failed',
      'open.checking --xstate.done.actor.work--> completed',
      'open.checking --xstate.error.actor.work--> failed',
      'open.claimed --task.lost--> open.pending',
      'open.claimed --task.released--> open.pending',
      'open.claimed --task.started--> open.running',
      'open.claimed --xstate.error.actor.work--> failed',
      'open.pending --cancel--> canceled',
      'open.pending --task.claimed--> open.claimed',
      'open.running --checking--> open.checking',
      'open.running --task.lost--> failed',
      'open.running --task.released--> failed',
      'open.running --xstate.error.actor.work--> failed',
    ])
    expect([map.throws, map.deadEnds, map.untried]).toEqual([[], [], []])
    expect(map.commands).toContainEqual({ state: 'open.claimed', taken: [], refused: ['cancel'] })
  })

  test('leads to no dead end by a result that comes too early, which an in-process task would', () => {
    const inside = lifecycle.provide({ actors: { work: task({ events: ['checking'] }, () => {}) } as never })
    const map = explore(defineJob({ type: 't', lifecycle: inside, commands: { cancel: z.object({}) } }))
    expect(map.deadEnds).not.toEqual([])
  })

  test('of a job type with agent is walked like a program, whose start is also reported after the claim', () => {
    const program = defineJob({ type: 'j', run: { command: 'ls' } })
    expect(edgesOf(explore(defineJob({ type: 'j', agent: {} })))).toEqual(edgesOf(explore(program)))
  })
})
