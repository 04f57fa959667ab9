import { maySend, report, type TaskEnd, type TaskReport } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { progressRow } from '../model/event.ts'
import { type ItemReport, parseItem } from '../model/item.ts'
import type { Job } from '../model/job.ts'
import type { AnyLogic } from '../model/logic.ts'
import { errorValue } from '../model/record.ts'
import { invocationKey, stepAddress, stepKey } from '../model/step-key.ts'
import { isToldToStop, stopReasonOf } from '../model/stop.ts'
import { type Json, jsonCopy, storableCopy } from '../model/storable.ts'
import {
  countsOf,
  type Progress,
  type ProgressReport,
  type StampedProgress,
  type StepContext,
  type Task,
  type TaskContext,
  type TaskSettings,
} from '../model/task.ts'
import type { ChartEvent } from '../model/transition.ts'
import type { Work } from '../port/executor.ts'
import type { NewLine, Note, Write } from '../port/storage.ts'
import { isNotWritten } from './commit.ts'
import { type Core, ENGINE } from './core.ts'
import { isStorageFailure } from './health.ts'
import { Inbox } from './inbox.ts'
import { runLive } from './live.ts'
import { parseWith } from './parse.ts'
import { pause, STORAGE_RETRY_MS } from './pause.ts'
import { isPromiseLike, type Soon, whenKnown } from './soon.ts'
import type { Change } from './tick.ts'

/** Progress of one job is stored and published at most once in so many milliseconds. */
const PROGRESS_MS = 250
const LINE_CHARACTERS_MAX = 10_000
const ITEMS_MAX = 1_000_000

/** Where an attempt stands: see the dispatcher, which keeps it. */
export type AttemptStatus = 'running' | 'ended' | 'abandoned'

/** One try of a task's code in this process: what the code is given, and what it reports. */
export class Attempt {
  /** As it was claimed. */
  readonly job: Job
  readonly task: Task
  status: AttemptStatus = 'running'
  readonly #core: Core
  readonly #settings: TaskSettings
  /** Made when it is asked for: most code never looks. */
  #abort: AbortController | undefined
  #stopped: JobchartError | undefined
  #names: Set<string> | undefined
  #inboxMade: Inbox | undefined
  readonly #type: AnyJobType
  /** Reports to the chart go one after the other, and the end after them all. */
  #said: Promise<unknown> | undefined
  #recorded: Promise<ReadonlyMap<string, Json | undefined>> | undefined
  #hasEnded = false
  #isOver = false
  /** The job has ended or gone on without this work: how far it is says nothing of the job. */
  #isLeft = false
  #lines: NewLine[] = []
  #batches = 0
  /** Notes that storage refused for a time. */
  #unsent: Write[] = []
  #progress: Progress | undefined
  #isProgressDue = false
  /** The newest time of its reports. */
  #stamped: number
  #cancelProgress: (() => void) | undefined

