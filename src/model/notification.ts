import type { EventRow } from './event.ts'

/** How important a notification is. `alerts`: people who subscribed to alerts only are told too. */
export type NotificationLevel = 'all' | 'alerts'

/**
 * Whom a notification is for: the creator of the job or the owner of the pipeline, everyone who subscribed, or everyone
 * of the tenant who has the role.
 */
export type Audience = 'creator' | 'subscribers' | { readonly role: string }

/** A notification before the storage numbers it. */
export interface NewNotification {
  /** Unique. For a job: made of its id and the rule's name, so that a rule notifies once per job. */
  readonly key: string
  /** The job that the notification is about. Absent: the notification is about a pipeline. */
  readonly jobId?: string
  /** The name of the rule that notified. */
  readonly rule: string
  /** The field of the job whose value the rule reveals, e.g. `outcome` for a rule on an outcome. Absent: none. */
  readonly tells?: 'outcome' | 'status'
  readonly level: NotificationLevel
  readonly channels: readonly string[]
  readonly audience: Audience
  /** The event that caused the notification: a row of the log with this event alone, without inputs. */
  readonly row: EventRow
}

/** A notification as stored. */
export interface StoredNotification extends NewNotification {
  /** The number of the notification. A later notification of the storage has a higher number. */
  readonly number: number
}

/** What a person wants to be told: of a job type, of a pipeline, or of the whole tenant if neither is given. */
export interface Subscription {
  readonly tenant: string
  readonly person: string
  readonly type?: string
  readonly pipeline?: string
  readonly level: NotificationLevel | 'none'
}

/** A subscription as stored. */
export interface StoredSubscription extends Subscription {
  /**
   * The person is told only of notifications with a higher number. Set when the person subscribes, or when the level
   * changes from `none`.
   */
  readonly since: number
}

/** The part of a notification that subscriptions select by. */
export interface SubscribedTo extends Pick<StoredNotification, 'number' | 'level'> {
  readonly type: string
  readonly pipeline?: string | undefined
}

/**
 * Whether one person's subscriptions include a notification for subscribers. The subscription to the pipeline decides.
 * If there is none, the subscription to the type decides; if there is none either, the subscription to the tenant.
 */
export function isSubscribed(all: readonly StoredSubscription[], to: SubscribedTo): boolean {
  const covering = all.filter(({ type = to.type, pipeline = to.pipeline }) => {
    return type === to.type && pipeline === to.pipeline
  })
  const fromClosest = [
    ...covering.filter(({ pipeline }) => pipeline !== undefined),
    ...covering.filter(({ type }) => type !== undefined),
    ...covering.filter(({ type, pipeline }) => type === undefined && pipeline === undefined),
  ]
  const [closest] = fromClosest
  if (closest === undefined || closest.level === 'none') return false
  if (closest.level === 'alerts' && to.level !== 'alerts') return false
  // The earliest of these subscriptions says from when on the person is told. So a person who adds a closer subscription
  // still sees what a wider one has told before. A subscription behind one with the level `none` has told nothing.
  const muted = fromClosest.findIndex(({ level }) => level === 'none')
  const told = muted < 0 ? fromClosest : fromClosest.slice(0, muted)
  return told.some(({ since }) => since < to.number)
}

/** An audience as text, which storages search by. */
export function audienceText(audience: Audience, { createdBy }: Pick<EventRow, 'createdBy'>): string {
  if (audience === 'creator') return `creator ${createdBy}`
  return audience === 'subscribers' ? audience : `role ${audience.role}`
}
