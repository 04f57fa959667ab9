import { maySend, report, type TaskEnd, type TaskReport } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { progressRow } from '../model/event.ts'
import { type ItemReport, parseItem } from '../model/item.ts'
import type { Job } from '../model/job.ts'
import type { AnyLogic } from '../model/logic.ts'
import { errorValue } from '../model/record.ts'
import { isToldToStop, stopReasonOf } from '../model/stop.ts'
import { type Json, jsonCopy, storableCopy } from '../model/storable.ts'
import {
  countsOf,
  type Progress,
  type ProgressReport,
  type StepContext,
  type Task,
  type TaskContext,
  type TaskSettings,
} from '../model/task.ts'
import type { ChartEvent } from '../model/transition.ts'
import type { ChangesetResult, NewLine, Write } from '../port/storage.ts'
import { advance, type Change } from './advance.ts'
import { isNotWritten } from './commit.ts'
import { type Core, ENGINE } from './core.ts'
import { Inbox } from './inbox.ts'
import { runLive } from './live.ts'
import { parseWith } from './parse.ts'
import { pause, STORAGE_RETRY_MS } from './pause.ts'

/** Progress of one job is stored and published at most once in so many milliseconds. */
const PROGRESS_MS = 250
const LINE_CHARACTERS_MAX = 10_000
const ITEMS_MAX = 1_000_000

/** One try of a task's code in this process: what the code is given, and what it reports. */
export class Attempt {
  readonly job: Job
  /** The job as it was last seen, while it holds this attempt; undefined: it may hold it no more. */
  held: Job | undefined
  readonly task: Task
  readonly #core: Core
  readonly #settings: TaskSettings
  /** Made when it is asked for: most code never looks. */
  #abort: AbortController | undefined
  #stopped: JobchartError | undefined
  readonly #names = new Set<string>()
  readonly #inbox = new Inbox()
  readonly #type: AnyJobType
  /** Reports to the chart go one after the other, and the end after them all. */
  #said: Promise<unknown> = Promise.resolve()
  #recorded: Promise<ReadonlyMap<string, Json | undefined>> | undefined
  #wrote = false
  #hasEnded = false
  #isOver = false
  #lines: NewLine[] = []
  #batches = 0
  /** Notes that storage refused for a time. */
  #unsent: Write[] = []
  #progress: Progress | undefined
  #isProgressDue = false
  #cancelProgress: (() => void) | undefined

  constructor(core: Core, type: AnyJobType, job: Job, task: Task) {
    const settings = type.tasks.get(task.src)
    if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
    this.job = job
    this.held = job
    this.task = task
    this.#core = core
    this.#settings = settings
    this.#type = type
    this.deliver(task)
  }

