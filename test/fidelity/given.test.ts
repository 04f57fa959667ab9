import {
  type ActorRef,
  type AnyActorRef,
  assign,
  createMachine,
  type EventObject,
  type Snapshot,
  sendTo,
  setup,
} from 'xstate'
import { fidelity } from './run.ts'
import { command, fail, finish, tell } from './script.ts'

// Features of XState that need special care in a durable machine: references, errors, events sent by actions.

const end = { value: 'end', outcome: 'success' } as const

fidelity('a callback may send an event that a person may send too', {
  build: (outside) =>
    createMachine({
      initial: 'on',
      states: { on: { invoke: { src: 'ear' }, on: { GO: 'end' } }, end: { type: 'final' } },
    }).provide({ actors: { ear: outside.callback('ear') } }),
  commands: ['GO'],
  script: [tell('ear', 'GO')],
  end,
})

fidelity('a promise survives three crashes, between which its job moves', {
  build: (outside) =>
    createMachine({
      context: { moves: 0 },
      initial: 'on',
      states: {
        on: {
          invoke: { src: 'work', onDone: 'end' },
          on: { MOVE: { actions: assign({ moves: ({ context }) => context.moves + 1 }) } },
        },
        end: { type: 'final' },
      },
    }).provide({ actors: { work: outside.promise('work') } }),
  commands: ['MOVE'],
  script: [command('MOVE'), command('MOVE'), command('MOVE'), finish('work', 1)],
  end,
})

fidelity('an error is an instance of Error in a guard', {
  build: (outside) =>
    createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: {
            src: 'work',
            onError: [{ guard: ({ event }) => event.error instanceof Error, target: 'end' }, { target: 'other' }],
          },
        },
        end: { type: 'final' },
        other: { type: 'final', tags: 'failure' },
      },
    }).provide({ actors: { work: outside.promise('work') } }),
  commands: [],
  script: [fail('work', new Error('no'))],
  end,
})

fidelity('an error keeps its own fields', {
  build: (outside) =>
    createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: {
            src: 'work',
            onError: [
              { guard: ({ event }) => (event.error as { status?: number }).status === 503, target: 'end' },
              { target: 'other' },
            ],
          },
        },
        end: { type: 'final' },
        other: { type: 'final', tags: 'failure' },
      },
    }).provide({ actors: { work: outside.promise('work') } }),
  commands: [],
  script: [fail('work', Object.assign(new Error('busy'), { status: 503 }))],
  end,
})

fidelity('a child answers its parent by a reference that it got as input', {
  build: () =>
    setup({
      actors: {
        child: setup({
          types: {
            input: {} as { parent: ActorRef<Snapshot<unknown>, EventObject> },
            context: {} as { parent: ActorRef<Snapshot<unknown>, EventObject> },
          },
        }).createMachine({
          context: ({ input }) => ({ parent: input.parent }),
          entry: sendTo(({ context }) => context.parent, { type: 'HELLO' }),
        }),
      },
    }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: 'child', input: ({ self }) => ({ parent: self }) }, on: { HELLO: 'end' } },
        end: { type: 'final' },
      },
    }),
  commands: [],
  script: [],
  end,
})

fidelity('a machine with itself in its context sends to itself', {
  build: () =>
    setup({ types: { context: {} as { me: AnyActorRef } } }).createMachine({
      context: ({ self }) => ({ me: self }),
      initial: 'on',
      states: {
        on: { on: { GO: { actions: sendTo(({ context }) => context.me, { type: 'HELLO' }) }, HELLO: 'end' } },
        end: { type: 'final' },
      },
    }),
  commands: ['GO'],
  script: [command('GO')],
  end,
})

fidelity('a custom action sends an event', {
  build: () =>
    createMachine({
      initial: 'on',
      states: {
        on: { on: { GO: { actions: ({ self }) => self.send({ type: 'HELLO' }) }, HELLO: 'end' } },
        end: { type: 'final' },
      },
    }),
  commands: ['GO'],
  script: [command('GO')],
  end,
})

fidelity('a guard reads the state of a child machine by its reference', {
  build: () =>
    setup({
      types: { context: {} as { child: AnyActorRef } },
      actors: { child: createMachine({ initial: 'ready', states: { ready: {} } }) },
    }).createMachine({
      context: ({ spawn }) => ({ child: spawn('child', { id: 'child' }) }),
      initial: 'on',
      states: {
        on: {
          on: { GO: { guard: ({ context }) => context.child.getSnapshot().value === 'ready', target: 'end' } },
        },
        end: { type: 'final' },
      },
    }),
  commands: ['GO'],
  script: [command('GO')],
  end,
})

fidelity('an event for a child that has ended is ignored', {
  build: (outside) =>
    setup({
      types: { context: {} as { work: AnyActorRef } },
      actors: { work: outside.promise('work') },
    }).createMachine({
      context: ({ spawn }) => ({ work: spawn('work', { id: 'work' }) }),
      initial: 'on',
      states: {
        on: { on: { GO: { actions: sendTo(({ context }) => context.work, { type: 'HELLO' }), target: 'end' } } },
        end: { type: 'final' },
      },
    }),
  commands: ['GO'],
  script: [finish('work', 1), command('GO')],
  end,
})