  constructor(core: Core, type: AnyJobType, job: Job, task: Task) {
    const settings = type.tasks.get(task.src)
    if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
    this.job = job
    this.task = task
    this.#stamped = job.updatedAt
    this.#core = core
    this.#settings = settings
    this.#type = type
    this.deliver(task)
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

  // Most code never looks.
  get #inbox(): Inbox {
    if (this.#inboxMade === undefined) {
      this.#inboxMade = new Inbox()
      if (this.#hasEnded || this.#stopped !== undefined) this.#inboxMade.close()
    }
    return this.#inboxMade
  }

  /** Asks the code to stop. */
  stop(why: string, code: 'TASK_STOPPED' | 'TIMEOUT' | 'ENGINE_STOPPED' = 'TASK_STOPPED'): void {
    this.#inboxMade?.close()
    this.#stopped ??= new JobchartError(code, why, { jobId: this.job.id })
    this.#abort?.abort(this.#stopped)
  }

  /** Stops the code as its task's newest stop message says. */
  obey(task: Task): void {
    this.#isLeft ||= task.status === 'stopping'
    if (stopReasonOf(task) === 'timeout') this.stop('the attempt took longer than its timeout', 'TIMEOUT')
    else this.stop('the job no longer wants this work')
  }

  /** Gives the code what the chart has sent to its task. */
  deliver(task: Task): void {
    if (task.inbox.length > 0) this.#inbox.take(task.inbox)
    if (isToldToStop(task)) this.obey(task)
  }

  /** The attempt, as its executor sees it. */
  get work(): Work {
    return new AttemptWork(this)
  }

  /** Runs the code to its end. It never rejects. */
  run(): Promise<TaskEnd> {
    const { logic, input: schema } = this.#settings
    if (logic !== undefined) return this.#runLive(logic).then((end) => this.#over(end))
    const failed = (thrown: unknown) => this.#over({ ok: false, error: errorValue(thrown) })
    try {
      const { input } = this
      const parsed = schema === undefined ? input : parseWith(schema, input, 'input')
      const output = whenKnown<unknown, unknown>(parsed, (given) => this.#settings.run(this.#context(given)))
      const end = isPromiseLike(output)
        ? Promise.resolve(output).then((value) => this.#ended(value))
        : this.#ended(output)
      return end instanceof Promise ? end.then((each) => this.#over(each), failed) : this.#over(end)
    } catch (thrown) {
      return failed(thrown)
    }
  }

  // What the code has sent is taken before its end.
  #over(end: TaskEnd): Promise<TaskEnd> {
    this.#inboxMade?.close()
    if (this.#said !== undefined) return this.#said.then(() => this.#overNow(end))
    return Promise.resolve(this.#overNow(end))
  }

  #overNow(end: TaskEnd): TaskEnd {
    this.#hasEnded = true
    return end
  }

  #ended(output: unknown): Soon<TaskEnd> {
    const { output: schema } = this.#settings
    const parsed = schema === undefined ? output : parseWith(schema, output, 'output')
    return whenKnown<unknown, TaskEnd>(parsed, (value) => (value === undefined ? { ok: true } : ended(value)))
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
    if (this.#said !== undefined) await this.#said
    return refused === undefined ? end : { ok: false, error: errorValue(refused) }
  }

  /** What is reported and not yet written, for the changeset of the attempt's end; nothing is taken after it. */
  lastNotes(): readonly Write[] {
    this.#isOver = true
    this.#cancelProgress?.()
    const notes = this.#unsent
    if (this.#lines.length > 0) notes.push(this.#logNote())
    if (this.#isProgressDue && this.#progress !== undefined && !this.#isLeft) {
      notes.push(...this.#progressWrites({ ...this.#progress, at: this.#now() }))
    }
    return notes
  }

  /** It has reported none. */
  get isWithoutProgress(): boolean {
    return this.#progress === undefined
  }

  // What it reports is never stamped before what was stamped earlier.
  #now(): number {
    this.#stamped = Math.max(this.#stamped, this.#core.clock.now())
    return this.#stamped
  }

  #context(input: unknown): TaskContext {
    const { id, type } = this.job
    const attempt = this
    return {
      input,
      get signal() {
        return attempt.signal
      },
      attempt: this.task.attempt,
      job: { id, type },
      idempotencyKey: invocationKey(this.job, this.task),
      progress: (report) => this.#report(report),
      ...(this.job.progress === undefined ? {} : { reported: countsOf(this.job.progress) }),
      log: (text) => this.#log(text),
      item: (key, report) => this.#item(key, report),
      step: (name, run) => this.#step(name, run),
      send: async (event) => await this.#say({ kind: 'event', event }),
      get inbox() {
        return attempt.#inbox
      },
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
      await insist(() => this.#core.ticks.submit(this.#sayingOf(said)))
    })()
    this.#said = saying.catch(() => {})
    await saying
  }

  #sayingOf(said: TaskReport): Change {
    const { id } = this.job
    return {
      by: ENGINE,
      jobs: [id],
      decide: (jobs, context) => {
        const stored = jobs.require(id)
        const decision = report(jobs.typeOf(stored), stored, this.task.token, said, context, jobs)
        if (decision !== undefined) return decision
        throw new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task', { jobId: id })
      },
    }
  }

  #report(report: ProgressReport): void {
    if (this.#isOver || this.#isLeft) return
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
    const progress = { ...this.#progress, at: this.#now() }
    const became = await this.#write(this.#progressWrites(progress))
    if (became === 'written') this.#core.dispatcher.progressed(this.job.id, progress)
    else if (became === 'failed') this.#isProgressDue = true
  }

  #progressWrites(progress: StampedProgress & { readonly at: number }) {
    const { id: jobId } = this.job
    const events = progressRow(this.job, ENGINE, countsOf(progress), progress.at)
    return [
      { op: 'note', jobId, token: this.task.token, note: { kind: 'progress', progress } },
      { op: 'append', events },
    ] as const satisfies readonly Write[]
  }

  #log(text: string): void {
    if (this.#isOver) return
    const isFirst = this.#lines.length === 0
    const line = `${text}`.slice(0, LINE_CHARACTERS_MAX).toWellFormed()
    this.#lines.push({ at: this.#now(), text: line })
    // The lines of one turn are one note.
    if (isFirst) this.#core.clock.turn(() => void this.#writeLines())
  }

  async #writeLines(): Promise<void> {
    if (this.#lines.length === 0) return
    const note = this.#logNote()
    // Its key makes it harmless that it may have been written after all.
    if ((await this.#write([note])) === 'failed') this.#unsent.push(note)
  }

  #logNote(): Write {
    const { task, job } = this
    const lines = this.#lines
    this.#lines = []
    const key = `${task.token}.${++this.#batches}`
    return { op: 'note', jobId: job.id, token: task.token, note: { kind: 'log', key, lines } }
  }

  // Lines and progress are best effort: what is refused for good is dropped, since nobody waits for it. Where the storage
  // failed, it may be written later.
  async #write(writes: readonly Write[]): Promise<'written' | 'refused' | 'failed'> {
    try {
      await this.#core.ticks.submit({ by: ENGINE, writes })
      return 'written'
    } catch (error) {
      return isStorageFailure(error) ? 'failed' : 'refused'
    }
  }

  async #item(key: string, report: ItemReport = {}): Promise<void> {
    const item = parseItem(key, report, this.#now())
    const { invocation } = this.task
    const full = () => new JobchartError('PAYLOAD_TOO_LARGE', `a job has at most ${ITEMS_MAX} items`)
    await this.#note(`item "${key}"`, { kind: 'item', invocation, item, max: ITEMS_MAX }, full)
  }

  async #note(what: string, note: Note, full?: () => JobchartError): Promise<void> {
    const { id: jobId } = this.job
    try {
      await this.#core.ticks.submit({ by: ENGINE, writes: [{ op: 'note', jobId, token: this.task.token, note }], full })
    } catch (error) {
      if (!(error instanceof JobchartError) || error.code !== 'STALE_CLAIM') throw error
      throw new JobchartError('STALE_CLAIM', `${what} was not recorded: this attempt no longer holds its task`)
    }
  }

  async #step<Result>(name: string, run: (step: StepContext) => Result | PromiseLike<Result>): Promise<Result> {
    if (typeof name !== 'string' || name === '' || name.length > 200) {
      throw new JobchartError('INVALID_INPUT', 'a step should have a name of 1 to 200 characters')
    }
    this.#names ??= new Set()
    if (this.#names.has(name)) {
      throw new JobchartError('INVALID_INPUT', `step "${name}" was already run in this attempt; give each its own name`)
    }
    this.#names.add(name)
    const recorded = await this.#recordedSteps()
    // The value was recorded from this very step, by an earlier attempt of the same code.
    if (recorded.has(name)) return recorded.get(name) as Result
    const result = await run({ key: stepKey(this.job, this.task, name), signal: this.signal })
    await this.#record(name, result)
    return result
  }

  #recordedSteps(): Promise<ReadonlyMap<string, Json | undefined>> {
    const { job, task } = this
    const isFirst = task.claims === 1 && job.stepOrigin === undefined
    const read = () => this.#core.storage.steps(job.id, stepAddress(job, task), task.ordinal)
    this.#recorded ??= isFirst ? Promise.resolve(new Map()) : read()
    return this.#recorded
  }

  async #record(name: string, result: unknown): Promise<void> {
    const { ordinal } = this.task
    const invoke = stepAddress(this.job, this.task)
    const kept = result === undefined ? {} : { result: storableCopy(result, `result of step "${name}"`, true) }
    await this.#note(`step "${name}"`, { kind: 'step', invoke, ordinal, name, ...kept })
  }
}

/** An attempt, as an executor sees it: each part is made when it is asked for. */
class AttemptWork implements Work {
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  get jobId(): string {
    return this.#attempt.job.id
  }

  get jobType(): string {
    return this.#attempt.job.type
  }

  get task(): string {
    return this.#attempt.task.id
  }

  get function(): string | undefined {
    return this.#attempt.task.function
  }

  get version(): string | undefined {
    return this.#attempt.task.version
  }

  // Copied for each that reads it.
  get input(): Json | undefined {
    return this.#attempt.input
  }

  get attempt(): number {
    return this.#attempt.task.attempt
  }

  get token(): number {
    return this.#attempt.task.token
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  readonly run = (): Promise<TaskEnd> => this.#attempt.run()
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
