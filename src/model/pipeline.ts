import { JobchartError } from './error.ts'
import type { Overlap } from './job.ts'
import type { Json } from './storable.ts'

/** A stored pipeline: one row for each (tenant, id). Jobs are runs of it. All times are whole milliseconds UTC. */
export interface Pipeline {
  readonly tenant: string
  /** Unique in its tenant. Its runs have it as their `pipeline`. */
  readonly id: string
  /** The owner: the principal who first defined it. */
  readonly createdBy: string
  /** The job type of its runs. */
  readonly type: string
  /** The input of its runs, as parsed by the type's schema. */
  readonly input?: Json
  /** What happens to a new run while another run holds the slot. */
  readonly overlap: Overlap
  /** The priority of its runs. */
  readonly priority: number
  /** Added to the labels of each run. */
  readonly labels: { readonly [name: string]: string }
  /** Why the pipeline is paused. Absent: it is not paused. */
  readonly paused?: string
  /** Who paused the pipeline. If `paused` is present and this is absent, a person did. */
  readonly pausedBy?: PausedBy
  readonly createdAt: number
  readonly updatedAt: number
  /**
   * The number that compare-and-set compares. It begins at a random number, so that a pipeline that was deleted and
   * defined again is not mistaken for the old one. Every write raises it.
   */
  readonly revision: number
}

/**
 * Who paused a pipeline. Only a session can lift the pause of a person. A follow-up can lift only the pause of a
 * follow-up.
 */
export type PausedBy = 'person' | 'followUp'

/**
 * A change of a pipeline. `before` is the row that the change was decided on; a new pipeline has none. `after` is the
 * next row; a deleted pipeline has none.
 */
export type PipelineChange =
  | { readonly before: Pipeline; readonly after?: Pipeline }
  | { readonly before?: never; readonly after: Pipeline }

/** The fields of a pipeline that a user can change. */
export type PipelineFields = Pick<
  Pipeline,
  'type' | 'input' | 'overlap' | 'priority' | 'labels' | 'paused' | 'pausedBy'
>

/** The next row of a pipeline. Its times never go back, even if the clock does. */
export function withFields(before: Pipeline, fields: PipelineFields, at: number): Pipeline {
  const { tenant, id, createdBy, createdAt, updatedAt, revision } = before
  const fixed = { tenant, id, createdBy, createdAt }
  return { ...fixed, ...fields, updatedAt: Math.max(at, updatedAt), revision: revision + 1 }
}

/**
 * Returns the pipeline if it is not paused.
 *
 * @throws {JobchartError} `INVALID_STATE` it is paused. The message gives the reason, unless `isPrivate`.
 */
export function unpaused(pipeline: Pipeline, isPrivate = false): Pipeline {
  if (pipeline.paused === undefined) return pipeline
  const why = isPrivate ? '' : `: ${pipeline.paused}`
  throw new JobchartError('INVALID_STATE', `pipeline "${pipeline.id}" is paused${why}`)
}

/** Pauses the pipeline, or without a `reason` resumes it. */
export function pausedAs(before: Pipeline, reason: string | undefined, pausedBy: PausedBy, at: number): Pipeline {
  const { paused, pausedBy: was, ...rest } = before
  return withFields(before, reason === undefined ? rest : { ...rest, paused: reason, pausedBy }, at)
}

/**
 * Pauses the pipeline by a follow-up, or without a `reason` resumes it. A person's pause stays unchanged.
 *
 * @throws {JobchartError} `INVALID_STATE` a follow-up cannot lift a person's pause.
 */
export function pausedByFollowUp(before: Pipeline, reason: string | undefined, at: number): Pipeline {
  if (before.paused === reason) return before
  const isPersons = before.paused !== undefined && before.pausedBy !== 'followUp'
  if (!isPersons) return pausedAs(before, reason, 'followUp', at)
  if (reason !== undefined) return before
  throw new JobchartError(
    'INVALID_STATE',
    `pipeline "${before.id}" was paused by a person, so only a person can resume it`,
  )
}
