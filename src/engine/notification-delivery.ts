/** Delivers notifications outside of the app, as jobs of the engine itself. */
import { type AnyJobType, defineJob } from '../model/definition.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import type { StoredNotification } from '../model/notification.ts'
import { IN_APP_CHANNELS } from '../model/notification-rule.ts'
import { checkOptions, listOf, required, text } from '../model/option-checks.ts'
import type { TaskContext } from '../model/task.ts'
import type { Addressed, AskedAddresses, Delivery, Notifier } from '../port/notifier.ts'
import type { Principal } from '../port/policy.ts'
import { absentPrincipal } from './absent-principal.ts'
import type { Core } from './core.ts'
import { shownNotification, summariesOf } from './notification-view.ts'
import { userOf } from './principal.ts'

/** The name of the job type that delivers notifications. */
export const DELIVERY = 'jobchart.delivery'

/** The tenant of the jobs that deliver. No person may have it, so only the engine's own session sees these jobs. */
export const DELIVERIES = 'jobchart.deliveries'

/** For how many persons at once the notifier is asked for addresses. */
const PEOPLE_AT_ONCE = 1_000
/** How many deliveries run at once, over all engines of one storage. */
const CONCURRENCY = 10
/** How long one call of the notifier may take, in milliseconds. A delivery to many persons may take any time. */
const CALL_MS_MAX = 60_000

interface Asked {
  readonly key: string
  readonly channel: string
}

/**
 * The job type that delivers notifications by a notifier. One job delivers one notification on one channel to everyone
 * concerned; each person is a recorded step, so that a retry delivers only what is missing.
 */
export function deliveryType(notifier: Notifier, core: () => Core): AnyJobType {
  const { retry = { limit: 5, backoff: '10s' } } = notifier
  const type = defineJob({
    type: DELIVERY,
    executor: 'live',
    limits: { concurrency: CONCURRENCY },
    retry,
    execute: async (context: TaskContext) => {
      // Only the engine creates these jobs, so their input has this shape.
      await deliver(core(), notifier, context.input as Asked, context)
    },
  })
  return type as AnyJobType
}

async function deliver(core: Core, notifier: Notifier, { key, channel }: Asked, context: TaskContext): Promise<void> {
  const notification = await core.storage.notification(key)
  // The notification was deleted together with its job, so there is nothing to deliver.
  if (notification === undefined) return
  const failures: unknown[] = []
  for await (const asked of concerned(core, notification, channel)) {
    const found = await inTime(core, context.signal, (signal) => notifier.addresses(asked, { signal }))
    for (const each of addressedOf(found, asked)) {
      context.signal.throwIfAborted()
      try {
        await context.step(each.id, async ({ key: idempotencyKey, signal }) => {
          const one = { notification, channel, to: each, asked }
          if (await deliverOne(core, notifier, one, { idempotencyKey, signal })) return
          const role = asked.role ?? each.role
          const person = role === undefined ? `"${each.id}"` : `"${each.id}" (role "${role}")`
          context.log(`nothing was delivered to ${person}, because the policy does not let this person see it`)
        })
      } catch (error) {
        // A notifier that does not answer is not asked for all others too.
        if (error instanceof NoAnswerError) throw error
        failures.push(error)
      }
    }
  }
  context.signal.throwIfAborted()
  const [first] = failures
  if (first === undefined) return
  const text = first instanceof Error ? first.message : String(first)
  throw new Error(`${failures.length} of the deliveries failed, first with: ${text}`, { cause: first })
}

interface One {
  readonly notification: StoredNotification
  readonly channel: string
  readonly to: Addressed
  readonly asked: AskedAddresses
}

