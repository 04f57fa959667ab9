import { describe } from 'vitest'
import {
  type AnyActorRef,
  type AnyStateMachine,
  assign,
  cancel,
  createMachine,
  enqueueActions,
  fromObservable,
  fromTransition,
  raise,
  sendParent,
  sendTo,
  spawnChild,
  stopChild,
} from 'xstate'
import { type Course, fidelity } from './run.ts'
import { command, fail, finish, tell, wait } from './script.ts'

// What the actors of a tree know of each other, and how they address each other.

interface Scope {
  readonly context: { readonly [name: string]: unknown }
  readonly event: { readonly type: string; readonly [name: string]: unknown }
  readonly self: AnyActorRef
  readonly system: { readonly get: (id: string) => AnyActorRef }
}

/** A machine from a config whose functions are typed by {@link Scope} alone. */
function machine(config: object, actors: object = {}): AnyStateMachine {
  return createMachine(config as never, { actors } as never) as AnyStateMachine
}

/** A machine that stays in `on` until it gets `END`. */
function lasting({ on = {}, ...rest }: { readonly on?: object; readonly [key: string]: unknown }, actors: object = {}) {
  const { context = {}, entry, ...state } = rest
  return machine(
    {
      context,
      ...(entry === undefined ? {} : { entry }),
      initial: 'on',
      states: { on: { ...state, on: { ...on, END: 'end' } }, end: { type: 'final' } },
    },
    actors,
  )
}

/** A course of commands whose last one is `END`. */
function course(build: Course['build'], commands: readonly string[], effects: readonly string[] = []): Course {
  const types = [...commands, 'END']
  return {
    build,
    commands: [...new Set(types)],
    script: types.map((type) => command(type)),
    end: { value: 'end', outcome: 'success', effects },
  }
}

function keep(name: string, value: (scope: Scope) => unknown): never {
  return assign({ [name]: (scope: unknown) => value(scope as Scope) } as never) as never
}

function to(target: (scope: Scope) => unknown, event: object | ((scope: Scope) => object), options?: object): never {
  return sendTo(target as never, event as never, options as never) as never
}

/** A snapshot as JSON. */
function seen(ref: unknown): unknown {
  const { status, output, error, context, value } = (ref as AnyActorRef).getSnapshot() as {
    readonly [name: string]: unknown
  }
  const message = (error as { readonly message?: string } | undefined)?.message
  return JSON.parse(JSON.stringify({ status, output, message, context, value }))
}

function childIn(snapshot: unknown, id: string): AnyActorRef {
  return (snapshot as { readonly children: { readonly [id: string]: AnyActorRef } }).children[id] as AnyActorRef
}

type Spawning = Scope & { readonly spawn: (src: string, options: object) => AnyActorRef }

const kid = machine({
  context: { n: 1 },
  initial: 'on',
  states: {
    on: {
      on: {
        STOP: 'over',
        BREAK: {
          actions: assign(() => {
            throw new RangeError('broken')
          }),
        },
      },
    },
    over: { type: 'final' },
  },
  output: ({ context }: { context: { n: number } }) => ({ n: context.n + 1 }),
})