  /** The code has returned or thrown; its report may still be on its way. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** What the task works on; a copy, since what the code does to it is its own affair. */
  get input(): Json | undefined {
    const given = this.#settings.takesJobInput ? this.job.input : this.task.input
    return given === undefined ? undefined : jsonCopy(given)
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#stopped !== undefined) this.#abort.abort(this.#stopped)
    }
    return this.#abort.signal
  }

  /** Asks the code to stop. */
  stop(why: string, code: 'TASK_STOPPED' | 'TIMEOUT' | 'ENGINE_STOPPED' = 'TASK_STOPPED'): void {
    this.#inbox.close()
    this.#stopped ??= new JobchartError(code, why, { jobId: this.job.id })
    this.#abort?.abort(this.#stopped)
  }

  /** Stops the code as its task's newest stop message says. */
  obey(task: Task): void {
    if (stopReasonOf(task) === 'timeout') this.stop('the attempt took longer than its timeout', 'TIMEOUT')
    else this.stop('the job no longer wants this work')
  }

  /** Gives the code what the chart has sent to its task. */
  deliver(task: Task): void {
    if (task.inbox.length > 0) this.#inbox.take(task.inbox)
    if (isToldToStop(task)) this.obey(task)
  }

  /** The job as it was claimed, with the progress that the attempt has reported since. */
  get known(): Job {
    return this.#progress === undefined ? this.job : { ...this.job, progress: this.#progress }
  }

  /** Runs the code to its end. It never rejects. */
  async run(): Promise<TaskEnd> {
    const end = this.#settings.logic === undefined ? await this.#run() : await this.#runLive(this.#settings.logic)
    this.#inbox.close()
    await this.#said
    this.#hasEnded = true
    return end
  }

  // A report that is not taken ends the work, as an error of what it told would.
  async #runLive(logic: AnyLogic): Promise<TaskEnd> {
    const { kind } = this.#settings
    const { signal } = this
    let refused: unknown
    const said = (each: TaskReport) => {
      this.#say(each, (run) => this.#untilWritten(run)).catch((error: unknown) => {
        refused ??= error
        this.stop('what it sent was not taken')
      })
    }
    const { input } = this
    const end = await runLive({ kind, logic, input, signal, inbox: this.#inbox, report: said })
    await this.#said
    return refused === undefined ? end : { ok: false, error: errorValue(refused) }
  }

  async #run(): Promise<TaskEnd> {
    try {
      const output = await this.#settings.run(await this.#context())
      const parsed =
        this.#settings.output === undefined ? output : await parseWith(this.#settings.output, output, 'output')
      return parsed === undefined ? { ok: true } : ended(parsed)
    } catch (thrown) {
      return { ok: false, error: errorValue(thrown) }
    }
  }

  /** What is reported and not yet written, for the unit of the attempt's end; nothing is taken after it. */
  lastNotes(): readonly Write[] {
    this.#isOver = true
    this.#cancelProgress?.()
    const notes = this.#unsent
    if (this.#lines.length > 0) notes.push(this.#logNote())
    if (this.#isProgressDue && this.#progress !== undefined) notes.push(...this.#progressWrites(this.#progress))
    return notes
  }

  /** No step was recorded under this invocation, by this attempt or one before. */
  get isWithoutSteps(): boolean {
    return this.task.claims === 1 && !this.#wrote
  }

  /** It has reported none. */
  get isWithoutProgress(): boolean {
    return this.#progress === undefined
  }

  async #context(): Promise<TaskContext> {
    const { input: schema } = this.#settings
    const given = this.input
    const { id, type } = this.job
    const signal = () => this.signal
    return {
      input: schema === undefined ? given : await parseWith(schema, given, 'input'),
      get signal() {
        return signal()
      },
      attempt: this.task.attempt,
      job: { id, type },
      idempotencyKey: `${id}:${this.task.invocation}`,
      progress: (report) => this.#report(report),
      ...(this.job.progress === undefined ? {} : { reported: countsOf(this.job.progress) }),
      log: (text) => this.#log(text),
      item: (key, report) => this.#item(key, report),
      step: (name, run) => this.#step(name, run),
      send: async (event) => await this.#say({ kind: 'event', event }),
      inbox: this.#inbox,
    }
  }

  // No code waits for the answer of a callback or an observable, so nobody else could try again.
  async #untilWritten(run: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await run()
        return
      } catch (error) {
        if (!isNotWritten(error) || this.#core.stopped.aborted) throw error
        await pause(this.#core, STORAGE_RETRY_MS)
      }
    }
  }

  async #say(
    told: TaskReport,
    insist: (run: () => Promise<unknown>) => Promise<unknown> = (run) => run(),
  ): Promise<void> {
    const said = checkedReport(this.#type, this.#settings, told)
    const before = this.#said
    const saying = (async () => {
      await before
      const change: Change = {
        jobId: this.job.id,
        by: ENGINE,
        decide: (type, stored, at, relatives) => {
          const decision = report(type, stored, this.task.token, said, at, relatives)
          if (decision !== undefined) return decision
          throw new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task', { jobId: this.job.id })
        },
      }
      await insist(() => advance(this.#core, change))
    })()
    this.#said = saying.catch(() => {})
    await saying
  }

  #report(report: ProgressReport): void {
    if (this.#isOver) return
    this.#progress = parseProgress(report, this.#progress)
    this.#isProgressDue = true
    if (this.#cancelProgress !== undefined) return
    void this.#writeProgress()
    this.#cancelProgress = this.#core.clock.timer(PROGRESS_MS, () => {
      this.#cancelProgress = undefined
      if (this.#isProgressDue && this.#progress !== undefined) this.#report(this.#progress)
    })
  }

  async #writeProgress(): Promise<void> {
    if (this.#progress === undefined) return
    this.#isProgressDue = false
    const writes = this.#progressWrites(this.#progress)
    const result = await this.#write(writes)
    if (result === undefined) this.#isProgressDue = true
    for (const row of result?.status === 'applied' ? result.rows : []) {
      this.#core.publisher.publish(row.events, row.sequence)
    }
  }

  #progressWrites(progress: Progress) {
    const { id: jobId } = this.job
    const at = this.#core.clock.now()
    const events = progressRow(this.job, ENGINE, progress, at)
    return [
      { op: 'note', jobId, token: this.task.token, note: { kind: 'progress', progress: { ...progress, at } } },
      { op: 'append', events },
    ] as const satisfies readonly Write[]
  }

  #log(text: string): void {
    if (this.#isOver) return
    const isFirst = this.#lines.length === 0
    const line = `${text}`.slice(0, LINE_CHARACTERS_MAX).toWellFormed()
    this.#lines.push({ at: this.#core.clock.now(), text: line })
    // The lines of one turn are one note.
    if (isFirst) this.#core.clock.turn(() => void this.#writeLines())
  }

  async #writeLines(): Promise<void> {
    if (this.#lines.length === 0) return
    const note = this.#logNote()
    const result = await this.#write([note])
    // Its key makes it harmless that it may have been written after all.
    if (result === undefined) this.#unsent.push(note)
  }

  #logNote(): Write {
    const { task, job } = this
    const lines = this.#lines
    this.#lines = []
    const key = `${task.token}.${++this.#batches}`
    return { op: 'note', jobId: job.id, token: task.token, note: { kind: 'log', key, lines } }
  }

  // Lines and progress are best effort: an attempt that lost its task has nobody to tell.
  async #write(writes: readonly Write[]): Promise<ChangesetResult | undefined> {
    try {
      return await this.#core.group.commit(writes)
    } catch {
      return undefined
    }
  }

  async #item(key: string, report: ItemReport = {}): Promise<void> {
    const item = parseItem(key, report, this.#core.clock.now())
    const note = { kind: 'item', item, max: ITEMS_MAX } as const
    const { status } = await this.#core.group.commit([{ op: 'note', jobId: this.job.id, token: this.task.token, note }])
    if (status === 'applied') return
    if (status === 'full') throw new JobchartError('PAYLOAD_TOO_LARGE', `a job has at most ${ITEMS_MAX} items`)
    throw new JobchartError('STALE_CLAIM', `item "${key}" was not recorded: this attempt no longer holds its task`)
  }

  async #step<Result>(name: string, run: (step: StepContext) => Result | PromiseLike<Result>): Promise<Result> {
    if (typeof name !== 'string' || name === '' || name.length > 200) {
      throw new JobchartError('INVALID_INPUT', 'a step should have a name of 1 to 200 characters')
    }
    if (this.#names.has(name)) {
      throw new JobchartError('INVALID_INPUT', `step "${name}" was already run in this attempt; give each its own name`)
    }
    this.#names.add(name)
    const recorded = await this.#recordedSteps()
    // The value was recorded from this very step, by an earlier attempt of the same code.
    if (recorded.has(name)) return recorded.get(name) as Result
    const { id } = this.job
    const { invocation } = this.task
    const result = await run({ key: `${id}:${invocation}:${name}`, signal: this.signal })
    await this.#record(name, result)
    return result
  }

  #recordedSteps(): Promise<ReadonlyMap<string, Json | undefined>> {
    const none = this.task.claims === 1
    this.#recorded ??= none ? Promise.resolve(new Map()) : this.#core.storage.steps(this.job.id, this.task.invocation)
    return this.#recorded
  }

  async #record(name: string, result: unknown): Promise<void> {
    const { invocation, token } = this.task
    const kept = result === undefined ? {} : { result: storableCopy(result, `result of step "${name}"`, true) }
    this.#wrote = true
    const note = { kind: 'step', invocation, name, ...kept } as const
    const written = await this.#core.group.commit([{ op: 'note', jobId: this.job.id, token, note }])
    if (written.status === 'applied') return
    throw new JobchartError('STALE_CLAIM', `step "${name}" was not recorded: this attempt no longer holds its task`)
  }
}

