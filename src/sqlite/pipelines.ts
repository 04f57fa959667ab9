import type { Pipeline } from '../model/pipeline.ts'
import { isCovered } from '../model/scope.ts'
import type { PipelineFilter, PipelinePage } from '../port/storage.ts'
import { labelsText } from './json-text.ts'
import { type Condition, pipelineCondition } from './scope-condition.ts'
import { type Prepare, PreparedTexts, type Row, type Statement } from './statement.ts'

/** The stored pipelines. */
export class Pipelines {
  readonly #body: Statement
  readonly #revision: Statement
  readonly #put: Statement
  readonly #drop: Statement
  readonly #lists: PreparedTexts

  constructor(prepare: Prepare) {
    this.#body = prepare(`SELECT body FROM pipelines WHERE tenant = ? AND id = ?`)
    this.#revision = prepare(`SELECT revision FROM pipelines WHERE tenant = ? AND id = ?`)
    this.#put = prepare(`
      INSERT INTO pipelines (tenant, id, created_by, type, labels, revision, body) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET created_by = excluded.created_by, type = excluded.type, labels = excluded.labels,
        revision = excluded.revision, body = excluded.body`)
    this.#drop = prepare(`DELETE FROM pipelines WHERE tenant = ? AND id = ?`)
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
    this.#put.run(tenant, id, createdBy, type, labelsText(labels), revision, JSON.stringify(pipeline))
  }

  /** Removes a pipeline. */
  drop(tenant: string, id: string): void {
    this.#drop.run(tenant, id)
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
