import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type StorageUnderTest, virtualClock } from 'jobchart/testing'
import type { AgentKey } from '../../src/model/agent.ts'
import { type EventRow, eventRow } from '../../src/model/event.ts'
import { batchNumber } from '../../src/model/item.ts'
import type { Job } from '../../src/model/job.ts'
import type { Pipeline } from '../../src/model/pipeline.ts'
import type { Json } from '../../src/model/storable.ts'
import type { Task } from '../../src/model/task.ts'
import type {
  Changeset,
  Claim,
  ClaimDecision,
  ItemQuery,
  Note,
  Route,
  StorageConnection,
  Write,
} from '../../src/port/storage.ts'
import { type NaiveRow, NaiveStorage } from './naive-storage.ts'

// Random commits on two connections of a storage. Each is compared with the same commit on a naive storage.

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const TENANTS = ['t1', 't2']
const PIPELINES = ['p', 'q']
const TYPES = [
  { type: 'one', version: '1' },
  { type: 'one', version: '2' },
  { type: 'two', version: '1' },
  { type: 'two', version: '2' },
]
const EXECUTORS = ['x', 'y']
const KEYS = ['k', 'l']
const QUEUES = ['q', 'r']
const AGENTS: readonly AgentKey[] = [
  { tenant: 't1', id: 'ann' },
  { tenant: 't1', id: 'bob' },
  { tenant: 't2', id: 'ann' },
]
/** Milliseconds between two commits. */
const TICK = 1_000
/** The limit of each key, by the name of the task. */
const LIMITS = new Map([['work', 2]])

/** Any JSON value of a job. */
const json = fc
  .jsonValue({ maxDepth: 2 })
  .map((value): Json => JSON.parse(JSON.stringify(value)))
  .filter((value) => !JSON.stringify(value).includes('__proto__'))

/** A change of a job between two records. */
const change = fc.constantFrom(
  ...(['claim', 'stop', 'end', 'add', 'again', 'settle', 'admit', 'remove', 'vacate', 'time', 'move'] as const),
)

const insert = fc.record({
  op: fc.constant('insert' as const),
  id: fc.constantFrom(...IDS),
  tenant: fc.constantFrom(...TENANTS),
  type: fc.constantFrom(...TYPES),
  pipeline: fc.constantFrom(undefined, undefined, ...PIPELINES),
  key: fc.constantFrom(undefined, undefined, ...KEYS),
  uniqueKey: fc.constantFrom(undefined, undefined, ...KEYS),
  assignee: fc.constantFrom(undefined, undefined, 'max'),
  priority: fc.integer({ min: 0, max: 2 }),
  isWaiting: fc.boolean(),
  isChild: fc.boolean(),
  delay: fc.integer({ min: -3, max: 3 }),
  tasks: fc.array(
    fc.record({
      executor: fc.constantFrom(...EXECUTORS),
      key: fc.constantFrom(undefined, ...KEYS),
      queue: fc.constantFrom(undefined, undefined, ...QUEUES),
    }),
    {
      maxLength: 3,
    },
  ),
  queuedMax: fc.constantFrom(undefined, undefined, 1, 3),
  stepsOf: fc.constantFrom(undefined, ...IDS),
  input: json,
})