describe('the snapshot of a child that is over', () => {
  const look = keep('seen', ({ context, self }) => [
    ...(context.kids as AnyActorRef[]).map(seen),
    Object.keys((self.getSnapshot() as { children: object }).children).length,
  ])
  const each = (index: number, type: string) => to(({ context }) => (context.kids as AnyActorRef[])[index], { type })

  fidelity(
    'the snapshot of a child says how it ended, by its reference and in the machine’s children',
    course(
      () =>
        lasting(
          {
            context: ({ spawn }: Spawning) => ({ kids: ['a', 'b', 'c', 'd'].map((id) => spawn('kid', { id })) }),
            on: {
              DONE: { actions: each(0, 'STOP') },
              ERROR: { actions: each(1, 'BREAK') },
              STOPPED: { actions: stopChild('c') },
              LOOK: { actions: look },
              FORGET: { actions: [stopChild('a'), look] },
              'xstate.error.actor.b': {},
            },
          },
          { kid },
        ),
      ['LOOK', 'DONE', 'ERROR', 'STOPPED', 'LOOK', 'FORGET', 'LOOK'],
    ),
  )

  fidelity(
    'the snapshot of an ended child stays its own when another child has taken its id',
    course(
      () =>
        lasting(
          {
            context: ({ spawn }: Spawning) => ({ kids: [spawn('kid', { id: 'a' })] }),
            on: {
              DONE: { actions: each(0, 'STOP') },
              ANOTHER: {
                actions: [
                  stopChild('a'),
                  assign((({ context, spawn }: Spawning) => ({
                    kids: [...(context.kids as AnyActorRef[]), spawn('kid', { id: 'a' })],
                  })) as never),
                ],
              },
              LOOK: { actions: look },
            },
          },
          { kid },
        ),
      ['DONE', 'ANOTHER', 'LOOK', 'ANOTHER', 'LOOK'],
    ),
  )

  fidelity('the snapshots of ended children let a parent continue when all are done', {
    ...course(
      () =>
        machine(
          {
            context: ({ spawn }: Spawning) => ({ kids: [spawn('kid', { id: 'a' }), spawn('kid', { id: 'b' })] }),
            initial: 'on',
            states: {
              on: {
                on: {
                  A: { actions: each(0, 'STOP') },
                  B: { actions: each(1, 'STOP') },
                  'xstate.done.actor.*': {
                    guard: ({ context }: Scope) =>
                      (context.kids as AnyActorRef[]).every((ref) => ref.getSnapshot().status === 'done'),
                    target: 'end',
                  },
                },
              },
              end: { type: 'final' },
            },
          },
          { kid },
        ),
      [],
    ),
    commands: ['A', 'B'],
    script: [command('A'), command('B')],
  })

  fidelity('the snapshot of a promise has its output or error, even before its state is left', {
    ...course(
      (outside) =>
        lasting(
          {
            context: ({ spawn }: Spawning) => ({ ref: spawn('well', { id: 'spawned' }) }),
            invoke: [{ id: 'ill', src: 'ill', onError: {} }],
            on: {
              LOOK: {
                actions: keep('seen', ({ context, self }) => [
                  seen(context.ref),
                  seen(childIn(self.getSnapshot(), 'ill')),
                ]),
              },
            },
          },
          { well: outside.promise('well'), ill: outside.promise('ill') },
        ),
      ['LOOK'],
    ),
    script: [
      command('LOOK'),
      finish('well', { rows: 3 }),
      fail('ill', new Error('no')),
      command('LOOK'),
      command('END'),
    ],
  })

  fidelity(
    'the snapshot in an event has matches and hasTag, and the snapshots of the child’s own children',
    course(() => {
      const inner = machine(
        {
          invoke: { id: 'kid', src: 'kid' },
          initial: 'on',
          states: {
            on: { tags: 'lit', on: { NEXT: 'off' } },
            off: { on: { STOP: { actions: sendTo('kid', { type: 'STOP' }) }, AGAIN: 'on' } },
          },
        },
        { kid },
      )
      const told = ({ context, event }: Scope) => {
        const snapshot = event.snapshot as {
          readonly matches: (value: string) => boolean
          readonly hasTag: (tag: string) => boolean
          readonly value: unknown
        }
        const { status } = seen(childIn(snapshot, 'kid')) as { readonly status: string }
        return [
          ...(context.seen as unknown[]),
          [snapshot.matches('on'), snapshot.hasTag('lit'), snapshot.value, status],
        ]
      }
      return lasting(
        {
          context: { seen: [] },
          invoke: { id: 'inner', src: 'inner', onSnapshot: { actions: keep('seen', told) } },
          on: {
            '*': {
              actions: to(
                ({ self }) => childIn(self.getSnapshot(), 'inner'),
                ({ event }) => event,
              ),
            },
          },
        },
        { inner },
      )
    }, ['NEXT', 'STOP', 'AGAIN']),
  )

  fidelity('a snapshot may be kept, as plain data', {
    ...course(
      () =>
        lasting(
          {
            context: { kept: null },
            invoke: { id: 'kid', src: 'kid', onSnapshot: {} },
            on: {
              KEEP: {
                actions: keep('kept', ({ self }) => {
                  const { status, value, context } = childIn(self.getSnapshot(), 'kid').getSnapshot()
                  return { status, value, context }
                }),
              },
            },
          },
          { kid },
        ),
      ['KEEP'],
    ),
  })

  fidelity('the snapshot of an observable with snapshots requested has its newest value', {
    ...course(
      (outside) =>
        lasting(
          {
            context: ({ spawn }: Spawning) => ({ ref: spawn('numbers', { id: 'n', syncSnapshot: true }) }),
            on: { LOOK: { actions: keep('seen', ({ context }) => seen(context.ref)) } },
          },
          { numbers: fromObservable(() => outside.subscribable('numbers')) },
        ),
      ['LOOK'],
    ),
    script: [tell('numbers', 'N', { n: 7 }), command('LOOK'), command('END')],
  })
})

