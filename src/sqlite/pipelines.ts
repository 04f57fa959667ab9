import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Pipeline } from '../model/pipeline.ts'
import type { PipelineFilter, PipelinePage } from '../port/storage.ts'
import { coverage } from './coverage.ts'
import { compareText, labelsOrNull, type Row } from './rows.ts'
import type { Query } from './search-paths.ts'

/** The values of a pipeline's row in the order of its columns. */
export function pipelineValues(pipeline: Pipeline): SQLInputValue[] {
  const { tenant, id, createdBy, type, labels, revision } = pipeline
  return [tenant, id, createdBy, type, labelsOrNull(labels), revision, JSON.stringify(pipeline)]
}

/** A pipeline as it was committed. */
export function pipelineOf(row: Row): Pipeline {
  // Written by pipelineValues in this file's schema, so its shape is known.
  return JSON.parse(String(row.body)) as Pipeline
}

/** One page of the list of pipelines. */
export function pipelinesPage(db: DatabaseSync, filter: PipelineFilter, page: PipelinePage): readonly Pipeline[] {
  const rows = coverage(filter.scopes, 'id').flatMap((covered) => {
    const { sql, values } = pipelinesQuery(covered, filter, page)
    return db.prepare(sql).all(...values)
  })
  const pipelines = new Map(rows.map(pipelineOf).map((each) => [JSON.stringify([each.tenant, each.id]), each]))
  return [...pipelines.values()].sort(inOrder).slice(0, page.limit)
}

/** The query for the pipelines of a page that fulfil a condition. */
function pipelinesQuery(covered: Query, { type }: PipelineFilter, { limit, after }: PipelinePage): Query {
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

function inOrder(a: Pipeline, b: Pipeline): number {
  return compareText(a.tenant, b.tenant) || compareText(a.id, b.id)
}
