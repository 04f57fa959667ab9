import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'
import type { Json } from '../model/storable.ts'
import type { Clock } from '../port/clock.ts'
import type { Storage, StorageConnection, StorageHost, StoredEvents, TypeKey } from '../port/storage.ts'
import { coverage } from './coverage.ts'
import { eventsSql, eventsValues, firstEvents, readableEvents } from './events.ts'
import { FileIdentity } from './file-identity.ts'
import { InstanceLock } from './instance-lock.ts'
import { itemsOf } from './items.ts'
import { JobSearch, type Steps } from './job-search.ts'
import { pipelineOf, pipelinesPage } from './pipelines.ts'
import { decoded, eventsOf, headOf, jobOf, type Row, readableHead, readableJobs } from './rows.ts'
import { checkDatabase, checkHeader, checkPages, migrate, pragma } from './schema.ts'
import { SnapshotReader } from './snapshot-reader.ts'
import { prepareAll, type Statements } from './statements.ts'
import { DRIVER_WAIT_MS, readTransaction, savepoint, transaction, unavailable, whenUnlocked } from './transaction.ts'
import { Writer } from './writer.ts'

/** How the file is used. */
export interface SqliteOptions {
  /**
   * What a commit waits for. `'full'` (the default): the disk has it, and it survives a power cut. `'normal'`: the
   * operating system has it, and it survives a crash of the process, but a power cut may take the newest commits.
   */
  readonly durability?: 'full' | 'normal'
  /**
   * Looks through the whole file when it is opened (`PRAGMA quick_check`), and refuses it if it is damaged. It takes
   * about half a second for each GiB that the system has in memory, and the time to read what it has not; nothing else of
   * the process runs meanwhile. So it is off by default: what is damaged is then refused where it is read.
   */
  readonly check?: boolean
  /** Lines kept of each job's log; the oldest go. Default 10,000. */
  readonly logLines?: number
}

/** A lock file without an instance is left alone while it may belong to one that is just being opened. */
const LEFT_MS = 60_000

/**
 * Keeps jobs in one SQLite file, by Node's own driver. Any number of processes on the machine may open the same file,
 * which must lie on a local disk.
 *
 * Beside `file` stand SQLite's own `-wal` and `-shm`, and for each running engine a small `-instance-…` file, whose
 * lock shows that its process lives. All are created readable by their owner alone.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the path is empty or in memory: use `memoryStorage()` instead.
 */
export function sqliteStorage(file: string, options: SqliteOptions = {}): Storage {
  if (file === '' || file.startsWith(':memory:') || file.startsWith('file:')) {
    throw new JobchartError('INVALID_DEFINITION', `sqliteStorage should be given a path; found "${file}"`)
  }
  const path = resolve(file)
  return { open: async (host) => await SqliteConnection.open(path, options, host) }
}

class SqliteConnection implements StorageConnection {
  readonly #file: string
  readonly #db: DatabaseSync
  readonly #clock: Clock
  readonly #instance: string
  readonly #logLinesMax: number
  readonly #lock: InstanceLock
  readonly #statements: Statements
  readonly #identity: FileIdentity
  readonly #jobs: JobSearch
  readonly #snapshots: SnapshotReader
  #dataVersion: number
  #claims = 0

  private constructor(
    file: string,
    db: DatabaseSync,
    statements: Statements,
    lock: InstanceLock,
    options: SqliteOptions,
    host: StorageHost,
  ) {
    this.#file = file
    this.#db = db
    this.#lock = lock
    this.#clock = host.clock
    this.#instance = host.instance
    this.#logLinesMax = options.logLines ?? 10_000
    this.#statements = statements
    this.#identity = new FileIdentity(file)
    this.#jobs = new JobSearch((sql) => db.prepare(sql))
    this.#snapshots = new SnapshotReader(() => this.#reader(), host.clock)
    this.#dataVersion = pragma(db, 'data_version')
  }

