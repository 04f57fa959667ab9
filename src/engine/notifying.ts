/** Adds to the decisions of a tick what they notify of: the notifications, and the jobs that deliver them. */
import { create, type JobDecision } from '../model/decision.ts'
import type { Actor } from '../model/event.ts'
import type { NewNotification } from '../model/notification.ts'
import { IN_APP_CHANNELS } from '../model/notification-rule.ts'
import { withNotifications } from '../model/notified.ts'
import type { Write } from '../port/storage.ts'
import { byEngine, type Core, ENGINE } from './core.ts'
import { newId } from './ids.ts'
import { DELIVERIES, DELIVERY } from './notification-delivery.ts'
import { SYSTEM } from './principal.ts'
import type { WorkingSet } from './working-set.ts'

/** Decisions, and the writes of their notifications. */
export interface Notified {
  readonly jobs: readonly JobDecision[]
  readonly writes: readonly Write[]
}

const NONE: readonly never[] = []

/** Adds the notifications that decisions cause by the rules of their types. */
export function notified(core: Core, jobs: WorkingSet, decided: readonly JobDecision[], by: Actor): Notified {
  if (decided.every(({ type }) => type.notify.length === 0)) return { jobs: decided, writes: NONE }
  const all = decided.map((each) => withNotifications(each, by))
  const notifications = all.flatMap((each) => each.notifications ?? NONE)
  return {
    jobs: [...all, ...notifications.flatMap((each) => deliveriesOf(core, jobs, each))],
    writes: notifications.map((notification) => ({ op: 'notify', notification })),
  }
}

/** The new jobs that deliver a notification, one for each channel of the notifier. They belong in its changeset. */
export function deliveriesOf(core: Core, jobs: WorkingSet, { channels, key }: NewNotification): readonly JobDecision[] {
  const outside = channels.filter((channel) => !IN_APP_CHANNELS.includes(channel))
  return outside.map((channel) => {
    const type = core.types.require({ type: DELIVERY, version: '1' })
    const seed = {
      id: newId(core),
      tenant: DELIVERIES,
      createdBy: SYSTEM.id,
      trigger: 'dependency',
      labels: { channel },
      priority: 0,
      input: { key, channel },
    } as const
    return byEngine(create(type, seed, jobs.context()))
  })
}

/** Whether a decision notifies of something. */
export function notifies(decision: JobDecision): boolean {
  return withNotifications(decision, ENGINE).notifications !== undefined
}
