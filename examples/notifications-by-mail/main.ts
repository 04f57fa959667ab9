/**
 * Notifications of a job type: a mail to its creator and to the admins who watch for failures, and a list in the app.
 * The mail server refuses the first mail, so the engine sends it again.
 *
 *     npm run example examples/notifications-by-mail/main.ts
 */
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'
import { mailer } from './mailer.ts'
import { postOffice } from './post-office.ts'

const report = defineJob({
  type: 'report',
  input: z.object({ rows: z.number() }),
  execute: async ({ input }) => {
    if (input.rows === 0) throw new Error('there are no rows')
    return input.rows
  },
  notify: [
    { on: { outcome: 'success' }, channels: ['mail'], audience: 'creator' },
    { on: { outcome: 'failure' }, level: 'alerts', channels: ['mail', 'toast'], audience: 'subscribers' },
  ],
})

const office = await postOffice()
const people = [
  { id: 'ada', tenant: 'default', role: 'editor', mail: 'ada@example.org' },
  { id: 'root', tenant: 'default', role: 'admin', mail: 'root@example.org' },
]
const notifier = mailer(people, { port: office.port, from: 'jobs@example.org' })
const engine = await createEngine({ jobs: [report], storage: sqliteStorage('jobs.db'), notifier })
const ada = engine.as({ id: 'ada', role: 'editor' })
const root = engine.as({ id: 'root', role: 'admin' })

await root.notifications.subscribe({ job: report, level: 'alerts' })
let refused = 0
engine.on('task.retried', ({ error }) => {
  refused++
  console.log(`refused: ${/try again later/.exec(error.message)?.[0]}`)
  office.behave('accept')
})

office.behave('refuse')
await ada.submit(report, { rows: 5 })
await office.arrived(1)
await ada.submit(report, { rows: 0 })
await office.arrived(2)

for (const { to, text } of office.mails) console.log(`mail to ${to}: ${/^Subject: (.*)$/m.exec(text)?.[1]?.trim()}`)
console.log(`refused ${refused} mail, sent ${office.mails.length}`)

const { items } = await root.notifications.list({ unread: true })
for (const { id, rule, level, channels } of items) console.log(`${id}: ${rule}, ${level}, on ${channels.join(' and ')}`)
await root.notifications.read(items.map(({ id }) => id))
console.log(`root has ${await root.notifications.count({ unread: true })} unread`)
await engine.stop()
await office.close()

// Output:
// refused: try again later
// mail to ada@example.org: report: success
// mail to root@example.org: report: failure
// refused 1 mail, sent 2
// 2: failure, alerts, on mail and toast
// root has 0 unread
