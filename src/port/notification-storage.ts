import type { StoredNotification, StoredSubscription, Subscription } from '../model/notification.ts'

/**
 * Stores notifications, which of them people have read, and subscriptions. A part of {@link StorageConnection}; its
 * guarantees are numbered with the others.
 *
 * - S45 A notification is stored at most once per key, and only while its job's row exists; writing another one with
 *   the same key changes nothing. Its number is set by the transaction that writes it. Numbers rise, none is used
 *   twice, and a number becomes visible only when no lower number can still be committed.
 * - S46 Notifications are deleted with their job's row, or with their pipeline if they are about no job. The marks of
 *   those who have read them are deleted too.
 * - S47 `notifications` returns what is addressed to a reader, ordered by number: what is for the creator, if the
 *   reader is that creator; what is for the reader's role; and what is for subscribers, if the reader's present
 *   subscriptions include it. It reads a bounded number of rows per call, and may therefore return a page that is not
 *   full, with an `after` to continue from.
 * - S48 A mark says that one person has read a notification. It stays until the notification is deleted. Making a mark
 *   again changes nothing. `before` marks all below a number, also those that are not addressed to the person now.
 * - S49 A person has at most one subscription for each type, pipeline, or the tenant as a whole. Writing it again keeps
 *   its `since`, unless its level was `none`; otherwise `since` is the newest number at that time. `subscribers`
 *   returns exactly the persons for whom `notifications` would return the notification as one for subscribers.
 */
export interface NotificationStorage {
  readonly notifications: (query: NotificationQuery) => Promise<FoundNotifications>
  /** The notification with this key. `undefined`: there is none. */
  readonly notification: (key: string) => Promise<StoredNotification | undefined>
  /** The newest number that was used; 0: none. */
  readonly lastNotification: () => Promise<number>
  /** Marks as read: the notifications with these numbers, or all below a number. Unknown numbers are ignored. */
  readonly markRead: (reader: PersonKey, marks: ReadMarks) => Promise<void>
  readonly subscribe: (subscription: Subscription) => Promise<StoredSubscription>
  readonly unsubscribe: (subscription: SubscriptionKey) => Promise<void>
  /**
   * All subscriptions of a person, ordered by type and pipeline. A subscription without a type or pipeline comes before
   * those with one.
   */
  readonly subscriptions: (reader: PersonKey) => Promise<readonly StoredSubscription[]>
  /** The persons who subscribed to a notification, by id: at most `limit`, after the id `after`. */
  readonly subscribers: (to: StoredNotification, limit: number, after?: string) => Promise<readonly string[]>
}

/** Names a person. */
export interface PersonKey {
  readonly tenant: string
  readonly person: string
}

/** A reader of notifications. */
export interface NotificationReader extends PersonKey {
  readonly role: string
}

/** Which notifications to read. */
export interface NotificationQuery {
  /**
   * Whose read marks are shown. With a `role`: only notifications that are addressed to this reader are read. Without:
   * all notifications of all tenants.
   */
  readonly reader: PersonKey & Partial<NotificationReader>
  readonly limit: number
  /** Continues after this number, in the order of the list. */
  readonly after?: number
  /** Default `newest`: highest numbers first. */
  readonly order?: 'newest' | 'oldest'
  /** True: only notifications that the reader has not read. */
  readonly unread?: boolean
}

/** A notification, and whether the reader has read it. */
export interface ReadNotification extends StoredNotification {
  readonly isRead: boolean
}

/** A page of notifications. */
export interface FoundNotifications {
  readonly notifications: readonly ReadNotification[]
  /** Where the next page starts. Absent: this was the last page. */
  readonly after?: number
}

/** Which notifications to mark as read. */
export type ReadMarks = { readonly numbers: readonly number[] } | { readonly before: number }

/** Names a subscription. */
export type SubscriptionKey = Omit<Subscription, 'level'>
