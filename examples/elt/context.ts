import { z } from 'zod'
import { reason } from './clean.ts'
import { stagedFile } from './staging.ts'
import { totals } from './verify.ts'

const count = z.number().int().min(0)

/** The input of a run. */
export const settings = z.object({
  /** Absolute path of the folder for the warehouse and the staged rows. */
  folder: z.string(),
  /** About how long the load takes, in seconds. */
  paceSeconds: z.number().min(0),
  /** Flights to a transaction. */
  chunkRows: z.number().int().min(1),
})
export type Settings = z.infer<typeof settings>

/** What was read, still as the source has it. */
export const extracted = z.object({ airports: stagedFile, flights: stagedFile })

/** What was joined, what was left out, and how many flights for each reason. */
export const cleaned = z.object({
  flights: stagedFile,
  rejected: stagedFile,
  reasons: z.array(z.object({ reason, flights: count })),
})

/** What went into the warehouse. */
export const loaded = z.object({
  flights: count,
  chunks: count,
  /** Chunks that an interrupted attempt had loaded without living to say so. */
  found: count,
})
export type Loaded = z.infer<typeof loaded>

/** How many airports of origin were compared, and what the run's flights add up to. */
export const verified = z.object({ origins: count, totals })

/** What a run knows: counts, paths and checksums, never the rows. What is not known yet is null. */
export const context = z.object({
  settings,
  extracted: extracted.nullable(),
  cleaned: cleaned.nullable(),
  loaded: loaded.nullable(),
  verified: verified.nullable(),
})
export type Context = z.infer<typeof context>
