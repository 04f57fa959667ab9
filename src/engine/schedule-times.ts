/**
 * The due times of schedules: milliseconds UTC.
 *
 * Cron patterns and time zones are calculated by croner. Where the clock is set back, a pattern with a fixed hour is due
 * once, and one with `*` as hour in each elapsed hour. Where it is set forward, a time that does not exist is due at the
 * moment of the change.
 */
import { Cron } from 'croner'
import type { PipelineEventDraft } from '../model/event.ts'
import type { Pipeline, RunTrigger } from '../model/pipeline.ts'
import type { Schedule, ScheduleTimes, SkipReason } from '../model/schedule.ts'
import { dateOf, isoTime } from '../model/time.ts'

/** The first due time after `after`. `undefined`: there is none. */
export function nextDue(times: ScheduleTimes, after: number): number | undefined {
  if ('at' in times) return times.at > after ? times.at : undefined
  if ('everyMs' in times) {
    const { everyMs, from } = times
    return after < from ? from : from + (Math.floor((after - from) / everyMs) + 1) * everyMs
  }
  return nextOfCron(times, after)
}

/**
 * The latest `count` due times from `from` to `until`, both included, oldest first.
 *
 * @param from  after a due time of the schedule, so that a schedule with one due time has none here.
 */
export function latestDue(times: ScheduleTimes, from: number, until: number, count: number): readonly number[] {
  if ('at' in times) return []
  const found: number[] = []
  if ('everyMs' in times) {
    const { everyMs, from: first } = times
    let due = first + Math.floor((until - first) / everyMs) * everyMs
    for (; due >= Math.max(from, first) && found.length < count; due -= everyMs) found.push(due)
    return found.reverse()
  }
  // A run at `until` itself is included, because croner looks strictly before.
  const first = cronOf(times)
    .previousRuns(count, dateOf(until + 1))
    .at(-1)
  // Looking back, croner leaves out the times that `leftOut` finds.
  for (let due = first?.getTime(); due !== undefined && due <= until; due = nextOfCron(times, due)) {
    if (due >= from) found.push(due)
  }
  return found.slice(-count)
}

/** What to do about the due times of a schedule up to now. */
export type DueNow =
  /**
   * The first due time gets a run. `isLate`: it was missed, so the run makes up for it. `following`: the next due time,
   * if any.
   */
  | { readonly missed?: never; readonly isLate: boolean; readonly following: number | undefined }
  /**
   * Due times were missed, and no run makes up for them. `following`: the next due time that gets a run, or that is not
   * due yet.
   */
  | { readonly missed: DueRange; readonly following: number | undefined }

/** Due times in succession. `through`: the last, if there are several. */
export interface DueRange {
  readonly dueAt: number
  readonly through?: number
}

/**
 * A due time that passed longer ago than this, in milliseconds, was missed: no engine ran, or none started the run in
 * time.
 */
const LATE_MS = 60_000

/**
 * What to do about the due times from `nextAt` to now.
 *
 * @param nextAt  the first due time that no run was started for. It counts as it was stored, even if the law of its
 * time zone was changed since.
 */
export function dueNow({ catchUp, ...times }: Schedule, nextAt: number, now: number): DueNow {
  const second = nextDue(times, nextAt)
  const isLate = now - nextAt > LATE_MS
  if (second === undefined || second > now) {
    const isDropped = isLate && catchUp === 'skip'
    return isDropped ? { missed: { dueAt: nextAt }, following: second } : { isLate, following: second }
  }
  const max = typeof catchUp === 'string' ? 1 : catchUp.max
  const [latest = second, ...others] = latestDue(times, second, now, max)
  // Together with `nextAt`, these are at most `max` times, so each of them gets a run.
  if (others.length + 1 < max) return { isLate, following: second }
  if (catchUp === 'skip' && now - latest > LATE_MS) return skippedNow({ catchUp, ...times }, nextAt, now)
  const [before] = latestDue(times, second, latest - 1, 1)
  return { missed: rangeOf(nextAt, before), following: latest }
}

/** All due times from `nextAt` to now, and the one that follows. */
export function skippedNow({ catchUp, ...times }: Schedule, nextAt: number, now: number) {
  const [last] = latestDue(times, nextAt + 1, now, 1)
  return { missed: rangeOf(nextAt, last), following: nextDue(times, Math.max(nextAt, now)) }
}

/**
 * Moves a pipeline that starts runs again past the due times of its standstill that no engine has skipped yet. Otherwise
 * these times would count as missed, and runs would make up for them.
 *
 * @param event  what ended the standstill.
 * @param reason  why the pipeline stood still.
 */
