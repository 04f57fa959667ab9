import { z } from 'zod'
import { reason } from './clean.ts'
import { stagedFile } from './staging.ts'
import { totals } from './verify.ts'

const count = z.number().int().min(0)

/** The input of a run. */
export const settings = z.object({
  /** Absolute path of the folder for the warehouse and the staged rows. */
  folder: z.string(),
  /** Approximate duration of the load, in seconds. */
  paceSeconds: z.number().min(0),
  /** Number of flights in one transaction. */
  chunkRows: z.number().int().min(1),
})
export type Settings = z.infer<typeof settings>

/** The rows as the source has them. */
export const extracted = z.object({ airports: stagedFile, flights: stagedFile })

/** Joined flights, rejected flights, and the number of rejected flights by reason. */
export const cleaned = z.object({
  flights: stagedFile,
  rejected: stagedFile,
  reasons: z.array(z.object({ reason, flights: count })),
})

/** The rows in the warehouse. */
export const loaded = z.object({
  flights: count,
  chunks: count,
  /** Number of chunks that an interrupted attempt had loaded without recording it. */
  found: count,
})
export type Loaded = z.infer<typeof loaded>

/** Number of compared airports of origin, and totals of the run's flights. */
export const verified = z.object({ origins: count, totals })

/** The context of a run: counts, paths and checksums, never the rows. Unknown values are null. */
export const context = z.object({
  settings,
  extracted: extracted.nullable(),
  cleaned: cleaned.nullable(),
  loaded: loaded.nullable(),
  verified: verified.nullable(),
})
export type Context = z.infer<typeof context>
