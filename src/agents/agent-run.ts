import { JobchartError } from '../model/error.ts'
import type { TaskJob } from '../model/task-job.ts'
import { nameOfAttempt } from '../model/task-record.ts'
import type { AgentRegistration, AgentTransport, ClaimedTask, ClaimState } from '../port/agent.ts'
import type { Clock } from '../port/clock.ts'
import type { Logger } from '../port/logger.ts'
import { ANSWER_MS_MAX, type CallRules, Calls, mayPass } from './calls.ts'
import { HeldTask } from './held-task.ts'
import type { RunnableFunction } from './runnable-function.ts'

/** The least time between two heartbeats, in milliseconds. */
const BEAT_MS_MIN = 100
/** The most tasks that one call claims. */
const CLAIMS_AT_ONCE = 100
/** When the agent stops, code that was told to stop gets at most this time before its task is given back. */
const RELEASE_GRACE_MS = 3_000
/** When the agent stops, the last reports may take at most this time after that grace, in milliseconds. */
const LAST_CALLS_MS = 5_000

/** A task whose code runs. */
export interface RunningTask {
  readonly job: TaskJob
  readonly token: number
  readonly function: string
  readonly version?: string
  readonly attempt: number
  /** What the engine last said of the claim. */
  readonly state: ClaimState
}

/** Parsed options of an agent. */
export interface AgentSettings {
  readonly transport: AgentTransport
  readonly registration: AgentRegistration
  readonly functions: readonly RunnableFunction[]
  readonly concurrency: number
  readonly claimWaitMs: number
  readonly heartbeatMs: number | undefined
  readonly logger: Logger
  readonly clock: Clock
}

/**
 * An agent from its start to its stop.
 *
 * Two loops run side by side: one claims tasks as long as there is room, the other renews the leases of the tasks that
 * are held and brings the engine's news. If a call fails because the engine is away, the loop tries again, and registers
 * the agent anew, because the engine may have forgotten it. Tasks go on meanwhile: only the engine can say that a claim
 * is gone.
 */
export class AgentRun {
  /** Resolves when the agent is registered. */
  readonly started: Promise<void>
  /** Resolves when the agent has stopped, or could not start. */
  readonly ended: Promise<unknown>
  readonly #settings: AgentSettings
  readonly #calls: Calls
  /** The tasks whose code runs, also those whose claim is over. */
  readonly #tasks = new Map<string, HeldTask>()
  /** Aborted when the agent begins to stop: it claims nothing more. */
  readonly #stopping = new AbortController()
  /** Aborted when the agent has stopped: it makes no more calls. */
  readonly #over = new AbortController()
  #registration: Promise<void> | undefined
  #leaseMs = 0
  #isAway = false
  /** Aborted when the next heartbeat is due at once. */
  #beat = new AbortController()
  #waiting: (() => void)[] = []
  #stopped: Promise<void> | undefined

  constructor(settings: AgentSettings) {
    this.#settings = settings
    this.#calls = new Calls(settings.clock, (error) => this.#noted(error))
    this.started = this.#calls.untilAnswered(() => this.#registered(), { signal: this.#stopping.signal })
    this.ended = this.started.then(
      () => Promise.all([this.#claims(), this.#beats()]),
      () => {},
    )
  }

  /** The tasks whose code runs. */
  get running(): readonly RunningTask[] {
    return [...this.#tasks.values()].map(({ task, state }) => {
      const { job, token, attempt, version, function: called } = task
      return { job, token, function: called, ...(version === undefined ? {} : { version }), attempt, state }
    })
  }

  /** Stops the agent. Resolves when it makes no more calls. */
  stop(timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs)
    return this.#stopped
  }

