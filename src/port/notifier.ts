import type { RetryOptions } from '../model/retry.ts'

/**
 * Delivers notifications outside of the app: by mail, as a webhook, to a chat.
 *
 * The engine delivers each notification of one of its channels by a job of its own: with retries, and a history that
 * `engine.system` reads. The engine asks for the addresses, asks the policy about each person, and delivers what that
 * person may see. A delivery that succeeded is recorded, and is not repeated for that person.
 *
 * - N1 `channels` are at least one name, each once, and none of the in-app channels `inApp`, `browser`, `audio` and
 *   `toast`.
 * - N2 `addresses` returns at most one address per person, and only persons who were asked for. A person without an
 *   address on the channel is left out.
 * - N3 `deliver` resolves only when the outside has accepted the delivery. If the outside refuses it or does not
 *   answer, `deliver` rejects, and the engine tries again.
 * - N4 The receiver can tell that two deliveries with one `idempotencyKey` are the same: mails, for example, have the
 *   same `Message-ID`. Deliveries with different keys are not the same to the receiver.
 * - N5 When the signal is aborted, `deliver` rejects soon. Nothing that is delivered after that counts.
 * - N6 Deliveries at the same time do not affect each other.
 */
export interface Notifier {
  readonly channels: readonly string[]
  /** How often a failed delivery is retried. Default: 5 times, first after 10 s. */
  readonly retry?: RetryOptions
  readonly addresses: (
    asked: AskedAddresses,
    options: { readonly signal: AbortSignal },
  ) => readonly Addressed[] | PromiseLike<readonly Addressed[]>
  readonly deliver: (delivery: Delivery, options: DeliveryOptions) => unknown
}

/**
 * Whose addresses the engine asks for: those of these people, each named once, or of everyone of the tenant with this
 * role.
 */
export type AskedAddresses = { readonly channel: string; readonly tenant: string } & (
  | { readonly people: readonly string[]; readonly role?: never }
  | { readonly role: string; readonly people?: never }
)

/** A person, with an address on the channel. */
export interface Addressed {
  readonly id: string
  /** E.g. a mail address or a URL. */
  readonly address: string
  /**
   * The person's role now, by which the policy decides what this person may see. Default: as `createEngine({ principal
   * })` says; without that option, no role.
   */
  readonly role?: string
  readonly relations?: { readonly [resource: string]: string }
}

/** One notification for one person. */
export interface Delivery {
  readonly channel: string
  readonly tenant: string
  readonly person: string
  readonly address: string
  /** The name of the rule that notified. */
  readonly rule: string
  readonly level: 'all' | 'alerts'
  /** The event that caused the notification, as this person may see it. */
  readonly event: DeliveredEvent
}

/** The event of a notification: as a session shows it, but without its number in the log. */
export interface DeliveredEvent {
  readonly type: string
  /** Absent: the event is one of the pipeline itself. */
  readonly jobId?: string | undefined
  readonly jobType?: string
  readonly pipeline?: string
  /** When the event happened, ISO 8601. Absent if redacted. */
  readonly at?: string
  readonly [field: string]: unknown
}

/** Options of `deliver`. */
export interface DeliveryOptions {
  /** Aborted when the engine stops, or this call has taken 1 minute. */
  readonly signal: AbortSignal
  /** The same in every try of this delivery, and different for every person, channel and notification. */
  readonly idempotencyKey: string
}
