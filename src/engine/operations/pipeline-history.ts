/** The history of a stored pipeline. */

import type { PipelineEvent } from '../../model/event.ts'
import type { Principal } from '../../port/policy.ts'
import { maskOfEvent } from '../authorization.ts'
import { parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { turn } from '../pause.ts'
import { reachPipeline } from '../pipeline-entry.ts'
import { pipelineHistorySchema } from '../pipeline-options.ts'
import { shownEvents } from '../shown-event.ts'
import type { PipelineCallOptions } from './pipelines.ts'
import { ROWS_AT_ONCE } from './reads.ts'

/** A fact in a pipeline's history. */
export type PipelineHistoryEntry = PipelineEvent & {
  /** The hidden fields of the pipeline. Absent if none. */
  readonly redacted?: readonly string[]
}

/** The options of `pipelines.history`. */
export interface PipelineHistoryOptions extends PipelineCallOptions {
  /** Only entries with a higher `sequence`. Default 0. */
  readonly after?: number | undefined
  /** How many entries to return: 1 to 1,000, default 100. */
  readonly limit?: number
}

/** What happened to a pipeline itself, oldest first. */
export async function pipelineHistory(
  core: Core,
  who: Principal,
  id: string,
  { signal, ...options }: PipelineHistoryOptions = {},
): Promise<readonly PipelineHistoryEntry[]> {
  const { tenant, after, limit } = await parseOptions(pipelineHistorySchema, options)
  const { pipeline } = await reachPipeline(core, who, { id, tenant }, 'getPipeline', signal)
  const entries: PipelineHistoryEntry[] = []
  for (let last = after; ; ) {
    const query = { after: last, limit: ROWS_AT_ONCE, pipeline: { tenant: pipeline.tenant, id } }
    const rows = await core.storage.events(query)
    for (const { sequence, changeset, ...row } of rows) {
      // The policy is asked about each row with the owner, type and labels stored in the row: a pipeline of this id that
      // was deleted before may have had another owner.
      const mask = await maskOfEvent(core, who, row, signal)
      const events = mask === undefined ? [] : shownEvents(row, sequence, mask)
      // Rows of pipelines have events of pipelines, so the cast is safe.
      for (const event of events) if (event.sequence > after) entries.push(event as PipelineHistoryEntry)
      if (entries.length >= limit) return entries.slice(0, limit)
      last = sequence + row.events.length - 1
    }
    if (rows.length < ROWS_AT_ONCE) return entries
    await turn(core)
  }
}
