import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { eventsSql } from './events.ts'
import { itemStatements } from './items.ts'
import { limitStatements } from './limits.ts'
import { EVENT_COLUMNS, HEAD_COLUMNS, JOB_COLUMNS } from './rows.ts'

/** Every statement of the adapter whose text is fixed, prepared once. All values are bound. */
export type Statements = ReturnType<typeof prepareAll>

/** Prepares them on a database that has the schema. */
export function prepareAll(db: DatabaseSync) {
  const prepare: Prepare = (sql) => db.prepare(sql)
  return {
    ...jobStatements(prepare),
    ...claimStatements(prepare),
    ...noteStatements(prepare),
    ...readStatements(prepare),
    ...turnStatements(prepare),
    ...pipelineStatements(prepare),
    limits: limitStatements(prepare),
    items: itemStatements(prepare),
  }
}

type Prepare = (sql: string) => StatementSync

// A broken record would fail the statement for every other row of it.
const READABLE = `CASE WHEN json_valid(jobs.body) THEN jobs.body END`

function jobStatements(prepare: Prepare) {
  return {
    readSequence: prepare(`SELECT value FROM meta WHERE name = 'sequence'`),
    writeSequence: prepare(`UPDATE meta SET value = ? WHERE name = 'sequence'`),

    insertJob: prepare(`
      INSERT INTO jobs (id, tenant, type, version, created_by, pipeline, parent_id, labels, idempotency_key, priority, created_at,
        status, phase, holds_slot, busy, queued, wake_at, waits_since, deleted, route, ready_at, ready_entry, held_key, revision,
        input, progress, body, child)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    // A statement that sets `deleted` writes each index anew whose rows it chooses, so one does that does not.
    updateJob: prepare(updateSql('', 'AND deleted = 0')),
    updateDeletedJob: prepare(updateSql('deleted = 1,', '')),
    insertLabel: prepare(`
      INSERT INTO job_labels (tenant, name, value, child, created_at, id, created_by, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
    dropLabel: prepare(`
      DELETE FROM job_labels WHERE tenant = ? AND name = ? AND value = ? AND child = ? AND created_at = ? AND id = ?`),
    removeJob: prepare(`DELETE FROM jobs WHERE id = ? AND revision = ?`),
    removeLines: prepare(`DELETE FROM logs WHERE job_id = ?`),
    removeSteps: prepare(`DELETE FROM steps WHERE job_id = ?`),
    jobById: prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE id = ?`),
    jobsByIds: prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND deleted = 0`),
    headById: prepare(`SELECT ${HEAD_COLUMNS} FROM jobs WHERE id = ? AND deleted = 0`),
    headsByIds: prepare(
      `SELECT ${HEAD_COLUMNS} FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND deleted = 0`,
    ),
    newestHead: prepare(`SELECT ${HEAD_COLUMNS} FROM jobs ORDER BY n DESC LIMIT 1`),
    jobByNumber: prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE n = ?`),
    jobByKey: prepare(`
      SELECT id FROM jobs WHERE tenant = ? AND created_by = ? AND type = ? AND idempotency_key = ? AND deleted = 0`),
    queuedJobs: prepare(`
      SELECT count(*) AS queued FROM (SELECT 1 FROM jobs WHERE tenant = ? AND type = ? AND queued = 1 LIMIT ?)`),
    slotHolder: prepare(`SELECT id FROM jobs WHERE tenant = ? AND pipeline = ? AND holds_slot = 1`),
  }
}

const updateSql = (set: string, where: string) => `
      UPDATE jobs SET ${set} version = ?, status = ?, phase = ?, holds_slot = ?, busy = ?, queued = ?, wake_at = ?,
        waits_since = ?, route = ?, ready_at = ?, ready_entry = ?, held_key = ?, revision = ?, body = ?
      WHERE id = ? AND revision = ? ${where}`

function claimStatements(prepare: Prepare) {
  return {
    hasOffers: prepare(`SELECT EXISTS (SELECT 1 FROM offers) AS found`),
    dropOffers: prepare(`DELETE FROM offers WHERE n = (SELECT n FROM jobs WHERE id = ?)`),
    insertOffer: prepare(`
      INSERT INTO offers (n, entry, route, priority, ready_at) SELECT n, ?, ?, ?, ? FROM jobs WHERE id = ?`),

    topPriority: prepare(`SELECT max(priority) AS priority FROM jobs WHERE route = ? AND priority < ?`),
    readyJobs: prepare(`
      SELECT n, ready_entry AS invocation, priority, ready_at FROM jobs
      WHERE route = ? AND priority = ? AND ready_at <= ? ORDER BY ready_at, n LIMIT ?`),
    readyOffers: prepare(`
      SELECT n, entry AS invocation, priority, ready_at FROM offers
      WHERE route = ? AND ready_at <= ? ORDER BY priority DESC, ready_at, n LIMIT ?`),
    readyBefore: prepare(`
      SELECT EXISTS (SELECT 1 FROM jobs WHERE route = ? AND priority >= ? AND ready_at <= ?)
          OR EXISTS (SELECT 1 FROM offers WHERE route = ? AND priority >= ? AND ready_at <= ?) AS found`),
  }
}

function noteStatements(prepare: Prepare) {
  return {
    writeProgress: prepare(`
      UPDATE jobs SET progress = ? WHERE id = ? AND EXISTS (
        SELECT 1 FROM json_each(${READABLE}, '$.tasks') AS task
        WHERE task.value ->> 'token' = ? AND task.value ->> 'status' = 'claimed')`),
    isHeld: prepare(`
      SELECT 1 FROM jobs, json_each(${READABLE}, '$.tasks') AS task
      WHERE jobs.id = ? AND task.value ->> 'token' = ? AND task.value ->> 'status' = 'claimed'`),
    hasLines: prepare(`SELECT 1 FROM logs WHERE job_id = ? AND key = ?`),
    insertLine: prepare(`
      INSERT INTO logs (job_id, number, at, text, key)
      SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ? FROM logs WHERE job_id = ?`),
    dropLines: prepare(`
      DELETE FROM logs WHERE job_id = ? AND number <= (SELECT max(number) FROM logs WHERE job_id = ?) - ?`),
    insertStep: prepare(`
      INSERT INTO steps (job_id, entry, name, result) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`),
    dropSteps: prepare(`DELETE FROM steps WHERE job_id = ? AND entry = ?`),
    insertEvents: prepare(`
      INSERT INTO events (${EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
  }
}

function pipelineStatements(prepare: Prepare) {
  return {
    pipelineById: prepare(`SELECT body FROM pipelines WHERE tenant = ? AND id = ?`),
    pipelineRevision: prepare(`SELECT revision FROM pipelines WHERE tenant = ? AND id = ?`),
    putPipeline: prepare(`
      INSERT INTO pipelines (tenant, id, created_by, type, labels, revision, body) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET created_by = excluded.created_by, type = excluded.type, labels = excluded.labels,
        revision = excluded.revision, body = excluded.body`),
    dropPipeline: prepare(`DELETE FROM pipelines WHERE tenant = ? AND id = ?`),
  }
}

// Bound to the known types as a list of pairs.
const KNOWN = `EXISTS (
        SELECT 1 FROM json_each(?) AS known
        WHERE known.value ->> 0 = jobs.type AND known.value ->> 1 = jobs.version)`

function readStatements(prepare: Prepare) {
  return {
    dueJobs: prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs
      WHERE wake_at <= ? AND ${KNOWN}
      ORDER BY wake_at, n`),
    busyJobs: prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs
      WHERE busy = 1 AND EXISTS (
        SELECT 1 FROM json_each(${READABLE}, '$.tasks') AS task WHERE task.value ->> 'holder' = ?)
      ORDER BY n`),
    landed: prepare(`
      SELECT ${EVENT_COLUMNS} FROM events
      WHERE sequence > ? AND unit IN (SELECT value FROM json_each(?)) ORDER BY sequence`),
    events: prepare(eventsSql(false)),
    eventsOfJob: prepare(eventsSql(true)),
    lines: prepare(`SELECT number, at, text FROM logs WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?`),
    steps: prepare(`SELECT name, result FROM steps WHERE job_id = ? AND entry = ?`),

    chart: prepare(`SELECT hash FROM charts WHERE type = ? AND version = ?`),
    keepChart: prepare(`
      INSERT INTO charts (type, version, hash) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash`),
    isUnsettled: prepare(`
      SELECT EXISTS (SELECT 1 FROM jobs WHERE type = ? AND version = ? AND phase <> 'settled') AS found`),

    listInstance: prepare(`INSERT INTO instances (id, heartbeat) VALUES (?, ?) ON CONFLICT DO NOTHING`),
    beat: prepare(`
      INSERT INTO instances (id, heartbeat) VALUES (?, ?) ON CONFLICT DO UPDATE SET heartbeat = excluded.heartbeat`),
    otherInstances: prepare(`SELECT id, heartbeat FROM instances WHERE id <> ?`),
    dropInstance: prepare(`DELETE FROM instances WHERE id = ?`),
  }
}

const WAITING = 'jobs INDEXED BY jobs_turn WHERE waits_since IS NOT NULL AND pipeline IS NOT NULL'

function turnStatements(prepare: Prepare) {
  return {
    nextWaiting: prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs
      WHERE tenant = ? AND pipeline = ? AND waits_since <= ? AND ${KNOWN}
      ORDER BY priority DESC, waits_since, n`),
    startingJobs: prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs
      WHERE pipeline IS NULL AND waits_since <= ? AND ${KNOWN}
      ORDER BY waits_since, n`),
    // Each pipeline in which something waits, found by one step in the index and not by its rows: column by column, since
    // SQLite looks at each row that equals what several columns at once are compared with.
    waitingPipelines: prepare(`
      WITH RECURSIVE tenants (tenant) AS (
        SELECT min(tenant) FROM ${WAITING}
        UNION ALL
        SELECT (SELECT min(tenant) FROM ${WAITING} AND tenant > tenants.tenant) FROM tenants WHERE tenant IS NOT NULL),
      next (tenant, pipeline) AS (
        SELECT tenant, (SELECT min(pipeline) FROM ${WAITING} AND tenant = tenants.tenant) FROM tenants
        WHERE tenant IS NOT NULL
        UNION ALL
        SELECT tenant, (SELECT min(pipeline) FROM ${WAITING} AND tenant = next.tenant AND pipeline > next.pipeline) FROM next
        WHERE pipeline IS NOT NULL)
      SELECT tenant, pipeline FROM next
      WHERE pipeline IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE tenant = next.tenant AND pipeline = next.pipeline AND holds_slot = 1)`),
  }
}
