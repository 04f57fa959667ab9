import type { JobDecision } from './decision-data.ts'
import { type Actor, eventRow } from './event.ts'
import { notificationsFor } from './notification-rule.ts'

/**
 * Adds the notifications that a decision's events cause. The job's record lists the rules that have notified, in the
 * same commit. So each rule notifies once, even if a process crashes meanwhile.
 */
export function withNotifications(decision: JobDecision, by: Actor): JobDecision {
  const { job, type, events } = decision
  if (type.notify.length === 0 || job.deletedAt !== undefined) return decision
  const told = new Set(job.notified)
  const notifications = notificationsFor(eventRow(job, by, events, []), job, type.notify, ({ name }) => {
    if (told.has(name)) return undefined
    told.add(name)
    return `${job.id} ${name}`
  })
  if (notifications.length === 0) return decision
  const ofJob = notifications.map((each) => ({ ...each, jobId: job.id }))
  return { ...decision, job: { ...job, notified: [...told] }, notifications: ofJob }
}
