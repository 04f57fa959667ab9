import { JobchartError, jobError } from '../model/error.ts'
import { isoTime } from '../model/time.ts'
import type { Clock } from '../port/clock.ts'
import type { SilentInstance } from './sweeps.ts'

/** The health of an engine. */
export interface Health {
  /**
   * The status.
   *
   * - `ok`: it works.
   * - `degraded`: its storage fails. It claims no new tasks, but goes on reading, lets running tasks finish, and tries
   *   to store their ends again and again. Each call is still tried and gets its own error.
   * - `exhausted`: its storage works, but the code of `maxAbandoned` tasks ignored its stop and still runs. It claims
   *   no new tasks until some of that code returns. Restart the process.
   * - `stopped`: it has not started yet, or was stopped.
   */
  readonly status: 'ok' | 'degraded' | 'exhausted' | 'stopped'
  /** When the status last changed, ISO 8601. */
  readonly since: string
  /** Only if degraded: the newest failure of its storage. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string }
  /** How many attempts run here now, without abandoned ones; 0 when stopped. */
  readonly running: number
  /**
   * How many in-process functions ignored their stop and have not returned. At `maxAbandoned`, no more tasks are
   * claimed.
   */
  readonly abandoned: number
  /** What each executor runs here, and how many more tasks it takes; none when the engine is stopped. */
  readonly executors: { readonly [name: string]: ExecutorHealth }
  /**
   * Attempts in processes and threads that were killed more than 5 s ago and still run, such as a thread in a system
   * call. Each keeps its place and its job's slot. Absent: there are none.
   */
  readonly unended?: readonly UnendedAttempt[]
  /**
   * How far the time used for deadlines is ahead of the wall clock, in milliseconds; negative: behind. Usually 0, and 0
   * when stopped. It differs if the wall clock was changed since the engine started, or if an earlier engine ran with a
   * later clock.
   */
  readonly clock: { readonly skewMs: number }
  /**
   * Other engines on this storage that have sent no heartbeat for more than 10 s, though their processes live: their
   * event loops are busy, or their processes are suspended. They keep their tasks. Absent: none.
   */
  readonly silent?: readonly SilentInstance[]
}

/** How many tasks an executor runs, and how many more it takes. */
export interface ExecutorHealth {
  readonly running: number
  readonly room: number
}

/** An attempt that was killed and still runs. */
export interface UnendedAttempt {
  readonly executor: string
  readonly jobId: string
  /** The id of the invoke that asked for the task. */
  readonly task: string
  /** ISO 8601. */
  readonly killedAt: string
}

/** Called at each change of an engine's {@link Health.status}. */
export type OnHealth = (health: Health) => unknown

/**
 * Tracks whether the storage works during one run of an engine, from the results of ordinary calls.
 *
 * ```
 *          a call fails with an error that is not about a job
 *   ok ────────────────────────────────────────────────────▶ degraded
 *    ◀──────────────────────────────────────────────────────
 *      a write succeeds; if a read had failed, a whole sweep must also succeed
 * ```
 *
 * Each sweep of a degraded engine begins with a write, so the engine recovers without other calls. If the storage fails
 * again within one sweep interval after a recovery, the next recovery also needs a whole successful sweep. So the status
 * changes at most once per sweep.
 *
 * If the storage works, but too much abandoned code runs, the engine is exhausted.
 */
