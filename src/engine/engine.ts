import { quietLogger } from '../context/quiet-logger.ts'
import { JobchartError } from '../model/error.ts'

import { EVENT_TYPES, type EventOf, type EventType } from '../model/event.ts'
import { callback, checkOptions, duration, oneOf, required, text } from '../model/option-checks.ts'

import { type Duration, durationMs } from '../model/time.ts'
import type { Logger } from '../port/logger.ts'
import { hashOf } from './agent-credential.ts'
import { type CallOptions, given } from './call-options.ts'
import { type Core, TypeRegistry } from './core.ts'
import { type Counts, type Health, HealthReport } from './health.ts'
import { logEvents, loggingListenerErrors, logHealth } from './logger.ts'
import { maintain } from './maintenance.ts'
import { checkChannels, deliveryType } from './notification-delivery.ts'
import { type EngineOptions, parseSettings, type Settings } from './options.ts'
import { pause } from './pause.ts'
import {
  type AgentPrincipal,
  agentPrincipal,
  refuseMore,
  type SessionAgent,
  type SessionPrincipal,
  SYSTEM,
  userOf,
} from './principal.ts'
import { Publisher } from './publisher.ts'
import type { PrunedCounts } from './retention.ts'
import { Running } from './running.ts'
import { createSession, type Session } from './session.ts'
import { type Types, typesOf } from './type-pauses.ts'

/** The options of `stop`. */
export interface StopOptions {
  /** How long running tasks may take to finish before they are given back. Default `'10s'`. */
  readonly timeout?: Duration
}

const ON = { type: required(oneOf(...EVENT_TYPES)), listener: required(callback) }

/**
 * Runs the jobs of a storage.
 *
 * ```
 *  start:           open the storage, take back the tasks of dead engines, claim ready tasks
 *  every poll:      read what other engines committed; stop tasks that they cancelled, claim tasks that are available
 *  every sweep:     fire what is due, take back the tasks of dead engines, start claimed tasks that do not run,
 *                   prune what is no longer kept
 *  every heartbeat: store that this engine lives
 * ```
 */
export class Engine implements AsyncDisposable {
  readonly #options: EngineOptions
  readonly #settings: Settings
  readonly #types: TypeRegistry
  readonly #logger: Logger
  /** Listeners survive a stop, so they belong to the engine and not to the core. */
  readonly #listeners: Publisher
  readonly #health: HealthReport
  #running: Running | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #stopTimeoutMs = Number.POSITIVE_INFINITY