const write = fc.oneof(
  { weight: 3, arbitrary: insert },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('update' as const),
      id: fc.constantFrom(...IDS),
      change,
      pick: fc.nat({ max: 3 }),
      /** The write is made from the record as it was this many commits ago. */
      age: fc.constantFrom(0, 0, 0, 0, 1, 3),
      hasLimits: fc.boolean(),
    }),
  },
  fc.record({ op: fc.constant('expect' as const), id: fc.constantFrom(...IDS), offset: fc.constantFrom(0, 0, 0, 1) }),
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('note' as const),
      id: fc.constantFrom(...IDS),
      kind: fc.constantFrom('progress', 'log', 'step', 'item', 'line', 'items', 'items', 'items', 'endItems'),
      name: fc.constantFrom('m', 'n', 'o'),
      ordinal: fc.integer({ min: 1, max: 2 }),
      isStale: fc.constantFrom(false, false, false, true),
      piece: fc.record({
        /** The indexes of the items that are added. Each third item has a key of its own, the others their index. */
        added: fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 25 }),
        ended: fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 9 }),
        status: fc.constantFrom('completed', 'failed', 'skipped'),
        careful: fc.constantFrom(undefined, undefined, 1, 2),
      }),
    }),
  },
  fc.record({
    op: fc.constant('pipeline' as const),
    id: fc.constantFrom(...PIPELINES),
    offset: fc.constantFrom(0, 0, 1),
    after: fc.constantFrom('look', 'put', 'drop'),
    nextAt: fc.constantFrom(undefined, 1, 2, 3),
    dependsOn: fc.subarray([
      { pipeline: 'p', outcome: 'success' },
      { pipeline: 'q', outcome: 'failure' },
      { type: 'one', outcome: 'success' },
    ] as const),
  }),
  fc.record({ op: fc.constant('owe' as const), id: fc.constantFrom(...PIPELINES), at: fc.nat({ max: 9 }) }),
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constantFrom('grant' as const, 'grant' as const, 'lease' as const, 'lease' as const, 'expire' as const),
      id: fc.constantFrom(...IDS.slice(0, 3)),
      token: fc.integer({ min: 1, max: 2 }),
      agent: fc.constantFrom(...AGENTS),
      until: fc.constantFrom(undefined, -1, 0, 1, 3),
    }),
  },
)

const decide = fc.array(
  fc.constantFrom('claim', 'claim', 'claim', 'grant', 'leave', 'close', 'refused', 'touch', 'tell', 'left', 'stop'),
  { minLength: 1, maxLength: 5 },
)

const claim = fc.record({
  routes: fc.subarray(TYPES.flatMap((type) => EXECUTORS.map((executor) => ({ ...type, executor })))),
  isLimited: fc.boolean(),
  /** The queues of the routes. `undefined`: the routes have none. `both`: each route twice, with all queues and with none. */
  queues: fc.constantFrom(undefined, undefined, ['q'] as const, QUEUES, 'both' as const),
  room: fc.record({ x: fc.integer({ min: 0, max: 3 }), y: fc.integer({ min: 0, max: 3 }) }),
  /** The decision about a task, by its number. */
  decide,
})

const anyStep = fc.record({
  connection: fc.nat({ max: 1 }),
  changesets: fc.array(fc.array(write, { minLength: 1, maxLength: 4 }), { maxLength: 4 }),
  claim: fc.option(claim, { nil: undefined }),
  /** What follows the commit. */
  afterwards: fc.constantFrom(undefined, undefined, undefined, undefined, 'extend' as const, 'remove' as const),
})

/** Mostly a job with one task that is ready at once. */
const newJob = fc
  .record({ spec: insert, executor: fc.constantFrom(...EXECUTORS), odd: fc.nat({ max: 9 }) })
  .map(({ spec, executor, odd }): typeof spec => {
    if (odd === 0) return spec
    const plain = { queuedMax: undefined, isChild: false, isWaiting: false, delay: -1 }
    const priority = odd === 1 ? spec.priority : 1
    return { ...spec, ...plain, priority, tasks: [{ executor, key: undefined, queue: undefined }] }
  })

/** Most changesets store one new job, and the claim takes its task. A storage may then write the job only as claimed. */
const submits = fc.record({
  connection: fc.nat({ max: 1 }),
  changesets: fc.array(
    fc.oneof({ weight: 5, arbitrary: newJob.map((each) => [each]) }, fc.array(write, { minLength: 1, maxLength: 2 })),
    { minLength: 1, maxLength: 4 },
  ),
  claim: fc.record({
    routes: fc.constant(TYPES.flatMap((type) => EXECUTORS.map((executor) => ({ ...type, executor })))),
    isLimited: fc.constant(false),
    queues: fc.constant(undefined),
    room: fc.record({ x: fc.integer({ min: 1, max: 5 }), y: fc.integer({ min: 1, max: 5 }) }),
    decide,
  }),
  afterwards: fc.constant(undefined),
})

