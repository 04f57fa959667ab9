import type { SQLInputValue } from 'node:sqlite'
import type { Pipeline } from '../model/pipeline.ts'
import type { PipelineFilter, PipelinePage } from '../port/storage.ts'
import { type Query, scopeConditions } from './find.ts'
import { labelsOrNull, type Row } from './rows.ts'

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

/** The query for one page of the list of pipelines. */
export function pipelinesQuery({ scopes, type }: PipelineFilter, { limit, after }: PipelinePage): Query {
  const covered = scopes.map((scope) => scopeConditions(scope, 'id'))
  const any = ['FALSE', ...covered.map(({ sql }) => `(${sql})`)].join(' OR ')
  const values: SQLInputValue[] = covered.flatMap((each) => each.values)
  const where = [`(${any})`]
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
