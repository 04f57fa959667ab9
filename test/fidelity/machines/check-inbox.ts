import { assign, fromPromise, setup } from 'xstate'

export interface Message {
  readonly subject: string
  readonly isUrgent: boolean
}

/** Checks an inbox every 15 minutes, and sends a text message for each urgent mail, one after the other. */
export const checkInbox = setup({
  types: {} as {
    context: { rounds: number; messages: Message[]; textsSent: string[] }
    events: { type: 'close' }
    output: readonly string[]
  },
  actors: {
    checkInboxFunction: fromPromise<Message[]>(async () => []),
    sendTextFunction: fromPromise(async ({ input }: { input: { message: Message } }) => input.message.subject),
  },
  guards: {
    hasUrgent: ({ context }) => context.messages.some(({ isUrgent }) => isUrgent),
  },
  delays: { PT15M: 15 * 60 * 1000 },
}).createMachine({
  id: 'checkInbox',
  context: { rounds: 0, messages: [], textsSent: [] },
  initial: 'idle',
  on: { close: '.closed' },
  states: {
    idle: { after: { PT15M: 'checking' } },
    checking: {
      entry: assign({ rounds: ({ context }) => context.rounds + 1 }),
      invoke: {
        src: 'checkInboxFunction',
        onDone: {
          target: 'sending',
          actions: assign({ messages: ({ event }) => event.output.filter(({ isUrgent }) => isUrgent) }),
        },
        onError: 'idle',
      },
    },
    sending: {
      initial: 'next',
      states: {
        next: { always: [{ guard: 'hasUrgent', target: 'texting' }, { target: 'allSent' }] },
        texting: {
          invoke: {
            src: 'sendTextFunction',
            input: ({ context: { messages } }) => ({ message: messages[0] ?? { subject: '?', isUrgent: false } }),
            onDone: {
              target: 'next',
              actions: assign(({ context, event }) => ({
                messages: context.messages.slice(1),
                textsSent: [...context.textsSent, event.output],
              })),
            },
          },
        },
        allSent: { type: 'final' },
      },
      onDone: 'idle',
    },
    closed: { type: 'final' },
  },
  output: ({ context }) => context.textsSent,
})
