import { JobchartError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import { dueAt, isBusy, type Job, type JobSummary, wakeAt } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Scope } from '../port/policy.ts'
import type {
  JobFilter,
  JobPage,
  Storage,
  StorageConnection,
  StorageHost,
  StoredEvents,
  TypeKey,
} from '../port/storage.ts'
import { listed, pipelineKey } from './memory-pipelines.ts'
import { MemoryStore, read, type StoredJob, type StoredRow, slotKey } from './memory-store.ts'

/** How much is kept. */
export interface MemoryOptions {
  /** Lines kept of each job's log; the oldest go. Default 10,000. */
  readonly logLines?: number
}

/**
 * Keeps jobs in this process's memory: for tests, and for jobs that may be lost with it. All that holds for a durable
 * storage holds here too, but for durability. Engines of one process may share one.
 */
export function memoryStorage(options: MemoryOptions = {}): Storage {
  const store = new MemoryStore(options.logLines ?? 10_000)
  return { open: async (host) => new MemoryConnection(store, host) }
}

class MemoryConnection implements StorageConnection {
  readonly #store: MemoryStore
  readonly #host: StorageHost
  #isOpen = true
  #claims = 0
  #writesSeen = 0

  constructor(store: MemoryStore, host: StorageHost) {
    this.#store = store
    this.#host = host
    store.instances.set(host.instance, { heartbeat: host.clock.now(), alive: true })
  }

  readonly commit: StorageConnection['commit'] = async (units) => {
    const { store, at } = this.#use()
    const before = store.writes
    const results = units.map((unit) => store.apply(unit, at))
    if (results.some((result) => result.status === 'applied' && result.rows.some(({ claimed }) => claimed)))
      this.#list()
    this.#writesSeen += store.writes - before
    return results
  }

  readonly claim: StorageConnection['claim'] = async (query, limit, transition) => {
    const { store } = this.#use()
    this.#writesSeen++
    const claimed = store.claim(query, limit, `${this.#host.instance}/claim-${++this.#claims}`, transition)
    if (claimed.length > 0) this.#list()
    return claimed
  }

  readonly get: StorageConnection['get'] = async (id) => {
    const stored = this.#use().store.jobs.get(id)
    return stored === undefined ? undefined : read(stored)
  }

  readonly find: StorageConnection['find'] = async (filter, page) =>
    [...this.#use().store.jobs.values()]
      .filter(({ job }) => job.deletedAt === undefined && matchesFilter(job, filter) && comesAfter(job, page))
      .sort((a, b) => newestFirst(a.job, b.job))
      .slice(0, page.limit)
      .map(read)

  readonly head: StorageConnection['head'] = async (id) => headOf(this.#use().store.jobs.get(id)?.job)

  readonly heads: StorageConnection['heads'] = async (ids) => {
    const { store } = this.#use()
    return [...new Set(ids)].flatMap((id) => headOf(store.jobs.get(id)?.job) ?? [])
  }

  readonly many: StorageConnection['many'] = async (ids) => {
    const { store } = this.#use()
    return store
      .of(new Set(ids))
      .filter(({ job }) => job.deletedAt === undefined)
      .map(read)
  }

  readonly count: StorageConnection['count'] = async (filter) =>
    [...this.#use().store.jobs.values()].filter(({ job }) => job.deletedAt === undefined && matchesFilter(job, filter))
      .length

  readonly slotHolder: StorageConnection['slotHolder'] = async (tenant, pipeline) =>
    this.#use().store.holderOf(slotKey({ tenant, pipeline }))

  readonly heldUnder: StorageConnection['heldUnder'] = async (key) => this.#use().store.heldUnder(key)

  readonly nextWaiting: StorageConnection['nextWaiting'] = async (types, tenant, pipeline, at) => {
    const waiting = this.#waiting(types, at).find(({ job }) => job.tenant === tenant && job.pipeline === pipeline)
    return waiting === undefined ? undefined : read(waiting)
  }

  readonly admissible: StorageConnection['admissible'] = async (types, at, limit, skip) => {
    const { store } = this.#use()
    const seen = new Set<string>()
    const next = this.#waiting(types, at).filter(({ job }) => {
      if (job.pipeline === undefined) return true
      const slot = slotKey(job)
      if (seen.has(slot) || store.isTaken(slot)) return false
      return seen.add(slot)
    })
    return next.slice(skip, skip + limit).map(read)
  }

  // In the order of their turns.
  #waiting(types: readonly TypeKey[], at: number): readonly StoredJob[] {
    const { store } = this.#use()
    return store
      .of(store.waiting)
      .filter(({ job }) => dueAt(job) <= at && types.some((type) => isOf(job, type)))
      .sort((a, b) => b.job.priority - a.job.priority || dueAt(a.job) - dueAt(b.job) || a.n - b.n)
  }

