import type { Actor, PipelineEventDraft } from './event.ts'
import type { Pipeline } from './pipeline.ts'

/**
 * A change of a pipeline. `before`: the row that the decision read; absent for a new pipeline. `after`: the next row;
 * absent if the pipeline is deleted.
 */
export type PipelineChange = (
  | { readonly before: Pipeline; readonly after?: Pipeline }
  | { readonly before?: never; readonly after: Pipeline }
) & {
  /** The events of the change. `by`: who caused them, if not the cause of the whole changeset. */
  readonly events?: readonly PipelineEventDraft[]
  readonly by?: Actor
}

/**
 * Adds a change to those of a changeset. Two changes of one pipeline become one, so the row is written once and its
 * revision is raised once.
 */
export function combined(changes: readonly PipelineChange[], change: PipelineChange): readonly PipelineChange[] {
  const { tenant, id } = change.before ?? change.after
  const isOfIt = ({ before, after }: PipelineChange) => {
    const known = before ?? after
    return known?.tenant === tenant && known.id === id
  }
  const earlier = changes.find(isOfIt)
  if (earlier === undefined) return [...changes, change]
  const events = [...(earlier.events ?? []), ...(change.events ?? [])]
  const revision = (earlier.before?.revision ?? 0) + 1
  const after =
    change.after === undefined || earlier.before === undefined || change.after === change.before
      ? (change.after ?? earlier.after)
      : { ...change.after, revision }
  const both = { ...earlier, ...(after === undefined ? {} : { after }), ...(events.length === 0 ? {} : { events }) }
  // The earlier change has a `before` or an `after`, and neither was removed.
  return changes.map((each) => (isOfIt(each) ? (both as PipelineChange) : each))
}
