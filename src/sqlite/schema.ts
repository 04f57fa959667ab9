/**
 * SQLite's `application_id` of our files: "jobc" in ASCII. It distinguishes them from files of other programs, which
 * must never be changed.
 */
export const APPLICATION_ID = 0x6a6f6263

/** The `user_version` of files with this schema. */
export const SCHEMA_VERSION = 5

/**
 * The tables.
 *
 * Texts that repeat in many rows are in `names`, and facts that lists filter by are in `kinds`. Rows and indexes hold
 * their codes. A job has columns for what queries use; the rest of its record is the text `body`. The columns `slot`,
 * `wake_at`, `waits_since`, `route` and `token` are null when they do not apply, and the indexes of these columns leave
 * null values out. So a job with nothing running, waiting or due is in few indexes.
 *
 * - `n` is the sequence of the job's first event. So newer jobs have higher numbers, and no number is used twice.
 * - In `jobs`, the columns `task`, `token`, `holder`, `limit_key`, `child`, `route` and `ready_at` belong to the job's
 *   first task. `token` is set while the task is claimed or stopping, `route` while it may be claimed.
 * - `tasks` has the other tasks, and the ended children (`ended` is 1).
 * - In `steps`, `n` is the top job of the tree, and `job` the job that recorded the step, or 0 for a copied step (S33).
 * - `gone` keeps the facts that events need: about jobs whose rows were removed, and about pipelines. A pipeline's `id`
 *   there is the JSON text of its tenant and id. A pipeline has one row for each set of facts that it had.
 * - In `job_labels`, `label` is a hash of a label's name and value. Different labels may have the same hash.
 * - Each label of a job has two rows in `job_labels`: one under the job's creator, and one with `created_by` 0 for
 *   searches over all creators of the tenant.
 */
export const TABLES = `
  CREATE TABLE names (code INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

  CREATE TABLE kinds (
    code INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    outcome TEXT NOT NULL,
    child INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    UNIQUE (type, status, phase, outcome, child, queued, deleted)
  ) STRICT;

  CREATE TABLE jobs (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    created_by INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    pipeline INTEGER,
    slot INTEGER,
    wake_at INTEGER,
    waits_since INTEGER,
    route INTEGER,
    ready_at INTEGER,
    task INTEGER,
    token INTEGER,
    holder INTEGER,
    limit_key INTEGER,
    further INTEGER,
    parent TEXT,
    child TEXT,
    labels TEXT,
    key TEXT,
    unique_key TEXT,
    progress TEXT,
    body TEXT NOT NULL,
    input TEXT,
    assignee INTEGER
  ) STRICT;

  CREATE TABLE tasks (
    n INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    invocation INTEGER NOT NULL,
    place INTEGER NOT NULL,
    route INTEGER,
    priority INTEGER,
    ready_at INTEGER,
    token INTEGER,
    holder INTEGER,
    limit_key INTEGER,
    child TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (n, ended, invocation)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE job_labels (
    tenant INTEGER NOT NULL,
    created_by INTEGER NOT NULL,
    label INTEGER NOT NULL,
    child INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant, created_by, label, child, created_at, n)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    count INTEGER NOT NULL,
    job_sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    changeset TEXT NOT NULL,
    events TEXT NOT NULL,
    inputs TEXT
  ) STRICT;

  CREATE TABLE gone (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    created_by INTEGER NOT NULL,
    type TEXT NOT NULL,
    pipeline INTEGER,
    labels TEXT,
    assignee INTEGER
  ) STRICT;

  CREATE TABLE logs (
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    key TEXT NOT NULL,
    stream TEXT,
    PRIMARY KEY (n, number)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE steps (
    n INTEGER NOT NULL,
    invoke TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    name TEXT NOT NULL,
    job INTEGER NOT NULL,
    invocation INTEGER NOT NULL,
    result TEXT,
    PRIMARY KEY (n, invoke, ordinal, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE items (
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    invocation INTEGER NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    message TEXT,
    output TEXT,
    attempts INTEGER,
    input TEXT,
    error TEXT,
    PRIMARY KEY (n, number)
  ) STRICT, WITHOUT ROWID;
`

/** Tables that schemas 1 to 3 have too, where they lack only the columns of `ADDITIONS`. */
export const LASTING_TABLES = `
  CREATE TABLE pipelines (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    type TEXT NOT NULL,
    labels TEXT,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    due_at INTEGER,
    PRIMARY KEY (tenant, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE instances (id TEXT PRIMARY KEY, heartbeat INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE charts (
    type TEXT NOT NULL,
    version TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (type, version)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`

/**
 * The indexes that schema 3 has too, except one of its items. Lists are ordered by `created_at`. Jobs created in the same millisecond are sorted
 * by id after reading, so no index contains ids. If nothing of a job runs, waits or is due, a change of its kind
 * rewrites only two index entries.
 */
