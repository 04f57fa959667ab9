import { createMachine } from 'xstate'

const branch = (ms: number) => ({
  initial: 'waiting',
  states: { waiting: { after: { [ms]: 'over' } }, over: { type: 'final' as const } },
})

/** Two branches that wait at the same time. The machine continues when both have ended. */
export const parallelExecution = createMachine({
  id: 'parallelExecution',
  initial: 'both',
  states: {
    both: {
      type: 'parallel',
      states: { shortDelay: branch(2_000), longDelay: branch(60_000) },
      onDone: 'end',
    },
    end: { type: 'final' },
  },
})
