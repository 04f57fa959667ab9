import { JobchartError } from '../model/error.ts'
import { type Job, type JobSummary, mayStart } from '../model/job.ts'
import { checkOptions, wholeNumber } from '../model/option-checks.ts'
import { isRunning } from '../model/task-record.ts'
import type { AgentStorage } from '../port/agent-storage.ts'
import type { NotificationStorage } from '../port/notification-storage.ts'
import type {
  JobFilter,
  KeptChart,
  Loaded,
  LoadQuery,
  Turn as PipelineTurn,
  Recorded,
  Storage,
  StorageConnection,
  StorageHost,
  TypeKey,
} from '../port/storage.ts'
import { isListed } from './job-filter.ts'
import { MemoryPruning } from './memory-pruning.ts'
import { byDue, type Line, type Row, type Turn } from './memory-row.ts'
import { MemoryStore, slotKey } from './memory-store.ts'
import { pairKey } from './pair-key.ts'

/** Options of {@link memoryStorage}. */
export interface MemoryOptions {
  /** How many log lines are kept for each job. Beyond that, the oldest are removed. Default 10,000. */
  readonly logLines?: number
}

/** Counting stops at this number, which means "more than 10,000". */
const COUNT_MAX = 10_001

/**
 * Stores jobs in this process's memory, for tests and for jobs that may be lost when the process ends. It gives all
 * guarantees of the storage port except durability. Several engines of the process may share one storage.
 *
 * Lists have no index: each list walks over all jobs in order of creation. So a filter that matches few jobs reads
 * many.
 */
export function memoryStorage(options: MemoryOptions = {}): Storage {
  checkOptions('memoryStorage', options, { logLines: wholeNumber(1) })
  const store = new MemoryStore(options.logLines ?? 10_000)
  return { open: async (host) => connect(store, host) }
}

type Use = () => MemoryStore

function connect(store: MemoryStore, { clock, instance }: StorageHost): StorageConnection {
  let isOpen = true
  let writesSeen = 0
  const use = () => {
    if (!isOpen) throw new JobchartError('STORAGE_UNAVAILABLE', 'the storage was closed')
    return store
  }
  const list = (at = clock.now()) => store.instances.set(instance, { heartbeat: at, alive: true })
  list()
  return {
    ...jobReads(use),
    ...dueReads(use),
    ...recordReads(use),
    ...pipelineReads(use),
    ...notificationCalls(use),
    ...agentCalls(use),
    ...typePauses(use),
    commit: async (changesets, claim) => {
      const { writes } = use()
      const refused = new Set<Job>()
      const results = changesets.map((changeset) => store.apply(changeset, refused))
      const claimed = claim === undefined ? [] : store.claim(claim)
      // Another engine may have forgotten this instance while it did not beat. It holds tasks again now, so it is
      // listed again.
      if (claimed.length > 0 && !store.instances.has(instance)) list()
      writesSeen += store.writes - writes
      return { results, claimed }
    },
    changed: () => {
      const before = writesSeen
      writesSeen = store.writes
      return writesSeen !== before
    },
    register: async (charts, mayReplace) => registered(use(), charts, mayReplace),
    beat: async (at) => {
      use()
      list(at)
      store.lastBeat = Math.max(store.lastBeat, at)
    },
    lastBeat: async () => use().lastBeat,
    others: async () =>
      [...use().instances]
        .filter(([id]) => id !== instance)
        .map(([id, { alive, heartbeat }]) => ({ id, heartbeat, isGone: !alive })),
    forget: async (id) => {
      use().instances.delete(id)
    },
    prune: async (query) => new MemoryPruning(use(), query).run(),
    close: async () => {
      isOpen = false
      const known = store.instances.get(instance)
      if (known !== undefined) known.alive = false
    },
  }
}

function typePauses(use: Use): Pick<StorageConnection, 'pauseType' | 'resumeType' | 'pausedTypes'> {
  return {
    pauseType: async (paused) => {
      use().pausedTypes.set(paused.type, paused)
      use().writes++
    },
    resumeType: async (type) => {
      use().pausedTypes.delete(type)
      use().writes++
    },
    pausedTypes: async () => [...use().pausedTypes.values()].sort((a, b) => (a.type < b.type ? -1 : 1)),
  }
}

type JobReads = 'load' | 'get' | 'summary' | 'summaries' | 'many' | 'find' | 'count' | 'counts'

