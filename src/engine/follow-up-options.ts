/** The check of what `followUp` of a job type returns. */
import { z } from 'zod'
import { itemsToRetrySchema } from './item-options.ts'
import { jobType, labelsSchema, name, newAssignmentSchema, prioritySchema, returned } from './options.ts'
import { pipelineStatus } from './pipeline-options.ts'

const followingJob = {
  delay: z.union([z.string(), z.number()]).exactOptional(),
  priority: prioritySchema.exactOptional(),
  labels: labelsSchema.exactOptional(),
  assignee: name.exactOptional(),
  assignment: newAssignmentSchema.exactOptional(),
}

/** The most follow-ups of one ended job. Bounded, because each that fails adds an event to the row of the job's end. */
const FOLLOW_UPS_MAX = 100

/** The return value of a type's `followUp`. */
export const followUpsSchema = z
  .array(returned)
  .max(FOLLOW_UPS_MAX)
  .pipe(
    z.array(
      z.discriminatedUnion('kind', [
        z
          .strictObject({
            kind: z.literal('retry'),
            input: z.unknown().exactOptional(),
            fresh: z.boolean().exactOptional(),
            items: itemsToRetrySchema.exactOptional(),
            ...followingJob,
          })
          .refine(({ items, ...retry }) => items === undefined || !Object.hasOwn(retry, 'input'), {
            error: 'items should not be given with an input, because they are those of the old input',
          }),
        z.strictObject({
          kind: z.literal('submit'),
          job: jobType,
          input: z.unknown().exactOptional(),
          pipeline: name.exactOptional(),
          ...followingJob,
        }),
        z.strictObject({ kind: z.literal('run'), pipeline: name, input: z.unknown().exactOptional(), ...followingJob }),
        z.strictObject({ kind: z.literal('pause'), pipeline: name, reason: name }),
        z.strictObject({ kind: z.literal('resume'), pipeline: name }),
        z.strictObject({ kind: z.literal('status'), pipeline: name, status: pipelineStatus }),
      ]),
    ),
  )
