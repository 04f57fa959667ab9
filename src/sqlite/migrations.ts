/**
 * The steps from one schema to the next; a file's `user_version` counts those it has. A step that has shipped is never
 * changed: a file out there has it.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE jobs (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    type TEXT NOT NULL,
    version TEXT NOT NULL,
    created_by TEXT NOT NULL,
    pipeline TEXT,
    parent_id TEXT,
    labels TEXT,
    idempotency_key TEXT,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    holds_slot INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    wake_at INTEGER,
    waits_since INTEGER,
    deleted INTEGER NOT NULL,
    route TEXT,
    ready_at INTEGER,
    ready_entry INTEGER,
    held_key TEXT,
    revision INTEGER NOT NULL,
    input TEXT,
    progress TEXT,
    body TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX jobs_slot ON jobs (tenant, pipeline) WHERE holds_slot = 1;
  CREATE UNIQUE INDEX jobs_key ON jobs (tenant, created_by, type, idempotency_key) WHERE idempotency_key IS NOT NULL AND deleted = 0;
  CREATE INDEX jobs_ready ON jobs (route, priority, ready_at, n) WHERE route IS NOT NULL;
  CREATE INDEX jobs_held_key ON jobs (held_key) WHERE held_key IS NOT NULL;
  CREATE INDEX jobs_queued ON jobs (tenant, type) WHERE queued = 1;
  CREATE INDEX jobs_busy ON jobs (n) WHERE busy = 1;
  CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
  CREATE INDEX jobs_turn ON jobs (tenant, pipeline, priority DESC, waits_since, n)
    WHERE waits_since IS NOT NULL AND pipeline IS NOT NULL;
  CREATE INDEX jobs_starting ON jobs (waits_since, n) WHERE waits_since IS NOT NULL AND pipeline IS NULL;
  CREATE INDEX jobs_children ON jobs (parent_id) WHERE parent_id IS NOT NULL;
  CREATE INDEX jobs_newest ON jobs (tenant, created_at, id);
  CREATE INDEX jobs_own ON jobs (tenant, created_by, created_at, id);

  CREATE TABLE offers (
    n INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    route TEXT NOT NULL,
    priority INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    PRIMARY KEY (n, entry)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX offers_ready ON offers (route, priority DESC, ready_at, n);

  CREATE TABLE holds (
    n INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (n, entry)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX holds_key ON holds (key);

  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    job_sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by_kind TEXT NOT NULL,
    by_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    created_by TEXT NOT NULL,
    type TEXT NOT NULL,
    pipeline TEXT,
    labels TEXT,
    unit TEXT NOT NULL,
    events TEXT NOT NULL,
    inputs TEXT
  ) STRICT;
  CREATE INDEX events_job ON events (job_id, sequence);

  CREATE TABLE logs (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX logs_key ON logs (job_id, key);

  CREATE TABLE steps (
    job_id TEXT NOT NULL,
    entry INTEGER NOT NULL,
    name TEXT NOT NULL,
    result TEXT,
    PRIMARY KEY (job_id, entry, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE pipelines (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    type TEXT NOT NULL,
    labels TEXT,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    heartbeat INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE charts (
    type TEXT NOT NULL,
    version TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (type, version)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('sequence', 0);
  `,
  `
  CREATE TABLE items (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL,
    message TEXT,
    output TEXT
  ) STRICT;
  CREATE UNIQUE INDEX items_key ON items (job_id, key);
  CREATE UNIQUE INDEX items_number ON items (job_id, number);
  CREATE INDEX items_outcome ON items (job_id, outcome, number);

  ALTER TABLE jobs ADD COLUMN child INTEGER NOT NULL DEFAULT 0;
  UPDATE jobs SET child = 1 WHERE parent_id IS NOT NULL;
  DROP INDEX jobs_newest;
  DROP INDEX jobs_own;
  DROP INDEX jobs_children;
  CREATE INDEX jobs_of_tenant ON jobs (tenant, child, type, phase, status, created_at, id) WHERE deleted = 0;
  CREATE INDEX jobs_of_creator ON jobs (tenant, created_by, child, type, phase, status, created_at, id) WHERE deleted = 0;
  CREATE INDEX jobs_of_pipeline ON jobs (tenant, pipeline, child, created_at, id)
    WHERE deleted = 0 AND pipeline IS NOT NULL;
  CREATE INDEX jobs_of_pipeline_and_creator ON jobs (tenant, created_by, pipeline, child, created_at, id)
    WHERE deleted = 0 AND pipeline IS NOT NULL;
  CREATE INDEX jobs_of_parent ON jobs (parent_id, tenant, created_by, created_at, id)
    WHERE deleted = 0 AND parent_id IS NOT NULL;

  CREATE TABLE job_labels (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    child INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant, name, value, child, created_at, id)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO job_labels (tenant, name, value, child, created_at, id, created_by, n)
    SELECT tenant, label.key, label.value, child, created_at, jobs.id, created_by, n
    FROM jobs, json_each(CASE WHEN json_valid(jobs.labels) THEN jobs.labels END) AS label
    WHERE deleted = 0 AND labels IS NOT NULL AND label.type = 'text';
  CREATE INDEX job_labels_of_creator ON job_labels (tenant, created_by, name, value, child, created_at, id, n);
  `,
]
