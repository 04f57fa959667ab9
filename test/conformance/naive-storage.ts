import type { AgentKey, Lease } from '../../src/model/agent.ts'
import type { EventRow } from '../../src/model/event.ts'
import { BATCH_NUMBERS, batchNumber } from '../../src/model/item.ts'
import {
  claimableTasks,
  dueAt,
  heldKeys,
  holdsSlot,
  holdsUniqueKey,
  isBusy,
  isQueued,
  type Job,
  mayStart,
  wakeAt,
} from '../../src/model/job.ts'
import { dueTime, type Pipeline } from '../../src/model/pipeline.ts'
import type { Task } from '../../src/model/task.ts'
import type { Changeset, ChangesetResult, Claim, LogLine, Note, Route, Write } from '../../src/port/storage.ts'

/** A storage as its guarantees describe it, without indexes and slow. Every storage should give the same answers. */

type Refusal = Exclude<ChangesetResult, { readonly status: 'applied' }>

/** A job's row. */
export interface NaiveRow {
  readonly n: number
  readonly job: Job
  readonly lines: readonly (LogLine & { readonly key: string })[]
  /**
   * Steps of the job's tree, kept at its root; `by` is the recording job's `n` and invocation, unless the step was
   * copied.
   */
  readonly steps: ReadonlyMap<string, { readonly result: unknown; readonly by?: readonly [number, number] }>
  readonly items: readonly NaiveItem[]
  /** What each invocation of a batch has recorded, and its newest `careful` mark. */
  readonly batches: ReadonlyMap<number, { readonly recorded: number; readonly careful: number | undefined }>
}

/** An item. `id`: its invocation and key. */
export interface NaiveItem {
  readonly id: string
  readonly number: number
  readonly status: string
}

/** A claimed task of a job, as it was written. */
export interface NaiveClaimed {
  readonly job: Job
  readonly invocation: number
}

/** The result of a changeset: applied, or refused for one of these reasons. */
export type NaiveResult = 'applied' | readonly Refusal[]

interface State {
  readonly rows: ReadonlyMap<string, NaiveRow>
  readonly log: readonly EventRow[]
  readonly pipelines: ReadonlyMap<string, Pipeline>
  readonly leases: readonly Lease[]
}

/** The storage that the tested one is compared with. */
export class NaiveStorage {
  #state: State = { rows: new Map(), log: [], pipelines: new Map(), leases: [] }
  #inserts = 0

