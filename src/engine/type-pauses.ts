import { checkOptions, required, text } from '../model/option-checks.ts'
import { isoTime } from '../model/time.ts'
import { begun, type CallOptions } from './call-options.ts'
import type { Core } from './core.ts'

/** A job type whose tasks are not started. */
export interface PausedTypeView {
  readonly type: string
  readonly reason: string
  /** ISO 8601. */
  readonly since: string
}

/** Pauses of job types: `engine.types`. */
export interface Types {
  /**
   * Pauses a job type, and the types of its child jobs: no engine on the storage starts a task of them. Running tasks
   * go on, and jobs are still submitted, admitted and moved by timers and commands. The pause lasts until `resume`,
   * also over restarts. The reason, 1 to 200 characters, is told by `explain`. The type `jobchart.delivery` delivers
   * notifications.
   *
   * @throws {JobchartError} `UNKNOWN_TYPE` the engine does not know the type; `INVALID_INPUT`, `STORAGE_UNAVAILABLE`,
   * `OUTCOME_UNKNOWN`.
   */
  pause(type: string, reason: string, options?: CallOptions): Promise<void>
  /** Resumes a job type. Does nothing if it is not paused. @throws {JobchartError} as {@link Types.pause}. */
  resume(type: string, options?: CallOptions): Promise<void>
  /** The paused types, by name. */
  paused(options?: CallOptions): Promise<readonly PausedTypeView[]>
}

/** The operations, on the running engine. */
export function typesOf(core: () => Core): Types {
  return {
    pause: async (type, reason, options) => {
      begun(options, [])
      const { storage, types, clock, logger } = core()
      check('pause', { type, reason }, { type: required(text()), reason: required(text()) })
      const paused = { type: types.knownName(type), reason, at: clock.now() }
      await storage.pauseType(paused)
      logger.info({ type: paused.type, reason }, 'a job type was paused')
    },
    resume: async (type, options) => {
      begun(options, [])
      const { storage, types, ticks, logger } = core()
      check('resume', { type }, { type: required(text()) })
      const resumed = types.knownName(type)
      await storage.resumeType(resumed)
      logger.info({ type: resumed }, 'a job type was resumed')
      ticks.claimSoon()
    },
    paused: async (options) => {
      begun(options, [])
      const paused = await core().storage.pausedTypes()
      return paused.map(({ type, reason, at }) => ({ type, reason, since: isoTime(at) }))
    },
  }
}

function check(name: string, values: object, rules: Parameters<typeof checkOptions>[2]): void {
  checkOptions(name, values, rules, { code: 'INVALID_INPUT' })
}