export class HealthWatch {
  readonly #clock: Clock
  readonly #sweepMs: number
  readonly #report: Pick<HealthReport, 'set'>
  #failures = 0
  #error: unknown
  #isDegraded = false
  #isExhausted = false
  #recovered: () => void = () => {}
  #isBegun = false
  #isOver = false
  /** True: something was written since the last failure. */
  #wrote = false
  #mustSweep = false
  #recoveredAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, sweepMs: number, report: Pick<HealthReport, 'set'>) {
    this.#clock = clock
    this.#sweepMs = sweepMs
    this.#report = report
  }

  /** Whether the storage fails, so that nothing new is claimed. */
  get isDegraded(): boolean {
    return this.#isDegraded
  }

  /** Whether the limit of abandoned code is reached, so that nothing new is claimed. */
  get isExhausted(): boolean {
    return this.#isExhausted
  }

  /** Sets how many functions are abandoned, and how many may be. */
  abandoned(count: number, max: number): void {
    if (this.#isExhausted === count >= max) return
    this.#isExhausted = count >= max
    this.#tell()
    if (!this.#isExhausted) this.#recovered()
  }

  /**
   * How many storage calls have failed since this start of the engine. {@link HealthWatch.swept} compares the count at
   * the beginning of a sweep with the count at its end.
   */
  get failures(): number {
    return this.#failures
  }

  /**
   * Called when the engine has started. Before that, no status is reported: a start that fails throws its error
   * instead.
   */
  begin(): void {
    this.#isBegun = true
    this.#tell()
  }

  /** Called when a call of the storage was rejected. Errors about a job are not failures of the storage. */
  failed(error: unknown, call: 'read' | 'write'): void {
    if (!isStorageFailure(error)) return
    this.#failures++
    this.#wrote = false
    const isFlapping = this.#clock.elapsed() - this.#recoveredAt < this.#sweepMs
    this.#mustSweep ||= call === 'read' || (!this.#isDegraded && isFlapping)
    this.#isDegraded = true
    this.#error = error
    this.#tell()
  }

  /** Sets the function to call at each recovery. */
  onRecovery(recovered: () => void): void {
    this.#recovered = recovered
  }

  /** Called when something was written and committed. */
  wrote(): void {
    this.#wrote = true
    if (this.#isDegraded && !this.#mustSweep) this.#recover()
  }

  /** Called after a sweep, with the value of `failures` from the beginning of the sweep. */
  swept(failures: number): void {
    if (this.#isDegraded && this.#wrote && this.#failures === failures) this.#recover()
  }

  /** Ends the watch: later calls on the closed storage do not count. */
  end(): void {
    this.#isOver = true
  }

  #recover(): void {
    this.#isDegraded = false
    this.#mustSweep = false
    this.#recoveredAt = this.#clock.elapsed()
    this.#tell()
    this.#recovered()
  }

  #tell(): void {
    if (!this.#isBegun || this.#isOver) return
    if (this.#isDegraded) this.#report.set('degraded', this.#error)
    else this.#report.set(this.#isExhausted ? 'exhausted' : 'ok')
  }
}

/** Whether an error is a failure of the storage, for example a locked file, so that trying again may help. */
export function isStorageFailure(error: unknown): boolean {
  if (!(error instanceof JobchartError)) return true
  return error.code === 'STORAGE_UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN'
}

/** The live numbers of an engine's health. */
export type Counts = Omit<Health, 'status' | 'since' | 'error'>

/** Keeps the health of an engine over all its starts and stops, and tells a listener when the status changes. */
export class HealthReport {
  readonly #clock: Clock
  readonly #counts: () => Counts
  readonly #tell: OnHealth
  #status: Health['status'] = 'stopped'
  #since: number
  #error: unknown
  #told: Health['status'] = 'stopped'
  #isTelling = false

  /** @param tell  called with each new status that lasts for a turn of the event loop. Must not throw. */
  constructor(clock: Clock, counts: () => Counts, tell: OnHealth) {
    this.#clock = clock
    this.#counts = counts
    this.#tell = tell
    this.#since = clock.now()
  }

  /** The current health. */
  get health(): Health {
    const status = this.#status
    const since = isoTime(this.#since)
    return { status, since, ...(status === 'degraded' ? { error: shown(this.#error) } : {}), ...this.#counts() }
  }

  /** Sets the status. `error`: why it is degraded. */
  set(status: Health['status'], error?: unknown): void {
    this.#error = error
    if (status === this.#status) return
    this.#status = status
    this.#since = this.#clock.now()
    if (status === 'stopped') this.#tellChange()
    else this.#tellSoon()
  }

  // Delayed by one turn of the event loop. If a commit fails, and its changesets are then written one by one in the
  // same turn, the status is `ok` again, and the listener is not called.
  #tellSoon(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    this.#clock.turn(() => {
      this.#isTelling = false
      this.#tellChange()
    })
  }

  #tellChange(): void {
    if (this.#told === this.#status) return
    this.#told = this.#status
    this.#tell(this.health)
  }
}

function shown(thrown: unknown): NonNullable<Health['error']> {
  const { name, message, code } = jobError(thrown)
  return { name, message, ...(code === undefined ? {} : { code }) }
}
