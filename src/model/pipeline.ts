import { JobchartError } from './error.ts'
import type { Overlap } from './job.ts'
import type { Json } from './storable.ts'

/** What jobs are runs of, as it is stored: one row for each (tenant, id). All times are whole milliseconds UTC. */
export interface Pipeline {
  readonly tenant: string
  /** Unique in its tenant; its runs carry it as their `pipeline`. */
  readonly id: string
  /** Its owner: who defined it first. */
  readonly createdBy: string
  /** The type of its runs. */
  readonly type: string
  /** What its runs start from, as the type's schema parsed it. */
  readonly input?: Json
  /** What becomes of a run while another one holds the slot. */
  readonly overlap: Overlap
  /** Of its runs. */
  readonly priority: number
  /** Every run gets them. */
  readonly labels: { readonly [name: string]: string }
  /** Why it takes no run now; absent: it takes runs. */
  readonly paused?: string
  /** Who paused it; absent with `paused`: a person. */
  readonly pausedBy?: PausedBy
  readonly createdAt: number
  readonly updatedAt: number
  /** What a compare-and-set compares: at random when defined, from 1 on, and raised by every write. */
  readonly revision: number
}

/** A person's pause is lifted by a session alone; a follow-up's by a follow-up too. */
export type PausedBy = 'person' | 'followUp'

/** A change of a pipeline: from the row that it was decided on, if there was one, to what takes its place, unless it goes. */
export type PipelineChange =
  | { readonly before: Pipeline; readonly after?: Pipeline }
  | { readonly before?: never; readonly after: Pipeline }

/** What may be changed of a pipeline that is there. */
export type PipelineFields = Pick<
  Pipeline,
  'type' | 'input' | 'overlap' | 'priority' | 'labels' | 'paused' | 'pausedBy'
>

/** The next row of a pipeline. Its times never fall, whatever the clock does. */
export function withFields(before: Pipeline, fields: PipelineFields, at: number): Pipeline {
  const { tenant, id, createdBy, createdAt, updatedAt, revision } = before
  const fixed = { tenant, id, createdBy, createdAt }
  return { ...fixed, ...fields, updatedAt: Math.max(at, updatedAt), revision: revision + 1 }
}

/** A pipeline that takes runs. @throws {JobchartError} `INVALID_STATE` it is paused, and why, unless that is private. */
export function unpaused(pipeline: Pipeline, isPrivate = false): Pipeline {
  if (pipeline.paused === undefined) return pipeline
  const why = isPrivate ? '' : `: ${pipeline.paused}`
  throw new JobchartError('INVALID_STATE', `pipeline "${pipeline.id}" is paused${why}`)
}

/** The pipeline paused for a reason, or, without one, taking runs again. */
export function pausedAs(before: Pipeline, reason: string | undefined, pausedBy: PausedBy, at: number): Pipeline {
  const { paused, pausedBy: was, ...rest } = before
  return withFields(before, reason === undefined ? rest : { ...rest, paused: reason, pausedBy }, at)
}

/**
 * The pipeline as a follow-up leaves it, which pauses it for a reason, or, without one, lets it take runs again. A person's
 * pause stays as it is.
 *
 * @throws {JobchartError} `INVALID_STATE` it would lift a person's pause.
 */
export function pausedByFollowUp(before: Pipeline, reason: string | undefined, at: number): Pipeline {
  if (before.paused === reason) return before
  const isPersons = before.paused !== undefined && before.pausedBy !== 'followUp'
  if (!isPersons) return pausedAs(before, reason, 'followUp', at)
  if (reason !== undefined) return before
  throw new JobchartError(
    'INVALID_STATE',
    `pipeline "${before.id}" was paused by a person, who lets it take runs again`,
  )
}
