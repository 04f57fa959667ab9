/** Adds notifications to the decisions of a tick, and the jobs that deliver these notifications. */
import { create, type JobDecision } from '../model/decision.ts'
import { type Actor, pipelineRow } from '../model/event.ts'
import type { NewNotification } from '../model/notification.ts'
import { IN_APP_CHANNELS, notificationsFor } from '../model/notification-rule.ts'
import { withNotifications } from '../model/notified.ts'
import type { PipelineChange } from '../model/pipeline-change.ts'
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

/** Adds the notifications that decisions and changes of pipelines cause, by the rules of their types. */
export function notified(
  core: Core,
  jobs: WorkingSet,
  { decided, pipelines, by }: { decided: readonly JobDecision[]; pipelines: readonly PipelineChange[]; by: Actor },
): Notified {
  if (pipelines.length === 0 && decided.every(({ type }) => type.notify.length === 0))
    return { jobs: decided, writes: NONE }
  const all = decided.map((each) => withNotifications(each, by))
  const notifications = [
    ...all.flatMap((each) => each.notifications ?? NONE),
    ...pipelines.flatMap((change) => ofPipeline(core, jobs, change)),
  ]
  return {
    jobs: [...all, ...notifications.flatMap((each) => deliveriesOf(core, jobs, each))],
    writes: notifications.map((notification) => ({ op: 'notify', notification })),
  }
}

// The notifications that a change of a pipeline causes. A rule on skipped runs notifies of each skipped run, except of
// those that are skipped because the pipeline is paused.
function ofPipeline(core: Core, jobs: WorkingSet, change: PipelineChange): readonly NewNotification[] {
  const { after, events = NONE, by = ENGINE } = change
  const told = events.filter((event) => event.type !== 'run.skipped' || event.reason !== 'paused')
  if (after === undefined || told.length === 0) return NONE
  const row = pipelineRow(after, by, told, jobs.context().at)
  return notificationsFor(row, after, core.types.newestRulesOf(after.type), () => newId(core))
}

// The new jobs that deliver a notification, one for each channel of the notifier.
function deliveriesOf(core: Core, jobs: WorkingSet, { channels, key }: NewNotification): readonly JobDecision[] {
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

/** Whether a decision causes a notification. */
export function notifies(decision: JobDecision): boolean {
  return withNotifications(decision, ENGINE).notifications !== undefined
}
