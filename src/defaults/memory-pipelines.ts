import { dueTime, type Pipeline, sourceKey } from '../model/pipeline.ts'
import { isCovered } from '../model/scope.ts'
import type { DependencySource, PipelineFilter, PipelineKey, PipelinePage } from '../port/storage.ts'
import { byTenantAndId } from './code-points.ts'
import { pairKey } from './pair-key.ts'
import { SortedList } from './sorted-list.ts'

interface Due extends PipelineKey {
  readonly dueAt: number
  readonly pipeline: Pipeline
}

/** The stored pipelines. */
export class MemoryPipelines {
  readonly #all = new Map<string, Pipeline>()
  readonly #due = new SortedList<Due, Due>((a, b) => a.dueAt - b.dueAt || byTenantAndId(a, b))
  readonly #dueOf = new Map<Pipeline, Due>()
  /** The pipelines that depend on a pipeline or type of their tenant, by `sourceKey`. */
  readonly #dependants = new Map<string, Set<Pipeline>>()

  get(tenant: string, id: string): Pipeline | undefined {
    return this.#all.get(pairKey(tenant, id))
  }

  /** Replaces the stored row. `undefined` as `before`: there is none; as `after`: it is removed. */
  replace(before: Pipeline | undefined, after: Pipeline | undefined): void {
    if (before !== undefined) this.#remove(before)
    if (after !== undefined) this.#add(after)
  }

  #remove(pipeline: Pipeline): void {
    const { tenant, id } = pipeline
    this.#all.delete(pairKey(tenant, id))
    const due = this.#dueOf.get(pipeline)
    if (due !== undefined) this.#due.remove(due)
    this.#dueOf.delete(pipeline)
    for (const source of sourcesOf(pipeline)) this.#dependants.get(source)?.delete(pipeline)
  }

  #add(pipeline: Pipeline): void {
    const { tenant, id } = pipeline
    this.#all.set(pairKey(tenant, id), pipeline)
    const dueAt = dueTime(pipeline)
    if (dueAt !== undefined) {
      const due = { tenant, id, dueAt, pipeline }
      this.#dueOf.set(pipeline, due)
      this.#due.add(due)
    }
    for (const source of sourcesOf(pipeline)) {
      const known = this.#dependants.get(source) ?? new Set()
      this.#dependants.set(source, known.add(pipeline))
    }
  }

  /** Pipelines whose due time has come, the longest due first. */
  due(types: readonly string[], at: number, limit: number, skip: number): readonly Pipeline[] {
    const found: Pipeline[] = []
    for (const { pipeline, dueAt } of this.#due.after()) {
      if (dueAt > at || found.length >= skip + limit) break
      if (types.includes(pipeline.type)) found.push(pipeline)
    }
    return found.slice(skip)
  }

  /** Whether any pipeline depends on this pipeline or type. */
  isDependedOn(tenant: string, source: DependencySource): boolean {
    return (this.#dependants.get(pairKey(tenant, sourceKey(source)))?.size ?? 0) > 0
  }

  /** Pipelines that depend on a pipeline or type, by id. */
  dependants(tenant: string, source: DependencySource, limit: number, after = ''): readonly Pipeline[] {
    const all = [...(this.#dependants.get(pairKey(tenant, sourceKey(source))) ?? [])]
    return all
      .filter((each) => byTenantAndId({ tenant, id: after }, each) < 0)
      .sort(byTenantAndId)
      .slice(0, limit)
  }

  /** One page of the list of pipelines. */
  page({ scopes, type }: PipelineFilter, { limit, after }: PipelinePage): readonly Pipeline[] {
    return [...this.#all.values()]
      .filter((each) => type === undefined || each.type === type)
      .filter((each) => scopes.some((scope) => isCovered({ ...each, pipeline: each.id }, scope)))
      .filter((each) => after === undefined || byTenantAndId(after, each) < 0)
      .sort(byTenantAndId)
      .slice(0, limit)
  }
}

function sourcesOf({ tenant, dependsOn = [] }: Pipeline): readonly string[] {
  return [...new Set(dependsOn.map((each) => pairKey(tenant, sourceKey(each))))]
}
