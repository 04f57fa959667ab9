import type { TaskContext } from 'jobchart'
import type { Changeset, Claim, Commit, Job, StoredEvents, Write } from 'jobchart/port'

type JobWrite = { readonly job: Job; readonly events: { readonly events: readonly { readonly type: string }[] } }

/** A command whose sender was told that it is taken. */
interface Acknowledged {
  readonly id: string
  readonly command: string
  /** The job's state in that answer. */
  readonly status: string
}

/** Facts about one invocation. */
interface Entry {
  readonly tokens: Set<number>
  released: number
}

/**
 * Records what really happened, below the engines and beside them: each applied write, each run of code, each answer to
 * a client. Any contradiction is a fault.
 */
export class Ledger {
  readonly faults: string[] = []
  readonly #submits = new Map<string, string>()
  readonly #commands: Acknowledged[] = []
  readonly #rows = new Map<string, Job>()
  readonly #entries = new Map<string, Entry>()
  readonly #tokens = new Map<string, number>()
  readonly #steps = new Set<string>()
  readonly #returned = new Set<string>()
  /** Number of writes of a row, and of claims among them. */
  writes = 0
  claims = 0
  /** Number of runs of code. */
  runs = 0

  /** Id of the job that was submitted under the key. */
  id(key: string): string {
    const id = this.#submits.get(key)
    if (id === undefined) throw new Error(`no submit under the key "${key}" was acknowledged`)
    return id
  }

  /** I2: a client that repeats a key gets the same job. */
  submitted(key: string, id: string): void {
    this.#expect(this.#submits.get(key) ?? id, id, `I2 key "${key}"`)
    this.#submits.set(key, id)
  }

  commanded(acknowledged: Acknowledged): void {
    this.#commands.push(acknowledged)
  }

  /** Code was started. */
  began(): void {
    this.runs++
  }

  /** Code has returned. */
  returned({ job }: TaskContext): void {
    this.#returned.add(job.id)
  }

  /** I22: a recorded step is not run again within its invocation by an attempt that holds the task. */
  stepped({ idempotencyKey, attempt, job }: TaskContext, name: string): void {
    const tasks = this.#rows.get(job.id)?.tasks ?? []
    // An attempt that was frozen and lost its task learns that only when it reports.
    const isHolding = tasks.some(
      (task) => `${job.id}:${task.invocation}` === idempotencyKey && task.attempt === attempt,
    )
    if (!isHolding || !this.#steps.has(`${idempotencyKey}:${name}`)) return
    this.faults.push(`I22 step "${name}" ran though it was recorded`)
  }

  /** Makes a commit, and records its results: first of its changesets, then of its claim. */
  async commit(
    changesets: readonly Changeset[],
    claim: Claim | undefined,
    make: (noted: Claim | undefined) => Promise<Commit>,
  ): Promise<Commit> {
    const decided = new Map<string, readonly Write[]>()
    const noted: Claim | undefined = claim && {
      ...claim,
      decide: (ready) => {
        const decision = claim.decide(ready)
        if (decision.kind === 'claim') decided.set(`${ready.job.id}:${ready.task.invocation}`, decision.writes)
        return decision
      },
    }
    const committed = await make(noted)
    for (const [index, { writes }] of changesets.entries()) {
      if (committed.results[index]?.status === 'applied') for (const write of writes) this.#wrote(write)
    }
    for (const { job, invocation } of committed.claimed) {
      for (const write of decided.get(`${job.id}:${invocation}`) ?? []) this.#wrote(write)
    }
    this.#checkSlots()
    return committed
  }

  #wrote(write: Write): void {
    if (write.op === 'insert' || write.op === 'update') {
      const isAt = write.op === 'insert' ? undefined : write.before.revision
      this.#expect(this.#rows.get(write.job.id)?.revision, isAt, `I11 revision of ${write.job.id}`)
      this.#wroteRow(write)
    }
    if (write.op !== 'note') return
    const { jobId, token, note } = write
    const task = this.#rows.get(jobId)?.tasks.find((each) => each.token === token)
    // The notes of an end are in its changeset, before its row.
    const isBusy = task?.status === 'claimed' || task?.status === 'stopping'
    if (!isBusy) this.faults.push(`I16 ${note.kind} of ${jobId} was taken under token ${token}`)
    if (note.kind === 'step') this.#steps.add(`${jobId}:${task?.invocation}:${note.name}`)
  }