const step = fc.oneof({ weight: 2, arbitrary: anyStep }, submits)

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never
type WriteSpec = Step['changesets'][number][number]
type ClaimSpec = NonNullable<Step['claim']>
type LeaseSpec = Extract<WriteSpec, { op: 'grant' | 'lease' | 'expire' }>
type UpdateSpec = Extract<WriteSpec, { op: 'update' }>

/** Options of the law. */
export interface LawOptions {
  /** Number of sequences of commits. */
  readonly runs: number
  /** Maximum number of commits in each sequence. Default 30. */
  readonly commitsMax?: number
}

/**
 * Checks that a storage answers random sequences of commits on two connections like a naive storage, and that later
 * reads are equal.
 */
export async function storageLaw(
  make: () => StorageUnderTest | Promise<StorageUnderTest>,
  { runs, commitsMax = 30 }: LawOptions,
): Promise<void> {
  const steps = fc.array(step, { size: 'max', minLength: 1, maxLength: commitsMax })
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const { storage, dispose } = await make()
      const clock = virtualClock()
      const connections = [
        await storage.open({ clock, instance: 'one' }),
        await storage.open({ clock, instance: 'two' }),
      ] as const
      try {
        await new Run(connections).play(sequence)
      } finally {
        for (const connection of connections) await connection.close()
        await dispose?.()
      }
    }),
    { numRuns: runs },
  )
}

/** Runs one sequence on the storage and on the naive one. */
class Run {
  readonly #connections: readonly [StorageConnection, StorageConnection]
  readonly #naive = new NaiveStorage()
  /** The records of each job after each commit, the newest first. */
  readonly #past = new Map<string, readonly Job[]>()
  #count = 0

