import { JobchartError } from '../model/error.ts'
import { EVENT_TYPES, type EventType, type JobEvent } from '../model/event.ts'
import { callback, checkOptions, duration, oneOf, required } from '../model/option-checks.ts'
import { type Duration, durationMs } from '../model/time.ts'
import { type Core, TypeRegistry } from './core.ts'
import { type Health, HealthReport } from './health.ts'
import { type Logger, logEvents, loggingListenerErrors, logHealth, quietLogger } from './logger.ts'
import { type EngineOptions, parseSettings, type Settings } from './options.ts'
import { pause } from './pause.ts'
import { type SessionPrincipal, SYSTEM, userOf } from './principal.ts'
import { Publisher } from './publisher.ts'
import { Running } from './running.ts'
import { createSession, type Session } from './session.ts'
import { admitWaiting, fireDue } from './sweeps.ts'

/** How an engine stops. */
export interface StopOptions {
  /** How long running work may take to finish before it is given back. Default `'10s'`. */
  readonly timeout?: Duration
}

const ON = { type: required(oneOf(...EVENT_TYPES)), listener: required(callback) }

/**
 * Runs jobs that are kept in a storage.
 *
 * ```
 *  start: open storage ─ take back what dead engines held ─ claim
 *  every poll:      what did others commit? stop what they cancelled, claim what they offered
 *  every sweep:     what fell due, who died, what is held here and does not run
 *  every heartbeat: say that this engine lives
 * ```
 */
export class Engine implements AsyncDisposable {
  readonly #options: EngineOptions
  readonly #settings: Settings
  readonly #types: TypeRegistry
  readonly #logger: Logger
  /** Listeners outlive a stop, so they are the engine's and not the core's. */
  readonly #listeners: Publisher
  readonly #health: HealthReport
  #running: Running | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #stopTimeoutMs = Number.POSITIVE_INFINITY

  /** @throws {JobchartError} `INVALID_DEFINITION` an option cannot work. */
  constructor(options: EngineOptions) {
    this.#options = options
    this.#settings = parseSettings(options)
    this.#types = new TypeRegistry(options.jobs)
    this.#logger = quietLogger(options.logger)
    this.#listeners = new Publisher(loggingListenerErrors(this.#logger, options.onListenerError))
    // Without listeners, events need not be made public.
    if (options.logger !== undefined) logEvents(this.#listeners, this.#logger)
    const { onHealth = () => {} } = options
    this.#health = new HealthReport(
      options.clock,
      () => this.#counts(),
      (health) => {
        logHealth(health, this.#logger)
        this.#listeners.call(onHealth, health)
      },
    )
  }

  /** Starts it, or starts it again after a stop: opens the storage, and takes back what dead engines held. */
  async start(): Promise<void> {
    await this.#stopping
    this.#starting ??= this.#start()
    try {
      await this.#starting
    } catch (error) {
      this.#starting = undefined
      throw error
    }
  }

  /**
   * What a person may do. An object is copied; a function is asked at each call, so that rights are those of now.
   *
   * @throws {JobchartError} `INVALID_INPUT` it is no principal. Fields beside those of a principal are fine.
   */
  as(principal: SessionPrincipal | (() => SessionPrincipal)): Session {
    const core = () => this.#core()
    if (typeof principal === 'function') return createSession(core, () => userOf(principal()))
    // A copy: a later change of the object is no change of rights.
    const copy = userOf(principal)
    return createSession(core, () => copy)
  }

  /** The one trusted session: no policy is asked. For the host's own code, never for what a request brings. */
  get system(): Session {
    return createSession(
      () => this.#core(),
      () => SYSTEM,
      true,
    )
  }

  /**
   * Hears of this engine's own commits, after they are durable. For trusted code of this process: no policy is asked.
   *
   * @returns a function that ends it.
   * @throws {JobchartError} `INVALID_INPUT` there is no such event, or the listener is no function.
   */
  on<Type extends EventType>(type: Type, listener: (event: JobEvent<Type>) => unknown): () => void {
    checkOptions('on', { type, listener }, ON, { code: 'INVALID_INPUT' })
    return this.#listeners.on(type, listener)
  }

  /** How it does: whether its storage works, since when, and what runs here. */
  get health(): Health {
    return this.#health.health
  }

  /** The ids of the jobs of which this engine is running some work now. */
  running(): readonly string[] {
    const attempts = this.#running?.core.dispatcher.attempts ?? []
    return [...new Set(attempts.map(({ job }) => job.id))]
  }

  /** Resolves when nothing is unwritten, ready or running here, and nothing has fallen due. */
  async idle(): Promise<void> {
    const { core } = this.#require()
    for (;;) {
      await fireDue(core)
      await admitWaiting(core)
      core.ticks.claimSoon()
      await new Promise<void>((resume) => core.clock.turn(resume))
      if (core.stopped.aborted) return
      if (core.health.isDegraded) await pause(core, core.settings.sweepMs)
      else if (core.dispatcher.isIdle && core.ticks.isIdle) return
      else await core.dispatcher.nextChange()
    }
  }

  /**
   * Claims nothing more, lets running work finish, gives back what has not by its timeout (uncounted), and closes the
   * storage. Nothing keeps the process alive after it. It may be called again, also while it stops: the earliest end wins,
   * so that a second signal can stop at once, by `stop({ timeout: 0 })`.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    checkOptions('stop', options, { timeout: duration })
    const timeoutMs = durationMs(options.timeout ?? '10s', 'timeout')
    this.#stopTimeoutMs = Math.min(this.#stopTimeoutMs, timeoutMs)
    if (this.#stopping !== undefined) this.#running?.waitAtMost(timeoutMs)
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined
    })
    await this.#stopping
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => {})
    try {
      this.#running?.waitAtMost(this.#stopTimeoutMs)
      await this.#running?.stop()
    } finally {
      this.#stopTimeoutMs = Number.POSITIVE_INFINITY
      // Also where the storage could not be closed: nothing of this run is used again.
      this.#running = undefined
      this.#starting = undefined
      this.#health.set('stopped')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(): Promise<void> {
    const own = { settings: this.#settings, types: this.#types, publisher: this.#listeners, logger: this.#logger }
    this.#running = await Running.start(this.#options, own, this.#health)
    this.#core().health.begin()
  }

  #counts(): Pick<Health, 'running' | 'abandoned' | 'clock' | 'silent'> {
    const { dispatcher, losses, clock } = this.#running?.core ?? {}
    return {
      running: dispatcher?.attempts.length ?? 0,
      abandoned: dispatcher?.abandoned ?? 0,
      clock: { skewMs: clock?.skewMs ?? 0 },
      ...(losses === undefined || losses.silent.length === 0 ? {} : { silent: losses.silent }),
    }
  }

  #core(): Core {
    return this.#require().core
  }

  #require(): Running {
    if (this.#running !== undefined) return this.#running
    throw new JobchartError('ENGINE_STOPPED', 'the engine is not running; call start(), or createEngine()')
  }
}
