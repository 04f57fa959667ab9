import {
  isSubscribed,
  type StoredNotification,
  type StoredSubscription,
  type Subscription,
} from '../model/notification.ts'
import type { PersonKey, SubscriptionKey } from '../port/notification-storage.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const COLUMNS = 'tenant, person, type, pipeline, level, since'

/** The subscriptions to notifications (S49). */
export class Subscriptions {
  readonly #find: Statement
  readonly #put: Statement
  readonly #drop: Statement
  readonly #of: Statement
  readonly #to: Statement

  constructor(prepare: Prepare) {
    this.#find = prepare(`
      SELECT ${COLUMNS} FROM subscriptions WHERE tenant = ? AND person = ? AND type = ? AND pipeline = ?`)
    this.#put = prepare(`
      INSERT INTO subscriptions (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET level = excluded.level, since = excluded.since`)
    this.#drop = prepare(`DELETE FROM subscriptions WHERE tenant = ? AND person = ? AND type = ? AND pipeline = ?`)
    this.#of = prepare(`SELECT ${COLUMNS} FROM subscriptions WHERE tenant = ? AND person = ? ORDER BY type, pipeline`)
    const some = `
      SELECT ${COLUMNS} FROM subscriptions INDEXED BY subscriptions_to
      WHERE tenant = ? AND type = ? AND pipeline = ? AND person > ?`
    // SQLite merges the subscriptions to the tenant, the type and the pipeline in the order of the persons.
    this.#to = prepare(`${[some, some, some].join(' UNION ALL ')} ORDER BY person`)
  }

  /**
   * Writes a subscription.
   *
   * @param last  the newest number of a notification. If the person had no subscription with this key, or one with the
   * level `none`, the subscription selects only later notifications.
   */
  put(subscription: Subscription, last: number): StoredSubscription {
    const { level } = subscription
    const key = keyOf(subscription)
    const row = this.#find.get(...key)
    const known = row === undefined ? undefined : subscriptionOf(row)
    const isTold = known !== undefined && known.level !== 'none'
    const since = isTold ? known.since : last
    this.#put.run(...key, level, since)
    return { ...subscription, since }
  }

  /** Removes a subscription. */
  drop(key: SubscriptionKey): void {
    this.#drop.run(...keyOf(key))
  }

  /** All subscriptions of a person. */
  of({ tenant, person }: PersonKey): readonly StoredSubscription[] {
    return this.#of.all(tenant, person).map(subscriptionOf)
  }

  /** The persons who subscribed to a notification, by id. */
  persons({ row, level, number }: StoredNotification, limit: number, after = ''): readonly string[] {
    const { tenant, jobType: type, pipeline } = row
    const to = { type, pipeline, level, number }
    const found: string[] = []
    let own: StoredSubscription[] = []
    const finish = () => {
      const [first] = own
      if (first !== undefined && isSubscribed(own, to)) found.push(first.person)
      own = []
    }
    const values = [tenant, '', '', after, tenant, type, '', after, tenant, '', pipeline ?? '', after]
    for (const each of this.#to.iterate(...values)) {
      const subscription = subscriptionOf(each)
      if (own[0]?.person !== subscription.person) finish()
      if (found.length === limit) return found
      own.push(subscription)
    }
    finish()
    return found
  }
}

function keyOf({ tenant, person, type = '', pipeline = '' }: SubscriptionKey) {
  return [tenant, person, type, pipeline] as const
}

// `put` stored it, so its shape is known.
function subscriptionOf([tenant, person, type, pipeline, level, since]: Row): StoredSubscription {
  return {
    tenant: String(tenant),
    person: String(person),
    ...(type === '' ? {} : { type: String(type) }),
    ...(pipeline === '' ? {} : { pipeline: String(pipeline) }),
    level: level as StoredSubscription['level'],
    since: Number(since),
  }
}
