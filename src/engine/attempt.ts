import { giveError } from '../context/given-errors.ts'
import { Inbox } from '../context/inbox.ts'
import { parseWith } from '../context/parse-with.ts'
import { isPromiseLike, type Soon, whenKnown } from '../context/soon.ts'
import { CodeContext } from '../context/task-context.ts'
import { codeEnd, failedEnd, givenEnd } from '../context/task-end.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import type { BatchStart } from '../model/batch-piece.ts'
import { batchStart, isDrained, NO_BATCH_CODE } from '../model/batch-record.ts'
import type { TaskReport } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { AnyLogic } from '../model/logic.ts'
import type { Program } from '../model/program.ts'
import { errorValue } from '../model/record.ts'
import { invocationKey } from '../model/step-key.ts'
import { isToldToEnd, isToldToStop, stopReasonOf } from '../model/stop.ts'
import { type Json, jsonCopy } from '../model/storable.ts'
import { countsOf, type Progress, type Task, type TaskSettings } from '../model/task.ts'
import { type TaskJob, taskJobOf } from '../model/task-job.ts'
import type { Clock } from '../port/clock.ts'
import type { TaskChannel, Work } from '../port/executor.ts'
import type { Write } from '../port/storage.ts'
import type { Core } from './core.ts'
import { runLive } from './live.ts'
import { type Reporter, Reports } from './reports.ts'

/** The status of an attempt, set by the dispatcher. The table in the comment of `Dispatcher` explains the values. */
export type AttemptStatus = 'running' | 'ended' | 'abandoned'

/**
 * One attempt of a task. It passes messages of the chart to the task's code, and tells the code to stop. It also runs
 * the code, unless the task's executor runs the code elsewhere.
 */
export class Attempt implements Reporter {
  /**
   * The record of the job with which the attempt was started: as the commit that claimed the task left it, or as it was
   * read later, if the answer of that commit was lost.
   */
  readonly job: Job
  readonly task: Task
  readonly type: AnyJobType
  readonly settings: TaskSettings
  status: AttemptStatus = 'running'
  /**
   * True: the engine is stopping. When the code has ended, the task is given back to the storage, for another engine.
   */
  isReleasing = false
  readonly #core: Core
  /** Created when the code first asks for its signal, because most code never does. */
  #stopping: AbortController | undefined
  #killing: AbortController | undefined
  #draining: AbortController | undefined
  #isDrained = false
  #inboxMade: Inbox | undefined
  #reportsMade: Reports | undefined
  #stopped: JobchartError | undefined
  #killedAt: number | undefined
  /** The result of code that ran in this process. `run` has checked the result, so `over` does not check it again. */
  #codeEnd: TaskEnd | undefined
  #hasEnded = false
  #isOver = false

  constructor(core: Core, type: AnyJobType, job: Job, task: Task) {
    const settings = type.tasks.get(task.src)
    if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
    this.job = job
    this.task = task
    this.type = type
    this.settings = settings
    this.#core = core
    this.deliver(task)
  }

  get clock(): Clock {
    return this.#core.clock
  }

  /** A copy of the task's input, because the code may change it. */
  get input(): Json | undefined {
    const given = this.settings.takesJobInput ? this.job.input : this.task.input
    return given === undefined ? undefined : jsonCopy(given)
  }

