/** When a pipeline runs by itself, as data. The times are calculated by `engine/schedule-times.ts`. */
export type Schedule = ScheduleTimes & {
  /** What happens to due times that were missed, for example while no engine ran. */
  readonly catchUp: CatchUp
  /** False: the schedule starts no runs. Absent: it starts runs. */
  readonly enabled?: false
}

/** The due times of a schedule. */
export type ScheduleTimes =
  /** At the times of a cron pattern in a time zone of the IANA database. `fields` 6: the first field is seconds. */
  | { readonly cron: string; readonly timeZone: string; readonly fields: 5 | 6 }
  /** At `from` (milliseconds UTC), and then each `everyMs` milliseconds. */
  | { readonly everyMs: number; readonly from: number }
  /** Once, at this time in milliseconds UTC. */
  | { readonly at: number }

/**
 * What happens to due times that were missed. `skip`: nothing. `one`: the latest of them is made up for. `{ max }`: the
 * latest `max` of them are made up for, oldest first. Runs that make up for a missed time wait for the slot.
 */
export type CatchUp = 'skip' | 'one' | { readonly max: number }

/** Why a due time, or the end of another job, started no run of a pipeline. */
export type SkipReason =
  /** Another run holds the slot, or waits for it. */
  | 'running'
  /** The pipeline is paused. */
  | 'paused'
  /** The pipeline has the status `provisioning` or `failed`. */
  | 'provisioning'
  | 'failed'
  /** The policy does not let the owner run the pipeline now, or the job type cannot decide the facts of the run. */
  | 'forbidden'
  /** The due time was missed, and the schedule's `catchUp` does not make up for it. */
  | 'missed'
