/** A notification as a reader sees it. */

import type { Soon } from '../context/soon.ts'
import type { JobSummary } from '../model/job.ts'
import type { NotificationLevel, StoredNotification } from '../model/notification.ts'
import type { ReadNotification } from '../port/notification-storage.ts'
import type { Principal } from '../port/policy.ts'
import { allowed, maskOfEvent } from './authorization.ts'
import type { Core } from './core.ts'
import type { FieldMask } from './field-mask.ts'
import { type ShownEvent, shownEvents } from './shown-event.ts'

/** The event of a notification, without its number in the log. */
export type NotifiedEvent = ShownEvent extends infer Each ? Omit<Each, 'sequence'> & { readonly type: string } : never

/** A notification as it is shown. */
export interface NotificationView {
  /** The number of the notification. A later notification of the storage has a higher id. */
  readonly id: number
  /** The name of the rule that notified. */
  readonly rule: string
  readonly level: NotificationLevel
  readonly channels: readonly string[]
  /** Whether the caller has marked it as read. */
  readonly isRead: boolean
  /** The event that caused the notification, as the caller may see it. */
  readonly event: NotifiedEvent
}

/**
 * A notification as the reader `who` sees it. `undefined`: the reader may see nothing of it, because the policy does
 * not let them `get` the job or pipeline that it is about, because that job is gone, or because the rule would reveal a
 * field that is hidden from them.
 *
 * @param summaries  the summaries of the jobs that the page's notifications are about, from {@link summariesOf}.
 */
export async function shownNotification(
  core: Core,
  who: Principal,
  notification: ReadNotification,
  summaries: ReadonlyMap<string, JobSummary>,
  signal: AbortSignal | undefined,
): Promise<NotificationView | undefined> {
  const { jobId } = notification
  const mask =
    jobId === undefined
      ? await maskOfEvent(core, who, notification.row, signal)
      : await maskOfJob(core, who, summaries.get(jobId), signal)
  const { number: id, rule, tells, level, channels, isRead, row } = notification
  if (mask === undefined || (tells !== undefined && mask.hidden.has(tells))) return undefined
  const [shown] = shownEvents(row, 0, mask)
  if (shown === undefined) return undefined
  const { sequence, ...event } = shown
  return { id, rule, level, channels, isRead, event }
}

/** The summaries of the jobs that notifications are about, by id. Jobs that were deleted or cannot be read are absent. */
export async function summariesOf(
  { storage }: Core,
  notifications: readonly StoredNotification[],
): Promise<ReadonlyMap<string, JobSummary>> {
  const ids = new Set(notifications.flatMap(({ jobId }) => jobId ?? []))
  const found = ids.size === 0 ? [] : await storage.summaries([...ids])
  return new Map(found.map((summary) => [summary.id, summary]))
}

function maskOfJob(
  core: Core,
  who: Principal,
  summary: JobSummary | undefined,
  signal: AbortSignal | undefined,
): Soon<FieldMask | undefined> {
  return summary === undefined ? undefined : allowed(core, who, summary, { action: 'get', signal })
}
