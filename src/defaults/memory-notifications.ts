import {
  audienceText,
  isSubscribed,
  type NewNotification,
  type StoredNotification,
  type StoredSubscription,
  type Subscription,
} from '../model/notification.ts'
import type {
  FoundNotifications,
  NotificationQuery,
  PersonKey,
  ReadMarks,
  ReadNotification,
  SubscriptionKey,
} from '../port/notification-storage.ts'
import { byCodePoints } from './code-points.ts'
import { pairKey } from './pair-key.ts'
import { SortedList } from './sorted-list.ts'

/** What a person has read: all notifications with a number below `below`, and those in `numbers`. */
interface Reads {
  below: number
  readonly numbers: Set<number>
}

/** The notifications, who has read them, and the subscriptions. */
export class MemoryNotifications {
  readonly #all = new SortedList<{ readonly number: number }, StoredNotification>((a, b) => a.number - b.number)
  readonly #byKey = new Map<string, StoredNotification>()
  /** The notifications by the job or the pipeline that they are about. */
  readonly #bySubject = new Map<string, Set<StoredNotification>>()
  readonly #reads = new Map<string, Reads>()
  readonly #subscriptions = new Map<string, StoredSubscription>()
  /** The newest number that was used. */
  last = 0

  /**
   * Stores a notification. Returns a function that undoes this; `undefined`: a notification with this key is stored
   * already.
   */
  put(notification: NewNotification): (() => void) | undefined {
    if (this.#byKey.has(notification.key)) return undefined
    const stored = { ...notification, number: ++this.last }
    this.#byKey.set(stored.key, stored)
    this.#all.add(stored)
    const subject = subjectOf(stored)
    this.#bySubject.set(subject, (this.#bySubject.get(subject) ?? new Set()).add(stored))
    return () => this.#remove(stored)
  }

  get(key: string): StoredNotification | undefined {
    return this.#byKey.get(key)
  }

  /** Removes the notifications about a job. */
  removeOfJob(id: string): void {
    for (const each of [...(this.#bySubject.get(jobSubject(id)) ?? [])]) this.#remove(each)
  }

  /** Removes the notifications about the pipeline itself. Those about its jobs stay. */
  removeOfPipeline(tenant: string, id: string): void {
    for (const each of [...(this.#bySubject.get(pipelineSubject(tenant, id)) ?? [])]) this.#remove(each)
  }

  #remove(stored: StoredNotification): void {
    this.#byKey.delete(stored.key)
    this.#all.remove(stored)
    const others = this.#bySubject.get(subjectOf(stored))
    others?.delete(stored)
    if (others?.size === 0) this.#bySubject.delete(subjectOf(stored))
    for (const { numbers } of this.#reads.values()) numbers.delete(stored.number)
  }

  /** One page of the notifications that are addressed to a reader. */
  page({ reader, limit, after, order = 'newest', unread = false }: NotificationQuery): FoundNotifications {
    const from = after === undefined ? undefined : { number: after }
    const notifications: ReadNotification[] = []
    for (const each of order === 'newest' ? this.#all.before(from) : this.#all.after(from)) {
      const isRead = this.#isRead(reader, each.number)
      if ((unread && isRead) || !this.#isFor(reader, each)) continue
      const last = notifications.at(-1)
      if (notifications.length === limit && last !== undefined) return { notifications, after: last.number }
      notifications.push({ ...each, isRead })
    }
    return { notifications }
  }

  #isFor(reader: NotificationQuery['reader'], { number, row, audience, level }: StoredNotification): boolean {
    if (reader.role === undefined) return true
    if (row.tenant !== reader.tenant) return false
    const { jobType: type, pipeline } = row
    if (audience === 'subscribers') return isSubscribed(this.subscriptions(reader), { type, pipeline, number, level })
    return [`creator ${reader.person}`, `role ${reader.role}`].includes(audienceText(audience, row))
  }

  #isRead({ tenant, person }: PersonKey, number: number): boolean {
    const reads = this.#reads.get(pairKey(tenant, person))
    return reads !== undefined && (number < reads.below || reads.numbers.has(number))
  }

  /** Marks notifications as read by a person. */
  markRead({ tenant, person }: PersonKey, marks: ReadMarks): void {
    const key = pairKey(tenant, person)
    const reads = this.#reads.get(key) ?? { below: 0, numbers: new Set() }
    this.#reads.set(key, reads)
    if ('before' in marks) reads.below = Math.max(reads.below, marks.before)
    else for (const number of marks.numbers) if (number <= this.last) reads.numbers.add(number)
  }

  /**
   * Writes a subscription. If the person had none with this key, or one with the level `none`, it selects only
   * notifications from now on.
   */
  subscribe(subscription: Subscription): StoredSubscription {
    const known = this.#subscriptions.get(subscriptionKey(subscription))
    const isTold = known !== undefined && known.level !== 'none'
    const stored = { ...subscription, since: isTold ? known.since : this.last }
    this.#subscriptions.set(subscriptionKey(stored), stored)
    return stored
  }

  unsubscribe(key: SubscriptionKey): void {
    this.#subscriptions.delete(subscriptionKey(key))
  }

  /** All subscriptions of a person. */
  subscriptions({ tenant, person }: PersonKey): readonly StoredSubscription[] {
    const own = [...this.#subscriptions.values()].filter((each) => each.tenant === tenant && each.person === person)
    return own.sort(byTarget)
  }

  /** The persons who subscribed to a notification, by id. */
  subscribers({ row, level, number }: StoredNotification, limit: number, after = ''): readonly string[] {
    const { tenant, jobType: type, pipeline } = row
    const own = Map.groupBy(
      [...this.#subscriptions.values()].filter((each) => each.tenant === tenant),
      ({ person }) => person,
    )
    const found = [...own].filter(([, all]) => isSubscribed(all, { type, pipeline, level, number }))
    const persons = found.map(([person]) => person).sort(byCodePoints)
    return persons.filter((person) => byCodePoints(person, after) > 0).slice(0, limit)
  }
}

function subjectOf({ jobId, row: { tenant, pipeline = '' } }: StoredNotification): string {
  return jobId === undefined ? pipelineSubject(tenant, pipeline) : jobSubject(jobId)
}

function jobSubject(id: string): string {
  return pairKey('job', id)
}

function pipelineSubject(tenant: string, id: string): string {
  return pairKey('pipeline', pairKey(tenant, id))
}

function subscriptionKey({ tenant, person, type = '', pipeline = '' }: SubscriptionKey): string {
  return pairKey(pairKey(tenant, person), pairKey(type, pipeline))
}

function byTarget(a: StoredSubscription, b: StoredSubscription): number {
  return byCodePoints(a.type ?? '', b.type ?? '') || byCodePoints(a.pipeline ?? '', b.pipeline ?? '')
}
