import { giveError } from '../context/given-errors.ts'
import { Inbox } from '../context/inbox.ts'
import { parseWith } from '../context/parse-with.ts'
import { runFunction } from '../context/run-code.ts'
import { failedEnd } from '../context/task-end.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import { isOptions } from '../model/option-checks.ts'
import type { TaskContext } from '../model/task.ts'
import type { AgentTransport, ClaimAnswer, ClaimedTask, ClaimKey, ClaimState, HeldClaim } from '../port/agent.ts'
import type { Clock } from '../port/clock.ts'
import type { Logger } from '../port/logger.ts'
import type { Calls } from './calls.ts'
import { AgentReports } from './reports.ts'
import type { RunnableFunction } from './runnable-function.ts'

/** How long code may go on after its `killSignal`, in milliseconds. After that the agent reports the end without it. */
const KILL_MS = 1_000

const NOT_HELD = 'the agent no longer holds this task'
const MESSAGE_CHARACTERS_MAX = 10_000

/** What an agent's tasks share. */
export interface TaskHost {
  readonly transport: AgentTransport
  readonly calls: Calls
  readonly clock: Clock
  readonly logger: Logger
  /** Called when a claim is over. */
  readonly changed: () => void
}

/**
 * One task that an agent has claimed.
 *
 * ```
 *  held ──▶ stopping ──▶ killing       as the engine says; the code's signals are aborted
 *    └────────┴────────────┴─────▶ over: the end is reported, the task is given back, or the claim is gone
 * ```
 *
 * Code that ignores its signals may run on after that. Then no report of it counts.
 */
export class HeldTask {
  readonly task: ClaimedTask
  readonly claim: ClaimKey
  readonly inbox = new Inbox()
  readonly #host: TaskHost
  readonly #stopping = new AbortController()
  readonly #killing = new AbortController()
  readonly #draining = new AbortController()
  readonly #dropped = new AbortController()
  readonly #reports: AgentReports
  #state: ClaimState = 'held'
  #messages = 0
  #over: Promise<void> | undefined
  #isOver = false
  #isReleasing = false