export const INDEXES = `
  CREATE UNIQUE INDEX jobs_slot ON jobs (tenant, slot) WHERE slot IS NOT NULL;
  CREATE UNIQUE INDEX jobs_key ON jobs (tenant, created_by, key) WHERE key IS NOT NULL;
  CREATE UNIQUE INDEX jobs_unique ON jobs (tenant, unique_key) WHERE unique_key IS NOT NULL;
  CREATE INDEX jobs_ready ON jobs (route, limit_key, priority, ready_at) WHERE route IS NOT NULL;
  CREATE INDEX jobs_holder ON jobs (holder) WHERE token IS NOT NULL;
  CREATE INDEX jobs_limit ON jobs (limit_key) WHERE token IS NOT NULL AND limit_key IS NOT NULL;
  CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
  CREATE INDEX jobs_turn ON jobs (tenant, pipeline, priority DESC, waits_since, created_at)
    WHERE waits_since IS NOT NULL AND pipeline IS NOT NULL;
  CREATE INDEX jobs_starting ON jobs (waits_since) WHERE waits_since IS NOT NULL AND pipeline IS NULL;
  CREATE INDEX jobs_by_time ON jobs (created_at);
  CREATE INDEX jobs_of_tenant ON jobs (tenant, kind, created_at);
  CREATE INDEX jobs_of_creator ON jobs (tenant, created_by, kind, created_at);
  CREATE INDEX jobs_of_pipeline ON jobs (tenant, pipeline, created_at) WHERE pipeline IS NOT NULL;
  CREATE INDEX jobs_of_pipeline_and_creator ON jobs (tenant, created_by, pipeline, created_at)
    WHERE pipeline IS NOT NULL;
  CREATE INDEX jobs_of_parent ON jobs (parent, created_at) WHERE parent IS NOT NULL;

  CREATE INDEX tasks_ready ON tasks (route, limit_key, priority, ready_at) WHERE route IS NOT NULL;
  CREATE INDEX tasks_holder ON tasks (holder) WHERE token IS NOT NULL;
  CREATE INDEX tasks_limit ON tasks (limit_key) WHERE token IS NOT NULL AND limit_key IS NOT NULL;

  CREATE INDEX events_of_job ON events (job);
  CREATE INDEX gone_id ON gone (id);
  CREATE INDEX logs_key ON logs (n, key);
  CREATE INDEX items_status ON items (n, status, number);
`

/** What one schema has added to the one before. */
export interface Addition {
  readonly version: number
  /** New columns of tables that exist. `TABLES` and `LASTING_TABLES` have them too. */
  readonly columns: readonly (readonly [table: string, column: string])[]
  /** New tables and indexes. */
  readonly sql: string
}

/**
 * What schema 4 has added.
 *
 * - In `dependencies`, `source` names what the pipeline runs after: a pipeline or a job type.
 * - `meta` has the newest number of a notification. Numbers are never used again, so readers can continue after one.
 * - `notification_marks` has the number below which a person has read everything, and `notification_reads` what else
 *   the person has read.
 * - In `subscriptions`, `type` or `pipeline` is empty if the subscription does not name one.
 */
const SCHEMA_4: Addition = {
  version: 4,
  columns: [
    ['jobs', 'assignee INTEGER'],
    ['gone', 'assignee INTEGER'],
    ['pipelines', 'due_at INTEGER'],
  ],
  sql: `
  CREATE TABLE dependencies (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    PRIMARY KEY (tenant, source, pipeline)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE notifications (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    audience TEXT NOT NULL,
    job TEXT,
    type TEXT NOT NULL,
    pipeline TEXT,
    level TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;

  CREATE TABLE notification_reads (
    number INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (number, tenant, person)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE notification_marks (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    below INTEGER NOT NULL,
    PRIMARY KEY (tenant, person)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE subscriptions (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    type TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    level TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (tenant, person, type, pipeline)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE paused_types (type TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE INDEX notifications_for ON notifications (tenant, audience, number);
  CREATE INDEX notifications_of_job ON notifications (job) WHERE job IS NOT NULL;
  CREATE INDEX notifications_of_pipeline ON notifications (tenant, pipeline) WHERE job IS NULL;
  CREATE INDEX subscriptions_to ON subscriptions (tenant, type, pipeline, person);
  CREATE INDEX jobs_of_assignee ON jobs (tenant, assignee, kind, created_at) WHERE assignee IS NOT NULL;
  CREATE INDEX pipelines_due ON pipelines (due_at) WHERE due_at IS NOT NULL;
`,
}

/**
 * What schema 5 has added: agents, the leases under which they hold tasks, and batches. A lease is a row of its own, so
 * that a heartbeat rewrites no job.
 *
 * - In `items`, `attempts`, `input` and `error` belong to items of batches. `attempts` is null for reported items.
 * - In `batches`, `recorded` counts what one invocation of a batch has recorded, and `careful` is the newest mark of an
 *   item that runs alone.
 * - `left_items` names removed jobs that still have items.
 */
const SCHEMA_5: Addition = {
  version: 5,
  columns: [
    ['items', 'attempts INTEGER'],
    ['items', 'input TEXT'],
    ['items', 'error TEXT'],
  ],
  sql: `
  CREATE TABLE batches (
    n INTEGER NOT NULL,
    invocation INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    careful INTEGER,
    PRIMARY KEY (n, invocation)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE left_items (n INTEGER PRIMARY KEY) STRICT;

  CREATE TABLE agents (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    credential TEXT,
    revision INTEGER NOT NULL,
    seen_at INTEGER,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE leases (
    job TEXT NOT NULL,
    token INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (job, token)
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX agents_credential ON agents (credential) WHERE credential IS NOT NULL;
  CREATE INDEX leases_until ON leases (until);
  CREATE INDEX leases_of_agent ON leases (tenant, agent);
  DROP INDEX IF EXISTS items_key;
  CREATE INDEX items_key ON items (n, invocation, key) WHERE key <> '';
`,
}

/** What the schemas after the third have added, in order. */
export const ADDITIONS: readonly Addition[] = [SCHEMA_4, SCHEMA_5]

/** The tables and indexes of `ADDITIONS`. */
export const ADDED = ADDITIONS.map(({ sql }) => sql).join('')
