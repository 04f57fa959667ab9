import { JobchartError, jobError } from '../model/error.ts'
import { isoTime } from '../model/time.ts'
import type { Clock } from '../port/clock.ts'
import type { SilentInstance } from './sweeps.ts'

/** How an engine does. */
export interface Health {
  /**
   * - `ok` it works.
   * - `degraded` its storage fails. It claims nothing new, goes on reading, lets running work finish and tries its end
   *   again and again; it refuses nothing by itself, so that each call is tried and gets its own error.
   * - `exhausted` its storage works, and as much code as `maxAbandoned` allows has ignored its stop and still runs. It claims
   *   nothing new until some of it returns. Start the process anew.
   * - `stopped` it was not started yet, or was stopped.
   */
  readonly status: 'ok' | 'degraded' | 'exhausted' | 'stopped'
  /** When the status became so, ISO 8601. */
  readonly since: string
  /** Of a degraded engine: the newest failure of its storage. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string }
  /** Attempts that run here now, without abandoned ones; 0 when it is stopped. */
  readonly running: number
  /** In-process functions that ignored their stop and have not returned; at `maxAbandoned` nothing more is claimed. */
  readonly abandoned: number
  /**
   * How far the time by which deadlines count is ahead of the wall clock, below 0 behind it: what the wall clock was set back
   * or ahead since the engine started, or, where an earlier one ran with a later clock, by how much. 0 as a rule, and when
   * it is stopped.
   */
  readonly clock: { readonly skewMs: number }
  /**
   * Other engines of this storage that have not said for more than 10 s that they live, though their processes do: their
   * event loops are busy, or their processes are stopped. They keep their work. Absent: there are none.
   */
  readonly silent?: readonly SilentInstance[]
}

/** Hears of each change of an engine's {@link Health.status}. */
export type OnHealth = (health: Health) => unknown

/**
 * Sees from the calls that are made anyway whether the storage of one run of an engine works.
 *
 * ```
 *         a call fails with what is no answer about a job
 *   ok ────────────────────────────────────────────────────▶ degraded
 *    ◀──────────────────────────────────────────────────────
 *      a write succeeds; and, where a read had failed, a whole sweep after it
 * ```
 *
 * Each sweep of a degraded engine begins with a write, so it recovers without being asked for anything. One that fails
 * again within a sweep of its recovery flaps: a whole sweep must then succeed too, whatever had failed, so that it
 * changes at most once a sweep.
 *
 * Of an engine whose storage works, too much abandoned code makes it exhausted.
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
  /** Something was written since the last failure. */
  #wrote = false
  #mustSweep = false
  #recoveredAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, sweepMs: number, report: Pick<HealthReport, 'set'>) {
    this.#clock = clock
    this.#sweepMs = sweepMs
    this.#report = report
  }

  /** Nothing new is claimed. */
  get isDegraded(): boolean {
    return this.#isDegraded
  }

  /** As much abandoned code runs as may: nothing new is claimed. */
  get isExhausted(): boolean {
    return this.#isExhausted
  }

  /** So many functions are abandoned, and so many may be. */
  abandoned(count: number, max: number): void {
    if (this.#isExhausted === count >= max) return
    this.#isExhausted = count >= max
    this.#tell()
    if (!this.#isExhausted) this.#recovered()
  }

  /** So many calls have failed; what {@link swept} compares with. */
  get failures(): number {
    return this.#failures
  }

  /** The engine has started; before it, what fails is an error of the start. */
  begin(): void {
    this.#isBegun = true
    this.#tell()
  }

  /** A call of the storage was rejected. What is an answer about a job is no failure. */
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

  /** Calls back at each recovery. */
  onRecovery(recovered: () => void): void {
    this.#recovered = recovered
  }

  /** Something was written and committed. */
  wrote(): void {
    this.#wrote = true
    if (this.#isDegraded && !this.#mustSweep) this.#recover()
  }

  /** A sweep is done that began when so many calls had failed. */
  swept(failures: number): void {
    if (this.#isDegraded && this.#wrote && this.#failures === failures) this.#recover()
  }

  /** The run is over: what still calls its closed storage says nothing. */
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

/** Whether an error is the storage's, and so no answer that would be the same another time. */
export function isStorageFailure(error: unknown): boolean {
  if (!(error instanceof JobchartError)) return true
  return error.code === 'STORAGE_UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN'
}

/** What runs in an engine, by which time, and what it sees of others. */
type Counts = Pick<Health, 'running' | 'abandoned' | 'clock' | 'silent'>

/** An engine's health over all its starts and stops, and who is told of it. */
export class HealthReport {
  readonly #clock: Clock
  readonly #counts: () => Counts
  readonly #tell: OnHealth
  #status: Health['status'] = 'stopped'
  #since: number
  #error: unknown
  #told: Health['status'] = 'stopped'
  #isTelling = false

  /** @param tell  is called with each new status that lasts for a turn of the loop; it may not throw. */
  constructor(clock: Clock, counts: () => Counts, tell: OnHealth) {
    this.#clock = clock
    this.#counts = counts
    this.#tell = tell
    this.#since = clock.now()
  }

  /** As it is now. */
  get health(): Health {
    const status = this.#status
    const since = isoTime(this.#since)
    return { status, since, ...(status === 'degraded' ? { error: shown(this.#error) } : {}), ...this.#counts() }
  }

  /** Sets the status; `error` is why it is degraded. */
  set(status: Health['status'], error?: unknown): void {
    this.#error = error
    if (status === this.#status) return
    this.#status = status
    this.#since = this.#clock.now()
    if (status === 'stopped') this.#tellChange()
    else this.#tellSoon()
  }

  // A commit that fails as a whole, whose changesets are then written each alone in the same turn, is no change to tell of.
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