describe('an action of a machine’s own', () => {
  fidelity(
    'an action sends by any reference: from the context, the system, a snapshot, and to the parent',
    course(
      (outside) => {
        const ear = machine({
          context: ({ input }: { input: { parent: AnyActorRef } }) => ({ parent: input.parent }),
          on: {
            HI: {
              actions: ({ context, event, self }: Scope) => {
                outside.note(`${self.id} heard ${event.type} ${event.n}`)
                ;(context.parent as AnyActorRef).send({ type: 'HEARD' })
              },
            },
          },
        })
        const send = (n: number, ref: (scope: Scope) => unknown) => (scope: Scope) =>
          (ref(scope) as AnyActorRef).send({ type: 'HI', n })
        const input = ({ self }: Scope) => ({ parent: self })
        return lasting(
          {
            context: ({ spawn, self }: Spawning) => ({
              heard: 0,
              ref: spawn('ear', { id: 'spawned', input: { parent: self } }),
            }),
            invoke: { id: 'invoked', src: 'ear', systemId: 'deep', input },
            on: {
              CONTEXT: { actions: send(1, ({ context }) => context.ref) },
              SYSTEM: { actions: send(2, ({ system }) => system.get('deep')) },
              CHILDREN: { actions: send(3, ({ self }) => childIn(self.getSnapshot(), 'invoked')) },
              SPAWN: {
                actions: [
                  assign((({ spawn, self }: Spawning) => ({
                    late: spawn('ear', { id: 'late', input: { parent: self } }),
                  })) as never),
                  send(4, ({ context }) => context.late),
                ],
              },
              HEARD: { actions: keep('heard', ({ context }) => (context.heard as number) + 1) },
            },
          },
          { ear },
        )
      },
      ['CONTEXT', 'SYSTEM', 'CHILDREN', 'SPAWN'],
      ['spawned heard HI 1', 'invoked heard HI 2', 'invoked heard HI 3', 'late heard HI 4'],
    ),
  )

  fidelity(
    'an action runs once in each job of a tree, even if nothing else happens there',
    course(
      (outside) => {
        const note = (text: string) => () => outside.note(text)
        const child = machine({
          on: {
            PING: { actions: [note('child: PING')] },
            ASK: { actions: [note('child: ASK'), sendParent({ type: 'TICK' })] },
            MOVE: { actions: [note('child: MOVE'), keep('n', () => 1)] },
          },
        })
        return lasting(
          {
            invoke: { id: 'child', src: 'child', onSnapshot: { actions: note('parent: snapshot') } },
            on: {
              TICK: { actions: note('parent: TICK') },
              '*': { actions: sendTo('child', (({ event }: Scope) => event) as never) },
            },
          },
          { child },
        )
      },
      ['PING', 'ASK', 'MOVE'],
      [
        'parent: snapshot',
        'child: PING',
        'parent: snapshot',
        'child: ASK',
        'parent: TICK',
        'parent: snapshot',
        'child: MOVE',
        'parent: snapshot',
      ],
    ),
  )
})

