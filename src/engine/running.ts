import { v4 } from 'uuid'
import { JobchartError } from '../model/error.ts'
import type { Executor } from '../port/executor.ts'
import type { StorageConnection } from '../port/storage.ts'
import { AgentDesk } from './agent-desk.ts'
import { Alarm } from './alarm.ts'
import type { Core } from './core.ts'
import { Dispatcher } from './dispatcher.ts'
import { DueRuns } from './due-runs.ts'
import { EngineClock } from './engine-clock.ts'
import { guardedStorage } from './guarded-storage.ts'
import { type HealthReport, HealthWatch } from './health.ts'
import { LeaseWatch } from './leases.ts'
import { LogTail } from './log-tail.ts'
import { loggingPolicyErrors } from './logger.ts'
import { maintain, type Occasion } from './maintenance.ts'
import type { EngineOptions } from './options.ts'
import { turn } from './pause.ts'
import { quietly } from './policy-answer.ts'
import { Pruning } from './retention.ts'
import { LossWatch } from './sweeps.ts'
import { Ticks } from './tick.ts'

/** How many turns of the event loop a stop waits for the last commit. */
const FLUSH_TURNS_MAX = 1_000
/** How long each step of a stop may take after the wait for running tasks, in milliseconds. */
const ENDING_MS_MAX = 5_000

/** What an engine keeps across starts. */
type Own = Pick<Core, 'settings' | 'types' | 'publisher' | 'logger'>

interface Parts extends Own {
  readonly clock: EngineClock
  readonly instance: string
  readonly storage: StorageConnection
  readonly health: HealthWatch
  readonly tail: LogTail
}

/** One run of an engine, from start to stop. */
export class Running {
  readonly core: Core
  readonly #stopped: AbortController
  readonly #loops: (() => void)[] = []
  #mustRead = false
  #reading: Promise<void> | undefined
  #failuresSeen = 0
  /** When a stop gives up waiting for running tasks, in milliseconds of `clock.elapsed()`. */
  #patienceEnd = Number.POSITIVE_INFINITY
  #isImpatient = false
  #cancelPatience = () => {}

  private constructor(core: Core, stopped: AbortController) {
    this.core = core
    this.#stopped = stopped
  }

  static async start(options: EngineOptions, own: Own, report: HealthReport): Promise<Running> {
    const clock = new EngineClock(options.clock)
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
    const { clock } = parts
    const { policy, principal, onPolicyError } = options
    const stopped = new AbortController()
    let ticks: Ticks | undefined
    const core: Core = {
      ...parts,
      get ticks() {
        ticks ??= new Ticks(core, parts.tail.sequence)
        return ticks
      },
      policy,
      findPrincipal: principal,
      policyFailed: quietly(loggingPolicyErrors(parts.logger, onPolicyError)),
      executors: new Map(Object.entries(options.executors)),
      dispatcher: new Dispatcher(() => core),
      desk: new AgentDesk(),
      losses: new LossWatch(),
      leases: new LeaseWatch(),
      dueRuns: new DueRuns(),
      pruning: new Pruning(),
      alarm: new Alarm(clock, () => {
        core.ticks.claimSoon()
        void maintain(core, 'due').catch(() => {})
      }),
      stopped: stopped.signal,
    }
    parts.health.onRecovery(() => core.ticks.claimSoon())
    const running = new Running(core, stopped)
    parts.tail.onGap(() => void running.#fill())
    return running
  }

  async #begin(): Promise<void> {
    const { core } = this
    try {
      const latest = await core.storage.lastBeat()
      core.clock.atLeast(latest)
      await core.storage.beat(core.clock.steady())
      await core.leases.beaten(core)
      core.publisher.startAt(core.tail)
      await registerCharts(core)
      const isAlone = (await core.storage.others()).every(({ isGone }) => isGone)
      await core.leases.joined(core, latest, isAlone)
      await this.#sweep('start')
    } catch (error) {
      this.#end()
      throw error
    }
    this.#startLoops()
    core.dispatcher.open()
    // Claim ready tasks first, so that they count as running.
    if (!core.ticks.isIdle) await core.dispatcher.nextChange()
  }

  #end(): void {
    this.#stopped.abort()
    this.core.health.end()
    for (const cancel of this.#loops) cancel()
    this.core.alarm.stop()
  }

