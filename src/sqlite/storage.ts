/**
 * Stores jobs in one SQLite file.
 *
 * **Layout** (`schema.ts`). A job is one row: narrow columns for queries, its input, its progress, and the rest of its
 * record as one text. Texts that repeat in many rows are stored once, and rows hold their codes (`names.ts`,
 * `kinds.ts`). Tasks after the first, labels, steps, items and log lines have rows of their own (`task-rows.ts`,
 * `job-table.ts`, `notes.ts`). The log has one row for the events of one write of a job (`event-log.ts`). A lease of an
 * agent is a row of its own, so a heartbeat writes no job (`leases.ts`).
 *
 * **What a commit writes** (`commit-writer.ts`). A commit is one transaction: BEGIN IMMEDIATE, its changesets in order,
 * its claim (`claim-writer.ts`), COMMIT. A new job whose task can be claimed at once is written once, as claimed. An
 * update sets only the columns that differ from the old record, so SQLite rewrites only the indexes of these columns. A
 * change of one task writes one row, however many tasks the job has.
 *
 * **When it fails.** A refused changeset leaves nothing behind: a single write is checked before it is made, and
 * several writes use a savepoint. Waiting for another process's lock does not block the event loop (`write-queue.ts`).
 * Reads never wait for writes. If something fails before COMMIT, or if COMMIT finds the disk full, nothing was written,
 * and the error is `STORAGE_UNAVAILABLE`. If COMMIT fails in another way, the error is `OUTCOME_UNKNOWN`. If the file
 * was removed or replaced, commits are refused (`file-identity.ts`).
 */
import { resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { JobchartError, jobUnreadable } from '../model/error.ts'
import type { Json } from '../model/storable.ts'
import type { Clock } from '../port/clock.ts'
import type { Storage, StorageConnection, StorageHost } from '../port/storage.ts'
import { backUp } from './backup.ts'
import { Charts } from './charts.ts'
import { CommitWriter } from './commit-writer.ts'
import { loadDriver } from './driver.ts'
import { FileIdentity } from './file-identity.ts'
import { IdleCheckpoint } from './idle-checkpoint.ts'
import { InstanceLock } from './instance-lock.ts'
import { Instances } from './instances.ts'
import { JobSearch } from './job-search.ts'
import { openDatabase, removeLeftLocks } from './opening.ts'
import { checkSqliteOptions, type SqliteOptions } from './options.ts'
import { Pruning } from './pruning.ts'
import { preparing } from './statement.ts'
import { searchError, storageError, unavailable } from './storage-error.ts'
import { type Tables, tablesOf } from './tables.ts'
import { snapshot, transaction } from './transaction.ts'
import { WriteQueue, whenUnlocked } from './write-queue.ts'

const LOG_LINES = 10_000
/** How many items of removed jobs one heartbeat removes. */
const ITEMS_PER_BEAT = 500
/** How long one call of `prune` may take, besides its commit. */
const PRUNE_MS_MAX = 2

/**
 * Stores jobs in one SQLite file, with Node's built-in driver. The file must be on a local disk. Any number of
 * processes on the machine may open it.
 *
 * SQLite keeps its own `-wal` and `-shm` files beside `file`. Each running engine also has a small `-instance-…` file
 * there, whose lock shows that the engine's process lives. Only the user who owns these files can read them.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the path is not text, is empty or means memory (use `memoryStorage()`
 * instead), an option is invalid, or this version of Node has no suitable SQLite.
 */
export function sqliteStorage(file: string, options: SqliteOptions = {}): Storage {
  checkSqliteOptions(file, options)
  loadDriver()
  // The path is resolved now, because the working directory may change before the file is opened.
  const path = resolve(file)
  return { open: async (host) => await SqliteConnection.open(path, options, host) }
}

class SqliteConnection implements StorageConnection {
  readonly #file: string
  readonly #db: DatabaseSync
  readonly #clock: Clock
  readonly #instance: string
  readonly #lock: InstanceLock
  readonly #identity: FileIdentity
  readonly #queue: WriteQueue
  readonly #idle: IdleCheckpoint
  readonly #tables: Tables
  readonly #search: JobSearch
  readonly #instances: Instances
  readonly #charts: Charts
  readonly #pruning: Pruning
  readonly #version
  #dataVersion: unknown

  private constructor(file: string, db: DatabaseSync, lock: InstanceLock, options: SqliteOptions, host: StorageHost) {
    const prepare = preparing(db)
    this.#file = file
    this.#db = db
    this.#lock = lock
    this.#clock = host.clock
    this.#instance = host.instance
    this.#identity = new FileIdentity(file)
    this.#queue = new WriteQueue(host.clock)
    this.#idle = new IdleCheckpoint(db, host.clock)
    this.#tables = tablesOf(db, prepare, options.logLines ?? LOG_LINES)
    this.#search = new JobSearch(prepare, this.#tables.jobs, host.clock)
    this.#instances = new Instances(prepare)
    this.#charts = new Charts(prepare, this.#tables.lookups)
    this.#pruning = new Pruning(prepare, this.#tables)
    this.#version = prepare('PRAGMA data_version')
    this.#dataVersion = this.#version.get()?.[0]
  }

  static async open(path: string, options: SqliteOptions, host: StorageHost): Promise<SqliteConnection> {
    const { file, db } = await openDatabase(path, options, host.clock)
    let lock: InstanceLock | undefined
    try {
      lock = InstanceLock.take(file, host.instance)
      const connection = new SqliteConnection(file, db, lock, options, host)
      await connection.#write(() => connection.#instances.list(host.instance, host.clock.now()))
      removeLeftLocks(file, connection.#instances.others(''), host.clock)
      return connection
    } catch (error) {
      db.close()
      lock?.release()
      if (lock !== undefined) InstanceLock.remove(file, host.instance)
      throw unavailable(file, error)
    }
  }

  readonly commit: StorageConnection['commit'] = async (changesets, claim) => {
    // An empty commit returns at once. On a closed storage it must fail, so it goes on and fails below.
    if (changesets.length === 0 && claim === undefined && this.#db.isOpen) return { results: [], claimed: [] }
    this.#idle.wrote()
    return await this.#write(() => {
      const commit = new CommitWriter(this.#tables, changesets, claim).write()
      // Another engine may have forgotten this instance while it did not beat. It holds tasks again now, so it is
      // listed again.
      if (commit.claimed.length > 0) this.#instances.list(this.#instance, this.#clock.now())
      return commit
    })
  }

  readonly load: StorageConnection['load'] = ({ jobs, pipelines, types, at }) =>
    this.#read(() => {
      const job = this.#tables.trees.read(jobs)
      const turns = new Map(
        pipelines.map(({ tenant, id }) => {
          const holder = this.#tables.lookups.slotHolder(tenant, id)
          const next = this.#tables.lookups.next(types, tenant, id, at)
          const isDependedOn = this.#tables.pipelines.isDependedOn(tenant, { pipeline: id })
          const turn = {
            ...(holder === undefined ? {} : { holder }),
            ...(next === undefined ? {} : { next }),
            ...(isDependedOn ? ({ isDependedOn } as const) : {}),
          }
          return [JSON.stringify([tenant, id]), turn]
        }),
      )
      return { job, turn: ({ tenant, id }) => turns.get(JSON.stringify([tenant, id])) ?? {} }
    })

  readonly get: StorageConnection['get'] = (id) =>
    this.#read(() => {
      const row = this.#tables.jobs.rowById(id)
      return row === undefined ? undefined : this.#tables.jobs.job(row)
    })

  readonly summary: StorageConnection['summary'] = (id) => this.#read(() => this.#tables.jobs.summary(id))

  readonly summaries: StorageConnection['summaries'] = (ids) =>
    this.#read(() => [...new Set(ids)].flatMap((id) => readable(() => this.#tables.jobs.summary(id)) ?? []))

  readonly many: StorageConnection['many'] = (ids) =>
    this.#read(() => {
      const { jobs } = this.#tables
      return [...new Set(ids)]
        .flatMap((id) => jobs.readable(jobs.rowById(id)) ?? [])
        .filter(({ deletedAt }) => deletedAt === undefined)
    })

  readonly count: StorageConnection['count'] = (filter) => this.#ask(() => this.#search.count(filter))

  readonly counts: StorageConnection['counts'] = (by, filter) => this.#ask(() => this.#search.counts(by, filter))

  readonly find: StorageConnection['find'] = (filter, page) =>
    this.#ask(() => snapshot(this.#db, () => this.#search.find(filter, page)))

  readonly slotHolder: StorageConnection['slotHolder'] = (tenant, pipeline) =>
    this.#read(() => this.#tables.lookups.slotHolder(tenant, pipeline))

  readonly heldUnder: StorageConnection['heldUnder'] = (key) => this.#read(() => this.#tables.keys.running(key))

  readonly due: StorageConnection['due'] = (types, at, limit, skip) =>
    this.#read(() => this.#tables.lookups.due(types, at, limit, skip))

  readonly admissible: StorageConnection['admissible'] = (types, at, limit, skip) =>
    this.#read(() => this.#tables.lookups.admissible(types, at, limit, skip))

  readonly pipeline: StorageConnection['pipeline'] = (tenant, id) =>
    this.#read(() => this.#tables.pipelines.get(tenant, id))

  readonly pipelines: StorageConnection['pipelines'] = (filter, page) =>
    this.#ask(() => snapshot(this.#db, () => this.#tables.pipelines.page(filter, page)))

  readonly duePipelines: StorageConnection['duePipelines'] = (types, at, limit, skip) =>
    this.#read(() => this.#tables.pipelines.due(types, at, limit, skip))

  readonly dependants: StorageConnection['dependants'] = (tenant, source, limit, after) =>
    this.#read(() => this.#tables.pipelines.dependants(tenant, source, limit, after))

  readonly held: StorageConnection['held'] = (instance) => this.#read(() => this.#tables.lookups.held(instance))

  readonly recorded: StorageConnection['recorded'] = (jobIds) =>
    this.#read(() =>
      [...new Set(jobIds)].flatMap((id) => {
        const n = this.#tables.jobs.numberOf(id)
        return n === undefined ? [] : this.#tables.notes.recorded(id, n)
      }),
    )

  readonly landed: StorageConnection['landed'] = (changesets, sequence) =>
    this.#read(() => this.#tables.log.landed(changesets, sequence))

  readonly events: StorageConnection['events'] = (query) =>
    this.#ask(() => snapshot(this.#db, () => this.#tables.log.read(query)))

  readonly lastSequence: StorageConnection['lastSequence'] = () => this.#read(() => this.#tables.log.last())

  readonly changed: StorageConnection['changed'] = () => {
    const now = this.#readVersion()
    const changed = now !== this.#dataVersion
    this.#dataVersion = now
    return changed
  }

  readonly logs: StorageConnection['logs'] = (jobId, after, limit) =>
    this.#ofJob(jobId, [], (n) => this.#tables.notes.lines(n, after, limit))

  readonly items: StorageConnection['items'] = (jobId, query) =>
    this.#ofJob(jobId, [], (n) => this.#tables.notes.items.read(n, query))

  readonly itemKeys: StorageConnection['itemKeys'] = (jobId, invocation, keys) =>
    this.#ofJob(jobId, [], (n) => this.#tables.notes.items.keys(n, invocation, keys))

  readonly steps: StorageConnection['steps'] = (jobId, invoke, ordinal) =>
    this.#ofJob<ReadonlyMap<string, Json | undefined>>(jobId, new Map(), (n) =>
      this.#tables.notes.steps(n, invoke, ordinal),
    )

  readonly notifications: StorageConnection['notifications'] = (query) =>
    this.#ask(() => snapshot(this.#db, () => this.#tables.notifications.page(query)))

  readonly notification: StorageConnection['notification'] = (key) =>
    this.#read(() => this.#tables.notifications.get(key))

  readonly lastNotification: StorageConnection['lastNotification'] = () =>
    this.#read(() => this.#tables.notifications.last())

  readonly markRead: StorageConnection['markRead'] = (reader, marks) =>
    this.#write(() => this.#tables.notifications.markRead(reader, marks))

  readonly subscribe: StorageConnection['subscribe'] = (subscription) =>
    this.#write(() => this.#tables.subscriptions.put(subscription, this.#tables.notifications.last()))

  readonly unsubscribe: StorageConnection['unsubscribe'] = (key) =>
    this.#write(() => this.#tables.subscriptions.drop(key))

  readonly subscriptions: StorageConnection['subscriptions'] = (reader) =>
    this.#read(() => this.#tables.subscriptions.of(reader))

  readonly subscribers: StorageConnection['subscribers'] = (to, limit, after) =>
    this.#read(() => this.#tables.subscriptions.persons(to, limit, after))

  readonly expiredLeases: StorageConnection['expiredLeases'] = (at, limit, skip) =>
    this.#read(() => this.#tables.leases.expired(at, limit, skip))

  readonly extendLeases: StorageConnection['extendLeases'] = (until) =>
    this.#write(() => this.#tables.leases.extend(until))

  readonly leasesOf: StorageConnection['leasesOf'] = (agent) => this.#read(() => this.#tables.leases.of(agent))

  readonly agent: StorageConnection['agent'] = (key) => this.#read(() => this.#tables.agents.get(key))

  readonly agentByCredential: StorageConnection['agentByCredential'] = (hash) =>
    this.#read(() => this.#tables.agents.withCredential(hash))

  readonly agents: StorageConnection['agents'] = (page) => this.#read(() => this.#tables.agents.page(page))

  readonly putAgent: StorageConnection['putAgent'] = (agent) => this.#write(() => this.#tables.agents.put(agent))

  readonly removeAgent: StorageConnection['removeAgent'] = (key) =>
    this.#write(() => {
      this.#tables.agents.drop(key)
      this.#tables.leases.endOf(key)
    })

  readonly agentsSeen: StorageConnection['agentsSeen'] = (seen) => this.#write(() => this.#tables.agents.seen(seen))

  readonly register: StorageConnection['register'] = (charts, mayReplace) =>
    this.#write(() => this.#charts.register(charts, mayReplace))

  readonly beat: StorageConnection['beat'] = (at) =>
    this.#write(() => {
      this.#instances.beat(this.#instance, at)
      // A removed job may have left many items. They are removed here a few at a time, because not every engine prunes.
      this.#tables.notes.items.removeLeft(ITEMS_PER_BEAT)
    })

  readonly lastBeat: StorageConnection['lastBeat'] = () => this.#read(() => this.#instances.lastBeat())

  readonly others: StorageConnection['others'] = () =>
    this.#read(() =>
      this.#instances.others(this.#instance).map((other) => {
        const state = InstanceLock.stateOf(this.#file, other.id)
        return { ...other, isGone: state !== 'held', ...(state === 'ended' ? { isEnded: true } : {}) }
      }),
    )

  readonly forget: StorageConnection['forget'] = async (instance) => {
    await this.#write(() => this.#instances.drop(instance))
    // If the instance's process lives, it still holds its lock and may beat again, so its lock file must stay.
    const isOver = instance !== this.#instance && !InstanceLock.isHeld(this.#file, instance)
    if (isOver) InstanceLock.remove(this.#file, instance)
  }

  readonly prune: StorageConnection['prune'] = async (query) => {
    this.#idle.wrote()
    return await this.#write(() => {
      const until = this.#clock.elapsed() + PRUNE_MS_MAX
      return this.#pruning.run(query, () => this.#clock.elapsed() > until)
    })
  }

  readonly backup: NonNullable<StorageConnection['backup']> = async (target) => {
    this.#identity.check()
    await backUp(this.#file, target)
  }

  readonly pauseType: StorageConnection['pauseType'] = (paused) => this.#write(() => this.#tables.paused.put(paused))

  readonly resumeType: StorageConnection['resumeType'] = (type) => this.#write(() => this.#tables.paused.drop(type))

  readonly pausedTypes: StorageConnection['pausedTypes'] = () => this.#read(() => this.#tables.paused.all())

  readonly close: StorageConnection['close'] = async () => {
    if (!this.#db.isOpen) return
    const known = this.#isListed()
    this.#idle.stop()
    this.#db.close()
    this.#lock.release()
    // If this instance is still listed, it still holds tasks. The engine that takes back these tasks also removes the
    // lock file.
    if (!known) InstanceLock.remove(this.#file, this.#instance)
  }

  // SQLite's `data_version`, which changes when another connection commits. If it cannot be read, the next read of data
  // reports the reason.
  #readVersion(): unknown {
    try {
      return this.#version.get()?.[0]
    } catch {
      return this.#dataVersion
    }
  }

  // If the list cannot be read, the lock file stays here, and another engine removes it later.
  #isListed(): boolean {
    try {
      return this.#instances.others('').some(({ id }) => id === this.#instance)
    } catch {
      return true
    }
  }

  async #write<Result>(run: () => Result): Promise<Result> {
    const { jobs, log } = this.#tables
    try {
      return await this.#queue.run(() => {
        this.#identity.check()
        try {
          const result = transaction(this.#db, () => {
            log.begin()
            const written = run()
            log.finish()
            return written
          })
          jobs.keep()
          return result
        } catch (error) {
          jobs.forget()
          throw error
        }
      })
    } catch (error) {
      throw storageError(this.#file, error)
    }
  }

  async #read<Result>(run: () => Result): Promise<Result> {
    try {
      return await whenUnlocked(this.#clock, () => snapshot(this.#db, run))
    } catch (error) {
      throw storageError(this.#file, error)
    }
  }

  /** Runs a query made from a caller's filter, so that an error of the query becomes `INVALID_INPUT`. */
  async #ask<Result>(run: () => Result | Promise<Result>): Promise<Result> {
    try {
      return await whenUnlocked(this.#clock, run)
    } catch (error) {
      throw searchError(this.#file, error)
    }
  }

  #ofJob<Result>(jobId: string, none: Result, run: (n: number) => Result): Promise<Result> {
    return this.#read(() => {
      const n = this.#tables.jobs.numberOf(jobId)
      if (n === undefined) return none
      try {
        return run(n)
      } catch (error) {
        throw error instanceof SyntaxError ? jobUnreadable(jobId, error) : error
      }
    })
  }
}

function readable<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof JobchartError) return undefined
    throw error
  }
}