describe('a reference in an event', () => {
  fidelity(
    'a child’s reference in an event lets its parent answer, and can be kept',
    course(() => {
      const child = machine({
        context: { answers: 0 },
        entry: sendParent((({ self }: Scope) => ({ type: 'QUESTION', from: self })) as never),
        on: {
          ANSWER: { actions: keep('answers', ({ context }) => (context.answers as number) + 1) },
          ASK: { actions: sendParent((({ self }: Scope) => ({ type: 'QUESTION', from: self })) as never) },
        },
      })
      return lasting(
        {
          context: { known: null, same: null },
          invoke: { id: 'child', src: 'child' },
          on: {
            QUESTION: {
              actions: [
                to(({ event }) => event.from, { type: 'ANSWER' }),
                assign((({ context, event, self }: Scope) => ({
                  known: event.from,
                  same: [context.known === event.from, childIn(self.getSnapshot(), 'child') === event.from],
                })) as never),
              ],
            },
            ASK: { actions: sendTo('child', { type: 'ASK' }) },
            AGAIN: { actions: to(({ context }) => context.known, { type: 'ANSWER' }) },
          },
        },
        { child },
      )
    }, ['ASK', 'AGAIN']),
  )

  fidelity(
    'a reference to a parent, sibling or grandchild in an event leads there from any job',
    course(() => {
      const leaf = machine({
        context: { heard: [] },
        on: { HI: { actions: keep('heard', ({ context, event }) => [...(context.heard as unknown[]), event.by]) } },
      })
      const branch = machine(
        {
          context: ({ spawn }: Spawning) => ({ leaf: spawn('leaf', { id: 'leaf' }), friend: null }),
          on: {
            SHOW: { actions: sendParent((({ context }: Scope) => ({ type: 'LEAF', leaf: context.leaf })) as never) },
            MEET: { actions: keep('friend', ({ event }) => event.friend) },
            GREET: {
              actions: [
                to(
                  ({ context }) => context.friend,
                  ({ self }) => ({ type: 'HI', by: self.id }),
                ),
                to(({ event }) => event.boss, { type: 'GREETED' }),
              ],
            },
            HI: {
              actions: to(
                ({ context }) => context.leaf,
                ({ event }) => event as never,
              ),
            },
          },
        },
        { leaf },
      )
      return lasting(
        {
          context: { leaf: null, greeted: 0 },
          invoke: [
            { id: 'one', src: 'branch' },
            { id: 'two', src: 'branch' },
          ],
          on: {
            SHOW: { actions: sendTo('one', { type: 'SHOW' }) },
            LEAF: { actions: keep('leaf', ({ event }) => event.leaf) },
            HI: { actions: to(({ context }) => context.leaf, { type: 'HI', by: 'top' }) },
            MEET: {
              actions: [
                to(
                  ({ self }) => childIn(self.getSnapshot(), 'one'),
                  ({ self }) => ({
                    type: 'MEET',
                    friend: childIn(self.getSnapshot(), 'two'),
                  }),
                ),
                to(
                  ({ self }) => childIn(self.getSnapshot(), 'two'),
                  ({ context }) => ({
                    type: 'MEET',
                    friend: context.leaf,
                  }),
                ),
              ],
            },
            GREET: {
              actions: ['one', 'two'].map((id) =>
                sendTo(id, (({ self }: Scope) => ({ type: 'GREET', boss: self })) as never),
              ),
            },
            GREETED: { actions: keep('greeted', ({ context }) => (context.greeted as number) + 1) },
          },
        },
        { branch },
      )
    }, ['SHOW', 'HI', 'MEET', 'GREET', 'HI']),
  )

  fidelity('a reference passes through a delayed raise, and through transition logic', {
    ...course(() => {
      const echo = fromTransition((count: number, event: { readonly type: string; readonly from?: AnyActorRef }) => {
        event.from?.send({ type: 'ECHO', count })
        return count + 1
      }, 0)
      return lasting(
        {
          context: { echoes: 0 },
          invoke: { id: 'echo', src: 'echo' },
          on: {
            GO: { actions: raise((({ self }: Scope) => ({ type: 'LATER', from: self })) as never, { delay: 100 }) },
            LATER: {
              actions: to(
                ({ self }) => childIn(self.getSnapshot(), 'echo'),
                ({ event }) => event,
              ),
            },
            ECHO: { actions: keep('echoes', ({ context, event }) => [context.echoes, event.count]) },
          },
        },
        { echo },
      )
    }, []),
    commands: ['GO', 'END'],
    script: [command('GO'), wait(100), command('GO'), wait(100), command('END')],
  })
})

