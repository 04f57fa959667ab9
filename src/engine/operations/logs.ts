import { hasCode } from '../../model/error.ts'
import type { Job, JobId } from '../../model/job.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import type { LogLine } from '../../port/storage.ts'
import { type CallOptions, given, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { logOptionsSchema } from '../options.ts'
import { ROWS_AT_ONCE, readable } from './reads.ts'
import { stopped } from './result.ts'

/** The options of `logs`. */
export interface LogOptions extends CallOptions {
  /** Only lines with a number above this. Default 0. */
  readonly after?: number | undefined
  /** True: also yields new lines, until the job has settled and its code has ended. Default false. */
  readonly follow?: boolean
}

/** A line of a job's log, as a session shows it. */
export type LogLineView = Omit<LogLine, 'at'> & { readonly at: string }

/** {@inheritDoc Session.logs} */
export async function* logs(
  core: () => Core,
  who: () => Principal,
  id: JobId,
  options?: LogOptions,
): AsyncGenerator<LogLineView> {
  const { signal, ...more } = given(options, logOptionsSchema) ?? {}
  const { after, follow } = await parseOptions(logOptionsSchema, more)
  const watch = follow ? new LogWatch(core(), id, signal) : undefined
  try {
    for (let last = after; ; ) {
      const read = watch === undefined ? await readLines(core(), who(), id, last, signal) : await watch.read(who, last)
      if (read === undefined) return
      const { lines, isLast } = read
      const [first] = lines
      if (first !== undefined && first.number > last + 1) {
        const text = `(${first.number - last - 1} earlier lines were dropped: only the newest are kept)`
        yield { number: first.number - 1, at: isoTime(first.at), text }
      }
      for (const { at, ...line } of lines) {
        if (watch?.isGivenUp === true) return
        yield { ...line, at: isoTime(at) }
      }
      last = lines.at(-1)?.number ?? last
      if (lines.length === ROWS_AT_ONCE) continue
      if (watch === undefined || isLast) return
      await watch.change()
    }
  } finally {
    watch?.end()
  }
}

/** The result of one read. */
interface Read {
  readonly lines: readonly LogLine[]
  /** True: no more lines will come. */
  readonly isLast: boolean
}

/** Reads lines of a job's log. `undefined`: they are hidden from the caller. */
async function readLines(
  core: Core,
  who: Principal,
  id: JobId,
  after: number,
  signal: AbortSignal | undefined,
  known?: Job,
): Promise<Read | undefined> {
  signal?.throwIfAborted()
  const { job, mask } = await readable(core, who, id, { action: 'logs', signal }, known)
  // Log lines may repeat the input. So the mask hides `logs` with the input, unless the job type lists them as `safe`.
  if (mask.hidden.has('logs')) return undefined
  // The job was read before its lines. So if the job had ended by then, these lines include its last ones.
  return { lines: await core.storage.logs(id, after, ROWS_AT_ONCE), isLast: hasEnded(job) }
}

// A settled job may still have code that was told to stop. That code may write more lines until it ends.
function hasEnded({ phase, tasks }: Job): boolean {
  return phase === 'settled' && !tasks.some(({ status, child }) => status === 'stopping' && child === undefined)
}

/** Follows the log of one job. It buffers no lines for slow readers; it only notes that something has happened. */
class LogWatch {
  readonly #core: Core
  readonly #id: JobId
  readonly #signal: AbortSignal | undefined
  readonly #unwatch: () => void
  #hasRead = false
  /** True: something has happened since the last read began. */
  #isDue = false
  #resume: () => void = () => {}

  constructor(core: Core, id: JobId, signal: AbortSignal | undefined) {
    this.#core = core
    this.#id = id
    this.#signal = signal
    this.#unwatch = core.publisher.watchLog(id, this.#wake)
    signal?.addEventListener('abort', this.#wake)
  }

  get isGivenUp(): boolean {
    return this.#signal?.aborted === true
  }

  readonly #wake = () => {
    this.#isDue = true
    this.#resume()
  }

  /** Resolves when something has happened since the last read began. */
  async change(): Promise<void> {
    if (this.#isDue) return
    await new Promise<void>((resume) => {
      this.#resume = resume
    })
  }

  /**
   * Reads the lines after a number, with the caller's current rights. `undefined`: no more lines will come.
   *
   * @throws {JobchartError} as {@link logs}
   */
  async read(who: () => Principal, after: number): Promise<Read | undefined> {
    this.#isDue = false
    try {
      if (this.isGivenUp) return undefined
      if (this.#core.stopped.aborted) throw stopped()
      const known = this.#core.dispatcher.held(this.#id)
      const read = await readLines(this.#core, who(), this.#id, after, this.#signal, known)
      this.#hasRead = true
      return read
    } catch (error) {
      if (this.isGivenUp) return undefined
      // If the engine's stop closed the storage during a read, say that the engine stopped.
      if (this.#core.stopped.aborted) throw stopped()
      const isGone = hasCode(error, 'JOB_NOT_FOUND')
      if (isGone && this.#hasRead) return undefined
      throw error
    }
  }

  /** Ends the watch. */
  end(): void {
    this.#unwatch()
    this.#signal?.removeEventListener('abort', this.#wake)
  }
}