  get rows(): readonly NaiveRow[] {
    return [...this.#state.rows.values()]
  }

  get pipelines(): ReadonlyMap<string, Pipeline> {
    return this.#state.pipelines
  }

  /** The events of a job in order, as pairs of number and type. */
  events(jobId: string): readonly string[] {
    return this.#state.log
      .filter((row) => row.jobId === jobId)
      .flatMap(({ jobSequence, events }) => events.map(({ type }, index) => `${jobSequence + index} ${type}`))
  }

  get(id: string): Job | undefined {
    return this.#state.rows.get(id)?.job
  }

  commit(changesets: readonly Changeset[], claim?: Claim) {
    const refused = new Set<Job>()
    const results = changesets.map(({ writes }) => this.#apply(writes, refused))
    return { results, claimed: claim === undefined ? [] : this.#claim(claim) }
  }

  /** The waiting jobs that may start by `at`, in the order of their turns. */
  waiting(at: number): readonly Job[] {
    return this.rows
      .filter(({ job }) => job.phase === 'waiting' && job.deletedAt === undefined && mayStart(job, at))
      .sort((a, b) => b.job.priority - a.job.priority || dueAt(a.job) - dueAt(b.job) || a.n - b.n)
      .map(({ job }) => job)
  }

  due(at: number): readonly Job[] {
    const times = this.rows.map((row) => ({ ...row, time: wakeAt(row.job) ?? Number.POSITIVE_INFINITY }))
    return times
      .filter(({ time }) => time <= at)
      .sort((a, b) => a.time - b.time || a.n - b.n)
      .map(({ job }) => job)
  }

  /** The pipelines that are due, the longest due first. */
  duePipelines(at: number): readonly Pipeline[] {
    const due = [...this.#state.pipelines.values()].filter((each) => (dueTime(each) ?? Infinity) <= at)
    return due.sort((a, b) => (dueTime(a) ?? 0) - (dueTime(b) ?? 0) || (a.id < b.id ? -1 : 1))
  }

  /** The pipelines that depend on a pipeline or a type. */
  dependants(source: { readonly pipeline?: string; readonly type?: string }): readonly Pipeline[] {
    const found = [...this.#state.pipelines.values()].filter(({ dependsOn = [] }) =>
      dependsOn.some(({ pipeline, type }) => pipeline === source.pipeline && type === source.type),
    )
    return found.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** The leases of an agent, by job id and token. */
  leasesOf({ tenant, id }: AgentKey): readonly Lease[] {
    const own = this.#state.leases.filter(({ agent }) => agent.tenant === tenant && agent.id === id)
    return own.sort(byTask)
  }

  /** The leases that have ended by `at`, those that ended first come first. */
  expiredLeases(at: number): readonly Lease[] {
    const ended = this.#state.leases.filter(({ until }) => until <= at)
    return ended.sort((a, b) => a.until - b.until || byTask(a, b))
  }

  extendLeases(until: number): void {
    const leases = this.#state.leases.map((each) => (each.until === 0 ? each : later(each, until)))
    this.#set({ leases })
  }

  /** Ends the leases of an agent, as its removal does. */
  endLeasesOf(agent: AgentKey): void {
    const own = this.leasesOf(agent)
    this.#set({ leases: this.#state.leases.map((each) => (own.includes(each) ? { ...each, until: 0 } : each)) })
  }

  heldUnder(key: string): number {
    return this.rows.flatMap(({ job }) => heldKeys(job)).filter((each) => each.key === key).length
  }

  slotHolder(tenant: string, pipeline: string): string | undefined {
    return this.rows.find(({ job }) => holdsSlot(job) && job.tenant === tenant && job.pipeline === pipeline)?.job.id
  }

  /** Steps recorded in the job's tree. */
  steps(id: string): NaiveRow['steps'] {
    return this.#topOf(id)?.steps ?? new Map()
  }

  /** Number of steps and items that the job has recorded, by invocation. */
  recorded({ n, job, items, batches }: NaiveRow): ReadonlyMap<number, number> {
    const own = [...this.steps(job.id).values()].flatMap(({ by }) => (by?.[0] === n ? [by[1]] : []))
    const reported = items.filter(({ number }) => number < BATCH_NUMBERS).map(({ id }) => Number(id.split('/')[0]))
    const ofBatches = [...batches].flatMap(([invocation, { recorded }]) => Array<number>(recorded).fill(invocation))
    const all = [...own, ...reported, ...ofBatches]
    return new Map(all.map((invocation) => [invocation, all.filter((each) => each === invocation).length]))
  }

  #topOf(id: string): NaiveRow | undefined {
    const row = this.#state.rows.get(id)
    return row?.job.parentId === undefined ? row : this.#topOf(row.job.parentId)
  }

  #apply(writes: readonly Write[], refused: Set<Job>): NaiveResult {
    const before = this.#state
    const refusals: Refusal[] = []
    for (const write of [0, 1, 2].flatMap((rank) => writes.filter((each) => rankOf(each) === rank))) {
      const refusal = this.#write(write, refused)
      if (refusal !== undefined) refusals.push(refusal)
    }
    if (refusals.length === 0) return 'applied'
    this.#state = before
    for (const write of writes) if ('job' in write) refused.add(write.job)
    return refusals
  }

  #claim(claim: Claim): readonly NaiveClaimed[] {
    const claimed: NaiveClaimed[] = []
    const given = new Set<string>()
    const closed = new Set<string>()
    const room = new Map(claim.room)
    for (;;) {
      const next = this.#ready(claim, room).find((each) => !given.has(nameOf(each)) && !closed.has(queueOf(each)))
      if (next === undefined) return claimed
      given.add(nameOf(next))
      const decision = claim.decide({ ...next, tree: (id) => this.get(id) })
      if (decision.kind === 'stop') return claimed
      if (decision.kind === 'close') closed.add(queueOf(next))
      if (decision.kind !== 'claim' || this.#apply(decision.writes, new Set()) !== 'applied') continue
      room.set(next.task.executor, (room.get(next.task.executor) ?? 0) - 1)
      claimed.push({ job: this.get(next.job.id) ?? next.job, invocation: next.task.invocation })
    }
  }

  #ready({ routes, at }: Claim, room: ReadonlyMap<string, number>) {
    const ready: { readonly n: number; readonly job: Job; readonly task: Task }[] = []
    for (const { n, job } of this.rows) {
      for (const task of claimableTasks(job)) {
        const { executor, limitKey, src, availableAt } = task
        const route = routes.find((each) => isOf(job, each) && each.executor === executor && takesFrom(each, task))
        if (route === undefined || availableAt > at || (room.get(executor) ?? 0) < 1) continue
        const most = limitKey === undefined ? undefined : route.limits?.get(src)
        if (most === undefined || this.heldUnder(limitKey ?? '') < most) ready.push({ n, job, task })
      }
    }
    return ready.sort((a, b) => b.job.priority - a.job.priority || a.task.availableAt - b.task.availableAt || a.n - b.n)
  }

  #write(write: Write, refused: ReadonlySet<Job>): Refusal | undefined {
    switch (write.op) {
      case 'insert':
        return this.#insert(write)
      case 'update':
        return this.#update(write, refused)
      case 'expect':
        return this.get(write.jobId)?.revision === write.revision ? undefined : { status: 'conflict' }
      case 'append':
        this.#append(write.events)
        return undefined
      case 'log': {
        const row = this.#state.rows.get(write.jobId)
        if (row !== undefined) this.#addLines(row, write.key, write.lines)
        return undefined
      }
      case 'note':
        return this.#note(write.jobId, write.token, write.note)
      case 'endItems': {
        const row = this.#state.rows.get(write.jobId)
        if (row === undefined) return undefined
        const { invocation, begun } = write
        const statusOf = ({ number }: NaiveItem) => (number <= batchNumber(invocation, begun) ? 'failed' : 'skipped')
        const isOwn = ({ number }: NaiveItem) => Math.floor(number / BATCH_NUMBERS) === invocation
        this.#setRow(ending(row, invocation, isOwn, statusOf))
        return undefined
      }
      case 'owe': {
        const key = `${write.tenant}/${write.id}`
        const before = this.#state.pipelines.get(key)
        if (before === undefined) return undefined
        const after = { ...before, owed: [...(before.owed ?? []), write.run], revision: before.revision + 1 }
        this.#set({ pipelines: new Map([...this.#state.pipelines, [key, after]]) })
        return undefined
      }
      case 'pipeline': {
        const key = `${write.tenant}/${write.id}`
        const { pipelines } = this.#state
        if ((pipelines.get(key)?.revision ?? 0) !== write.revision) return { status: 'conflict' }
        const others = [...pipelines].filter(([name]) => name !== key)
        if (write.after !== undefined) {
          this.#set({ pipelines: new Map([...others, ...(write.after === null ? [] : [[key, write.after] as const])]) })
        }
        return undefined
      }
      case 'grant':
        this.#lease(write.lease, write.lease)
        return undefined
      case 'lease': {
        const lease = this.#state.leases.find((each) => isOfTask(each, write))
        const { tenant, id } = write.agent
        const isOwn = lease?.agent.tenant === tenant && lease.agent.id === id && lease.until > write.at
        if (!isOwn) return { status: 'stale' }
        if (write.until !== undefined) this.#lease(lease, later(lease, write.until))
        return undefined
      }
      case 'expire': {
        const lease = this.#state.leases.find((each) => isOfTask(each, write))
        if (lease === undefined || lease.until > write.at) return { status: 'stale' }
        this.#lease(lease, undefined)
        return undefined
      }
    }
  }

  #lease(task: Pick<Lease, 'jobId' | 'token'>, lease: Lease | undefined): void {
    const others = this.#state.leases.filter((each) => !isOfTask(each, task))
    this.#set({ leases: lease === undefined ? others : [...others, lease] })
  }

