/** Operations on notifications and subscriptions. */

import { parseWith } from '../../context/parse-with.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { JobchartError } from '../../model/error.ts'
import type { NotificationLevel, StoredSubscription, Subscription } from '../../model/notification.ts'
import { mayNotify } from '../../model/notification-rule.ts'
import type { NotificationQuery, ReadNotification } from '../../port/notification-storage.ts'
import type { Principal } from '../../port/policy.ts'
import { type CallOptions, given, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { readCursor } from '../cursor.ts'
import type { Follower, TailRow } from '../log-tail.ts'
import { type NotificationView, shownNotification, summariesOf } from '../notification-view.ts'
import {
  markReadSchema,
  notificationEventsSchema,
  notificationListSchema,
  subscribeSchema,
  unsubscribeSchema,
} from '../options.ts'
import { type Found, type Page, shownPage } from '../page.ts'
import { turn } from '../pause.ts'
import { reachPipeline } from '../pipeline-entry.ts'
import { stopped } from './result.ts'

/** The options of `notifications.list`. */
export interface NotificationListOptions extends CallOptions {
  /** True: only notifications that the caller has not marked as read. Default false. */
  readonly unread?: boolean
  /** The size of a page: 1 to 100, default 20. */
  readonly limit?: number
  readonly cursor?: string | undefined
}

/** The options of `notifications.events`. */
export interface NotificationEventOptions extends CallOptions {
  /**
   * Begins after the notification with this `id`; 0: from the oldest. Default: with notifications committed after the
   * call.
   */
  readonly after?: number | undefined
}

/** Which notifications `notifications.read` marks: those with these ids, or all whose `id` is lower. */
export type MarkedNotifications = readonly number[] | { readonly before: number }

/** What to subscribe to: a job type, a pipeline, or the whole tenant if neither is given. */
export interface SubscriptionTarget {
  /** A job type, or its name. */
  readonly job?: AnyJobType | string
  readonly pipeline?: string
}

/** A subscription as it is shown. */
export interface SubscriptionView {
  /** The name of the job type. */
  readonly job?: string
  readonly pipeline?: string
  readonly level: NotificationLevel | 'none'
}

/** A count of notifications stops here: there are more than 100. */
const COUNT_MAX = 101
const ROWS_AT_ONCE = 100
/** How many subscriptions a person may have. */
const SUBSCRIPTIONS_MAX = 1_000

type Shown = ReadNotification & { readonly view: NotificationView | undefined }

/** Lists notifications, newest first. */
export async function listNotifications(
  core: Core,
  who: Principal,
  { signal, ...options }: NotificationListOptions = {},
): Promise<Page<NotificationView>> {
  const { unread, limit, cursor } = await parseOptions(notificationListSchema, options)
  return await shownPage(who, {
    limit,
    after: cursor === undefined ? undefined : Number(readCursor(cursor, who, ['number'])[0]),
    find: (page: { readonly limit: number; readonly after?: number }) => {
      return shownRows(core, who, { ...page, unread, reader: readerOf(who) }, signal)
    },
    turn: () => turn(core),
    positionOf: ({ number }) => number,
    show: async ({ view }) => view,
    cursorOf: (number) => [number],
  })
}

/** Counts notifications. */
export async function countNotifications(
  core: Core,
  who: Principal,
  { signal, ...options }: Pick<NotificationListOptions, 'signal' | 'unread'> = {},
): Promise<number> {
  const { unread } = await parseOptions(notificationListSchema.pick({ unread: true }), options)
  let count = 0
  for (let from: number | undefined; ; ) {
    const query = { unread, limit: ROWS_AT_ONCE, reader: readerOf(who), ...(from === undefined ? {} : { after: from }) }
    const { rows, after } = await shownRows(core, who, query, signal)
    count += rows.filter(({ view }) => view !== undefined).length
    if (after === undefined || count >= COUNT_MAX) return Math.min(count, COUNT_MAX)
    from = after
    await turn(core)
  }
}

// The engine's own session reads all notifications of all tenants.
function readerOf({ kind, tenant, id: person, role }: Principal): NotificationQuery['reader'] {
  return kind === 'system' ? { tenant, person } : { tenant, person, role }
}

async function shownRows(
  core: Core,
  who: Principal,
  query: NotificationQuery,
  signal: AbortSignal | undefined,
): Promise<Found<Shown, number>> {
  const { notifications, after } = await core.storage.notifications(query)
  const summaries = await summariesOf(core, notifications)
  const rows = await Promise.all(
    notifications.map(async (each) => ({
      ...each,
      view: await shownNotification(core, who, each, summaries, signal),
    })),
  )
  return { rows, after }
}

/** Marks notifications as read. */
export async function readNotifications(
  core: Core,
  { tenant, id: person }: Principal,
  marked: MarkedNotifications,
): Promise<void> {
  const marks = await parseWith(markReadSchema, marked, 'what is read')
  const reader = { tenant, person }
  if (Array.isArray(marks)) return await core.storage.markRead(reader, { numbers: marks })
  // What comes later is unread, whatever the id is.
  const next = (await core.storage.lastNotification()) + 1
  await core.storage.markRead(reader, { before: Math.min(marks.before, next) })
}

/**
 * Subscribes the caller, or changes the level of a subscription.
 *
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` no such pipeline is stored, or the caller may not see it.
 */
export async function subscribe(
  core: Core,
  who: Principal,
  { signal, ...options }: SubscriptionTarget & CallOptions & Pick<SubscriptionView, 'level'>,
): Promise<SubscriptionView> {
  const { level, ...asked } = await parseOptions(subscribeSchema, options)
  const to = targetOf(core, who, asked)
  const { pipeline: id } = to
  if (id !== undefined) await reachPipeline(core, who, { id, tenant: undefined }, 'getPipeline', signal)
  const known = await core.storage.subscriptions({ tenant: who.tenant, person: who.id })
  const isKnown = known.some(({ type, pipeline }) => type === to.type && pipeline === to.pipeline)
  if (known.length >= SUBSCRIPTIONS_MAX && !isKnown) {
    throw new JobchartError('INVALID_INPUT', `a person may have at most ${SUBSCRIPTIONS_MAX} subscriptions`)
  }
  return viewOf(await core.storage.subscribe({ ...to, level }))
}

/** Ends a subscription of the caller. */
export async function unsubscribe(
  core: Core,
  who: Principal,
  { signal, ...options }: SubscriptionTarget & CallOptions = {},
): Promise<void> {
  await core.storage.unsubscribe(targetOf(core, who, await parseOptions(unsubscribeSchema, options)))
}

/** The subscriptions of the caller. */
export async function subscriptions(
  core: Core,
  { tenant, id: person }: Principal,
): Promise<readonly SubscriptionView[]> {
  return (await core.storage.subscriptions({ tenant, person })).map(viewOf)
}

function targetOf(
  { types }: Core,
  { tenant, id: person }: Principal,
  { job, pipeline }: { readonly job?: AnyJobType | string; readonly pipeline?: string },
): Omit<Subscription, 'level'> {
  const type = typeof job === 'string' ? types.nameOf(job) : job?.type
  return { tenant, person, ...(type === undefined ? {} : { type }), ...(pipeline === undefined ? {} : { pipeline }) }
}

function viewOf({ type, pipeline, level }: StoredSubscription): SubscriptionView {
  return { ...(type === undefined ? {} : { job: type }), ...(pipeline === undefined ? {} : { pipeline }), level }
}

/** Follows notifications, oldest first. */
export function notificationEvents(
  core: () => Core,
  who: () => Principal,
  options?: NotificationEventOptions,
): AsyncGenerator<NotificationView> {
  const start = begin(core, options)
  // The first `next()` throws this error. Until then, the rejection must not end the process.
  start.catch(() => {})
  return follow(start, who)
}

interface Start {
  readonly core: Core
  readonly after: number
  readonly signal: AbortSignal | undefined
}

// The newest number is read at the call, so that notifications committed after the call are not missed.
async function begin(core: () => Core, options?: NotificationEventOptions): Promise<Start> {
  const now = core()
  const { signal, ...narrow } = given(options) ?? {}
  const last = now.storage.lastNotification()
  const [{ after }, newest] = await Promise.all([parseOptions(notificationEventsSchema, narrow), last])
  return { core: now, after: after ?? newest, signal }
}

async function* follow(start: Promise<Start>, who: () => Principal): AsyncGenerator<NotificationView> {
  const { core, signal, ...from } = await start
  const isAborted = () => signal?.aborted === true
  const watch = new NotificationWatch(core, signal)
  try {
    for (let last: number | undefined = from.after; ; ) {
      watch.look()
      if (isAborted()) return
      const { rows, after } = await next(core, who(), last, signal)
      for (const { number, view } of rows) {
        if (isAborted()) return
        if (core.stopped.aborted) throw stopped()
        last = number
        if (view !== undefined) yield view
      }
      last = after ?? last
      if (after === undefined) await watch.change()
    }
  } catch (error) {
    if (isAborted()) return
    // If the engine's stop closed the storage during a read, say that the engine stopped.
    throw core.stopped.aborted ? stopped() : error
  } finally {
    watch.end()
  }
}

// A small page: the policy is asked again before the next one is shown.
function next(core: Core, who: Principal, after: number, signal: AbortSignal | undefined) {
  const query = { reader: readerOf(who), order: 'oldest', limit: ROWS_AT_ONCE, after } as const
  return shownRows(core, who, query, signal)
}

/** Waits until rows of the log come that may have caused notifications. */
class NotificationWatch {
  readonly #core: Core
  readonly #signal: AbortSignal | undefined
  readonly #follower: Follower
  readonly #wake = () => this.#follower.wake()
  #seen = 0

  constructor(core: Core, signal: AbortSignal | undefined) {
    this.#core = core
    this.#signal = signal
    this.#follower = core.tail.follow()
    signal?.addEventListener('abort', this.#wake)
  }

  /** Called before the storage is read. That read finds the notifications of all rows that have come by now. */
  look(): void {
    this.#seen = this.#core.tail.sequence
  }

  async change(): Promise<void> {
    const { tail, stopped: over } = this.#core
    while (!this.#hasCome(tail.after(this.#seen))) {
      if (over.aborted) throw stopped()
      if (this.#signal?.aborted === true) return
      this.look()
      await this.#follower.wait()
    }
  }

  // Whether these rows may have caused notifications. `undefined` counts as yes: the tail no longer keeps all of the
  // rows.
  #hasCome(rows: readonly TailRow[] | undefined): boolean {
    const { types } = this.#core
    return rows === undefined || rows.some(({ row }) => mayNotify(row, types.rulesOf(row.jobType)))
  }

  end(): void {
    this.#signal?.removeEventListener('abort', this.#wake)
    this.#follower.leave()
  }
}
