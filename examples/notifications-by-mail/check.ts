/**
 * Checks the mailer against the guarantees of its port, as its tests would with their own runner's `test`.
 *
 *     npm run example -- --test examples/notifications-by-mail/check.ts
 */
import { test } from 'node:test'
import { notifierConformance } from 'jobchart/testing'
import { mailer } from './mailer.ts'
import { postOffice } from './post-office.ts'

const people = ['ada', 'bob'].map((id) => ({ id, tenant: 't', role: 'editor', mail: `${id}@example.org` }))

notifierConformance(
  async () => {
    const office = await postOffice()
    return {
      notifier: mailer(people, { port: office.port, from: 'jobs@example.org' }),
      tenant: 't',
      people: ['ada', 'bob'],
      received: () =>
        office.mails.map(({ to, text }) => ({ address: to, id: /^Message-ID: (.*)$/im.exec(text)?.[1] ?? '' })),
      behave: office.behave,
      dispose: office.close,
    }
  },
  { test },
)
