import { maySend, report, type TaskEnd, type TaskReport } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { isFinalError, JobchartError, jobError } from '../model/error.ts'
import { progressRow } from '../model/event.ts'
import { type Item, type ItemReport, parseItem } from '../model/item.ts'
import type { Job } from '../model/job.ts'
import type { AnyLogic } from '../model/logic.ts'
import { readProgress } from '../model/progress.ts'
import { errorValue } from '../model/record.ts'
import { invocationKey, stepAddress, stepKey } from '../model/step-key.ts'
import { isToldToStop, stopReasonOf } from '../model/stop.ts'
import { type Json, jsonCopy, storableCopy } from '../model/storable.ts'
import {
  countsOf,
  type Progress,
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
import { giveError } from './given-errors.ts'
import { guardedSignal } from './guarded-signal.ts'
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
  /** Of each key whose report is on its way to the storage, the newest. */
  #newestItems: Map<string, Item> | undefined
  /** Steps that run, or whose result is on its way to the storage. */
  #openSteps: Set<string> | undefined
  /** Records and events on their way to the storage: the end is reported after them. */
  #unwritten: Set<Promise<unknown>> | undefined
  /** The code has returned or thrown: nobody awaits its context any more. */
  #hasReturned = false
  #hasWarned = false
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
  #lastTime: number
  #cancelProgress: (() => void) | undefined

  constructor(core: Core, type: AnyJobType, job: Job, task: Task) {
    const settings = type.tasks.get(task.src)
    if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
    this.job = job
    this.task = task
    this.#lastTime = job.updatedAt
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
      guardedSignal(this.#abort.signal, (error) =>
        this.#log(`a listener of the signal threw: ${jobError(error).message}`),
      )
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
    const failed = (thrown: unknown) => this.#over(failedBy(thrown))
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

  // What the code has recorded and sent is written before its end, also what it did not await.
  #over(returned: TaskEnd): Promise<TaskEnd> {
    this.#hasReturned = true
    this.#inboxMade?.close()
    const end = this.#withOpenSteps(returned)
    const unwritten = [...(this.#unwritten ?? [])]
    if (unwritten.length === 0) return Promise.resolve(this.#overNow(end))
    return Promise.allSettled(unwritten).then(() => this.#overNow(end))
  }

  // Made again, it would run beside what still runs of it.
  #withOpenSteps(end: TaskEnd): TaskEnd {
    const [open] = this.#openSteps ?? []
    if (open === undefined) return end
    const message = `the code returned while step "${open}" still ran; await each step`
    this.stop(message)
    return end.ok ? { ...failedBy(new JobchartError('STEP_NOT_AWAITED', message)), isFinal: true } : end
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
      this.#say(each).catch((error: unknown) => {
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
      notes.push(...this.#progressWrites(this.#stamped(this.#progress)))
    }
    return notes
  }

  /** It has reported none. */
  get isWithoutProgress(): boolean {
    return this.#progress === undefined
  }

  // What it reports is never stamped before what was stamped earlier.
  #now(): number {
    this.#lastTime = Math.max(this.#lastTime, this.#core.clock.now())
    return this.#lastTime
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
      ...(this.job.progress === undefined ? {} : { reported: { ...countsOf(this.job.progress), running: 0 } }),
      log: (text) => this.#log(text),
      item: (key, report) => this.#given(`item "${key}"`, () => this.#item(key, report)),
      step: (name, run) => this.#given(`step "${name}"`, () => this.#step(name, run)),
      send: (event) => this.#given('what was sent', () => this.#say({ kind: 'event', event })),
      get inbox() {
        return attempt.#inbox
      },
    }
  }

  // What the code need not await: its error takes no process down. What is under way when the code returns is not answered.
  #given<Result>(what: string, run: () => Promise<Result>): Promise<Result> {
    const isLate = this.#hasReturned
    const given = new Promise<Result>((resolve, reject) => {
      run().then(resolve, (error: unknown) => {
        if (this.#stopped === undefined) this.#log(`${what}: ${jobError(error).message}`)
        if (this.#hasReturned && !isLate) return
        giveError(error, this.#core.clock)
        reject(error)
      })
    })
    given.catch(() => {})
    return given
  }

  /** The end waits for it. */
  #beforeEnd<Result>(writing: Promise<Result>): Promise<Result> {
    const all = this.#unwritten ?? new Set()
    this.#unwritten = all
    const written = () => all.delete(writing)
    all.add(writing)
    writing.then(written, written)
    return writing
  }

  // What the code did is done: it is not to be done again since the storage is locked or full for a while.
  async #untilWritten<Result>(run: () => Promise<Result>, mayRepeat = isStorageFailure): Promise<Result> {
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (!mayRepeat(error) || this.#stopped !== undefined || this.#core.stopped.aborted) throw error
        await pause(this.#core, STORAGE_RETRY_MS)
      }
    }
  }

  // An event that may have been taken is not sent again.
  async #say(told: TaskReport): Promise<boolean> {
    const said = checkedReport(this.#type, this.#settings, told)
    const before = this.#said
    let isTaken = false
    const change = this.#sayingOf(said, (handled) => {
      isTaken = handled
    })
    const saying = (async () => {
      await before
      await this.#untilWritten(() => this.#core.ticks.submit(change), isNotWritten)
    })()
    this.#said = this.#beforeEnd(saying).catch(() => {})
    await saying
    return isTaken
  }

  #sayingOf(said: TaskReport, decided: (handled: boolean) => void): Change {
    const { id } = this.job
    return {
      by: ENGINE,
      jobs: [id],
      decide: (jobs, context) => {
        const stored = jobs.require(id)
        const decision = report(jobs.typeOf(stored), stored, this.task.token, said, context, jobs)
        if (decision === undefined) {
          throw new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task', { jobId: id })
        }
        decided(decision.handled)
        return decision
      },
    }
  }

  #report(report: unknown): void {
    if (this.#isOver || this.#isLeft) return
    const { progress, warning } = readProgress(report, this.#progress)
    if (warning !== undefined && !this.#hasWarned) {
      this.#hasWarned = true
      this.#log(warning)
    }
    if (progress === undefined) return
    this.#progress = progress
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
    const progress = this.#stamped(this.#progress)
    const became = await this.#write(this.#progressWrites(progress))
    if (became === 'written') this.#core.dispatcher.progressed(this.job.id, progress)
    else if (became === 'failed') this.#isProgressDue = true
  }

  #stamped(progress: Progress) {
    return { ...progress, at: this.#now(), token: this.task.token }
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
    const newest = this.#newestItems ?? new Map<string, Item>()
    this.#newestItems = newest.set(key, item)
    try {
      // One that waited for the storage does not replace a later report of its key.
      const isNewest = () => newest.get(key) === item
      await this.#note(`item "${key}"`, { kind: 'item', invocation, item, max: ITEMS_MAX }, { full, isNewest })
    } finally {
      if (newest.get(key) === item) newest.delete(key)
    }
  }

  async #note(
    what: string,
    note: Note,
    { full, isNewest = () => true }: { readonly full?: () => JobchartError; readonly isNewest?: () => boolean } = {},
  ): Promise<void> {
    const { id: jobId } = this.job
    const change: Change = { by: ENGINE, writes: [{ op: 'note', jobId, token: this.task.token, note }], full }
    const write = async () => (isNewest() ? await this.#core.ticks.submit(change) : undefined)
    try {
      // Its key makes it harmless that it may have been written after all.
      await this.#beforeEnd(this.#untilWritten(write))
    } catch (error) {
      if (!(error instanceof JobchartError) || error.code !== 'STALE_CLAIM') throw error
      throw new JobchartError('STALE_CLAIM', `${what} was not recorded: this attempt no longer holds its task`)
    }
  }

  async #step<Result>(name: string, run: (step: StepContext) => Result | PromiseLike<Result>): Promise<Result> {
    if (typeof name !== 'string' || name === '' || name.length > 200 || !name.isWellFormed()) {
      throw new JobchartError('INVALID_INPUT', 'a step should have a name of 1 to 200 characters')
    }
    this.#names ??= new Set()
    if (this.#names.has(name)) {
      throw new JobchartError('INVALID_INPUT', `step "${name}" was already run in this attempt; give each its own name`)
    }
    this.#names.add(name)
    this.#openSteps ??= new Set()
    this.#openSteps.add(name)
    try {
      return await this.#recordedOrRun(name, run)
    } finally {
      this.#openSteps.delete(name)
    }
  }

  async #recordedOrRun<Result>(
    name: string,
    run: (step: StepContext) => Result | PromiseLike<Result>,
  ): Promise<Result> {
    const recorded = await this.#recordedSteps()
    // The value was recorded from this very step, by an earlier attempt of the same code.
    if (recorded.has(name)) return recorded.get(name) as Result
    if (this.#hasReturned) throw this.#isTooLate()
    const result = await run({ key: stepKey(this.job, this.task, name), signal: this.signal })
    await this.#record(name, result)
    return result
  }

  #isTooLate(): JobchartError {
    if (this.#core.stopped.aborted) return new JobchartError('ENGINE_STOPPED', 'the engine was stopped meanwhile')
    return new JobchartError('STALE_CLAIM', 'the code of this attempt has returned: no step of it begins any more')
  }

  #recordedSteps(): Promise<ReadonlyMap<string, Json | undefined>> {
    const { job, task } = this
    const isFirst = task.claims === 1 && job.stepOrigin === undefined
    const read = () => this.#core.storage.steps(job.id, stepAddress(job, task), task.ordinal)
    this.#recorded ??= isFirst ? Promise.resolve(new Map()) : this.#untilWritten(read)
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

function ended(output: unknown): TaskEnd {
  try {
    return { ok: true, output: storableCopy(output, 'output', true) }
  } catch (thrown) {
    return failedBy(thrown)
  }
}

function failedBy(thrown: unknown): TaskEnd & { readonly ok: false } {
  return { ok: false, error: errorValue(thrown), isFinal: isFinalError(thrown) }
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