  #insert({
    job,
    events,
    limits = [],
    queuedMax,
    stepsOf = '',
  }: Extract<Write, { op: 'insert' }>): Refusal | undefined {
    const same = this.rows.find((row) => keyOf(row.job) !== undefined && keyOf(row.job) === keyOf(job))
    if (same !== undefined) return { status: 'duplicate', id: same.job.id }
    if (this.get(job.id) !== undefined) return { status: 'conflict' }
    const taken = this.#uniqueKeyTaken(job) ?? this.#slotTaken(job)
    if (taken !== undefined) return taken
    const queued = this.rows.filter((row) => isQueued(row.job) && isOfQueue(row.job, job)).length
    if (queuedMax !== undefined && queued >= queuedMax) return { status: 'full' }
    const copied = [...(this.#state.rows.get(stepsOf)?.steps ?? [])].map(
      ([key, { result }]) => [key, { result }] as const,
    )
    const row = { n: ++this.#inserts, job, lines: [], steps: new Map(copied), items: [], batches: new Map() }
    return this.#put(row, events, limits)
  }

  #update(write: Extract<Write, { op: 'update' }>, refused: ReadonlySet<Job>): Refusal | undefined {
    const row = this.#state.rows.get(write.job.id)
    if (row === undefined || row.job.revision !== write.before.revision || refused.has(write.before)) {
      return { status: 'conflict' }
    }
    const { progress } = row.job
    const job = progress === undefined ? write.job : { ...write.job, progress }
    return (
      this.#uniqueKeyTaken(job) ?? this.#slotTaken(job) ?? this.#put({ ...row, job }, write.events, write.limits ?? [])
    )
  }

  #uniqueKeyTaken(job: Job): Refusal | undefined {
    const { id, tenant, type, uniqueKey } = job
    if (!holdsUniqueKey(job)) return undefined
    const holder = this.rows.find(({ job: other }) => {
      return holdsUniqueKey(other) && other.tenant === tenant && other.type === type && other.uniqueKey === uniqueKey
    })
    return holder === undefined || holder.job.id === id ? undefined : { status: 'not-unique', by: holder.job.id }
  }

  #slotTaken({ id, tenant, pipeline, ...job }: Job): Refusal | undefined {
    const holder = pipeline === undefined ? undefined : this.slotHolder(tenant, pipeline)
    const takes = holdsSlot({ id, tenant, ...job, ...(pipeline === undefined ? {} : { pipeline }) })
    return takes && holder !== undefined && holder !== id ? { status: 'slot-taken', by: holder } : undefined
  }

  #put(row: NaiveRow, events: EventRow, limits: readonly { key: string; concurrency: number }[]): Refusal | undefined {
    const before = this.#state
    const rows = new Map(before.rows)
    if (row.job.deletedAt !== undefined && !isBusy(row.job)) {
      rows.delete(row.job.id)
      removeChildrenOf(rows, row.job.id)
      const isRemoved = ({ jobId }: Lease) => before.rows.has(jobId) && !rows.has(jobId)
      this.#set({ leases: before.leases.filter((lease) => !isRemoved(lease)) })
    } else rows.set(row.job.id, row)
    this.#set({ rows })
    if (limits.some(({ key, concurrency }) => this.heldUnder(key) > concurrency)) {
      this.#state = before
      return { status: 'full' }
    }
    this.#append(events)
    return undefined
  }

  #append(events: EventRow): void {
    this.#set({ log: [...this.#state.log, events] })
  }

  #note(jobId: string, token: number, note: Note): Refusal | undefined {
    const row = this.#state.rows.get(jobId)
    const task = row?.job.tasks.find((each) => each.token === token && /claimed|stopping/.test(each.status))
    if (row === undefined || task === undefined) return { status: 'stale' }
    switch (note.kind) {
      case 'progress':
        if (row.job.phase === 'settled') return { status: 'stale' }
        this.#setRow({ ...row, job: { ...row.job, progress: note.progress } })
        return undefined
      case 'log':
        this.#addLines(row, note.key, note.lines)
        return undefined
      case 'step': {
        const key = `${note.invoke}/${note.ordinal}/${note.name}`
        const top = this.#topOf(jobId)
        if (top === undefined) return { status: 'stale' }
        const step = { result: note.result, by: [row.n, task.invocation] } as const
        if (!top.steps.has(key)) this.#setRow({ ...top, steps: new Map([...top.steps, [key, step]]) })
        return undefined
      }
      case 'item': {
        const id = `${note.invocation}/${note.item.key}`
        const known = row.items.find((each) => each.id === id)
        const count = row.items.filter(({ number }) => number < BATCH_NUMBERS).length
        if (known === undefined && count >= note.max) return { status: 'full' }
        const item = { id, number: known?.number ?? count + 1, status: note.item.status }
        const items = [...row.items.filter((each) => each.id !== id), item].sort((a, b) => a.number - b.number)
        this.#setRow({ ...row, items })
        return undefined
      }
      case 'items': {
        if (row.job.phase === 'settled') return { status: 'stale' }
        const { invocation, progress } = note
        let next: NaiveRow = { ...row, job: { ...row.job, progress } }
        for (const { index, key } of note.added) {
          const number = batchNumber(invocation, index)
          if (next.items.some((item) => item.number === number)) continue
          const items = [...next.items, { id: `${invocation}/${key}`, number, status: 'waiting' }]
          next = { ...next, items: items.sort((a, b) => a.number - b.number) }
        }
        for (const { index, status } of note.ended) {
          const isOwn = ({ number }: NaiveItem) => number === batchNumber(invocation, index)
          next = ending(next, invocation, isOwn, () => status)
        }
        const { recorded = 0, careful } = next.batches.get(invocation) ?? {}
        const isNew = progress.careful !== undefined && progress.careful !== careful
        const batch = { recorded: recorded + (isNew ? 1 : 0), careful: progress.careful }
        this.#setRow({ ...next, batches: new Map(next.batches).set(invocation, batch) })
        return undefined
      }
    }
  }

  #addLines(row: NaiveRow, key: string, lines: readonly { readonly at: number; readonly text: string }[]): void {
    if (row.lines.some((line) => line.key === key)) return
    const added = lines.map((line, index) => ({ ...line, key, number: row.lines.length + index + 1 }))
    this.#setRow({ ...row, lines: [...row.lines, ...added] })
  }

  #setRow(row: NaiveRow): void {
    this.#set({ rows: new Map(this.#state.rows).set(row.job.id, row) })
  }

  #set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change }
  }
}

