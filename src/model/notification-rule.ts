/** The notification rules of a job type, and the notifications that an event causes. */
import { JobchartError } from './error.ts'
import { EVENT_TYPES, type EventDraft, type EventRow, type EventType } from './event.ts'
import type { Outcome } from './job.ts'
import type { Audience, NewNotification, NotificationLevel } from './notification.ts'
import { anything, checkOptions, listOf, type OptionRule, oneOf, recordOf, required, text } from './option-checks.ts'

/**
 * The events that a rule may name: of jobs, and of stored pipelines whose runs have the rule's job type, e.g.
 * `run.skipped`.
 */
export type NotifyingEvent = Exclude<EventType, 'job.progress' | 'job.deleted' | 'pipeline.deleted'>

/**
 * Whom to notify of which events, and how. Each rule notifies once per job. A rule on an event of a pipeline notifies
 * each time, but not of runs that were skipped because the pipeline is paused.
 */
export interface NotifyRule {
  /**
   * The name of the rule in its notifications: 1 to 200 characters. Default: the outcome, status or event in `on`, e.g.
   * `'failure'`.
   */
  readonly name?: string
  /**
   * When the rule notifies: when the job ends with this outcome, when the job comes to this status from another one, or
   * when this event happens.
   */
  readonly on: { readonly outcome: Outcome } | { readonly status: string } | { readonly event: NotifyingEvent }
  /** `'alerts'`: people who subscribed to alerts only are told too. Default `'all'`. */
  readonly level?: NotificationLevel
  /**
   * The channels on which people are told: names that your app or a `notifier` knows, e.g. `'mail'`. The in-app
   * channels `inApp`, `browser`, `audio` and `toast` need no notifier.
   */
  readonly channels: readonly string[]
  readonly audience: Audience
  /** Only for jobs, or pipelines, that have all of these labels. Default: for all. */
  readonly labels?: { readonly [name: string]: string }
}

/** {@link NotifyRule}, parsed. */
export interface ParsedRule extends Omit<NewNotification, 'key' | 'jobId' | 'row' | 'rule'> {
  readonly name: string
  readonly on: { readonly outcome: Outcome } | { readonly status: string } | { readonly event: NotifyingEvent }
  /** The labels that a job or pipeline must have. */
  readonly labels: readonly (readonly [name: string, value: string])[]
}

/** Channels that people read in the app, so that no notifier delivers them. */
export const IN_APP_CHANNELS: readonly string[] = ['inApp', 'browser', 'audio', 'toast']

const RULES_MAX = 100
const CHANNELS_MAX = 20
const UNTOLD: readonly string[] = ['job.progress', 'job.deleted', 'pipeline.deleted']
const EVENTS = EVENT_TYPES.filter((type) => !UNTOLD.includes(type))

const channels = listOf(text(), `1 to ${CHANNELS_MAX} names of channels, each once`)
const OF_RULE = {
  name: text(),
  on: required(anything, "{ outcome }, { status } or { event }, e.g. { outcome: 'failure' }"),
  level: oneOf('all', 'alerts'),
  channels: required({
    ...channels,
    fits: (given) => channels.fits(given) && isSet(given as readonly unknown[]),
  }),
  audience: required({
    expected: "'creator', 'subscribers' or { role }",
    fits: (given) => given === 'creator' || given === 'subscribers' || isRole(given),
  }),
  labels: recordOf(text(), 'an object of texts by label'),
} satisfies { readonly [Option in keyof NotifyRule]-?: OptionRule }
const ON = {
  outcome: oneOf('success', 'failure', 'cancelled'),
  status: text(),
  event: oneOf(...EVENTS),
}

/** @throws {JobchartError} `INVALID_DEFINITION` a rule is invalid, or two rules have one name. */
export function parseRules(type: string, given: readonly NotifyRule[] = []): readonly ParsedRule[] {
  const name = `job type "${type}"`
  if (!Array.isArray(given) || given.length > RULES_MAX) {
    throw misfit(name, `notify should be a list of at most ${RULES_MAX} rules`, ['notify'])
  }
  const names = new Set<string>()
  return given.map((each: NotifyRule, index): ParsedRule => {
    const prefix = `notify.${index}.`
    checkOptions(name, each, OF_RULE, { prefix })
    checkOptions(name, each.on, ON, { prefix: `${prefix}on.` })
    const [[what, value] = ['', ''], ...more] = Object.entries(each.on).filter(([, said]) => said !== undefined)
    if (what === '' || more.length > 0) {
      throw misfit(name, `${prefix}on should have one of outcome, status, event`, ['notify', String(index), 'on'])
    }
    const rule = each.name ?? String(value)
    if (names.has(rule)) {
      throw misfit(name, `two rules of notify are named "${rule}"; give them names of their own`, ['notify'])
    }
    names.add(rule)
    const tells = what === 'event' ? {} : { tells: what as 'outcome' | 'status' }
    const { level = 'all', audience } = each
    const labels = Object.entries(each.labels ?? {})
    return { name: rule, on: each.on, ...tells, level, channels: [...each.channels], audience, labels }
  })
}

function isSet(given: readonly unknown[]): boolean {
  return given.length >= 1 && given.length <= CHANNELS_MAX && new Set(given).size === given.length
}

const role = text()

function isRole(given: unknown): boolean {
  if (typeof given !== 'object' || given === null) return false
  const [field, ...more] = Object.keys(given)
  return field === 'role' && more.length === 0 && role.fits((given as { readonly role: unknown }).role)
}

function misfit(name: string, message: string, path: readonly string[]): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${name}: ${message}`, { issues: [{ message, path }] })
}

/**
 * The notifications that a row of events causes, by the rules of the job's type. For a row of a pipeline: by the rules
 * of the type of its runs.
 *
 * @param of  the job or pipeline of the row.
 * @param keyOf  returns the key of the rule's notification; `undefined`: the rule has notified before.
 */
export function notificationsFor(
  row: EventRow,
  { labels: stored }: { readonly labels: { readonly [name: string]: string } },
  rules: readonly ParsedRule[],
  keyOf: (rule: ParsedRule) => string | undefined,
): readonly NewNotification[] {
  const found: NewNotification[] = []
  for (const [index, event] of row.events.entries()) {
    for (const rule of rules) {
      const isMeant = isOn(rule, event) && rule.labels.every(([label, value]) => stored[label] === value)
      const key = isMeant ? keyOf(rule) : undefined
      if (key === undefined) continue
      const { name, on, labels, ...rest } = rule
      const { by = row.by } = event
      found.push({
        ...rest,
        key,
        rule: name,
        row: { ...row, by, jobSequence: row.jobSequence && row.jobSequence + index, events: [event], inputs: [] },
      })
    }
  }
  return found
}

function isOn({ on }: ParsedRule, event: EventDraft): boolean {
  if ('event' in on) return event.type === on.event
  if ('outcome' in on) return 'outcome' in event && event.outcome === on.outcome
  // The status of a pipeline may have the same name.
  if (!('to' in event) || event.type === 'pipeline.statusChanged' || event.to !== on.status) return false
  return event.type === 'job.created' || event.from !== event.to
}

/** Whether a row may cause a notification by one of the rules. `undefined`: the rules are unknown. */
export function mayNotify({ events }: EventRow, rules: readonly ParsedRule[] | undefined): boolean {
  return rules === undefined || rules.some((rule) => events.some((event) => isOn(rule, event)))
}