function jobReads(use: Use): Pick<StorageConnection, JobReads> {
  const visible = (ids: readonly string[]) => {
    const { jobs } = use()
    const found = [...new Set(ids)].flatMap((id) => jobs.get(id)?.job ?? [])
    return found.filter(({ deletedAt }) => deletedAt === undefined)
  }
  return {
    load: async (query) => loaded(use(), query),
    get: async (id) => use().jobs.get(id)?.job,
    summary: async (id) => visible([id]).map(summaryOf)[0],
    summaries: async (ids) => visible(ids).map(summaryOf),
    many: async (ids) => visible(ids),
    find: async (filter, { limit, after, order = 'newest' }) => {
      const from = after === undefined ? undefined : { job: after }
      const rows = order === 'newest' ? use().listed.before(from) : use().listed.after(from)
      const jobs: Job[] = []
      for (const job of matching(rows, filter)) {
        const last = jobs.at(-1)
        if (jobs.length === limit && last !== undefined)
          return { jobs, after: { createdAt: last.createdAt, id: last.id } }
        jobs.push(job)
      }
      return { jobs }
    },
    count: async (filter) => {
      let count = 0
      for (const _ of matching(use().listed.after(), filter)) if (++count === COUNT_MAX) break
      return count
    },
    counts: async (by, filter) => {
      const counts = new Map<string, number>()
      for (const { [by]: value } of matching(use().listed.after(), filter)) {
        if (value !== undefined) counts.set(value, Math.min((counts.get(value) ?? 0) + 1, COUNT_MAX))
      }
      return counts
    },
  }
}

type DueReads = 'slotHolder' | 'heldUnder' | 'held' | 'due' | 'admissible'

function dueReads(use: Use): Pick<StorageConnection, DueReads> {
  return {
    slotHolder: async (tenant, pipeline) => use().slots.get(slotKey({ tenant, pipeline }))?.job.id,
    heldUnder: async (key) => use().ready.heldUnder(key),
    held: async (instance) => {
      const jobs = [...use().busy].map(({ job }) => job)
      return jobs.filter(({ tasks }) => tasks.some((each) => each.holder === instance && isRunning(each)))
    },
    due: async (types, at, limit, skip) => {
      const jobs: Job[] = []
      for (const { wakeAt = at, job } of use().waking.after()) {
        if (wakeAt > at || jobs.length >= skip + limit) break
        if (isOfAny(job, types)) jobs.push(job)
      }
      return jobs.slice(skip)
    },
    admissible: async (types, at, limit, skip) => {
      const { waiting, slots } = use()
      const turns: Turn[] = []
      for (const [slot, line] of waiting) {
        if (line.isEmpty) waiting.delete(slot)
        else if (!slots.has(slot)) turns.push(...dueTurns(line, types, at, slot === '' ? skip + limit : 1))
      }
      const inOrder = turns.sort(byDue).slice(skip, skip + limit)
      return inOrder.map(({ row }) => row.job)
    },
  }
}

type RecordReads = 'recorded' | 'logs' | 'items' | 'itemKeys' | 'steps' | 'landed' | 'events' | 'lastSequence'

function recordReads(use: Use): Pick<StorageConnection, RecordReads> {
  const of = (jobId: string) => use().jobs.get(jobId)?.records
  const ofTop = (jobId: string) => {
    const row = use().jobs.get(jobId)
    return row === undefined ? undefined : use().topOf(row)?.records
  }
  return {
    recorded: async (jobIds) => jobIds.flatMap((jobId) => recordedBy(use(), jobId)),
    logs: async (jobId, after, limit) => of(jobId)?.lines(after, limit) ?? [],
    items: async (jobId, query) => of(jobId)?.items(query) ?? [],
    itemKeys: async (jobId, invocation, keys) => of(jobId)?.batchKeys(invocation, keys) ?? [],
    steps: async (jobId, invoke, ordinal) => ofTop(jobId)?.steps(invoke, ordinal) ?? new Map(),
    landed: async (changesets, sequence) => use().log.landed(changesets, sequence),
    events: async (query) => use().log.read(query),
    lastSequence: async () => use().log.sequence,
  }
}

function recordedBy(store: MemoryStore, jobId: string): readonly Recorded[] {
  const row = store.jobs.get(jobId)
  if (row === undefined) return []
  const all = [...(store.topOf(row)?.records?.stepsBy(row.n) ?? []), ...(row.records?.itemsBy() ?? [])]
  const counts = new Map<number, number>()
  for (const [invocation, count] of all) counts.set(invocation, (counts.get(invocation) ?? 0) + count)
  return [...counts].map(([invocation, count]) => ({ jobId, invocation, count }))
}

type PipelineReads = 'pipeline' | 'pipelines' | 'duePipelines' | 'dependants'

