import { audienceText, isSubscribed, type NewNotification, type StoredNotification } from '../model/notification.ts'
import type {
  FoundNotifications,
  NotificationQuery,
  PersonKey,
  ReadMarks,
  ReadNotification,
} from '../port/notification-storage.ts'
import type { Prepare, Row, Statement } from './statement.ts'
import type { Subscriptions } from './subscriptions.ts'

/** How many rows one page looks at. */
const ROWS_MAX = 1_000

const COLUMNS = `number, audience, type, pipeline, level, body, EXISTS (
  SELECT 1 FROM notification_reads AS reads
  WHERE reads.number = notifications.number AND reads.tenant = ? AND reads.person = ?)`

interface Direction {
  readonly all: Statement
  /**
   * Finds the notifications for the creator, for the role, and for subscribers. SQLite merges the three in the order of
   * the numbers.
   */
  readonly addressed: Statement
}

/** The notifications, and who has read them (S45 to S48). */
export class Notifications {
  readonly #subscriptions: Subscriptions
  readonly #last: Statement
  readonly #keepLast: Statement
  readonly #put: Statement
  readonly #get: Statement
  readonly #removeReads: readonly Statement[]
  readonly #removeOfJob: Statement
  readonly #removeOfPipeline: Statement
  readonly #below: Statement
  readonly #markBelow: Statement
  readonly #mark: Statement
  readonly #newest: Direction
  readonly #oldest: Direction

  constructor(prepare: Prepare, subscriptions: Subscriptions) {
    this.#subscriptions = subscriptions
    this.#last = prepare(`SELECT value FROM meta WHERE name = 'notification'`)
    this.#keepLast = prepare(`
      INSERT INTO meta VALUES ('notification', ?) ON CONFLICT DO UPDATE SET value = excluded.value`)
    this.#put = prepare(`
      INSERT INTO notifications (number, key, tenant, audience, job, type, pipeline, level, body)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
    this.#get = prepare(`SELECT number, body FROM notifications WHERE key = ?`)
    const [ofJob, ofPipeline] = ['job = ?', 'job IS NULL AND tenant = ? AND pipeline = ?']
    this.#removeReads = [ofJob, ofPipeline].map((where) =>
      prepare(`DELETE FROM notification_reads WHERE number IN (SELECT number FROM notifications WHERE ${where})`),
    )
    this.#removeOfJob = prepare(`DELETE FROM notifications WHERE ${ofJob}`)
    this.#removeOfPipeline = prepare(`DELETE FROM notifications WHERE ${ofPipeline}`)
    this.#below = prepare(`SELECT below FROM notification_marks WHERE tenant = ? AND person = ?`)
    this.#markBelow = prepare(`
      INSERT INTO notification_marks (tenant, person, below) VALUES (?, ?, ?)
      ON CONFLICT DO UPDATE SET below = max(below, excluded.below)`)
    this.#mark = prepare(`
      INSERT INTO notification_reads (number, tenant, person)
      SELECT number, ?, ? FROM notifications WHERE number = ? ON CONFLICT DO NOTHING`)
    this.#newest = direction(prepare, '<', 'DESC')
    this.#oldest = direction(prepare, '>', 'ASC')
  }

  /** Stores a notification, unless one with the same key is stored. */
  put(notification: NewNotification): void {
    const { key, jobId, level, row, audience } = notification
    const about = [jobId ?? null, row.jobType, row.pipeline ?? null] as const
    const number = this.last() + 1
    const text = JSON.stringify(notification)
    const { changes } = this.#put.run(number, key, row.tenant, audienceText(audience, row), ...about, level, text)
    if (changes > 0) this.#keepLast.run(number)
  }

  /** The newest number that was used; 0: none. */
  last(): number {
    return Number(this.#last.get()?.[0] ?? 0)
  }

  /** The notification with this key. */
  get(key: string): StoredNotification | undefined {
    const row = this.#get.get(key)
    return row === undefined ? undefined : notificationOf(row[0], row[1])
  }

  /** Removes the notifications about a job. */
  removeOfJob(id: string): void {
    this.#removeReads[0]?.run(id)
    this.#removeOfJob.run(id)
  }

  /** Removes the notifications about the pipeline itself. Those about its jobs stay. */
  removeOfPipeline(tenant: string, id: string): void {
    this.#removeReads[1]?.run(tenant, id)
    this.#removeOfPipeline.run(tenant, id)
  }

  /** Marks notifications as read by a person. */
  markRead({ tenant, person }: PersonKey, marks: ReadMarks): void {
    if ('before' in marks) this.#markBelow.run(tenant, person, marks.before)
    else for (const number of marks.numbers) this.#mark.run(tenant, person, number)
  }

  /** One page of the notifications that are addressed to a reader. */
  page({ reader, limit, unread = false, ...query }: NotificationQuery): FoundNotifications {
    const below = Number(this.#below.get(reader.tenant, reader.person)?.[0] ?? 0)
    const own = this.#subscriptions.of(reader)
    const notifications: ReadNotification[] = []
    let looked = 0
    let last = 0
    for (const [number, audience, type, pipeline, level, body, isMarked] of this.#rows(reader, query)) {
      if (notifications.length === limit || looked === ROWS_MAX) return { notifications, after: last }
      looked++
      last = Number(number)
      const isRead = last < below || isMarked === 1
      if (unread && isRead) continue
      const to = { type: String(type), ...(pipeline === null ? {} : { pipeline: String(pipeline) }) }
      const isTold = reader.role === undefined || audience !== 'subscribers'
      if (!isTold && !isSubscribed(own, { ...to, number: last, level: level as 'all' | 'alerts' })) continue
      notifications.push({ ...notificationOf(number, body), isRead })
    }
    return { notifications }
  }

  #rows(
    { tenant, person, role }: NotificationQuery['reader'],
    { order = 'newest', after }: Pick<NotificationQuery, 'order' | 'after'>,
  ): Iterable<Row> {
    const { all, addressed } = order === 'newest' ? this.#newest : this.#oldest
    const from = after ?? (order === 'newest' ? Number.MAX_SAFE_INTEGER : 0)
    if (role === undefined) return all.iterate(tenant, person, from)
    const audiences = [`creator ${person}`, `role ${role}`, 'subscribers']
    return addressed.iterate(...audiences.flatMap((audience) => [tenant, person, tenant, audience, from]))
  }
}

function direction(prepare: Prepare, than: string, order: string): Direction {
  const some = `
    SELECT ${COLUMNS} FROM notifications INDEXED BY notifications_for
    WHERE tenant = ? AND audience = ? AND number ${than} ?`
  return {
    all: prepare(`SELECT ${COLUMNS} FROM notifications WHERE number ${than} ? ORDER BY number ${order}`),
    addressed: prepare(`${[some, some, some].join(' UNION ALL ')} ORDER BY number ${order}`),
  }
}

// `put` stored it, so its shape is known.
function notificationOf(number: Row[number] | undefined, body: Row[number] | undefined): StoredNotification {
  return { ...(JSON.parse(String(body)) as NewNotification), number: Number(number) }
}
