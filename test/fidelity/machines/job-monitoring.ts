import { assign, fromPromise, setup } from 'xstate'

type Status = 'SUBMITTED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED'

/** Submits a job to a service and asks for its state every 5 seconds, until it has ended. */
export const jobMonitoring = setup({
  types: {
    context: {} as { name: string; jobId: string; status: Status | null; polls: number },
    input: {} as { name: string },
  },
  actors: {
    submitJob: fromPromise(async ({ input }: { input: { name: string } }) => ({ jobId: input.name })),
    checkJobStatus: fromPromise(async (_: { input: { jobId: string } }): Promise<{ status: Status }> => {
      return { status: 'RUNNING' }
    }),
    report: fromPromise(async (_: { input: { jobId: string; ok: boolean } }) => {}),
  },
  delays: { PT5S: 5_000 },
}).createMachine({
  id: 'jobMonitoring',
  context: ({ input }) => ({ name: input.name, jobId: '', status: null, polls: 0 }),
  initial: 'submitting',
  states: {
    submitting: {
      invoke: {
        src: 'submitJob',
        input: ({ context: { name } }) => ({ name }),
        onDone: { target: 'waiting', actions: assign({ jobId: ({ event }) => event.output.jobId }) },
        onError: 'failing',
      },
    },
    waiting: { after: { PT5S: 'polling' } },
    polling: {
      invoke: {
        src: 'checkJobStatus',
        input: ({ context: { jobId } }) => ({ jobId }),
        onDone: {
          target: 'deciding',
          actions: assign(({ context, event }) => ({ status: event.output.status, polls: context.polls + 1 })),
        },
        // After an error it asks again, after the same pause.
        onError: { target: 'waiting' },
      },
    },
    deciding: {
      always: [
        { guard: ({ context }) => context.status === 'SUCCEEDED', target: 'succeeding' },
        { guard: ({ context }) => context.status === 'FAILED', target: 'failing' },
        { target: 'waiting' },
      ],
    },
    succeeding: {
      invoke: { src: 'report', input: ({ context }) => ({ jobId: context.jobId, ok: true }), onDone: 'succeeded' },
    },
    failing: {
      invoke: { src: 'report', input: ({ context }) => ({ jobId: context.jobId, ok: false }), onDone: 'failed' },
    },
    succeeded: { type: 'final', tags: 'success' },
    failed: { type: 'final', tags: 'failure' },
  },
  output: ({ context: { jobId, status, polls } }) => ({ jobId, status, polls }),
})