  /** Aborted when the code should stop. */
  get signal(): AbortSignal {
    if (this.#stopping === undefined) {
      this.#stopping = new AbortController()
      if (this.#stopped !== undefined) this.#stopping.abort(this.#stopped)
    }
    return this.#stopping.signal
  }

  /** Aborted when the code should be ended by force. */
  get killSignal(): AbortSignal {
    if (this.#killing === undefined) {
      this.#killing = new AbortController()
      if (this.#killedAt !== undefined) this.#killing.abort(this.#stopped)
    }
    return this.#killing.signal
  }

  /** Aborted when the code should begin no new part of its work. */
  get draining(): AbortSignal {
    if (this.#draining === undefined) {
      this.#draining = new AbortController()
      if (this.#isDrained) this.#draining.abort()
    }
    return this.#draining.signal
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined
  }

  /** The messages that the chart has sent to the task. */
  get inbox(): Inbox {
    if (this.#inboxMade === undefined) {
      this.#inboxMade = new Inbox()
      if (this.#hasEnded || this.isStopped) this.#inboxMade.close()
    }
    return this.#inboxMade
  }

  get reports(): Reports {
    if (this.#reportsMade === undefined) {
      this.#reportsMade = new Reports(this.#core, this)
      if (this.#isOver) this.#reportsMade.lastNotes()
    }
    return this.#reportsMade
  }

  /** Asks the code to stop. */
  stop(why: string, code: 'TASK_STOPPED' | 'TIMEOUT' | 'ENGINE_STOPPED' = 'TASK_STOPPED'): void {
    this.#inboxMade?.close()
    this.#stopped ??= new JobchartError(code, why, { jobId: this.job.id })
    this.#stopping?.abort(this.#stopped)
  }

  /** How many milliseconds ago the executor was told to end the code by force. `undefined`: it was not told to. */
  get killedMs(): number | undefined {
    return this.#killedAt === undefined ? undefined : this.#core.clock.elapsed() - this.#killedAt
  }

  /** Tells the executor to end the code by force. */
  kill(): void {
    this.#killedAt ??= this.#core.clock.elapsed()
    this.#killing?.abort(this.#stopped)
  }

  /** Stops the code for the reason in its task's newest stop message. */
  obey(task: Task): void {
    if (task.status === 'stopping') this.reports.leave()
    if (stopReasonOf(task) === 'timeout') this.stop('the attempt took longer than its timeout', 'TIMEOUT')
    else this.stop('the job no longer wants this work')
    if (isToldToEnd(task)) this.kill()
  }

  /** Gives the code the messages that the chart has sent to its task. */
  deliver(task: Task): void {
    if (task.inbox.length > 0) this.inbox.take(task.inbox)
    if (!this.#isDrained && isDrained(task)) {
      this.#isDrained = true
      this.#draining?.abort()
    }
    if (isToldToStop(task)) this.obey(task)
  }

  /** The attempt, as its executor sees it. */
  get work(): Work {
    return new AttemptWork(this)
  }

  /** The operating system's program that this task runs. `undefined`: the task is not defined as a program. */
  program(): Program | undefined {
    const { program } = this.settings
    if (program === undefined) return undefined
    // The task's schema checked the input before it was stored, so the cast is safe.
    return program({ input: this.input as never, job: this.work.job, attempt: this.task.attempt })
  }

  /** Runs the code in this process until it ends. Never rejects. */
  run(): Promise<TaskEnd> {
    const { logic, input: schema } = this.settings
    if (logic !== undefined) return this.#runLive(logic)
    const context = new CodeContext(this.work, (error) => giveError(error, this.#core.clock))
    const returned = (end: TaskEnd): TaskEnd => {
      const { end: last, stillRuns } = context.returned(end)
      if (stillRuns !== undefined) this.stop(stillRuns)
      this.#codeEnd = last
      return last
    }
    const failed = (thrown: unknown) => returned(failedEnd(thrown))
    try {
      const { input } = this
      const parsed = schema === undefined ? input : parseWith(schema, input, 'input')
      const output = whenKnown<unknown, unknown>(parsed, (given) => this.settings.run(context.given(given)))
      const end = isPromiseLike(output)
        ? Promise.resolve(output).then((value) => this.#parsed(value))
        : this.#parsed(output)
      return end instanceof Promise ? end.then(returned, failed) : Promise.resolve(returned(end))
    } catch (thrown) {
      return Promise.resolve(failed(thrown))
    }
  }

  #parsed(output: unknown): Soon<TaskEnd> {
    const { output: schema } = this.settings
    return whenKnown<unknown, TaskEnd>(schema === undefined ? output : parseWith(schema, output, 'output'), codeEnd)
  }

  // If the engine refuses a report of a callback or an observable, the task fails with that error.
  async #runLive(logic: AnyLogic): Promise<TaskEnd> {
    const { input, signal, inbox, reports } = this
    let refused: unknown
    const said = (each: TaskReport) => {
      reports.say(each).catch((error: unknown) => {
        refused ??= error
        this.stop('an event that it sent was refused')
      })
    }
    const end = await runLive({ kind: this.settings.kind, logic, input, signal, inbox, report: said })
    await reports.written()
    return refused === undefined ? end : { ok: false, error: errorValue(refused) }
  }

  /**
   * Returns the end of the attempt, as given by its executor. First waits until the items, steps and events that the
   * code has reported are stored, including those that the code did not await.
   */
  over(given: TaskEnd): Soon<TaskEnd> {
    this.#inboxMade?.close()
    this.#hasEnded = true
    const end = this.#codeEnd !== undefined && given === this.#codeEnd ? given : givenEnd(given)
    return this.#reportsMade?.written()?.then(() => this.#checked(end)) ?? this.#checked(end)
  }

  // Code that is not made for batches runs no item, and would end the batch with an output that is no counts.
  #checked(end: TaskEnd): TaskEnd {
    if (!end.ok || this.settings.batch === undefined || this.reports.isBatchOver) return end
    return { ...failedEnd(new JobchartError('INVALID_DEFINITION', NO_BATCH_CODE)), isFinal: true }
  }

  /**
   * Returns the log lines and the progress that are not stored yet, to be committed with the attempt's end. Later
   * reports are ignored.
   */
  lastNotes(): readonly Write[] {
    this.#isOver = true
    return this.#reportsMade?.lastNotes() ?? []
  }

  /** Whether the attempt has reported no progress. */
  get isWithoutProgress(): boolean {
    return this.#reportsMade?.isWithoutProgress ?? true
  }
}

/** An attempt, as its executor sees it. Each field is computed when it is read. */
class AttemptWork implements Work {
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  get job(): TaskJob {
    return taskJobOf(this.#attempt.job)
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

  // Each read returns a new copy.
  get input(): Json | undefined {
    return this.#attempt.input
  }

  get attempt(): number {
    return this.#attempt.task.attempt
  }

  get token(): number {
    return this.#attempt.task.token
  }

  get idempotencyKey(): string {
    const { job, task } = this.#attempt
    return invocationKey(job, task)
  }

  get reported(): Progress | undefined {
    const { progress } = this.#attempt.job
    return progress === undefined ? undefined : countsOf({ ...progress, running: 0 })
  }

  get draining(): AbortSignal {
    return this.#attempt.draining
  }

  get batch(): BatchStart | undefined {
    const { settings, job, task } = this.#attempt
    return settings.batch === undefined ? undefined : batchStart(job, task)
  }

  get deadlineAt(): number | undefined {
    return this.#attempt.task.deadlineAt
  }

  get killGraceMs(): number | null {
    return this.#attempt.settings.killGraceMs
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  get killSignal(): AbortSignal {
    return this.#attempt.killSignal
  }

  get channel(): TaskChannel {
    return this.#attempt.reports
  }

  /** The clock of the code that the engine's process runs. */
  get clock(): Clock {
    return this.#attempt.clock
  }

  readonly recordedSteps = () => this.#attempt.reports.recordedSteps()
  readonly program = () => this.#attempt.program()
  readonly run = (): Promise<TaskEnd> => this.#attempt.run()
}
