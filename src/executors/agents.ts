import { JobchartError } from '../model/error.ts'
import { checkOptions, duration } from '../model/option-checks.ts'
import { type Duration, durationMs } from '../model/time.ts'
import type { Executor } from '../port/executor.ts'

/** The options of {@link agents}. */
export interface AgentsOptions {
  /**
   * How long an agent holds a task without a heartbeat; after that the task is lost. `createAgent` sends a heartbeat
   * three times in this time. Default `'30s'`.
   */
  readonly lease?: Duration
}

/**
 * An executor whose tasks are pulled by agents: programs, usually on other machines, that claim tasks, run them and
 * report. It runs nothing itself.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the lease is not a duration from 1 s to 1 day.
 */
export function agents(options: AgentsOptions = {}): Executor {
  checkOptions('agents', options, { lease: duration })
  const leaseMs = durationMs(options.lease ?? '30s', 'lease')
  if (leaseMs < LEASE_MS_MIN || leaseMs > LEASE_MS_MAX) {
    throw new JobchartError('INVALID_DEFINITION', 'the lease of agents() should be from 1 s to 1 day')
  }
  return {
    leaseMs,
    reportsStart: true,
    kills: true,
    room: () => 0,
    start: () => Promise.reject(new JobchartError('INVALID_DEFINITION', 'the tasks of agents() are run by agents')),
    close: async () => {},
  }
}

const LEASE_MS_MIN = 1_000
const LEASE_MS_MAX = 86_400_000