// Delivers the notification to one person. Returns false if the person may not see it, and so gets nothing.
async function deliverOne(
  core: Core,
  notifier: Notifier,
  { notification, channel, to, asked }: One,
  options: { readonly idempotencyKey: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const { tenant } = notification.row
  const who = await principalOf(core, to, asked, options.signal)
  const summaries = await summariesOf(core, [notification])
  const unread = { ...notification, isRead: false }
  const view = who && (await shownNotification(core, who, unread, summaries, options.signal))
  if (view === undefined) return false
  const { rule, level, event } = view
  const delivery: Delivery = { channel, tenant, person: to.id, address: to.address, rule, level, event: { ...event } }
  await inTime(core, options.signal, (signal) => notifier.deliver(delivery, { ...options, signal }))
  return true
}

class NoAnswerError extends JobchartError {
  constructor() {
    super('TIMEOUT', 'the notifier did not answer within 1 minute')
  }
}

/** Calls the notifier. @throws {NoAnswerError} it did not answer in time. */
async function inTime<Answer>(
  { clock }: Core,
  signal: AbortSignal,
  call: (signal: AbortSignal) => Answer | PromiseLike<Answer>,
): Promise<Answer> {
  const late = new AbortController()
  const silence = new Promise<never>((_, refuse) => {
    late.signal.addEventListener('abort', () => refuse(late.signal.reason))
  })
  const cancel = clock.timer(CALL_MS_MAX, () => late.abort(new NoAnswerError()))
  try {
    return await Promise.race([call(AbortSignal.any([signal, late.signal])), silence])
  } finally {
    cancel()
  }
}

async function principalOf(
  core: Core,
  { id, role, relations }: Addressed,
  asked: AskedAddresses,
  signal: AbortSignal,
): Promise<Principal | undefined> {
  const { tenant } = asked
  const said = asked.role ?? role
  if (said !== undefined) return userOf({ id, tenant, role: said, ...(relations === undefined ? {} : { relations }) })
  try {
    return { ...(await absentPrincipal(core, { tenant, createdBy: id }, signal)), kind: 'user' }
  } catch (error) {
    if (hasCode(error, 'FORBIDDEN')) return undefined
    throw error
  }
}

/**
 * The questions that find all persons whom a notification is for: about the creator, a role, or 1,000 subscribers at a
 * time.
 */
async function* concerned(
  { storage }: Core,
  notification: StoredNotification,
  channel: string,
): AsyncGenerator<AskedAddresses> {
  const { audience, row } = notification
  const { tenant, createdBy } = row
  if (audience === 'creator') yield { channel, tenant, people: [createdBy] }
  else if (audience !== 'subscribers') yield { channel, tenant, role: audience.role }
  else {
    for (let after: string | undefined; ; ) {
      const people = await storage.subscribers(notification, PEOPLE_AT_ONCE, after)
      if (people.length > 0) yield { channel, tenant, people }
      after = people.at(-1)
      if (people.length < PEOPLE_AT_ONCE) return
    }
  }
}

// A person who was not asked for, or comes twice, is ignored.
function addressedOf(given: readonly Addressed[], { people }: AskedAddresses): readonly Addressed[] {
  const asked = people === undefined ? undefined : new Set(people)
  const byId = new Map(given.map((each) => [each.id, each]))
  return [...byId.values()].filter(({ id }) => asked?.has(id) !== false)
}

const channelsRule = listOf(text(), 'one or more names of channels')
const names = { ...channelsRule, fits: (given: unknown) => channelsRule.fits(given) && Object(given).length > 0 }

/**
 * Checks a notifier, and that the rules of all job types name channels that exist.
 *
 * @throws {JobchartError} `INVALID_DEFINITION`
 */
export function checkChannels(types: readonly AnyJobType[], notifier: Notifier | undefined): void {
  const { channels = [] } = notifier ?? {}
  if (notifier !== undefined) {
    checkOptions('notifier', { channels: notifier.channels }, { channels: required(names) }, { prefix: 'notifier.' })
    const known = channels.find((channel) => IN_APP_CHANNELS.includes(channel))
    if (known !== undefined) {
      throw new JobchartError('INVALID_DEFINITION', `the notifier cannot deliver "${known}", an in-app channel`)
    }
  }
  const all = [...IN_APP_CHANNELS, ...channels]
  for (const { type, notify } of types) {
    const unknown = notify.flatMap((rule) => rule.channels).find((channel) => !all.includes(channel))
    if (unknown === undefined) continue
    throw new JobchartError(
      'INVALID_DEFINITION',
      `job type "${type}" notifies on the channel "${unknown}", which is neither an in-app channel (${IN_APP_CHANNELS.join(', ')}) nor one of createEngine({ notifier: { channels } })`,
    )
  }
}
