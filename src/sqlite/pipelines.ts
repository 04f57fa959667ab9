import { dueTime, type Pipeline, sourceKey } from '../model/pipeline.ts'
import { isCovered } from '../model/scope.ts'
import type { DependencySource, PipelineFilter, PipelinePage } from '../port/storage.ts'
import { labelsText } from './json-text.ts'
import { type Condition, pipelineCondition } from './scope-condition.ts'
import { type Prepare, PreparedTexts, type Row, type Statement } from './statement.ts'

/** The stored pipelines. */
export class Pipelines {
  readonly #body: Statement
  readonly #revision: Statement
  readonly #put: Statement
  readonly #drop: Statement
  readonly #due: Statement
  readonly #isDependedOn: Statement
  readonly #dependants: Statement
  readonly #addSource: Statement
  readonly #dropSources: Statement
  readonly #lists: PreparedTexts

  constructor(prepare: Prepare) {
    this.#body = prepare(`SELECT body FROM pipelines WHERE tenant = ? AND id = ?`)
    this.#revision = prepare(`SELECT revision FROM pipelines WHERE tenant = ? AND id = ?`)
    this.#put = prepare(`
      INSERT INTO pipelines (tenant, id, created_by, type, labels, revision, body, due_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET created_by = excluded.created_by, type = excluded.type, labels = excluded.labels,
        revision = excluded.revision, body = excluded.body, due_at = excluded.due_at`)
    this.#drop = prepare(`DELETE FROM pipelines WHERE tenant = ? AND id = ?`)
    this.#due = prepare(`SELECT type, body FROM pipelines WHERE due_at <= ? ORDER BY due_at, tenant, id`)
    this.#isDependedOn = prepare(`SELECT EXISTS (SELECT 1 FROM dependencies WHERE tenant = ? AND source = ?)`)
    this.#dependants = prepare(`
      SELECT body FROM dependencies JOIN pipelines
        ON pipelines.tenant = dependencies.tenant AND pipelines.id = dependencies.pipeline
      WHERE dependencies.tenant = ? AND source = ? AND dependencies.pipeline > ?
      ORDER BY dependencies.pipeline LIMIT ?`)
    this.#addSource = prepare(`INSERT OR IGNORE INTO dependencies (tenant, source, pipeline) VALUES (?, ?, ?)`)
    this.#dropSources = prepare(`DELETE FROM dependencies WHERE tenant = ? AND source = ? AND pipeline = ?`)
    this.#lists = new PreparedTexts(prepare)
  }

  /** The stored pipeline. `undefined`: there is none. */
  get(tenant: string, id: string): Pipeline | undefined {
    const row = this.#body.get(tenant, id)
    return row === undefined ? undefined : pipelineOf(row)
  }

  /** The stored revision of a pipeline; 0: there is none. */
  revisionOf(tenant: string, id: string): number {
    return Number(this.#revision.get(tenant, id)?.[0] ?? 0)
  }

  /** Writes a pipeline, and replaces the stored one if there is one. */
  put(pipeline: Pipeline): void {
    const { tenant, id, createdBy, type, labels, revision } = pipeline
    const was = this.#sourcesOf(tenant, id)
    const is = new Set(pipeline.dependsOn?.map(sourceKey))
    for (const source of was) if (!is.has(source)) this.#dropSources.run(tenant, source, id)
    for (const source of is) if (!was.has(source)) this.#addSource.run(tenant, source, id)
    const text = JSON.stringify(pipeline)
    this.#put.run(tenant, id, createdBy, type, labelsText(labels), revision, text, dueTime(pipeline) ?? null)
  }

  /** Removes a pipeline. */
  drop(tenant: string, id: string): void {
    for (const source of this.#sourcesOf(tenant, id)) this.#dropSources.run(tenant, source, id)
    this.#drop.run(tenant, id)
  }

  #sourcesOf(tenant: string, id: string): ReadonlySet<string> {
    return new Set(this.get(tenant, id)?.dependsOn?.map(sourceKey))
  }

  /** Pipelines whose due time has come, the longest due first. */
  due(types: readonly string[], at: number, limit: number, skip: number): readonly Pipeline[] {
    const found: Pipeline[] = []
    for (const [type, body] of this.#due.iterate(at)) {
      if (found.length >= skip + limit) break
      if (types.includes(String(type))) found.push(pipelineOf([body]))
    }
    return found.slice(skip)
  }

  /** Whether any pipeline depends on this pipeline or type. */
  isDependedOn(tenant: string, source: DependencySource): boolean {
    return this.#isDependedOn.get(tenant, sourceKey(source))?.[0] === 1
  }

  /** Pipelines that depend on a pipeline or type, by id. */
  dependants(tenant: string, source: DependencySource, limit: number, after = ''): readonly Pipeline[] {
    return this.#dependants.all(tenant, sourceKey(source), after, limit).map(pipelineOf)
  }

  /** One page of the list of pipelines. */
  page(filter: PipelineFilter, page: PipelinePage): readonly Pipeline[] {
    const { sql, values } = listOf(filter, page)
    const found: Pipeline[] = []
    for (const row of this.#lists.of(sql).iterate(...values)) {
      if (found.length === page.limit) break
      const pipeline = pipelineOf(row)
      const scoped = { ...pipeline, pipeline: pipeline.id }
      if (filter.scopes.some((scope) => isCovered(scoped, scope))) found.push(pipeline)
    }
    return found
  }
}

function listOf({ scopes, type }: PipelineFilter, { after }: PipelinePage): Condition {
  const covered = pipelineCondition(scopes)
  const where = [covered.sql]
  const values = [...covered.values]
  if (type !== undefined) {
    where.push('type = ?')
    values.push(type)
  }
  if (after !== undefined) {
    where.push('(tenant, id) > (?, ?)')
    values.push(after.tenant, after.id)
  }
  return { sql: `SELECT body FROM pipelines WHERE ${where.join(' AND ')} ORDER BY tenant, id`, values }
}

// The cast is safe, because `put` stored the text.
function pipelineOf([body]: Row): Pipeline {
  return JSON.parse(String(body)) as Pipeline
}