  /**
   * Checks the options; nothing runs before `start`. @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
   */
  constructor(options: EngineOptions) {
    this.#options = options
    this.#settings = parseSettings(options)
    checkChannels(options.jobs, options.notifier)
    const own = options.notifier === undefined ? [] : [deliveryType(options.notifier, () => this.#core())]
    this.#types = new TypeRegistry(options.jobs, own)
    this.#logger = quietLogger(options.logger)
    this.#listeners = new Publisher(loggingListenerErrors(this.#logger, options.onListenerError))
    // Only with a logger, because events are built only if someone listens.
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

  /**
   * Starts the engine: opens the storage, and takes back the tasks of dead engines. May be called again after a stop.
   */
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
   * Returns the session of a person. Pass the person's principal as an object, which is copied; or pass a function,
   * which is called for each operation, so that it can return current rights.
   *
   * @throws {JobchartError} `INVALID_INPUT` the object is not a principal, or there is a second argument. Additional fields are ignored.
   */
  as(principal: SessionPrincipal | (() => SessionPrincipal), ...more: readonly []): Session {
    refuseMore('engine.as', 'id, tenant, role, relations', more)
    const core = () => this.#core()
    if (typeof principal === 'function') return createSession(core, () => userOf(principal()))
    // A copy, so that later changes of the object do not change rights.
    const copy = userOf(principal)
    return createSession(core, () => copy)
  }

  /**
   * Returns the session of an agent that the host has authenticated: its `agents` are the calls of the agent.
   *
   * @throws {JobchartError} `INVALID_INPUT` the object is not `{ id, tenant? }`, or has other fields; or there is a second argument.
   */
  asAgent(agent: SessionAgent, ...more: readonly []): Session {
    refuseMore('engine.asAgent', 'id, tenant', more)
    return this.#ofAgent(agentPrincipal(agent))
  }

  /**
   * Returns the session of the enrolled agent with this credential; see `session.agents.enroll`.
   *
   * @throws {JobchartError} `FORBIDDEN` there is no such agent; `STORAGE_UNAVAILABLE`.
   */
  async authenticateAgent(credential: string): Promise<Session> {
    checkOptions('authenticateAgent', { credential }, { credential: required(text()) }, { code: 'INVALID_INPUT' })
    const hash = await hashOf(credential)
    const agent = await this.#core().storage.agentByCredential(hash)
    if (agent !== undefined) return this.#ofAgent(agentPrincipal({ id: agent.id, tenant: agent.tenant }, hash))
    throw new JobchartError('FORBIDDEN', 'no agent has this credential; it may have been revoked')
  }

  #ofAgent(who: AgentPrincipal): Session {
    return createSession(
      () => this.#core(),
      () => who,
    )
  }

  /** The trusted session of the host's own code: the policy is not asked. Do not use it for requests of users. */
  get system(): Session {
    return createSession(
      () => this.#core(),
      () => SYSTEM,
      true,
    )
  }

  /**
   * Pauses and resumes job types, for all engines on the storage. For trusted code of this process: the policy is not
   * asked.
   */
  get types(): Types {
    return typesOf(() => this.#core())
  }

  /**
   * Listens to events of this engine's own commits, after they are durable. For trusted code of this process: the
   * policy is not asked.
   *
   * @returns a function that ends the subscription.
   * @throws {JobchartError} `INVALID_INPUT` the event is unknown, or the listener is not a function.
   */
  on<Type extends EventType>(type: Type, listener: (event: EventOf<Type>) => unknown): () => void {
    checkOptions('on', { type, listener }, ON, { code: 'INVALID_INPUT' })
    return this.#listeners.on(type, listener)
  }

  /** The engine's status, the time of its last change, and how much runs here. */
  get health(): Health {
    return this.#health.health
  }

  /** The ids of the jobs with tasks running in this engine now. */
  running(): readonly string[] {
    const attempts = this.#running?.core.dispatcher.attempts ?? []
    return [...new Set(attempts.map(({ job }) => job.id))]
  }

  /** Resolves when this engine has nothing to write, no ready or running task, and nothing due. */
  async idle(): Promise<void> {
    const { core } = this.#require()
    for (;;) {
      await maintain(core, 'due')
      core.ticks.claimSoon()
      // A commit may take many turns of the event loop.
      while (!core.ticks.isIdle && !core.stopped.aborted) await core.dispatcher.nextChange()
      if (core.stopped.aborted) return
      if (core.health.isDegraded) await pause(core, core.settings.sweepMs)
      else if (core.dispatcher.isIdle) return
      else await core.dispatcher.nextChange()
    }
  }

  /**
   * Prunes at once everything that the `retention` of the engine and of its job types no longer keeps. An engine also
   * does so by itself, in small pieces at its sweeps. Prunes in many small commits: what was pruned before an error
   * stays pruned.
   *
   * @returns how much was pruned; zeros if everything is kept.
   * @throws {JobchartError} `STORAGE_UNAVAILABLE`, `OUTCOME_UNKNOWN`; `ENGINE_STOPPED`.
   */
  async prune(options: CallOptions = {}): Promise<PrunedCounts> {
    const signal = given(options, [])?.signal
    const core = this.#core()
    return await core.pruning.all(core, signal)
  }

  /**
   * Writes a copy of the storage to a new file, as it is at one moment, while jobs run. An engine that opens the copy
   * takes the tasks that ran at that moment for lost, and runs them again.
   *
   * @param file  the path of a file that does not exist.
   * @throws {JobchartError} `INVALID_INPUT` the file exists, or is not named; `INVALID_DEFINITION` the storage makes no backups, as `memoryStorage()`; `STORAGE_UNAVAILABLE` the file cannot be written.
   */
  async backup(file: string): Promise<void> {
    checkOptions('backup', { file }, { file: required(text(4_096)) }, { code: 'INVALID_INPUT' })
    const { storage } = this.#core()
    if (storage.backup !== undefined) return await storage.backup(file)
    throw new JobchartError('INVALID_DEFINITION', 'the storage of this engine makes no backups; sqliteStorage() does')
  }

  /**
   * Stops the engine: claims no more tasks, lets running tasks finish, gives back those that have not finished by the
   * timeout (the attempt is not counted), and closes the storage. Afterwards, the engine no longer keeps the process
   * alive.
   *
   * May be called again during a stop: the earliest timeout counts. So a second SIGTERM, for example, can stop the
   * engine at once by `stop({ timeout: 0 })`.
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
      // This start of the engine is over, even if closing the storage failed.
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

  #counts(): Counts {
    const { dispatcher, losses, clock } = this.#running?.core ?? {}
    const unended = dispatcher?.unended ?? []
    return {
      running: dispatcher?.attempts.length ?? 0,
      abandoned: dispatcher?.abandoned ?? 0,
      executors: dispatcher?.executors ?? {},
      ...(unended.length === 0 ? {} : { unended }),
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