  static async open(file: string, options: SqliteOptions, host: StorageHost): Promise<SqliteConnection> {
    const db = await openedFile(file, host.clock)
    let lock: InstanceLock | undefined
    try {
      const synchronous = options.durability === 'normal' ? 'NORMAL' : 'FULL'
      await whenUnlocked(host.clock, () => {
        // Before the pragma, which would change another program's file.
        checkDatabase(db, file)
        db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA temp_store = MEMORY`)
        transaction(db, () => migrate(db, file))
        if (options.check === true) checkPages(db, file)
      })
      // Before anything is made beside it: a file without our tables is refused as it stands.
      const statements = prepareAll(db)
      for (const suffix of ['', '-wal', '-shm']) if (existsSync(file + suffix)) chmodSync(file + suffix, 0o600)
      lock = InstanceLock.take(file, host.instance)
      const connection = new SqliteConnection(file, db, statements, lock, options, host)
      await connection.beat()
      connection.#removeLeftLocks()
      return connection
    } catch (error) {
      db.close()
      lock?.release()
      if (lock !== undefined) InstanceLock.remove(file, host.instance)
      throw unavailable(file, error)
    }
  }

  // A process may have died after it took its lock and before it was listed: nobody else would look for its file.
  #removeLeftLocks(): void {
    const listed = new Set(this.#statements.otherInstances.all('').map((row) => String(row.id)))
    for (const instance of InstanceLock.leftSince(this.#file, this.#clock.now() - LEFT_MS)) {
      if (!listed.has(instance) && !InstanceLock.isHeld(this.#file, instance)) InstanceLock.remove(this.#file, instance)
    }
  }

  readonly commit: StorageConnection['commit'] = (units) =>
    this.#write((writer) => units.map((unit) => writer.apply(unit, (run) => savepoint(this.#db, run))))

  readonly claim: StorageConnection['claim'] = (query, limit, transition) =>
    this.#write((writer) => writer.claim(query, limit, `${this.#instance}/claim-${++this.#claims}`, transition))

  readonly get: StorageConnection['get'] = (id) =>
    this.#read(() => {
      const row = this.#statements.jobById.get(id)
      return row === undefined ? undefined : decoded(id, () => jobOf(row))
    })

  readonly head: StorageConnection['head'] = (id) =>
    this.#read(() => {
      const { headById, newestHead } = this.#statements
      const row = headById.get(id)
      // One row is found and one is not, whatever is asked for: how long it takes does not tell which.
      const other = row === undefined ? newestHead.get() : headById.get('')
      if (row !== undefined) return decoded(id, () => headOf(row))
      if (other !== undefined) readableHead(other)
      return undefined
    })

  readonly heads: StorageConnection['heads'] = (ids) =>
    this.#read(() => {
      return this.#statements.headsByIds.all(JSON.stringify(ids)).flatMap((row) => readableHead(row) ?? [])
    })

  readonly many: StorageConnection['many'] = (ids) =>
    this.#read(() => {
      return readableJobs(this.#statements.jobsByIds.iterate(JSON.stringify(ids)))
    })

  readonly count: StorageConnection['count'] = (filter) => this.#search((search) => search.count(filter))

  readonly slotHolder: StorageConnection['slotHolder'] = (tenant, pipeline) =>
    this.#read(() => {
      const id = this.#statements.slotHolder.get(tenant, pipeline)?.id
      return id === undefined ? undefined : String(id)
    })

  readonly heldUnder: StorageConnection['heldUnder'] = (key) =>
    this.#read(() => Number(this.#statements.limits.held.get(key, key)?.held))

  readonly find: StorageConnection['find'] = (filter, page) => this.#search((search) => search.list(filter, page))

  readonly due: StorageConnection['due'] = (types, at, limit, skip) =>
    this.#read(() => {
      return readableJobs(this.#statements.dueJobs.iterate(at, keysOf(types)), limit, skip)
    })

  readonly nextWaiting: StorageConnection['nextWaiting'] = (types, tenant, pipeline, at) =>
    this.#read(() => {
      const [next] = readableJobs(this.#statements.nextWaiting.iterate(tenant, pipeline, at, keysOf(types)), 1)
      return next
    })

  readonly admissible: StorageConnection['admissible'] = (types, at, limit, skip) =>
    this.#read(() => {
      const { startingJobs, waitingPipelines, nextWaiting } = this.#statements
      const jobs = [...readableJobs(startingJobs.iterate(at, keysOf(types)), limit + skip)]
      for (const { tenant, pipeline } of waitingPipelines.iterate()) {
        if (jobs.length >= limit + skip) break
        const turns = nextWaiting.iterate(String(tenant), String(pipeline), at, keysOf(types))
        jobs.push(...readableJobs(turns, 1))
      }
      return jobs.slice(skip)
    })

  readonly pipeline: StorageConnection['pipeline'] = (tenant, id) =>
    this.#read(() => {
      const row = this.#statements.pipelineById.get(tenant, id)
      return row === undefined ? undefined : pipelineOf(row)
    })

  readonly pipelines: StorageConnection['pipelines'] = (filter, page) =>
    this.#read(() => {
      return pipelinesPage(this.#db, filter, page)
    })

  readonly held: StorageConnection['held'] = (instance) =>
    this.#read(() => readableJobs(this.#statements.busyJobs.all(instance)))

  readonly landed: StorageConnection['landed'] = (units, sequence) =>
    this.#read(() => this.#statements.landed.all(sequence, JSON.stringify(units)).map(eventsOf))

  readonly events: StorageConnection['events'] = ({ limit, scopes, ...query }) =>
    this.#read(() => {
      const { jobId } = query
      const read = (rows: Iterable<Row>) =>
        jobId === undefined ? readableEvents(rows, limit) : decoded(jobId, () => firstEvents(rows, limit))
      if (scopes === undefined) {
        const { events, eventsOfJob } = this.#statements
        return read((jobId === undefined ? events : eventsOfJob).iterate(...eventsValues(query)))
      }
      const found = new Map<number, StoredEvents>()
      for (const { sql, values } of coverage(scopes, 'pipeline')) {
        const statement = this.#db.prepare(eventsSql(jobId !== undefined, sql))
        for (const row of read(statement.iterate(...eventsValues(query), ...values))) found.set(row.sequence, row)
      }
      return [...found.values()].sort((a, b) => a.sequence - b.sequence).slice(0, limit)
    })

  readonly lastSequence: StorageConnection['lastSequence'] = () =>
    this.#read(() => Number(this.#statements.readSequence.get()?.value))

  readonly changed: StorageConnection['changed'] = () => {
    if (!this.#db.isOpen) return false
    const now = pragma(this.#db, 'data_version')
    const changed = now !== this.#dataVersion
    this.#dataVersion = now
    return changed
  }

  readonly logs: StorageConnection['logs'] = (jobId, after, limit) =>
    this.#read(() =>
      this.#statements.lines.all(jobId, after, limit).map((row) => ({
        number: Number(row.number),
        at: Number(row.at),
        text: String(row.text),
      })),
    )

  readonly items: StorageConnection['items'] = (jobId, query) =>
    this.#read(() => decoded(jobId, () => itemsOf(this.#statements.items, jobId, query)))

  readonly steps: StorageConnection['steps'] = (jobId, invocation) =>
    this.#read(() => {
      const rows = this.#statements.steps.all(jobId, invocation)
      return decoded(jobId, () => new Map(rows.map((row) => [String(row.name), resultOf(row.result)])))
    })

  readonly register: StorageConnection['register'] = (charts, mayReplace) =>
    this.#write(() => {
      const { chart: kept, isUnsettled, keepChart } = this.#statements
      const other = charts.filter(({ type, version, hash }) => (kept.get(type, version)?.hash ?? hash) !== hash)
      const isFree = ({ type, version }: TypeKey) => mayReplace && isUnsettled.get(type, version)?.found === 0
      const refused = other.filter((chart) => !isFree(chart))
      if (refused.length === 0) for (const { type, version, hash } of charts) keepChart.run(type, version, hash)
      return refused.map(({ type, version }) => ({ type, version }))
    })

  readonly beat: StorageConnection['beat'] = () =>
    this.#write(() => {
      this.#statements.beat.run(this.#instance, this.#clock.now())
    })

  readonly others: StorageConnection['others'] = () =>
    this.#read(() =>
      this.#statements.otherInstances.all(this.#instance).map((row) => ({
        id: String(row.id),
        heartbeat: Number(row.heartbeat),
        isGone: !InstanceLock.isHeld(this.#file, String(row.id)),
      })),
    )

  readonly forget: StorageConnection['forget'] = async (instance) => {
    await this.#write(() => {
      this.#statements.dropInstance.run(instance)
    })
    // One that is only silent still holds its lock, and may come back.
    const isOver = instance !== this.#instance && !InstanceLock.isHeld(this.#file, instance)
    if (isOver) InstanceLock.remove(this.#file, instance)
  }

  readonly close: StorageConnection['close'] = async () => {
    if (!this.#db.isOpen) return
    const known = this.#statements.otherInstances.all('').some(({ id }) => id === this.#instance)
    this.#snapshots.close()
    this.#db.close()
    this.#lock.release()
    // An instance that is still listed holds something: whoever looks after it next removes its file.
    if (!known) InstanceLock.remove(this.#file, this.#instance)
  }

  async #write<Result>(run: (writer: Writer) => Result): Promise<Result> {
    try {
      return await whenUnlocked(this.#clock, () => {
        this.#identity.check()
        return transaction(this.#db, () => {
          const writer = new Writer(this.#statements, this.#clock.now(), this.#logLinesMax, this.#instance)
          const result = run(writer)
          writer.finish()
          return result
        })
      })
    } catch (error) {
      throw unavailable(this.#file, error)
    }
  }

  async #read<Result>(run: () => Result): Promise<Result> {
    try {
      return run()
    } catch (error) {
      throw unavailable(this.#file, error)
    }
  }

  // Most searches are over at their first step, and need no connection but this one.
  async #search<Result>(steps: (search: JobSearch) => Steps<Result>): Promise<Result> {
    try {
      const first = readTransaction(this.#db, () => steps(this.#jobs).next())
      return first.done === true ? first.value : await this.#snapshots.run(steps)
    } catch (error) {
      throw unavailable(this.#file, error)
    }
  }

  #reader(): DatabaseSync {
    this.#identity.check()
    return new DatabaseSync(this.#file, { readOnly: true, timeout: DRIVER_WAIT_MS })
  }
}

async function openedFile(file: string, clock: Clock): Promise<DatabaseSync> {
  try {
    return await whenUnlocked(clock, () => openFile(file))
  } catch (error) {
    throw unavailable(file, error)
  }
}

function openFile(file: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true })
  checkHeader(file)
  // SQLite gives its side files the mode of the database, so a new one is made before it opens.
  closeSync(openSync(file, 'a', 0o600))
  return new DatabaseSync(file, { timeout: DRIVER_WAIT_MS })
}

function keysOf(types: readonly TypeKey[]): string {
  return JSON.stringify(types.map(({ type, version }) => [type, version]))
}

// A step that gave nothing has a row without a result.
function resultOf(text: unknown): Json | undefined {
  return text === null ? undefined : (JSON.parse(String(text)) as Json)
}
