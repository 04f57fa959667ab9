/** Checks of the options of `items` and `report`. */
import { z } from 'zod'

const itemStatus = z.enum(['waiting', 'completed', 'failed', 'skipped'])
const itemStatuses = z
  .union([itemStatus.transform((status) => [status]), z.array(itemStatus).min(1)], {
    error: "should be 'waiting', 'completed', 'failed' or 'skipped', or a list of these",
  })
  // A status that is named twice would be read twice.
  .transform((statuses) => [...new Set(statuses)])
  .optional()

/** Which items a retry runs. */
export const itemsToRetrySchema = z.enum(['failed', 'unfinished'], {
  error:
    "should be 'failed' (the items that failed) or 'unfinished' (all that were not completed: failed, skipped, waiting)",
})

/** The options of `items`. */
export const itemOptionsSchema = z.strictObject({ after: z.int().min(0).default(0), status: itemStatuses })

/** The most columns of a report. */
export const COLUMNS_MAX = 1_000
const column = z
  .string()
  .max(2_000)
  .regex(
    /^(key|index|number|status|attempts|reason|code|message|at|job|((input|output)(\..+)?))$/s,
    "should be key, index, number, status, attempts, reason, code, message, at, job, input, output, or a field of these two such as 'input.url'",
  )

/** The options of `report`. */
export const reportSchema = z.strictObject({
  format: z.enum(['csv', 'json']),
  status: itemStatuses,
  columns: z.array(column).min(1).max(COLUMNS_MAX).optional(),
})
