import { v4 } from 'uuid'
import { JobchartError } from '../model/error.ts'
import type { EventType, JobEvent } from '../model/event.ts'
import { type Duration, durationMs } from '../model/time.ts'
import type { Principal } from '../port/policy.ts'
import type { StorageConnection } from '../port/storage.ts'
import { admitWaiting } from './admission.ts'
import { Alarm } from './alarm.ts'
import { GroupCommit } from './commit.ts'
import { type Core, TypeRegistry } from './core.ts'
import { Dispatcher } from './dispatcher.ts'
import { guardedStorage } from './guarded-storage.ts'
import { type Health, HealthReport, HealthWatch } from './health.ts'
import { LogTail } from './log-tail.ts'
import { type EngineOptions, parseSettings, type Settings } from './options.ts'
import { pause } from './pause.ts'
import { quietly } from './policy-answer.ts'
import { type SessionPrincipal, userOf } from './principal.ts'
import { Publisher } from './publisher.ts'
import { Recovery } from './recovery.ts'
import { createSession, type Session } from './session.ts'
import { SteadyClock } from './steady-clock.ts'
import { fireDue } from './timers.ts'

/** How an engine stops. */
export interface StopOptions {
  /** How long running work may take to finish before it is given back. Default `'10s'`. */
  readonly timeout?: Duration
}

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
  /** Listeners outlive a stop, so they are the engine's and not the core's. */
  readonly #listeners: Publisher
  readonly #health: HealthReport
  #running: Running | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /** @throws {JobchartError} `INVALID_DEFINITION` an option cannot work. */
  constructor(options: EngineOptions) {
    this.#options = options
    this.#settings = parseSettings(options)
    this.#types = new TypeRegistry(options.jobs)
    this.#listeners = new Publisher(options.onListenerError ?? (() => {}))
    const { onHealth = () => {} } = options
    this.#health = new HealthReport(
      options.clock,
      () => this.#counts(),
      (health) => this.#listeners.call(onHealth, health),
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

  /** What a person may do. Given a function, it is asked at each call, so that rights are those of now. */
  as(principal: SessionPrincipal | (() => SessionPrincipal)): Session {
    const who = typeof principal === 'function' ? principal : () => principal
    if (typeof principal !== 'function') userOf(principal)
    return createSession(
      () => this.#core(),
      () => userOf(who()),
    )
  }

  /** The one trusted session: no policy is asked. For the host's own code, never for what a request brings. */
  get system(): Session {
    const principal: Principal = { kind: 'system', id: 'system', tenant: 'default', role: 'system' }
    return createSession(
      () => this.#core(),
      () => principal,
    )
  }

  /**
   * Hears of this engine's own commits, after they are durable. For trusted code of this process: no policy is asked.
   *
   * @returns a function that ends it.
   */
  on<Type extends EventType>(type: Type, listener: (event: JobEvent<Type>) => unknown): () => void {
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
      core.dispatcher.claimSoon()
      await new Promise<void>((resume) => core.clock.turn(resume))
      if (core.stopped.aborted) return
      if (core.health.isDegraded) await pause(core, core.settings.sweepMs)
      else if (!core.dispatcher.isIdle) await core.dispatcher.nextChange()
      else if (core.group.isIdle) return
    }
  }

  /**
   * Claims nothing more, lets running work finish, gives back what has not by its timeout (uncounted), and closes the
   * storage. Nothing keeps the process alive after it. It may be called again.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const timeoutMs = durationMs(options.timeout ?? '10s', 'timeout')
    this.#stopping ??= this.#stop(timeoutMs).finally(() => {
      this.#stopping = undefined
    })
    await this.#stopping
  }

  async #stop(timeoutMs: number): Promise<void> {
    await this.#starting?.catch(() => {})
    try {
      await this.#running?.stop(timeoutMs)
    } finally {
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
    const own = { settings: this.#settings, types: this.#types, publisher: this.#listeners }
    this.#running = await Running.start(this.#options, own, this.#health)
    this.#core().health.begin()
  }

  #counts(): Pick<Health, 'running' | 'abandoned'> {
    const { attempts = [], abandoned = 0 } = this.#running?.core.dispatcher ?? {}
    return { running: attempts.length, abandoned: abandoned }
  }

  #core(): Core {
    return this.#require().core
  }

  #require(): Running {
    if (this.#running !== undefined) return this.#running
    throw new JobchartError('ENGINE_STOPPED', 'the engine is not running; call start(), or createEngine()')
  }
}

/** Turns of the loop that a stop waits for the last commit. */
const FLUSH_TURNS_MAX = 1_000

/** What an engine keeps over its starts. */
type Own = Pick<Core, 'settings' | 'types' | 'publisher'>

interface Parts extends Own {
  readonly clock: SteadyClock
  readonly instance: string
  readonly storage: StorageConnection
  readonly health: HealthWatch
  readonly tail: LogTail
}

/** One run of an engine, from a start to a stop. */
class Running {
  readonly core: Core
  readonly #stopped: AbortController
  readonly #clock: SteadyClock
  readonly #loops: (() => void)[] = []
  readonly #recovery = new Recovery()
  #mustRead = false
  #reading: Promise<void> | undefined
  #failuresSeen = 0

  private constructor(core: Core, clock: SteadyClock, stopped: AbortController) {
    this.core = core
    this.#clock = clock
    this.#stopped = stopped
  }

  static async start(options: EngineOptions, own: Own, report: HealthReport): Promise<Running> {
    const clock = new SteadyClock(options.clock)
    const instance = v4({ random: clock.randomBytes(16) })
    const health = new HealthWatch(clock, own.settings.sweepMs, report)
    const storage = guardedStorage(await options.storage.open({ clock, instance }), health)
    try {
      const tail = new LogTail(clock, await storage.lastSequence())
      const running = Running.#join(options, { ...own, clock, instance, storage, health, tail })
      await running.#begin()
      return running
    } catch (error) {
      await storage.close().catch(() => {})
      throw error
    }
  }