export function pastStandstill(
  ready: Pipeline,
  { event, reason, now }: { readonly event: PipelineEventDraft; readonly reason: SkipReason; readonly now: number },
): { readonly after: Pipeline; readonly events: readonly PipelineEventDraft[] } {
  const { schedule, nextAt, ...rest } = ready
  if (schedule === undefined || nextAt === undefined || nextAt > now) return { after: ready, events: [event] }
  const { missed, following } = skippedNow(schedule, nextAt, now)
  const after = { ...rest, schedule, ...(following === undefined ? {} : { nextAt: following }) }
  return { after, events: [event, runSkipped({ reason, trigger: 'schedule', ...missed })] }
}

/** The fields of a `run.skipped` event, with times in milliseconds. */
export interface SkippedRun extends DueRange {
  readonly reason: SkipReason
  readonly trigger: RunTrigger
  readonly blocker?: string | undefined
}

/** Makes a `run.skipped` event. */
export function runSkipped({ reason, trigger, dueAt, through, blocker }: SkippedRun): PipelineEventDraft {
  return {
    type: 'run.skipped',
    reason,
    trigger,
    dueAt: isoTime(dueAt),
    ...(through === undefined ? {} : { through: isoTime(through) }),
    ...(blocker === undefined ? {} : { blocker }),
  }
}

function rangeOf(dueAt: number, through: number | undefined): DueRange {
  return through === undefined ? { dueAt } : { dueAt, through }
}

/** Why a schedule is invalid. `undefined`: it is valid, or has no pattern. */
export function scheduleIssue(times: ScheduleTimes, now: number): string | undefined {
  if (!('cron' in times)) return undefined
  const { cron, fields } = times
  const found = cron.trim().split(/\s+/).length
  if (found !== fields) return `cron should have ${fields} fields; "${cron}" has ${found}${hint(found)}`
  // croner takes an empty name for the time zone of this machine.
  if (!isZone(times.timeZone)) {
    return `timeZone should be a name of the IANA database, e.g. Europe/Paris; found "${times.timeZone}"`
  }
  try {
    return cronOf(times).nextRun(dateOf(now)) === null ? `cron "${cron}" is never due` : undefined
  } catch (error) {
    return `cron "${cron}" is not a valid pattern: ${String(error).replace(/^\w+: (CronPattern: )?/, '')}`
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

type CronTimes = Extract<ScheduleTimes, { cron: string }>

function nextOfCron(times: CronTimes, after: number): number | undefined {
  const next = cronOf(times).nextRun(dateOf(after))?.getTime()
  return leftOut(times, after) ?? next
}

/**
 * The end of a gap in local time, if a change of the clocks leaves out the next time of a pattern: the pattern is then
 * due at this end. `undefined`: no time is left out. croner handles a gap that ends on the same day, but not one that
 * ends on the next: in Nuuk, 23:00 to midnight of a Saturday in March does not exist, so 23:30 is due at midnight.
 */
function leftOut(times: CronTimes, after: number): number | undefined {
  const { cron, timeZone } = times
  // A local time is calculated as if it were UTC.
  const local = FIXED_TIME.test(cron)
    ? cronOf({ ...times, timeZone: 'UTC' })
        .nextRun(dateOf(after + offsetAt(timeZone, after)))
        ?.getTime()
    : undefined
  if (local === undefined) return undefined
  const [from, until] = [local - DAY_MS, local + DAY_MS]
  const [before, later] = [offsetAt(timeZone, from), offsetAt(timeZone, until)]
  if (later <= before) return undefined
  const change = changeBetween(timeZone, from, until)
  return change <= local - before && change > local - later ? change : undefined
}

/** Patterns of one time of day: the fields for seconds, if any, minutes and hours are numbers. */
const FIXED_TIME = /^\s*(\d+\s+){2,3}\S+\s+\S+\s+\S+\s*$/

const MINUTE_MS = 60_000
/** Longer than the offset of any zone. No zone changes its clocks twice within two days. */
const DAY_MS = 86_400_000

/** The first time with the offset of `until`, if the offset changes once between them. */
function changeBetween(timeZone: string, from: number, until: number): number {
  const after = offsetAt(timeZone, until)
  let [low, high] = [from, until]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetAt(timeZone, middle) === after) high = middle
    else low = middle
  }
  return high
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Local time minus UTC, in milliseconds: whole minutes. */
function offsetAt(timeZone: string, at: number): number {
  const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  formats.set(timeZone, format)
  // Of London in winter, it is GMT without a number.
  const [, sign, hours = '0', minutes = '0'] = /GMT([+-])(\d+):(\d+)/.exec(format.format(at)) ?? []
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
}

/** How many parsed patterns are kept. */
const KNOWN_MAX = 1_000
const known = new Map<string, Cron>()

function cronOf({ cron, timeZone, fields }: CronTimes): Cron {
  const key = `${fields} ${timeZone} ${cron}`
  const found = known.get(key)
  if (found !== undefined) return found
  const parsed = new Cron(cron, { timezone: timeZone, mode: fields === 5 ? '5-part' : '6-part', paused: true })
  if (known.size >= KNOWN_MAX) known.clear()
  known.set(key, parsed)
  return parsed
}