/** Ends waiting items of a batch. */
function ending(
  row: NaiveRow,
  invocation: number,
  isOwn: (item: NaiveItem) => boolean,
  statusOf: (item: NaiveItem) => string,
): NaiveRow {
  const ends = row.items.filter((item) => item.status === 'waiting' && isOwn(item))
  const items = row.items.map((item) => (ends.includes(item) ? { ...item, status: statusOf(item) } : item))
  const { recorded = 0, careful } = row.batches.get(invocation) ?? {}
  return { ...row, items, batches: new Map(row.batches).set(invocation, { recorded: recorded + ends.length, careful }) }
}

// A changeset frees slots and keys before it takes them.
function rankOf(write: Write): number {
  if (!('job' in write)) return 0
  const takesKey = holdsUniqueKey(write.job) && (write.op === 'insert' || !holdsUniqueKey(write.before))
  return takesKey ? 2 : holdsSlot(write.job) ? 1 : 0
}

/** Removes the child jobs that have ended. A job goes only after all its child jobs. Returns whether none is left. */
function removeChildrenOf(rows: Map<string, NaiveRow>, id: string): boolean {
  const children = [...rows.values()].filter(({ job }) => job.parentId === id)
  return children
    .map(({ job }) => {
      const mayGo = job.phase === 'settled' && !isBusy(job) && job.deletedAt === undefined
      return mayGo && removeChildrenOf(rows, job.id) && rows.delete(job.id)
    })
    .every((isGone) => isGone)
}

