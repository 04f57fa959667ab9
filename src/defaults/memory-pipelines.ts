import type { Pipeline } from '../model/pipeline.ts'
import type { Scope } from '../port/policy.ts'
import type { PipelineFilter, PipelinePage } from '../port/storage.ts'

/** Names a pipeline of a tenant. */
export function pipelineKey(tenant: string, id: string): string {
  return JSON.stringify([tenant, id])
}

/** The revision of a stored pipeline; 0: there is none. */
export function revisionOf(text: string | undefined): number {
  return text === undefined ? 0 : (JSON.parse(text) as Pipeline).revision
}

/** One page of the list of pipelines. */
export function listed(
  stored: readonly string[],
  { scopes, type }: PipelineFilter,
  { limit, after }: PipelinePage,
): readonly Pipeline[] {
  const pipelines = stored.map((text) => JSON.parse(text) as Pipeline)
  return pipelines
    .filter((pipeline) => type === undefined || pipeline.type === type)
    .filter((pipeline) => scopes.some((scope) => isCovered(pipeline, scope)))
    .filter((pipeline) => after === undefined || inOrder(after, pipeline) < 0)
    .sort(inOrder)
    .slice(0, limit)
}

function isCovered(found: Pipeline, { tenant, createdBy, type, pipeline, labels = {} }: Scope): boolean {
  const wanted = [
    [tenant, found.tenant],
    [createdBy, found.createdBy],
    [type, found.type],
    [pipeline, found.id],
    ...Object.entries(labels).map(([name, value]) => [value, found.labels[name]]),
  ]
  return wanted.every(([asked, has]) => asked === undefined || asked === has)
}

function inOrder(a: { tenant: string; id: string }, b: { tenant: string; id: string }): number {
  return before(a.tenant, b.tenant) || before(a.id, b.id)
}

// By code points, as SQLite orders text, and not by the words of some language.
function before(a: string, b: string): number {
  const [first, second] = [Buffer.from(a), Buffer.from(b)]
  return Buffer.compare(first, second)
}
