import type { Pipeline } from '../model/pipeline.ts'
import type { PipelineFilter, PipelinePage } from '../port/storage.ts'
import { compareText, labelsText } from './json-text.ts'
import { type Condition, pipelineConditions } from './scope-condition.ts'
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

  /** A pipeline. */
  get(tenant: string, id: string): Pipeline | undefined {
    const row = this.#body.get(tenant, id)
    return row === undefined ? undefined : pipelineOf(row)
  }

  /** The stored revision of a pipeline; 0: there is none. */
  revisionOf(tenant: string, id: string): number {
    return Number(this.#revision.get(tenant, id)?.[0] ?? 0)
  }

  /** Writes a pipeline in the place of what is stored. */
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
    const found = new Map<string, Pipeline>()
    for (const condition of pipelineConditions(filter.scopes)) {
      const { sql, values } = listOf(condition, filter, page)
      for (const row of this.#lists.of(sql).all(...values)) {
        const pipeline = pipelineOf(row)
        found.set(JSON.stringify([pipeline.tenant, pipeline.id]), pipeline)
      }
    }
    return [...found.values()].sort(inOrder).slice(0, page.limit)
  }
}

function listOf(covered: Condition, { type }: PipelineFilter, { limit, after }: PipelinePage): Condition {
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
  return {
    sql: `SELECT body FROM pipelines WHERE ${where.join(' AND ')} ORDER BY tenant, id LIMIT ?`,
    values: [...values, limit],
  }
}

// Written by `put`, so its shape is known.
function pipelineOf([body]: Row): Pipeline {
  return JSON.parse(String(body)) as Pipeline
}

function inOrder(a: Pipeline, b: Pipeline): number {
  return compareText(a.tenant, b.tenant) || compareText(a.id, b.id)
}