function keyOf({ tenant, createdBy, type, idempotencyKey, deletedAt }: Job): string | undefined {
  if (idempotencyKey === undefined || deletedAt !== undefined) return undefined
  return JSON.stringify([tenant, createdBy, type, idempotencyKey])
}

function isOfQueue(a: Job, b: Job): boolean {
  return a.tenant === b.tenant && a.type === b.type
}

function isOf(job: Job, { type, version }: { readonly type: string; readonly version: string }): boolean {
  return job.type === type && job.version === version
}

function takesFrom({ queues }: Route, { queue }: Task): boolean {
  return queue === undefined ? queues === undefined : queues?.has(queue) === true
}

/** Names the queue of a route in which a task waits. */
function queueOf({ job: { type, version }, task: { executor, queue } }: { readonly job: Job; readonly task: Task }) {
  return JSON.stringify([type, version, executor, queue])
}

function isOfTask(lease: Lease, { jobId, token }: Pick<Lease, 'jobId' | 'token'>): boolean {
  return lease.jobId === jobId && lease.token === token
}

function byTask(a: Lease, b: Lease): number {
  return a.jobId === b.jobId ? a.token - b.token : a.jobId < b.jobId ? -1 : 1
}

function later(lease: Lease, until: number): Lease {
  return lease.until < until ? { ...lease, until } : lease
}

function nameOf({ job, task }: { readonly job: Job; readonly task: Task }): string {
  return `${job.id}/${task.invocation}`
}