describe('an error in an event', () => {
  fidelity('an error in an event stays an error, with its code and cause, along any path', {
    ...course((outside) => {
      const told = ({ event }: Scope) => {
        const error = event.error as Error & { readonly code: unknown; readonly cause: Error }
        const { message, code, cause } = error
        return [error instanceof RangeError, message, code, cause instanceof Error, cause.message]
      }
      const child = machine(
        {
          invoke: {
            src: 'work',
            onError: {
              actions: [
                raise((({ event }: Scope) => ({ type: 'LATER', error: event.error })) as never, { delay: 100 }),
                sendParent((({ event }: Scope) => ({ type: 'FAILED', error: event.error })) as never),
              ],
            },
          },
          on: {
            LATER: {
              actions: [
                keep('late', told),
                sendParent((({ event }: Scope) => ({ type: 'OWN', error: event.error })) as never),
              ],
            },
          },
        },
        { work: outside.promise('work') },
      )
      return lasting(
        {
          invoke: { id: 'child', src: 'child' },
          on: { FAILED: { actions: keep('failed', told) }, OWN: { actions: keep('own', told) } },
        },
        { child },
      )
    }, []),
    script: [
      fail('work', Object.assign(new RangeError('far', { cause: new Error('near') }), { code: 404 })),
      wait(100),
      command('END'),
    ],
  })

  fidelity(
    'an error in an event may be made by the machine',
    course(() => {
      const child = machine({
        entry: sendParent((() => ({
          type: 'FAILED',
          error: new TypeError('made', { cause: new Error('why') }),
        })) as never),
      })
      return lasting(
        {
          invoke: { id: 'child', src: 'child' },
          on: {
            FAILED: {
              actions: keep('failed', ({ event }) => {
                const error = event.error as Error
                return [error instanceof TypeError, error.message, (error.cause as Error).message]
              }),
            },
          },
        },
        { child },
      )
    }, []),
  )
})

describe('the system', () => {
  fidelity(
    'system.get finds an actor in the whole tree: a sibling, a grandchild, the parent’s other children',
    course(() => {
      const deep = machine({
        context: { heard: 0 },
        on: {
          HI: { actions: keep('heard', ({ context }) => (context.heard as number) + 1) },
          UP: { actions: to(({ system }) => system.get('side'), { type: 'HI' }) },
        },
      })
      const branch = machine({ invoke: { id: 'deep', src: 'deep', systemId: 'deep' } }, { deep })
      const side = machine({
        context: { heard: 0 },
        on: {
          HI: { actions: keep('heard', ({ context }) => (context.heard as number) + 1) },
          ASIDE: { actions: to(({ system }) => system.get('deep'), { type: 'HI' }) },
        },
      })
      return lasting(
        {
          invoke: [
            { id: 'branch', src: 'branch' },
            { id: 'side', src: 'side', systemId: 'side' },
          ],
          on: {
            DOWN: { actions: to(({ system }) => system.get('deep'), { type: 'HI' }) },
            ASIDE: { actions: sendTo('side', { type: 'ASIDE' }) },
            UP: { actions: to(({ system }) => system.get('deep'), { type: 'UP' }) },
          },
        },
        { branch, side },
      )
    }, ['DOWN', 'ASIDE', 'UP']),
  )

  fidelity(
    'system.get finds nobody under an unknown id, and sendTo goes to the machine itself',
    course(
      () =>
        lasting({
          context: { heard: 0 },
          on: {
            GO: { actions: to(({ system }) => system.get('nowhere'), { type: 'HI' }) },
            MANY: {
              actions: enqueueActions(({ enqueue, system }) => {
                enqueue.sendTo((() => system.get('nowhere')) as never, { type: 'HI' } as never)
              }),
            },
            HI: { actions: keep('heard', ({ context }) => (context.heard as number) + 1) },
          },
        }),
      ['GO', 'MANY'],
    ),
  )
})

describe('timers of one id', () => {
  const ring = keep('rung', ({ context, event }) => [...(context.rung as unknown[]), event.by])
  const later = (by: unknown, delay: number) => raise({ type: 'RING', by } as never, { delay, id: 'bell' } as never)
  const rings = (given: { readonly [key: string]: unknown }, script: Course['script']): Course => ({
    ...course(() => lasting({ context: { rung: [] }, ...given }), []),
    commands: [...new Set(script.flatMap((each) => (each.kind === 'command' ? each.event.type : [])))],
    script,
  })

  fidelity(
    'two raises of one id both fire',
    rings({ entry: later(1, 100), on: { AGAIN: { actions: later(2, 200) }, RING: { actions: ring } } }, [
      wait(50),
      command('AGAIN'),
      wait(300),
      command('END'),
    ]),
  )

  fidelity(
    'a raise and a sendTo of one id both fire',
    rings(
      {
        entry: [later('raise', 100), to(({ self }) => self, { type: 'RING', by: 'sendTo' }, { delay: 60, id: 'bell' })],
        on: { RING: { actions: ring } },
      },
      [wait(300), command('END')],
    ),
  )

  fidelity(
    'cancel of one id removes the newer timer only',
    rings(
      {
        entry: later(1, 100),
        on: { AGAIN: { actions: later(2, 200) }, CANCEL: { actions: cancel('bell') }, RING: { actions: ring } },
      },
      [wait(50), command('AGAIN'), command('CANCEL'), wait(300), command('END')],
    ),
  )
})