  async #stop(timeoutMs: number): Promise<void> {
    const reason = new JobchartError('ENGINE_STOPPED', 'the agent stops')
    this.#stopping.abort(reason)
    this.#changed()
    await this.#untilFree(timeoutMs)
    for (const task of this.#held) void task.giveBack(reason, RELEASE_GRACE_MS)
    await this.#untilFree(RELEASE_GRACE_MS + LAST_CALLS_MS)
    for (const task of this.#held) task.leave(reason)
    this.#over.abort(reason)
    this.#beat.abort(reason)
    this.#changed()
    await this.ended
  }

  // Waits until the agent holds no claim, or the time is over.
  #untilFree(ms: number): Promise<void> {
    return this.#calls.within(ms, async (over) => {
      while (this.#held.length > 0 && !over.aborted) await this.#change(over)
    })
  }

  /** The tasks whose claim is not over. */
  get #held(): readonly HeldTask[] {
    return [...this.#tasks.values()].filter(({ isOver }) => !isOver)
  }

  // Claims tasks as long as there is room.
  async #claims(): Promise<void> {
    const { transport, concurrency, claimWaitMs: waitMs } = this.#settings
    const { signal } = this.#stopping
    const loop = { failures: 0, capMs: waitMs }
    while (!signal.aborted) {
      const max = Math.min(concurrency - this.#tasks.size, CLAIMS_AT_ONCE)
      if (max <= 0) await this.#change()
      else {
        await this.#tried(loop, { signal, limitMs: waitMs + ANSWER_MS_MAX }, async (ending) => {
          const tasks = await transport.claim({ max, wait: waitMs }, { signal: ending })
          if (ending.aborted) return this.#refuse(tasks)
          const isStarted = tasks.map((task) => this.#take(task))
          const foreign = tasks[isStarted.indexOf(false)]
          if (foreign === undefined) return
          const why = 'does another program use the id of this agent?'
          throw new JobchartError('INVALID_DEFINITION', `this agent has no function "${foreign.function}"; ${why}`)
        })
      }
    }
  }

  // Gives back tasks that have come after the agent began to stop. If that fails, their leases run out.
  #refuse(tasks: readonly ClaimedTask[]): void {
    for (const { job, token } of tasks) this.#settings.transport.release({ job: job.id, token }).catch(() => {})
  }

  // Starts a task. Returns false if the agent has no code for it. The task is then given back.
  #take(task: ClaimedTask): boolean {
    const { transport, functions, clock, logger } = this.#settings
    const { version, function: called } = task
    const held = new HeldTask({ transport, clock, logger, calls: this.#calls, changed: () => this.#changed() }, task)
    const key = nameOfAttempt(held.claim.job, held.claim.token)
    this.#tasks.set(key, held)
    const code = functions.find((each) => each.name === called && (version === undefined || each.version === version))
    const over = code === undefined ? held.release() : held.run(code)
    over.then(() => {
      this.#tasks.delete(key)
      this.#changed()
    })
    // The heartbeat that waits does not name this task, so it would bring no news of it.
    this.#beat.abort()
    this.#changed()
    return code !== undefined
  }

  // Renews the leases of the tasks that are held, and waits for the engine's news of them.
  async #beats(): Promise<void> {
    const { transport, clock, heartbeatMs } = this.#settings
    const loop = { failures: 0, capMs: 0 }
    while (!this.#over.signal.aborted) {
      const claims = this.#held.map(({ beat }) => beat)
      if (claims.length === 0) {
        await this.#change()
        continue
      }
      const begun = clock.elapsed()
      const waitMs = Math.floor(Math.min(this.#leaseMs / 3, heartbeatMs ?? this.#leaseMs))
      loop.capMs = waitMs
      this.#beat = new AbortController()
      // If the request was lost, the next one must still arrive within the lease.
      const limitMs = waitMs + this.#leaseMs / 6
      await this.#tried(loop, { signal: this.#beat.signal, limitMs }, async (ending) => {
        const answer = await transport.heartbeat({ claims, wait: waitMs }, { signal: ending })
        this.#leaseMs = answer.leaseMs
        for (const claim of answer.claims) this.#tasks.get(nameOfAttempt(claim.job, claim.token))?.hear(claim)
      })
      await this.#calls.pause(begun + BEAT_MS_MIN - clock.elapsed(), this.#over.signal)
    }
  }

  // Makes a call of a loop. If it fails, waits before the loop goes on.
  async #tried(loop: Loop, rules: CallRules, call: (ending: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = rules
    try {
      await this.#registered()
      await this.#calls.once(call, rules)
      loop.failures = 0
    } catch (error) {
      if (signal.aborted) return
      loop.failures++
      // An engine that was away, or whose storage is new, may have forgotten the agent.
      this.#registration = undefined
      if (!mayPass(error)) this.#settings.logger.error({ error }, 'a call of the agent was refused')
      await this.#calls.pause(this.#calls.delayMs(loop.failures, loop.capMs), signal)
    }
  }

  // Registers the agent, once for both loops.
  #registered(): Promise<void> {
    this.#registration ??= this.#register().catch((error: unknown) => {
      this.#registration = undefined
      throw error
    })
    return this.#registration
  }

  async #register(): Promise<void> {
    const { transport, registration, logger } = this.#settings
    const register = (signal: AbortSignal) => transport.register(registration, { signal })
    const { id, leaseMs } = await this.#calls.once(register, { signal: this.#over.signal })
    this.#leaseMs = leaseMs
    logger.info({ agent: id, pools: registration.pools }, 'the agent is registered')
  }

  #noted(error: unknown): void {
    const { logger } = this.#settings
    const isAway = error !== undefined && mayPass(error)
    if (isAway === this.#isAway) return
    this.#isAway = isAway
    if (isAway) logger.warn({ error }, 'the engine cannot be reached; the agent tries again')
    else logger.info({}, 'the engine answers again')
  }

  // Resolves at the next call of `#changed`, or when the signal is aborted.
  #change(signal?: AbortSignal): Promise<void> {
    return new Promise((resume) => {
      this.#waiting.push(resume)
      signal?.addEventListener('abort', () => resume())
    })
  }

  #changed(): void {
    for (const resume of this.#waiting.splice(0)) resume()
  }
}

/** How often a loop has failed in a row, and the longest delay before it tries again, in milliseconds. */
interface Loop {
  failures: number
  capMs: number
}
