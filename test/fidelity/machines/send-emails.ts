import { assign, fromPromise, setup } from 'xstate'

/** Sends one mail. The machine below invokes it for each recipient. */
export const sendEmail = setup({
  types: {
    input: {} as { to: string },
    context: {} as { to: string; tries: number },
    output: {} as { to: string; tries: number },
  },
  actors: {
    deliver: fromPromise(async (_: { input: { to: string; tries: number } }) => {}),
  },
}).createMachine({
  id: 'sendEmail',
  context: ({ input }) => ({ to: input.to, tries: 0 }),
  initial: 'sending',
  states: {
    sending: {
      entry: assign({ tries: ({ context }) => context.tries + 1 }),
      invoke: {
        src: 'deliver',
        input: ({ context }) => context,
        onDone: 'sent',
        onError: 'pausing',
      },
    },
    pausing: { after: { 60000: 'sending' } },
    sent: { type: 'final' },
  },
  output: ({ context }) => context,
})

/** Sends a mail to each recipient, one after the other. */
export const sendEmails = setup({
  types: {
    input: {} as { recipients: string[] },
    context: {} as { recipients: string[]; sent: { to: string; tries: number }[] },
  },
  actors: { sendEmail },
}).createMachine({
  id: 'sendEmails',
  context: ({ input }) => ({ recipients: input.recipients, sent: [] }),
  initial: 'next',
  states: {
    next: {
      always: [
        { guard: ({ context: { sent, recipients } }) => sent.length < recipients.length, target: 'sending' },
        { target: 'allSent' },
      ],
    },
    sending: {
      invoke: {
        src: 'sendEmail',
        input: ({ context: { sent, recipients } }) => ({ to: recipients[sent.length] ?? '' }),
        onDone: {
          target: 'next',
          actions: assign({ sent: ({ context, event }) => [...context.sent, event.output] }),
        },
      },
    },
    allSent: { type: 'final' },
  },
  output: ({ context }) => context.sent,
})
