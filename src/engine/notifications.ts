/** The part of a session that is about notifications. */

import type { Soon } from '../context/soon.ts'
import type { Principal } from '../port/policy.ts'
import { begun, type CallOptions } from './call-options.ts'
import type { Core } from './core.ts'
import type { NotificationView } from './notification-view.ts'
import {
  countNotifications,
  listNotifications,
  type MarkedNotifications,
  type NotificationEventOptions,
  type NotificationListOptions,
  readNotifications,
  type SubscriptionTarget,
  type SubscriptionView,
  subscribe,
  subscriptions,
  unsubscribe,
} from './operations/notifications.ts'
import type { Page } from './page.ts'

/**
 * The notifications of one principal: those for the creator, if the principal created the job; those for the
 * principal's role; and those for subscribers, if the principal has subscribed. Only notifications of jobs and
 * pipelines that the principal may see are there, without redacted fields.
 */
export interface Notifications {
  /**
   * Newest first. A page may have fewer notifications than `limit`; there are more as long as it has a `nextCursor`.
   *
   * @throws {JobchartError} `INVALID_INPUT`
   */
  list(options?: NotificationListOptions): Promise<Page<NotificationView>>
  /** How many `list` would page through; 101 means more than 100. @throws {JobchartError} `INVALID_INPUT` */
  count(options?: Pick<NotificationListOptions, 'unread' | 'signal'>): Promise<number>
  /** Marks notifications as read: at most 1,000 ids, or all with a lower id. @throws {JobchartError} `INVALID_INPUT` */
  read(marked: MarkedNotifications, options?: CallOptions): Promise<void>
  /**
   * Subscribes to a job type, to a pipeline, or to the whole tenant, or changes the level. Of several subscriptions,
   * that to the pipeline decides, then that to the type. `alerts`: only what the rules call alerts; `none`: nothing.
   * Notifications from before the subscription are not shown.
   *
   * @throws {JobchartError} `INVALID_INPUT`; `PIPELINE_NOT_FOUND` no such pipeline is stored, or the caller may not see it.
   */
  subscribe(options: SubscriptionTarget & Pick<SubscriptionView, 'level'> & CallOptions): Promise<SubscriptionView>
  /** Ends a subscription. @throws {JobchartError} `INVALID_INPUT` */
  unsubscribe(options?: SubscriptionTarget & CallOptions): Promise<void>
  subscriptions(options?: CallOptions): Promise<readonly SubscriptionView[]>
  /**
   * Follows notifications, in the order of their ids. Each comes once, with an `id` to continue after. The policy is
   * asked about each. The iteration ends when the signal is aborted.
   *
   * @throws {JobchartError} `INVALID_INPUT`; while following, `STORAGE_UNAVAILABLE` and `ENGINE_STOPPED`: continue after the last id, and no notification is missed.
   */
  events(options?: NotificationEventOptions): AsyncIterableIterator<NotificationView>
}

/** Runs an operation with the caller's current rights. */
export type Call = <Result>(run: (core: Core, who: Principal) => Soon<Result>) => Promise<Result>

/** Binds the operations on notifications to a session. */
export function notificationsOf(call: Call): Omit<Notifications, 'events'> {
  return {
    list: (options) => call((core, who) => listNotifications(core, who, begun(options))),
    count: (options) => call((core, who) => countNotifications(core, who, begun(options))),
    read: (marked, options) =>
      call((core, who) => {
        begun(options, [])
        return readNotifications(core, who, marked)
      }),
    subscribe: (options) => call((core, who) => subscribe(core, who, begun(options) ?? options)),
    unsubscribe: (options) => call((core, who) => unsubscribe(core, who, begun(options))),
    subscriptions: (options) =>
      call((core, who) => {
        begun(options, [])
        return subscriptions(core, who)
      }),
  }
}
