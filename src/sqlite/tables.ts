import type { DatabaseSync } from 'node:sqlite'
import { Agents } from './agents.ts'
import { EventLog } from './event-log.ts'
import { JobLookups } from './job-lookups.ts'
import { JobRemoval } from './job-removal.ts'
import { JobTable } from './job-table.ts'
import { JobTrees } from './job-trees.ts'
import { Kinds } from './kinds.ts'
import { Leases } from './leases.ts'
import { LimitKeys } from './limit-keys.ts'
import { Names } from './names.ts'
import { Notes } from './notes.ts'
import { Notifications } from './notifications.ts'
import { Pipelines } from './pipelines.ts'
import { ReadyTasks } from './ready-tasks.ts'
import type { Prepare } from './statement.ts'
import { Subscriptions } from './subscriptions.ts'
import { TypePauses } from './type-pauses.ts'

/** The parts of the storage that a commit reads and writes, on one connection. */
export interface Tables {
  readonly db: DatabaseSync
  readonly jobs: JobTable
  readonly lookups: JobLookups
  readonly log: EventLog
  readonly notes: Notes
  readonly keys: LimitKeys
  readonly ready: ReadyTasks
  readonly trees: JobTrees
  readonly pipelines: Pipelines
  readonly notifications: Notifications
  readonly removal: JobRemoval
  readonly subscriptions: Subscriptions
  readonly paused: TypePauses
  readonly agents: Agents
  readonly leases: Leases
}

/** Prepares all statements of these parts. The database must have the current schema. */
export function tablesOf(db: DatabaseSync, prepare: Prepare, logLinesMax: number): Tables {
  const names = new Names(prepare)
  const jobs = new JobTable(prepare, names, new Kinds(prepare))
  const subscriptions = new Subscriptions(prepare)
  const removed = {
    jobs,
    log: new EventLog(prepare, names),
    notes: new Notes(prepare, logLinesMax),
    notifications: new Notifications(prepare, subscriptions),
    leases: new Leases(prepare),
  }
  return {
    ...removed,
    db,
    lookups: new JobLookups(prepare, jobs),
    keys: new LimitKeys(prepare, names),
    ready: new ReadyTasks(prepare, names),
    trees: new JobTrees(jobs),
    pipelines: new Pipelines(prepare),
    removal: new JobRemoval(prepare, removed),
    subscriptions,
    paused: new TypePauses(prepare),
    agents: new Agents(prepare),
  }
}