function pipelineReads(use: Use): Pick<StorageConnection, PipelineReads> {
  return {
    pipeline: async (tenant, id) => use().pipelines.get(tenant, id),
    pipelines: async (filter, page) => use().pipelines.page(filter, page),
    duePipelines: async (types, at, limit, skip) => use().pipelines.due(types, at, limit, skip),
    dependants: async (tenant, source, limit, after) => use().pipelines.dependants(tenant, source, limit, after),
  }
}

function notificationCalls(use: Use): NotificationStorage {
  const all = () => use().notifications
  return {
    notifications: async (query) => all().page(query),
    notification: async (key) => all().get(key),
    lastNotification: async () => all().last,
    markRead: async (reader, marks) => all().markRead(reader, marks),
    subscribe: async (subscription) => all().subscribe(subscription),
    unsubscribe: async (key) => all().unsubscribe(key),
    subscriptions: async (reader) => all().subscriptions(reader),
    subscribers: async (to, limit, after) => all().subscribers(to, limit, after),
  }
}

function agentCalls(use: Use): AgentStorage {
  const all = () => use().agents
  const writing = () => {
    use().writes++
    return all()
  }
  return {
    expiredLeases: async (at, limit, skip) => all().expired(at, limit, skip),
    extendLeases: async (until) => writing().extend(until),
    leasesOf: async (agent) => all().leasesOf(agent),
    agent: async (key) => all().get(key),
    agentByCredential: async (hash) => all().withCredential(hash),
    agents: async (page) => all().page(page),
    putAgent: async (agent) => writing().put(agent),
    removeAgent: async (key) => writing().remove(key),
    agentsSeen: async (seen) => all().seen(seen),
  }
}

function* matching(rows: Iterable<Row>, filter: JobFilter): Iterable<Job> {
  for (const { job } of rows) if (isListed(job, filter)) yield job
}

function registered({ charts: kept, jobs }: MemoryStore, charts: readonly KeptChart[], mayReplace: boolean) {
  const isUsed = (chart: TypeKey) =>
    [...jobs.values()].some(({ job }) => job.phase !== 'settled' && isOfAny(job, [chart]))
  const refused = charts.filter((chart) => {
    const known = kept.get(pairKey(chart.type, chart.version)) ?? chart.hash
    return known !== chart.hash && (!mayReplace || isUsed(chart))
  })
  if (refused.length === 0) for (const { type, version, hash } of charts) kept.set(pairKey(type, version), hash)
  return refused.map(({ type, version }) => ({ type, version }))
}

function loaded(
  { jobs, slots, waiting, pipelines: stored }: MemoryStore,
  { jobs: ids, pipelines, types, at }: LoadQuery,
): Loaded {
  const found = new Map<string, Job>()
  for (const id of ids) addTree(jobs, id, found)
  const turns = new Map<string, PipelineTurn>()
  for (const { tenant, id } of pipelines) {
    const slot = slotKey({ tenant, pipeline: id })
    const holder = slots.get(slot)?.job.id
    const line = waiting.get(slot)
    const [next] = line === undefined ? [] : dueTurns(line, types, at, 1)
    turns.set(slot, {
      ...(holder === undefined ? {} : { holder }),
      ...(next === undefined ? {} : { next: next.row.job }),
      ...(stored.isDependedOn(tenant, { pipeline: id }) ? { isDependedOn: true } : {}),
    })
  }
  return {
    job: (id) => found.get(id),
    turn: ({ tenant, id }) => turns.get(slotKey({ tenant, pipeline: id })) ?? {},
  }
}

function addTree(jobs: ReadonlyMap<string, Row>, id: string, found: Map<string, Job>): void {
  const job = found.has(id) ? undefined : jobs.get(id)?.job
  if (job === undefined) return
  found.set(id, job)
  if (job.parentId !== undefined) addTree(jobs, job.parentId, found)
  for (const { child } of job.tasks) if (child !== undefined) addTree(jobs, child, found)
}

/** The first `limit` jobs of a line that may start by `at` and have one of the types. */
function dueTurns(line: Line<Turn>, types: readonly TypeKey[], at: number, limit: number): readonly Turn[] {
  const turns: Turn[] = []
  for (let turn = line.next(); turn !== undefined && turns.length < limit; turn = line.next(turn)) {
    if (mayStart(turn.row.job, at) && isOfAny(turn.row.job, types)) turns.push(turn)
  }
  return turns
}

function summaryOf({ id, tenant, type, version, createdBy, assignee, pipeline, labels, status }: Job): JobSummary {
  return {
    ...{ id, tenant, type, version, createdBy, labels, status },
    ...(assignee === undefined ? {} : { assignee }),
    ...(pipeline === undefined ? {} : { pipeline }),
  }
}

function isOfAny(job: Job, types: readonly TypeKey[]): boolean {
  return types.some(({ type, version }) => job.type === type && job.version === version)
}
