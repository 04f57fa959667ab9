import { defineJob } from 'jobchart'
import { z } from 'zod'
import { settings } from './context.ts'
import { eltMachine } from './machine.ts'
import { describePassed } from './summary.ts'

/** The job type. A run's id is its job's id. */
export const elt = defineJob({
  type: 'elt',
  lifecycle: eltMachine,
  input: settings,
  commands: { cancel: z.object({}) },
  describe: ({ value, context }) => {
    const message = describePassed(value, context)
    return message === undefined ? undefined : { message }
  },
})

/** Only one run of a pipeline runs at a time. */
export const pipeline = 'flights'