  #wroteRow({ job, events: { events } }: JobWrite): void {
    const before = this.#rows.get(job.id)
    this.writes++
    if (job.revision <= (before?.revision ?? 0)) this.faults.push(`I11 ${job.id} was written back to ${job.revision}`)
    if (before?.phase === 'settled') this.#expect(endOf(job), endOf(before), `I9 the end of ${job.id}`)
    for (const task of job.tasks) this.#checkTask(job, before, task, events)
    const inHand = job.tasks.filter(({ status, child }) => (status === 'claimed' || status === 'lost') && !child)
    const ids = inHand.map(({ id }) => id)
    this.#expect(new Set(ids).size, ids.length, `I16 one valid token for each invoke of ${job.id}`)
    this.#rows.set(job.id, job)
  }

  #checkTask(
    job: Job,
    before: Job | undefined,
    task: Job['tasks'][number],
    events: JobWrite['events']['events'],
  ): void {
    if (task.child !== undefined || task.status === 'inline') return
    const key = `${job.id}:${task.invocation}`
    const entry = this.#entries.get(key) ?? { tokens: new Set(), released: 0 }
    this.#entries.set(key, entry)
    const was = before?.tasks.find((each) => each.invocation === task.invocation)
    if (task.token > 0 && !entry.tokens.has(task.token)) {
      this.claims++
      // I16: no token was given before, over all invocations.
      if (task.token <= (this.#tokens.get(job.id) ?? 0)) this.faults.push(`I16 token ${task.token} of ${key} is old`)
      this.#tokens.set(job.id, task.token)
      entry.tokens.add(task.token)
      if (was !== undefined) this.#expect(was.status, 'available', `I16 ${key} was claimed as`)
    }
    const isReleased = was?.status === 'claimed' && task.status === 'available'
    if (isReleased && events.some(({ type }) => type === 'task.released')) entry.released++
    // I20: each claim that was not given back is counted, from its commit on.
    this.#expect(task.attempt, entry.tokens.size - entry.released, `I20 attempts of ${key}`)
  }

  // I14, after each commit.
  #checkSlots(): void {
    const holders = [...this.#rows.values()].filter(holdsSlot).map(({ pipeline }) => pipeline)
    this.#expect(new Set(holders).size, holders.length, `I14 one holder for each of ${holders}`)
  }

  /** Checks the stored data when nothing moves any more. */
  check(rows: readonly Job[], log: readonly StoredEvents[]): void {
    const stored = new Map(rows.map((job) => [job.id, job]))
    for (const [key, id] of this.#submits) {
      if (!stored.has(id)) this.faults.push(`I1 the submit under "${key}" was acknowledged and is lost`)
    }
    for (const [id, { revision, tasks }] of this.#rows) {
      this.#expect(stored.get(id)?.revision, revision, `I3 the row of ${id}`)
      this.#expect(JSON.stringify(stored.get(id)?.tasks), JSON.stringify(tasks), `I3 the tasks of ${id}`)
    }
    for (const { id, command, status } of this.#commands) {
      const own = log.filter(({ jobId }) => jobId === id)
      const taken = own.flatMap(({ inputs }) => inputs).filter((input) => typeOf(input) === command).length
      const told = this.#commands.filter((each) => each.id === id && each.command === command).length
      if (taken < told) this.faults.push(`I26 "${command}" was acknowledged ${told} times and taken ${taken} times`)
      const labels = own.flatMap(({ events }) => events.flatMap((event) => ('to' in event ? [event.to] : [])))
      if (!labels.includes(status)) this.faults.push(`I26 "${command}" was answered "${status}", which never was`)
      const isOver = stored.get(id)?.status === 'completed' && command === 'cancel'
      if (isOver) this.faults.push('I26 what was cancelled is completed')
    }
    // I21, for the default lifecycle.
    for (const { id, status } of rows) {
      if (status === 'completed' && !this.#returned.has(id)) this.faults.push('I21 completed, and never returned')
    }
  }

  #expect(found: unknown, wanted: unknown, what: string): void {
    if (found !== wanted) this.faults.push(`${what}: ${String(found)}, and should be ${String(wanted)}`)
  }
}

/** Whether the job holds its pipeline's slot. */
function holdsSlot({ pipeline, phase, vacates, tasks }: Job): boolean {
  if (pipeline === undefined) return false
  const isOn = phase !== 'settled' && phase !== 'waiting'
  return (isOn && !vacates) || tasks.some(({ status }) => status === 'claimed' || status === 'stopping')
}

function endOf({ state, context, status, outcome, input, output, error, endedAt, startedAt, timers }: Job): string {
  return JSON.stringify({ state, context, status, outcome, input, output, error, endedAt, startedAt, timers })
}

function typeOf(input: unknown): unknown {
  return (input as { readonly type?: unknown } | null)?.type
}