  constructor(host: TaskHost, task: ClaimedTask) {
    this.#host = host
    this.task = task
    this.claim = { job: task.job.id, token: task.token }
    if (task.draining === true) this.#draining.abort()
    const { claim, inbox } = this
    const { transport, calls, clock } = host
    const signals = { stopping: this.#stopping.signal, dropped: this.#dropped.signal }
    this.#reports = new AgentReports({ transport, calls, clock, claim, inbox, ...signals })
  }

  /** Whether the agent no longer holds the claim. */
  get isOver(): boolean {
    return this.#isOver
  }

  get state(): ClaimState {
    return this.#state
  }

  /** The claim for a heartbeat. */
  get beat(): HeldClaim {
    return { ...this.claim, messages: this.#messages, state: this.#state }
  }

  /** Runs the code of the task and reports its end. Resolves when both are done, and never rejects. */
  async run(code: RunnableFunction): Promise<void> {
    const { transport, calls } = this.#host
    try {
      await calls.untilAnswered(() => transport.started(this.claim), { signal: this.#dropped.signal })
    } catch (error) {
      this.#drop(error)
      return
    }
    const end = await this.#codeEnd(code)
    this.inbox.close()
    await this.#reports.end()
    await this.#end(() => (this.#isReleasing && !end.ok ? transport.release(this.claim) : this.#report(end)))
  }

  #codeEnd(code: RunnableFunction): Promise<TaskEnd> {
    const { job, attempt, idempotencyKey, reported, batch, steps, input } = this.task
    const work = {
      ...{ job, attempt, idempotencyKey, reported, batch },
      recordedSteps: async () => new Map(steps.map(({ name, result }) => [name, result])),
      signal: this.#stopping.signal,
      draining: this.#draining.signal,
      channel: this.#reports,
      clock: this.#host.clock,
    }
    const run = async (context: TaskContext<unknown>): Promise<unknown> => {
      const parsed = code.input === undefined ? context.input : await parseWith(code.input, context.input, 'input')
      const output = await code.run({ ...context, input: parsed }, { killSignal: this.#killing.signal })
      return code.output === undefined ? output : await parseWith(code.output, output, 'output')
    }
    return runFunction(() => run, work, input, {
      given: (error) => giveError(error, this.#host.clock),
      stillRuns: (why) => this.stop(new JobchartError('TASK_STOPPED', why, { jobId: job.id })),
    })
  }

  /** Tells the code to stop. */
  stop(reason: JobchartError): void {
    this.inbox.close()
    this.#stopping.abort(reason)
  }

  /** Does what the engine says of the claim. */
  hear({ state, reason, draining, messages }: ClaimAnswer): void {
    // An end that is being reported decides by itself whether the claim is still valid.
    if (this.#over !== undefined) return
    for (const message of messages) this.inbox.add(message)
    this.#messages += messages.length
    if (draining === true) this.#draining.abort()
    this.#state = state
    if (state === 'held') return
    const { code = 'TASK_STOPPED', message = 'the task should stop' } = reason ?? {}
    const why = new JobchartError(code, message, { jobId: this.claim.job })
    this.stop(why)
    if (state === 'killing') this.#kill(why)
    else if (state === 'gone') this.#drop(why)
  }

  #kill(why: JobchartError): void {
    if (this.#killing.signal.aborted) return
    this.#killing.abort(why)
    void this.#host.calls.pause(KILL_MS, this.#dropped.signal).then(() => {
      void this.#end(() => this.#report({ ...failedEnd(why), isFinal: true }))
    })
  }

  /**
   * Called when the agent stops: tells the code to stop. If it has not ended within its grace, it is told to end by
   * force, and the task is given back. Resolves when the claim is over.
   */
  async giveBack(reason: JobchartError, graceMs: number): Promise<void> {
    this.#isReleasing = true
    this.stop(reason)
    await this.#host.calls.pause(Math.min(this.task.killGraceMs ?? graceMs, graceMs), this.#dropped.signal)
    this.#killing.abort(reason)
    await this.release()
  }

  /** Gives the task back. Resolves when the claim is over. */
  release(): Promise<void> {
    return this.#end(() => this.#host.transport.release(this.claim))
  }

  /** Makes no more calls. */
  leave(reason: JobchartError): void {
    this.#dropped.abort(reason)
  }

  // Ends the claim once: a second end waits for the first one.
  #end(report: () => Promise<void>): Promise<void> {
    this.#over ??= this.#host.calls
      .untilAnswered(report, { signal: this.#dropped.signal })
      .catch((error: unknown) => this.#drop(error))
      .finally(() => {
        this.#isOver = true
        this.#dropped.abort(new JobchartError('STALE_CLAIM', NOT_HELD))
        this.#host.changed()
      })
    return this.#over
  }

  async #report(end: TaskEnd): Promise<void> {
    const { transport } = this.#host
    if (!end.ok) return await this.#reportFailure(end)
    try {
      await transport.done(this.claim, end.output)
    } catch (error) {
      if (!hasCode(error, 'INVALID_STATE', 'INVALID_INPUT')) throw error
      await this.#reportFailure(failedEnd(error))
    }
  }

  async #reportFailure({ error, isFinal = false }: TaskEnd & { readonly ok: false }): Promise<void> {
    const { transport } = this.#host
    const { name, exitCode, message = '' } = isOptions(error) ? error : {}
    const isExit = name === 'ExitError' && Number.isSafeInteger(exitCode) && exitCode !== 0 && !isFinal
    if (!isExit) return await transport.fail(this.claim, error, { isFinal })
    await transport.exit(this.claim, Number(exitCode), { message: String(message).slice(0, MESSAGE_CHARACTERS_MAX) })
  }

  // Stops the code of a claim that is no longer valid.
  #drop(error: unknown): void {
    if (this.#isOver) return
    const { job, token } = this.claim
    const { function: called } = this.task
    this.#state = 'gone'
    this.#isOver = true
    this.stop(error instanceof JobchartError ? error : new JobchartError('STALE_CLAIM', NOT_HELD, { jobId: job }))
    this.#dropped.abort(error)
    this.#host.changed()
    this.#host.logger.warn({ job, token, function: called, error }, 'a task of this agent was dropped')
  }
}
