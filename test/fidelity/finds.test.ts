import { test } from 'vitest'
import { assign, createMachine, raise, sendTo, setup } from 'xstate'
import { type Course, checkCourse } from './run.ts'
import { command, wait } from './script.ts'

// What runs in XState and not here, each as its smallest machine. One that is mended moves to where it belongs.

function find(sentence: string, course: Course): void {
  test.fails(sentence, async () => {
    await checkCourse(course, 'stop')
  })
}

const end = { value: 'end', outcome: 'success' } as const

find('a child reaches its sibling by its system id', {
  build: () =>
    setup({
      actors: {
        asker: createMachine({
          on: { GO: { actions: sendTo(({ system }) => system.get('sibling'), { type: 'HELLO' }) } },
        }),
        sibling: createMachine({ initial: 'on', states: { on: { on: { HELLO: 'off' } }, off: { type: 'final' } } }),
      },
    }).createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: [
            { id: 'asker', src: 'asker' },
            { id: 'sibling', src: 'sibling', systemId: 'sibling', onDone: 'end' },
          ],
          on: { GO: { actions: sendTo('asker', { type: 'GO' }) } },
        },
        end: { type: 'final' },
      },
    }),
  commands: ['GO'],
  script: [command('GO')],
  end,
})

find('a second delayed raise of one id leaves the first as it is', {
  build: () =>
    createMachine({
      context: { rung: 0 },
      initial: 'on',
      states: {
        on: {
          entry: raise({ type: 'RING' }, { delay: 100, id: 'bell' }),
          on: {
            AGAIN: { actions: raise({ type: 'RING' }, { delay: 200, id: 'bell' }) },
            RING: { actions: assign({ rung: ({ context }) => context.rung + 1 }) },
          },
          always: { guard: ({ context }) => context.rung === 2, target: 'end' },
        },
        end: { type: 'final' },
      },
    }),
  commands: ['AGAIN'],
  script: [wait(50), command('AGAIN'), wait(200)],
  end,
})