describe('a history that leads, from within, to a state that was not left', () => {
  fidelity('a history state sets the timers of a state that was not left again, and all of them fire', {
    ...course(
      () =>
        lasting({
          context: { rung: 0 },
          initial: 'inner',
          states: {
            inner: {
              after: { 100: { actions: keep('rung', ({ context }) => (context.rung as number) + 1) } },
              on: { GO: '#back' },
            },
            back: { id: 'back', type: 'history' },
          },
        }),
      [],
    ),
    commands: ['GO', 'END'],
    script: [wait(50), command('GO'), wait(200), command('END')],
  })
})

describe('transition logic', () => {
  fidelity(
    'transition logic sends to itself, and its parent hears of each of its states',
    course(() => {
      const counter = fromTransition((n: number, event: { readonly type: string }, { self }) => {
        if (event.type === 'INC') self.send({ type: 'DOUBLE' })
        return event.type === 'DOUBLE' ? n * 2 : n + 1
      }, 10)
      return lasting(
        {
          context: { seen: [] },
          invoke: {
            id: 'counter',
            src: 'counter',
            onSnapshot: {
              actions: keep('seen', ({ context, event }) => [
                ...(context.seen as unknown[]),
                (event.snapshot as { readonly context: number }).context,
              ]),
            },
          },
          on: { INC: { actions: sendTo('counter', { type: 'INC' }) } },
        },
        { counter },
      )
    }, ['INC', 'INC']),
  )
})

describe('as a machine begins', () => {
  const heard = keep('heard', ({ context, event }) => [...(context.heard as unknown[]), event.type])
  const own = to(({ self }) => self, { type: 'OWN' })
  const hears = { OWN: { actions: heard }, TOLD: { actions: heard }, 'xstate.done.actor.*': { actions: heard } }
  const quick = machine({ entry: sendParent({ type: 'TOLD' }), initial: 'z', states: { z: { type: 'final' } } })
  const slow = machine({ entry: sendParent({ type: 'TOLD' }) })

  for (const [name, actor] of Object.entries({ quick, slow })) {
    const spawning = assign((({ spawn }: Spawning) => ({ ref: spawn('actor', { id: 'actor' }) })) as never)
    const heads: { readonly [how: string]: object } = {
      'a spawn in an assign': { entry: [own, spawning, own] },
      spawnChild: { entry: [own, spawnChild('actor', { id: 'actor' }), own] },
      'an invoke': { entry: own, invoke: { id: 'actor', src: 'actor' } },
    }
    for (const [how, head] of Object.entries(heads)) {
      fidelity(
        `a ${name} child of ${how} is heard as in a live actor`,
        course(() => lasting({ context: { heard: [] }, ...head, on: hears }, { actor }), []),
      )
    }
  }
})

describe('a delay without end', () => {
  fidelity('an infinite delay never fires: by number, by name and computed, of after, raise and sendTo', {
    ...course(
      () =>
        createMachine(
          {
            context: { rung: 0 },
            initial: 'on',
            states: {
              on: {
                after: { never: 'end', computed: 'end', [Number.POSITIVE_INFINITY]: 'end' },
                entry: [
                  raise({ type: 'RING' } as never, { delay: Number.POSITIVE_INFINITY }),
                  to(({ self }) => self, { type: 'RING' }, { delay: () => Number.POSITIVE_INFINITY }),
                ],
                on: { RING: 'end', END: 'end' },
              },
              end: { type: 'final' },
            },
          } as never,
          {
            delays: { never: Number.POSITIVE_INFINITY, computed: () => Number.POSITIVE_INFINITY },
          } as never,
        ) as AnyStateMachine,
      [],
    ),
    script: [wait(1_000_000), command('END')],
  })
})