  /** Limits how long a stop waits for running tasks. May be called again: the earliest end counts. */
  waitAtMost(ms: number): void {
    const { clock, dispatcher } = this.core
    const end = clock.elapsed() + ms
    if (end >= this.#patienceEnd) return
    this.#patienceEnd = end
    this.#cancelPatience()
    const over = () => {
      this.#isImpatient = true
      dispatcher.wake()
    }
    if (ms === 0) over()
    else this.#cancelPatience = clock.patience(ms, over)
  }

  /** Stops when all tasks have ended, or the time of {@link waitAtMost} is over. */
  async stop(): Promise<void> {
    const { core } = this
    const { dispatcher, ticks, storage, instance } = core
    dispatcher.close()
    while (!this.#isImpatient && !(dispatcher.isIdle && ticks.isIdle)) await dispatcher.nextChange()
    this.#cancelPatience()
    await this.#within(dispatcher.releaseAll())
    await this.#closeExecutors()
    // Changes requested before the stop are written, unless the storage no longer answers.
    for (let count = 0; count < FLUSH_TURNS_MAX && !ticks.isIdle; count++) await turn(core)
    this.#end()
    ticks.end()
    core.publisher.wakeAll()
    dispatcher.wake()
    // Code that ignores its stop may still hold tasks. Then this instance stays listed, and another engine that finds
    // this instance's lock free takes the tasks back.
    const forgotten = storage.held(instance).then(async ({ length }) => {
      if (length === 0) await storage.forget(instance)
    })
    await this.#within(forgotten.catch(() => {}))
    await this.#within(storage.close())
  }

  // Does not wait for executors if code has ignored its stop, because that code may never end.
  async #closeExecutors(): Promise<void> {
    const { clock, dispatcher, executors } = this.core
    const closed = Promise.all([...executors.values()].map(closeSafely))
    const mustHurry = this.#isImpatient || dispatcher.abandoned > 0
    if (!mustHurry) await this.#within(closed, this.#patienceEnd - clock.elapsed())
  }

  // A step that does not answer must not block the stop.
  async #within(ending: Promise<unknown>, ms = ENDING_MS_MAX): Promise<void> {
    let cancel = () => {}
    const over = new Promise<void>((resume) => {
      cancel = this.core.clock.patience(ms, resume)
    })
    await Promise.race([ending, over])
    cancel()
  }

  #startLoops(): void {
    const { settings } = this.core
    this.#every(settings.pollMs, () => this.#poll())
    this.#every(settings.sweepMs, () => this.#sweep('sweep'))
    this.#every(settings.heartbeatMs, () => this.#beat())
  }

  async #beat(): Promise<void> {
    const { storage, clock, desk, leases } = this.core
    // If the heartbeats of others cannot be read, this engine still says that it lives.
    await leases.follow(this.core).catch(() => {})
    await storage.beat(clock.steady())
    await leases.beaten(this.core)
    const seen = desk.takeSeen()
    if (seen.length > 0) await storage.agentsSeen(seen)
  }

  #poll(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    const { storage, publisher, dispatcher, tail, health, ticks } = this.core
    const { failures } = health
    // `#mustRead` stays true until the log was read, so that the next poll makes up for a failed one. It is also set
    // after a failed call: the call may have written something, and only the log shows that.
    this.#mustRead ||= storage.changed() || tail.hasGap || failures !== this.#failuresSeen
    if (!this.#mustRead) return
    await publisher.readTail(storage, (jobId) => dispatcher.heard(jobId))
    this.#failuresSeen = failures
    await dispatcher.observeElsewhere()
    this.#mustRead = false
    publisher.loggedElsewhere()
    ticks.claimSoon()
  }

  // A poll in progress may have begun too early to read the missing rows, so a second one follows if they are still
  // missing.
  async #fill(): Promise<void> {
    for (let tries = 0; tries < 2 && this.core.tail.hasGap; tries++) await this.#poll().catch(() => {})
  }

  async #sweep(occasion: Occasion): Promise<void> {
    const { core } = this
    const { health, storage } = core
    // This write tests whether a failed storage works again. If it fails, the sweep is skipped.
    if (health.isDegraded) await storage.beat(core.clock.steady())
    const { failures } = health
    await maintain(core, occasion)
    health.swept(failures)
  }

  // Runs a loop: waits, runs the function, waits again. An error comes from the storage, and the next run tries again.
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
 * Registers the charts of all job types. The states of a stored job are states of its version's chart. If that chart
 * changed, a renamed state would be lost. So a chart is replaced only while no job uses it, and no other living engine
 * knows the old one.
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
    `the chart of ${names} differs from the one that stored jobs or running engines use. ` +
      'Raise the version in defineJob, and list the old one in previous; or let its jobs and engines end first',
  )
}

// Executors are user code, and `close` may throw.
async function closeSafely(executor: Executor): Promise<void> {
  try {
    await executor.close()
  } catch {
    // An error of `close` is ignored: the executor is not used again before the next start.
  }
}