  readonly due: StorageConnection['due'] = async (types, at, limit, skip) => {
    const { store } = this.#use()
    return store
      .of(store.waking)
      .flatMap((stored) => ({ stored, wakeAt: wakeAt(stored.job) ?? Number.POSITIVE_INFINITY }))
      .filter(({ stored: { job }, wakeAt }) => wakeAt <= at && types.some((type) => isOf(job, type)))
      .sort((a, b) => a.wakeAt - b.wakeAt || a.stored.n - b.stored.n)
      .slice(skip, skip + limit)
      .map(({ stored }) => read(stored))
  }

  readonly pipeline: StorageConnection['pipeline'] = async (tenant, id) => {
    const text = this.#use().store.pipelines.get(pipelineKey(tenant, id))
    return text === undefined ? undefined : (JSON.parse(text) as Pipeline)
  }

  readonly pipelines: StorageConnection['pipelines'] = async (filter, page) =>
    listed([...this.#use().store.pipelines.values()], filter, page)

  readonly held: StorageConnection['held'] = async (instance) =>
    [...this.#use().store.jobs.values()]
      .filter(({ job }) => isBusy(job) && job.tasks.some(({ holder }) => holder === instance))
      .map(read)

  readonly landed: StorageConnection['landed'] = async (units, sequence) => {
    const wanted = new Set(units)
    const rows = this.#use().store.log.filter((row) => row.sequence > sequence && wanted.has(row.unit))
    return rows.map(readRow)
  }

  readonly events: StorageConnection['events'] = async ({
    after,
    limit,
    jobId,
    scopes,
    through = Number.POSITIVE_INFINITY,
  }) => {
    const { log } = this.#use().store
    const found: StoredEvents[] = []
    for (let index = firstAfter(log, after); index < log.length && found.length < limit; index++) {
      const row = log[index]
      if (row === undefined || row.sequence > through) break
      if (jobId !== undefined && row.jobId !== jobId) continue
      const read = readRow(row)
      if (scopes === undefined || scopes.some((scope) => matchesScope(jobOfRow(read), scope))) found.push(read)
    }
    return found
  }

  readonly lastSequence: StorageConnection['lastSequence'] = async () => this.#use().store.sequence

  readonly changed: StorageConnection['changed'] = () => {
    const { writes } = this.#store
    const changed = writes !== this.#writesSeen
    this.#writesSeen = writes
    return changed
  }

  readonly logs: StorageConnection['logs'] = async (jobId, after, limit) =>
    this.#use().store.records.lines(jobId, after, limit)

  readonly items: StorageConnection['items'] = async (jobId, query) => this.#use().store.records.items(jobId, query)

  readonly steps: StorageConnection['steps'] = async (jobId, invocation) =>
    this.#use().store.records.steps(jobId, invocation)

  readonly beat: StorageConnection['beat'] = async () => {
    const { store, at } = this.#use()
    store.instances.set(this.#host.instance, { heartbeat: at, alive: true })
  }

  readonly register: StorageConnection['register'] = async (charts, mayReplace) => {
    const { store } = this.#use()
    const kept = ({ type, version }: TypeKey) => JSON.stringify([type, version])
    const refused = charts.filter((chart) => {
      const known = store.charts.get(kept(chart))
      if (known === undefined || known === chart.hash) return false
      return !mayReplace || [...store.jobs.values()].some(({ job }) => isUnsettled(job, chart))
    })
    if (refused.length === 0) for (const chart of charts) store.charts.set(kept(chart), chart.hash)
    return refused.map(({ type, version }) => ({ type, version }))
  }

  readonly others: StorageConnection['others'] = async () =>
    [...this.#use().store.instances]
      .filter(([id]) => id !== this.#host.instance)
      .map(([id, { alive, heartbeat }]) => ({ id, heartbeat, isGone: !alive }))

  readonly forget: StorageConnection['forget'] = async (instance) => {
    this.#use().store.instances.delete(instance)
  }

  readonly close: StorageConnection['close'] = async () => {
    this.#isOpen = false
    const known = this.#store.instances.get(this.#host.instance)
    if (known !== undefined) known.alive = false
  }

  // One that was forgotten while it was silent holds something again: whoever looks after it must find it.
  #list(): void {
    const { store, at } = this.#use()
    const { instance } = this.#host
    if (!store.instances.has(instance)) store.instances.set(instance, { heartbeat: at, alive: true })
  }

  #use(): { readonly store: MemoryStore; readonly at: number } {
    if (!this.#isOpen) throw new JobchartError('STORAGE_UNAVAILABLE', 'the storage was closed')
    return { store: this.#store, at: this.#host.clock.now() }
  }
}

function headOf(job: Job | undefined): JobSummary | undefined {
  if (job === undefined || job.deletedAt !== undefined) return undefined
  const { id, tenant, type, version, createdBy, pipeline, labels, status } = job
  const head = { id, tenant, type, version, createdBy, labels: { ...labels }, status }
  return pipeline === undefined ? head : { ...head, pipeline }
}

function isUnsettled(job: Job, type: TypeKey): boolean {
  return isOf(job, type) && job.phase !== 'settled'
}

function isOf(job: Job, { type, version }: TypeKey): boolean {
  return job.type === type && job.version === version
}

function newestFirst(a: { createdAt: number; id: string }, b: { createdAt: number; id: string }): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)
}

function comesAfter(job: Job, { after }: JobPage): boolean {
  return after === undefined || newestFirst(after, job) < 0
}

function matchesFilter(job: Job, { scopes, phase, status, parentId, ...narrow }: JobFilter): boolean {
  if (parentId !== undefined && (job.parentId ?? null) !== parentId) return false
  if (phase !== undefined && job.phase !== phase) return false
  if (status !== undefined && job.status !== status) return false
  return matchesScope(job, narrow) && scopes.some((scope) => matchesScope(job, scope))
}

type Scoped = Pick<Job, 'tenant' | 'createdBy' | 'type' | 'pipeline' | 'labels'>

// A row of the log carries what its job is searched by.
function jobOfRow({ jobType: type, ...row }: EventRow): Scoped {
  return { ...row, type }
}

function matchesScope(job: Scoped, { tenant, createdBy, type, pipeline, labels = {} }: Scope): boolean {
  const wanted = { tenant, createdBy, type, pipeline }
  const equal = Object.entries(wanted).every(([key, value]) => value === undefined || job[key as 'tenant'] === value)
  return equal && Object.entries(labels).every(([name, value]) => job.labels[name] === value)
}

function readRow({ sequence, unit, text }: StoredRow): StoredEvents {
  return { ...(JSON.parse(text) as EventRow), sequence, unit }
}

function firstAfter(log: readonly StoredRow[], after: number): number {
  let low = 0
  let high = log.length
  while (low < high) {
    const middle = (low + high) >> 1
    const row = log[middle]
    if (row !== undefined && row.sequence + row.count - 1 <= after) low = middle + 1
    else high = middle
  }
  return low
}
