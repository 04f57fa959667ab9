/**
 * The due times of schedules: milliseconds UTC.
 *
 * Cron patterns and time zones are calculated by croner. Where the clock is set back, a pattern with a fixed hour is due
 * once, and one with `*` as hour in each elapsed hour. Where it is set forward, a time that does not exist is due at the
 * moment of the change.
 */
import { Cron } from 'croner'
import type { CatchUp, Schedule, ScheduleTimes } from '../model/schedule.ts'
import { dateOf } from '../model/time.ts'

/** The first due time after `after`. `undefined`: there is none. */
export function nextDue(times: ScheduleTimes, after: number): number | undefined {
  if ('at' in times) return times.at > after ? times.at : undefined
  if ('everyMs' in times) {
    const { everyMs, from } = times
    return after < from ? from : from + (Math.floor((after - from) / everyMs) + 1) * everyMs
  }
  return cronOf(times).nextRun(dateOf(after))?.getTime()
}

/** The latest `count` due times from `from` to `until`, both included, oldest first. */
export function latestDue(times: ScheduleTimes, from: number, until: number, count: number): readonly number[] {
  if ('at' in times) return times.at >= from && times.at <= until ? [times.at] : []
  const found: number[] = []
  if ('everyMs' in times) {
    const { everyMs, from: first } = times
    let due = first + Math.floor((until - first) / everyMs) * everyMs
    for (; due >= Math.max(from, first) && found.length < count; due -= everyMs) found.push(due)
  } else {
    // A run at `until` itself is included, because croner looks strictly before.
    for (const due of cronOf(times).previousRuns(count, dateOf(until + 1))) {
      if (due.getTime() >= from) found.push(due.getTime())
    }
  }
  return found.reverse()
}

/** The due times that a pipeline starts runs for now. */
export interface DueNow {
  /** Oldest first. Empty: all were missed, and are not made up for. */
  readonly times: readonly number[]
  /** True: they make up for missed times. False: the one time is on time. */
  readonly isLate: boolean
}

/** A due time that is later than this was missed: no engine was there, or none got to it. */
const LATE_MS = 60_000

/**
 * Which due times to run now, of those from `nextAt` on.
 *
 * @param nextAt  the first due time that no run was started for.
 */
export function dueNow({ catchUp, ...times }: Schedule, nextAt: number, now: number): DueNow {
  const found = latestDue(times, nextAt, now, countOf(catchUp))
  const isLate = found.length > 1 || found.some((due) => now - due > LATE_MS)
  return { times: isLate && catchUp === 'skip' ? [] : found, isLate }
}

function countOf(catchUp: CatchUp): number {
  return typeof catchUp === 'string' ? 1 : catchUp.max
}

/** Why a schedule is invalid. `undefined`: it is valid, or has no pattern. */
export function scheduleIssue(times: ScheduleTimes, now: number): string | undefined {
  if (!('cron' in times)) return undefined
  const { cron, fields } = times
  const found = cron.trim().split(/\s+/).length
  if (found !== fields) return `cron should have ${fields} fields; "${cron}" has ${found}${hint(found)}`
  try {
    if (cronOf(times).nextRun(dateOf(now)) === null) return `cron "${cron}" is never due`
    return undefined
  } catch (error) {
    if (isZone(times.timeZone)) return `cron "${cron}" is not a valid pattern: ${messageOf(error)}`
    return `timeZone should be a name of the IANA database, e.g. Europe/Paris; found "${times.timeZone}"`
  }
}

function hint(found: number): string {
  return found === 5 || found === 6 ? `; for ${found} fields, say fields: ${found}` : ''
}

function isZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
    return true
  } catch {
    return false
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error)
}

function cronOf({ cron, timeZone, fields }: Extract<ScheduleTimes, { cron: string }>): Cron {
  return new Cron(cron, { timezone: timeZone, mode: fields === 5 ? '5-part' : '6-part', paused: true })
}