  constructor(connections: readonly [StorageConnection, StorageConnection]) {
    this.#connections = connections
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const each of steps) {
      await this.#commit(each)
      await this.#afterwards(each)
    }
    await this.#compareReads()
  }

  get #at(): number {
    return (1_000 + this.#count) * TICK
  }

  async #commit({ connection, changesets: specs, claim: wanted }: Step): Promise<void> {
    this.#count++
    const decided = new Map<string, Job>()
    const changesets = specs.flatMap((each, index): readonly Changeset[] => {
      const writes = each.flatMap((one) => this.#write(one, decided))
      return writes.length === 0 ? [] : [{ id: `c${this.#count}/${index}`, writes }]
    })
    const claims = wanted === undefined ? undefined : this.#claim(wanted)
    const { results, claimed } = await this.#connections[connection === 0 ? 0 : 1].commit(changesets, claims)
    const expected = this.#naive.commit(changesets, claims)
    for (const [index, result] of results.entries()) {
      const naive = expected.results[index]
      if (result.status === 'applied' || naive === 'applied') assert.equal(result.status, naive)
      else
        assert.ok(
          naive?.some((each) => isSame(each, result)),
          `${show(result)} is none of ${show(naive)}`,
        )
    }
    const taken = claimed.map(({ job, invocation }) => `${job.id}/${invocation}`)
    assert.deepEqual(
      taken,
      expected.claimed.map(({ job, invocation }) => `${job.id}/${invocation}`),
    )
    for (const { job } of this.#naive.rows) {
      this.#past.set(job.id, [job, ...(this.#past.get(job.id) ?? [])].slice(0, 5))
    }
    await this.#compareJobs()
  }

  async #afterwards({ connection, afterwards }: Step): Promise<void> {
    const storage = this.#connections[connection === 0 ? 0 : 1]
    const agent = AGENTS[this.#count % AGENTS.length]
    if (afterwards === 'extend') {
      await storage.extendLeases(this.#at + TICK)
      this.#naive.extendLeases(this.#at + TICK)
    } else if (afterwards === 'remove' && agent !== undefined) {
      await storage.removeAgent(agent)
      this.#naive.endLeasesOf(agent)
    }
  }

  #write(spec: WriteSpec, decided: Map<string, Job>): readonly Write[] {
    switch (spec.op) {
      case 'insert': {
        const id = [spec.id, ...IDS].find((each) => !decided.has(each) && this.#naive.get(each) === undefined)
        if (id === undefined) return []
        const job = newRecord({ ...spec, id }, this.#at)
        decided.set(id, job)
        const queued = spec.queuedMax === undefined ? {} : { queuedMax: spec.queuedMax }
        // A child job's steps are its top job's: it is never stored with steps of its own.
        const steps = spec.stepsOf === undefined || spec.isChild ? {} : { stepsOf: spec.stepsOf }
        return [{ op: 'insert', job, events: told(job, 'job.created'), ...queued, ...steps }]
      }
      case 'update': {
        const before = this.#record(spec, decided)
        const job = before === undefined ? undefined : nextRecord(before, spec, this.#at)
        if (before === undefined || job === undefined) return []
        decided.set(job.id, job)
        const limits = spec.hasLimits ? { limits: KEYS.map((key) => ({ key, concurrency: 2 })) } : {}
        return [{ op: 'update', before, job, events: told(job, 'job.updated'), ...limits }]
      }
      case 'expect': {
        const revision = (decided.get(spec.id)?.revision ?? this.#naive.get(spec.id)?.revision ?? 1) + spec.offset
        return [{ op: 'expect', jobId: spec.id, revision }]
      }
      case 'note':
        return this.#note(spec)
      case 'pipeline': {
        const known = this.#naive.pipelines.get(`t1/${spec.id}`)
        const revision = (known?.revision ?? 0) + spec.offset
        const look = { op: 'pipeline', tenant: 't1', id: spec.id, revision } as const
        if (spec.after === 'look') return [look]
        return [{ ...look, after: spec.after === 'drop' ? null : pipelineOf(spec, revision + 1) }]
      }
      case 'owe':
        return [{ op: 'owe', tenant: 't1', id: spec.id, run: { jobId: 'a', at: spec.at } }]
      default:
        return [this.#lease(spec)]
    }
  }

  #lease({ op, id: jobId, token, agent, until }: LeaseSpec): Write {
    const at = this.#at
    const end = at + (until ?? 2) * TICK
    if (op === 'grant') return { op, lease: { jobId, token, agent, until: end } }
    if (op === 'expire') return { op, jobId, token, at }
    return { op, jobId, token, agent, at, ...(until === undefined ? {} : { until: end }) }
  }

  #record({ id, age }: UpdateSpec, decided: ReadonlyMap<string, Job>): Job | undefined {
    if (age > 0) return this.#past.get(id)?.[age]
    return decided.get(id) ?? this.#naive.get(id)
  }

  #note({ id, kind, name, ordinal, isStale, piece }: Extract<WriteSpec, { op: 'note' }>): readonly Write[] {
    const error = { name: 'Error', message: name }
    if (kind === 'endItems') {
      return [{ op: 'endItems', jobId: id, invocation: ordinal + 2, begun: piece.ended[0] ?? 0, error, at: this.#at }]
    }
    const running = this.#naive.get(id)?.tasks.find(({ status }) => status === 'claimed' || status === 'stopping')
    if (running === undefined && !isStale) return []
    const token = isStale ? 9_999 : (running?.token ?? 0)
    const at = this.#at
    const lines = [{ at, text: name }]
    if (kind === 'line') return [{ op: 'log', jobId: id, key: name, lines }]
    const count = this.#count
    const notes: { readonly [kind: string]: Note } = {
      progress: { kind: 'progress', progress: { completed: count, failed: 0, running: 0, total: count } },
      log: { kind: 'log', key: name, lines },
      step: { kind: 'step', invoke: 'i', ordinal, name, result: count },
      item: {
        kind: 'item',
        invocation: ordinal,
        item: { key: name, status: count % 2 === 0 ? 'completed' : 'failed', at },
        max: 3,
      },
      items: {
        kind: 'items',
        // Reported items and batches never share an invocation.
        invocation: ordinal + 2,
        added: piece.added.map((index) => ({ index, key: keyOf(index), input: index })),
        ended: piece.ended.map((index) => ({ index, status: piece.status, attempts: 1, output: count })),
        progress: {
          ...{ completed: count, failed: 0, running: 0 },
          ...(piece.careful === undefined ? {} : { careful: piece.careful }),
        },
        at,
      },
    }
    return [{ op: 'note', jobId: id, token, note: notes[kind] ?? { kind: 'log', key: name, lines } }]
  }

  // It decides by the task alone, so both storages get the same decision.
  #claim({ routes, queues, isLimited, room, decide }: ClaimSpec): Claim {
    const at = this.#at
    const limited = routes.map((route): Route => (isLimited ? { ...route, limits: LIMITS } : route))
    const queued = limited.map((route): Route => ({ ...route, queues: new Set(queues === 'both' ? QUEUES : queues) }))
    return {
      id: `claim${this.#count}`,
      routes: [...(queues === undefined || queues === 'both' ? limited : []), ...(queues === undefined ? [] : queued)],
      at,
      room: new Map(Object.entries(room)),
      decide: ({ job, task, tree }): ClaimDecision => {
        const kind = decide[(task.invocation + IDS.indexOf(job.id)) % decide.length]
        if (kind === 'leave' || kind === 'close' || kind === 'stop') return { kind }
        const tasks = job.tasks.map((each) => (each.invocation === task.invocation ? claimedTask(each, job) : each))
        const next = after(job, kind === 'touch' ? {} : { tasks, counter: job.counter + 1, startedAt: at }, at)
        const update: Write = { op: 'update', before: job, job: next, events: told(next, 'job.updated') }
        const look: Write = { op: 'expect', jobId: job.id, revision: 0 }
        const parent = job.parentId === undefined ? undefined : tree(job.parentId)
        const above = parent === undefined ? [] : [tellingOf(parent, kind === 'left', at)]
        const [agent = { tenant: 't1', id: 'ann' }] = AGENTS
        const grant: Write = { op: 'grant', lease: { jobId: job.id, token: next.counter, agent, until: at + TICK } }
        const more = kind === 'refused' ? [grant, look] : kind === 'tell' || kind === 'left' ? above : []
        return { kind: 'claim', writes: [update, ...more, ...(kind === 'grant' ? [grant] : [])] }
      },
    }
  }

  async #compareJobs(): Promise<void> {
    const [storage] = this.#connections
    for (const id of IDS) assert.deepEqual(await storage.get(id), this.#naive.get(id))
    for (const agent of AGENTS) assert.deepEqual(await storage.leasesOf(agent), this.#naive.leasesOf(agent))
    assert.deepEqual(await storage.expiredLeases(this.#at, 100, 0), this.#naive.expiredLeases(this.#at))
  }

  async #compareReads(): Promise<void> {
    const naive = this.#naive
    const visible = naive.rows.filter(({ job }) => job.deletedAt === undefined).map(({ job }) => job)
    for (const storage of this.#connections) {
      for (const row of naive.rows) await compareRow(storage, this.#naive, row)
      for (const id of IDS) assert.deepEqual(await eventsOf(storage, id), naive.events(id))
      for (const tenant of TENANTS) {
        for (const pipeline of PIPELINES) {
          assert.equal(await storage.slotHolder(tenant, pipeline), naive.slotHolder(tenant, pipeline))
          await this.#compareTurn(storage, tenant, pipeline)
        }
      }
      for (const key of KEYS) assert.equal(await storage.heldUnder(key), naive.heldUnder(key))
      for (const id of PIPELINES) assert.deepEqual(await storage.pipeline('t1', id), naive.pipelines.get(`t1/${id}`))
      for (const at of [0, 2]) assert.deepEqual(await storage.duePipelines(['one'], at, 9, 0), naive.duePipelines(at))
      for (const source of [{ pipeline: 'p' }, { pipeline: 'q' }, { type: 'one' }]) {
        assert.deepEqual(await storage.dependants('t1', source, 9), naive.dependants(source))
      }
      const { jobs } = await storage.find({ scopes: [{}] }, { limit: 100, order: 'oldest' })
      assert.deepEqual(jobs, [...visible].sort(oldestFirst))
      for (const phase of ['active', 'waiting', 'settled'] as const) {
        const inPhase = visible.filter((job) => job.phase === phase).length
        assert.equal(await storage.count({ scopes: [{}], phase }), inPhase)
        assert.equal((await storage.counts('phase', { scopes: [{}] })).get(phase) ?? 0, inPhase)
      }
      const due = await storage.due(TYPES, this.#at, 100, 0)
      assert.deepEqual(due, naive.due(this.#at))
      const held = (await storage.held('me')).map(({ id }) => id).sort()
      assert.deepEqual(
        held,
        naive.rows
          .filter(({ job }) => isBusy(job))
          .map(({ job }) => job.id)
          .sort(),
      )
    }
  }

  async #compareTurn(storage: StorageConnection, tenant: string, pipeline: string): Promise<void> {
    const key = { tenant, id: pipeline }
    const turns = this.#naive.waiting(this.#at)
    const loaded = await storage.load({ jobs: IDS, pipelines: [key], types: TYPES, at: this.#at })
    for (const id of IDS) assert.deepEqual(loaded.job(id), this.#naive.get(id))
    const own = turns.filter((job) => job.tenant === tenant && job.pipeline === pipeline)
    assert.deepEqual(loaded.turn(key).next, own[0])
    assert.equal(loaded.turn(key).holder, this.#naive.slotHolder(tenant, pipeline))
    const admissible = (await storage.admissible(TYPES, this.#at, 100, 0)).map(({ id }) => id).sort()
    const may = turns.filter((job) => job.pipeline === undefined || this.#isNext(job, turns))
    assert.deepEqual(admissible, may.map(({ id }) => id).sort())
  }

  #isNext({ id, tenant, pipeline = '' }: Job, turns: readonly Job[]): boolean {
    if (this.#naive.slotHolder(tenant, pipeline) !== undefined) return false
    return turns.find((job) => job.tenant === tenant && job.pipeline === pipeline)?.id === id
  }
}

async function compareRow(storage: StorageConnection, naive: NaiveStorage, row: NaiveRow) {
  const { lines, items } = row
  const { id } = row.job
  const steps = naive.steps(id)
  const logged = (await storage.logs(id, 0, 100)).map(({ number, text }) => `${number} ${text}`)
  assert.deepEqual(
    logged,
    lines.map(({ number, text }) => `${number} ${text}`),
  )
  for (const ordinal of [1, 2]) {
    for (const [name, result] of await storage.steps(id, 'i', ordinal)) {
      assert.equal(result, steps.get(`i/${ordinal}/${name}`)?.result)
    }
  }
  const both = (await storage.steps(id, 'i', 1)).size + (await storage.steps(id, 'i', 2)).size
  assert.equal(both, steps.size)
  const itemsOf = async (query: Partial<ItemQuery>) =>
    (await storage.items(id, { after: 0, limit: 100, ...query })).map(({ invocation, key, number, status }) => {
      return { id: `${invocation}/${key}`, number, status }
    })
  assert.deepEqual(await itemsOf({}), items)
  const [after, to] = [batchNumber(3, 5), batchNumber(4, 9)]
  for (const status of ['waiting', 'completed', 'failed', 'skipped'] as const) {
    const own = items.filter((item) => item.status === status && item.number > after && item.number <= to)
    assert.deepEqual(await itemsOf({ status, after, to, limit: 3 }), own.slice(0, 3))
  }
  const keys = Array.from({ length: 30 }, (_, place) => keyOf(place + 1))
  const own = items.filter(({ number }) => number > batchNumber(3, 0) && number < batchNumber(4, 0))
  assert.deepEqual(
    (await storage.itemKeys(id, 3, keys)).map(({ key, index }) => `3/${key} ${batchNumber(3, index)}`),
    own.map((item) => `${item.id} ${item.number}`),
  )
  const counts = (await storage.recorded([id])).map(({ invocation, count }) => [invocation, count] as const)
  assert.deepEqual(new Map(counts), naive.recorded(row))
}

function keyOf(index: number): string {
  return index % 3 === 0 ? `key ${index}` : `${index}`
}

async function eventsOf(storage: StorageConnection, jobId: string): Promise<readonly string[]> {
  const rows = await storage.events({ after: 0, limit: 1_000, jobId })
  return rows.flatMap(({ jobSequence, events }) => events.map(({ type }, index) => `${jobSequence + index} ${type}`))
}

function newRecord(spec: Extract<WriteSpec, { op: 'insert' }>, at: number): Job {
  const { id, tenant, type, pipeline, key, uniqueKey, priority, isWaiting, isChild, delay, tasks, input } = spec
  const { assignee } = spec
  const parentId = isChild ? IDS[IDS.indexOf(id) - 1] : undefined
  return {
    id,
    ...type,
    tenant,
    createdBy: 'ada',
    ...(assignee === undefined ? {} : { assignee }),
    trigger: 'manual',
    labels: {},
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(uniqueKey === undefined ? {} : { uniqueKey }),
    ...(parentId === undefined ? {} : { parentId }),
    input,
    state: 'active',
    context: { input },
    status: 'active',
    phase: isWaiting ? 'waiting' : 'active',
    vacates: false,
    priority,
    ...(isWaiting ? { startAt: at + delay * TICK } : { admittedAt: at }),
    timers: [],
    tasks: tasks.map((task, index) => newTask(index + 1, task, at + delay * TICK)),
    counter: tasks.length,
    createdAt: at,
    updatedAt: at,
    // Each insert has a revision of its own, to tell its records from those of an earlier job with the same id.
    revision: at,
    eventCount: 1,
  }
}

/** Where a task waits. */
interface TaskPlace {
  readonly executor: string
  readonly key: string | undefined
  readonly queue: string | undefined
}

// No two tasks of a job become available at the same time, because their order would be undefined.
function newTask(invocation: number, { executor, key, queue }: TaskPlace, at: number): Task {
  const availableAt = at + invocation
  const counts = { token: 0, attempt: 0, claims: 0, crashes: 0, losses: 0, steps: 0 }
  const limit = { ...(key === undefined ? {} : { limitKey: key }), ...(queue === undefined ? {} : { queue }) }
  const id = `i${invocation % 2}`
  return {
    id,
    invocation,
    ordinal: 1 + (invocation % 3),
    src: 'work',
    executor,
    ...limit,
    status: 'available',
    ...counts,
    availableAt,
    inbox: [],
  }
}

function claimedTask(task: Task, { counter }: Job): Task {
  return { ...task, status: 'claimed', token: counter + 1, holder: 'me', attempt: task.attempt + 1 }
}

function after(job: Job, change: Partial<Job>, at: number): Job {
  return { ...job, ...change, updatedAt: at, revision: job.revision + 1, eventCount: job.eventCount + 1 }
}

/** The record after a change; undefined: the change does not apply. */
function nextRecord(job: Job, { change: kind, pick }: UpdateSpec, at: number): Job | undefined {
  const { tasks, counter } = job
  const task = tasks[pick % Math.max(1, tasks.length)]
  const swap = (next: readonly Task[]) =>
    after(job, { tasks: tasks.flatMap((each) => (each === task ? next : [each])) }, at)
  switch (kind) {
    case 'claim':
      if (task?.status !== 'available') return undefined
      return { ...swap([claimedTask(task, job)]), counter: counter + 1, startedAt: at }
    case 'stop':
      return task?.status === 'claimed' ? swap([{ ...task, status: 'stopping', stopBy: at + pick * TICK }]) : undefined
    case 'end':
      return task === undefined ? undefined : swap([])
    case 'again': {
      if (task === undefined) return undefined
      const left = task.status === 'available' ? [] : [{ ...task, status: 'stopping' as const }]
      const place = { executor: task.executor, key: task.limitKey, queue: task.queue }
      const next = newTask(counter + 1, place, at + (pick - 1) * TICK)
      return { ...swap([...left, { ...next, id: task.id }]), counter: counter + 1 }
    }
    case 'add': {
      const place = { executor: 'x', key: pick === 0 ? 'k' : undefined, queue: pick === 1 ? 'q' : undefined }
      const added = newTask(counter + 1, place, at + (pick - 1) * TICK)
      return after(job, { tasks: [...tasks, added], counter: counter + 1 }, at)
    }
    case 'settle':
      return after(job, { phase: 'settled', outcome: 'success', endedAt: at, tasks: [] }, at)
    case 'admit':
      return after(job, { phase: 'active', admittedAt: at }, at)
    case 'remove': {
      const left = tasks.filter(({ status }) => status !== 'available')
      return after(job, { deletedAt: at, tasks: left.map((each) => ({ ...each, status: 'stopping' as const })) }, at)
    }
    case 'vacate':
      return after(job, { vacates: !job.vacates }, at)
    case 'time':
      return after(
        job,
        { timers: pick === 0 ? [] : [{ id: 't', event: { type: 'tick' }, dueAt: at + (pick - 2) * TICK }] },
        at,
      )
    case 'move':
      // A migration moves its ready tasks to another route.
      return after(job, { version: pick === 0 ? '2' : '1' }, at)
  }
}

// The claim of a child may write its parent, and remove the parent's ready tasks. It frees no limit, because it is
// undefined whether the same claim would use the freed place.
function tellingOf(before: Job, isLeft: boolean, at: number): Write {
  const tasks = before.tasks.filter(({ status }) => status !== 'available')
  const job = after(before, isLeft ? { tasks } : { message: 'told' }, at)
  return { op: 'update', before, job, events: told(job, 'job.updated') }
}

function told(job: Job, type: 'job.created' | 'job.updated'): EventRow {
  const event = type === 'job.created' ? { type, to: job.status } : { type }
  return eventRow(job, { kind: 'system', id: 'test' }, [event], [])
}

function pipelineOf({ id, nextAt, dependsOn }: Extract<WriteSpec, { op: 'pipeline' }>, revision: number): Pipeline {
  const fixed = { tenant: 't1', id, createdBy: 'ada', type: 'one', overlap: 'reject', labels: {} } as const
  const timed = nextAt === undefined ? {} : { nextAt }
  return { ...fixed, priority: 0, ...timed, dependsOn, createdAt: 1, updatedAt: 1, revision }
}

function isBusy({ tasks }: Job): boolean {
  return tasks.some(({ holder, status }) => holder === 'me' && (status === 'claimed' || status === 'stopping'))
}

function oldestFirst(a: Job, b: Job): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)
}

function isSame(a: object, b: object): boolean {
  return show(a) === show(b)
}

function show(value: unknown): string {
  return JSON.stringify(value)
}
