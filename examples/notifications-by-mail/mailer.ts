/** A notifier that sends mails by SMTP. */
import { createHash } from 'node:crypto'
import type { Notifier } from 'jobchart'
import { createTransport } from 'nodemailer'

/** A person of the app, with the role by which the policy decides what the mail may say. */
export interface Person {
  readonly id: string
  readonly tenant: string
  readonly role: string
  readonly mail: string
}

/** Sends mails from `from` through the SMTP server at `port`. */
export function mailer(people: readonly Person[], { port, from }: { readonly port: number; readonly from: string }) {
  const notifier: Notifier = {
    channels: ['mail'],
    retry: { limit: 5, backoff: '200ms' }, // in production rather '10s'
    addresses: ({ tenant, people: ids, role }) =>
      people
        .filter((each) => each.tenant === tenant && (ids === undefined ? each.role === role : ids.includes(each.id)))
        .map(({ id, role, mail }) => ({ id, role, address: mail })),
    deliver: async ({ address, rule, event }, { signal, idempotencyKey }) => {
      signal.throwIfAborted()
      const transport = createTransport({ host: '127.0.0.1', port, ignoreTLS: true })
      const close = () => transport.close()
      signal.addEventListener('abort', close)
      const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      try {
        const sent = transport.sendMail({
          from,
          to: address,
          // The same in every try, so that a mail program shows a mail once that was sent twice.
          messageId: `<${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)}@jobs.example.org>`,
          subject: `${event.jobType}: ${rule}`,
          text: `Job ${event.jobId} is ${event.to}. ${event.message ?? ''}`,
        })
        await Promise.race([sent, aborted])
      } finally {
        signal.removeEventListener('abort', close)
        transport.close()
      }
    },
  }
  return notifier
}