// A result that is too large would be so in another attempt.
function ended(output: unknown): TaskEnd {
  try {
    return { ok: true, output: storableCopy(output, 'output', true) }
  } catch (thrown) {
    const isFinal = thrown instanceof JobchartError && thrown.code === 'PAYLOAD_TOO_LARGE'
    return { ok: false, error: errorValue(thrown), isFinal }
  }
}

function checkedReport(type: AnyJobType, settings: TaskSettings, said: TaskReport): TaskReport {
  if (said.kind === 'value') return { kind: 'value', value: storableCopy(said.value, 'value', true) }
  const { event } = said
  if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
    throw new JobchartError('INVALID_INPUT', 'an event should be an object with a type')
  }
  if (!maySend(type, settings, event.type)) {
    throw new JobchartError('INVALID_INPUT', `a task of job type "${type.type}" may not send "${event.type}"`)
  }
  const copy = storableCopy(event, `event "${event.type}"`, true)
  return { kind: 'event', event: copy as unknown as ChartEvent }
}

// A count never falls within an attempt, whatever order the reports of concurrent work come in.
function parseProgress(report: ProgressReport, before: Progress | undefined): Progress {
  const { completed, failed = before?.failed ?? 0, running = 0, total = before?.total ?? 0 } = report
  for (const [key, value] of Object.entries({ completed, failed, running, total })) {
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) continue
    throw new JobchartError('INVALID_INPUT', `progress.${key} should be a number from 0; found ${String(value)}`)
  }
  return {
    completed: Math.max(completed, before?.completed ?? 0),
    failed: Math.max(failed, before?.failed ?? 0),
    running,
    total: Math.max(total, before?.total ?? 0),
  }
}