  static #join(options: EngineOptions, parts: Parts): Running {
    const { clock, instance, storage } = parts
    const { policy, onPolicyError } = options
    const stopped = new AbortController()
    const core: Core = {
      ...parts,
      policy,
      policyFailed: quietly(onPolicyError),
      executors: new Map(Object.entries(options.executors)),
      group: new GroupCommit(clock, storage, instance),
      dispatcher: new Dispatcher(() => core),
      alarm: new Alarm(clock, () => {
        core.dispatcher.claimSoon()
        void fireDue(core)
          .then(() => admitWaiting(core))
          .catch(() => {})
      }),
      stopped: stopped.signal,
    }
    parts.health.onRecovery(() => core.dispatcher.claimSoon())
    const running = new Running(core, clock, stopped)
    parts.tail.onGap(() => void running.#fill())
    return running
  }

  async #begin(): Promise<void> {
    const { core } = this
    try {
      const { sequence } = core.tail
      const [last] = await core.storage.events({ after: sequence - 1, limit: 1 })
      if (last !== undefined) this.#clock.atLeast(last.at)
      core.publisher.startAt(core.tail)
      core.group.startAt(sequence)
      await registerCharts(core)
      await this.#sweep()
    } catch (error) {
      this.#end()
      throw error
    }
    this.#startLoops()
    core.dispatcher.open()
    // What waits is claimed before anyone asks what runs.
    if (!core.dispatcher.isIdle) await core.dispatcher.nextChange()
  }

  #end(): void {
    this.#stopped.abort()
    this.core.health.end()
    for (const cancel of this.#loops) cancel()
    this.core.alarm.stop()
  }

  async stop(timeoutMs: number): Promise<void> {
    const { core } = this
    core.dispatcher.close()
    await this.#finished(timeoutMs)
    await core.dispatcher.releaseAll()
    // What was asked for before the stop is written, unless the storage no longer answers.
    for (let turn = 0; turn < FLUSH_TURNS_MAX && !core.group.isIdle; turn++) {
      await new Promise<void>((resume) => core.clock.turn(resume))
    }
    this.#end()
    core.publisher.wakeAll()
    core.dispatcher.wake()
    // What is still held (code that ignores its stop) is recovered by whoever finds this instance's lock free.
    const held = await core.storage.held(core.instance).catch(() => ['unknown'])
    if (held.length === 0) await core.storage.forget(core.instance).catch(() => {})
    await core.storage.close()
  }

  async #finished(timeoutMs: number): Promise<void> {
    const { dispatcher, clock } = this.core
    let isOver = false
    const cancel = clock.timer(timeoutMs, () => {
      isOver = true
      dispatcher.wake()
    })
    while (!isOver && !dispatcher.isIdle) await dispatcher.nextChange()
    cancel()
  }

  #startLoops(): void {
    const { settings } = this.core
    this.#every(settings.pollMs, () => this.#poll())
    this.#every(settings.sweepMs, () => this.#sweep())
    this.#every(settings.heartbeatMs, () => this.core.storage.beat())
  }

  #poll(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    const { storage, publisher, dispatcher, tail, health } = this.core
    const { failures } = health
    // Kept until it has been read: a poll that fails is made up for by the next. What failed may have been written all the
    // same, and nobody else tells of an own write.
    this.#mustRead ||= storage.changed() || tail.hasGap || failures !== this.#failuresSeen
    if (!this.#mustRead) return
    await publisher.readTail(storage, (jobId) => dispatcher.heard(jobId))
    this.#failuresSeen = failures
    await dispatcher.observeElsewhere()
    this.#mustRead = false
    dispatcher.claimSoon()
  }

  // A read that is under way may have begun too early.
  async #fill(): Promise<void> {
    for (let tries = 0; tries < 2 && this.core.tail.hasGap; tries++) await this.#poll().catch(() => {})
  }

  async #sweep(): Promise<void> {
    const { core } = this
    const { health, storage, dispatcher } = core
    // Asks a storage that failed whether it works again; a sweep that could write nothing is not made.
    if (health.isDegraded) await storage.beat()
    const { failures } = health
    await this.#recovery.run(core)
    await fireDue(core)
    await admitWaiting(core)
    await dispatcher.reconcile()
    health.swept(failures)
    dispatcher.claimSoon()
  }

  // One run at a time, each a pause after the last; an error is the storage's, and the next run tries again.
  #every(ms: number, run: () => Promise<void>): void {
    let cancel = () => {}
    const next = () => {
      cancel = this.core.clock.timer(ms, () => {
        run()
          .catch(() => {})
          .finally(() => {
            if (!this.core.stopped.aborted) next()
          })
      })
    }
    next()
    this.#loops.push(() => cancel())
  }
}

/**
 * A stored job is moved by the chart that it was begun with. One that changed under the same version would lose what it
 * renamed; it may be replaced while no job stands in it, and no other engine that knows the old one lives.
 */
async function registerCharts({ storage, types }: Core): Promise<void> {
  const others = await storage.others()
  const charts = types.all().map(({ type, version, hash }) => ({ type, version, hash }))
  const refused = await storage.register(
    charts,
    others.every(({ isGone }) => isGone),
  )
  if (refused.length === 0) return
  const names = refused.map(({ type, version }) => `"${type}" version "${version}"`).join(', ')
  throw new JobchartError(
    'INVALID_DEFINITION',
    `the chart of ${names} is not the one that stored jobs, or engines that run now, know. ` +
      'Raise the version in defineJob, and list the old one in previous; or let its jobs and engines end first',
  )
}
