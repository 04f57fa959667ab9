/**
 * Invoices that are paid when a manager approves. The manager must not be the person who submitted the invoice. After
 * two days without an answer the director may decide, and after a week the invoice lapses. The money moves exactly
 * once, although the bank's answer gets lost.
 *
 *     npm run example examples/human-approval.ts
 *
 * The days pass on a virtual clock. The program works in a temporary folder, which it removes at its end.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, JobchartError, type JobId, rolePolicy, type Session, task } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { setup } from 'xstate'
import { z } from 'zod'

const DAY_MS = 86_400_000

const folder = await mkdtemp(join(tmpdir(), 'human-approval-'))
const bank = new DatabaseSync(join(folder, 'bank.db'))
bank.exec(`
  create table accounts (name text primary key, euros integer not null check (euros >= 0)) strict;
  create table transfers (key text primary key, payee text not null, euros integer not null) strict;
  insert into accounts values ('us', 1000), ('printer', 0), ('caterer', 0);
`)

const invoice = z.object({ payee: z.string(), euros: z.int().positive() })
type Invoice = z.infer<typeof invoice>

/** Moves the money under a key: once, however often it is called. */
function transfer({ payee, euros }: Invoice, key: string): void {
  bank.exec('begin immediate')
  try {
    const entry = bank.prepare('insert into transfers values (?, ?, ?) on conflict do nothing')
    if (entry.run(key, payee, euros).changes === 1) {
      bank.prepare(`update accounts set euros = euros - ? where name = 'us'`).run(euros)
      bank.prepare('update accounts set euros = euros + ? where name = ?').run(euros, payee)
    }
    bank.exec('commit')
  } catch (error) {
    bank.exec('rollback')
    throw error
  }
}

const check = task({ input: invoice }, ({ input: { payee } }) => {
  const account = bank.prepare('select name from accounts where name = ?').get(payee)
  if (account === undefined) throw new Error(`there is no account of "${payee}"`)
})

const pay = task({ input: invoice, retry: { limit: 3, backoff: '1m' } }, async ({ input, attempt, step }) => {
  await step('transfer', ({ key }) => {
    transfer(input, key)
    // The step does not know whether the money has moved. It runs again, and its key tells the bank.
    if (attempt === 1) throw new Error('the connection to the bank was lost')
  })
})

/**
 * ```
 *  submitted ──▶ waiting ── 2 days ──▶ escalated ── 5 days ──▶ lapsed
 *                   │ approve              │ overrule
 *                   └────────▶ paying ◀────┘
 *                                └──▶ paid
 *
 *  waiting, escalated ── reject ──▶ rejected
 *  submitted, paying ── error ──▶ failed
 * ```
 */
const machine = setup({
  types: { context: {} as Invoice, input: {} as Invoice },
  actors: { check, pay },
  delays: { patience: 2 * DAY_MS, lastDays: 5 * DAY_MS },
}).createMachine({
  context: ({ input }) => input,
  initial: 'submitted',
  states: {
    submitted: {
      invoke: { src: 'check', input: ({ context }) => context, onDone: 'waiting', onError: 'failed' },
    },
    waiting: { on: { approve: 'paying', reject: 'rejected' }, after: { patience: 'escalated' } },
    escalated: { on: { overrule: 'paying', reject: 'rejected' }, after: { lastDays: 'lapsed' } },
    paying: { invoke: { src: 'pay', input: ({ context }) => context, onDone: 'paid', onError: 'failed' } },
    paid: { type: 'final', tags: 'success' },
    rejected: { type: 'final', tags: 'cancelled' },
    lapsed: { type: 'final', tags: 'cancelled' },
    failed: { type: 'final', tags: 'failure' },
  },
})

// The history shows a field named `reason`, together with the sender.
const schema = z.object({ reason: z.string().min(1) })
const payment = defineJob({
  type: 'payment',
  input: invoice,
  lifecycle: machine,
  commands: {
    approve: { schema, by: { relation: 'others', roles: ['manager'] } },
    overrule: { schema, by: { relation: 'others', roles: ['director'] } },
    reject: { schema, by: { relation: 'others', roles: ['manager', 'director'] } },
  },
})

const clock = virtualClock()
const engine = await createEngine({
  jobs: [payment],
  storage: sqliteStorage(join(folder, 'jobs.db')),
  policy: rolePolicy({ admin: ['manager', 'director'], editor: ['clerk'] }),
  clock,
  // A single engine need not poll for others; ten polls a second would be many on a clock that passes days.
  poll: '6h',
  sweep: '6h',
  heartbeat: '6h',
})
// Mia is a manager too, but may not approve her own invoice.
const mia = engine.as({ id: 'mia', role: 'manager' })
const max = engine.as({ id: 'max', role: 'manager' })
const dora = engine.as({ id: 'dora', role: 'director' })

try {
  await isApproved()
  await isRejected()
  await isEscalated()
  await lapses()
} finally {
  await engine.stop()
  bank.close()
  await rm(folder, { recursive: true })
}

async function isApproved(): Promise<void> {
  console.log('Mia asks for 300 euros for the printer')
  const { id } = await submitted({ payee: 'printer', euros: 300 })
  console.log(`  it waits for: ${JSON.stringify(await mia.explain(id))}`)
  console.log(`  mia may: ${await buttons(mia, id)}; max may: ${await buttons(max, id)}`)
  console.log(`  mia approves: ${await sent(mia, id, 'approve', 'it is mine')}`)
  console.log(`  max approves: ${await sent(max, id, 'approve', 'as agreed')}`)
  await engine.idle()
  console.log(`  the answer was lost, the money was not: ${balances()}`)
  console.log(`  max clicks again: ${await sent(max, id, 'approve', 'as agreed')}`)
  await clock.advance(60_000)
  console.log(`  paid once, by two attempts: ${balances()}`)
  console.log(`  max clicks again: ${await sent(max, id, 'approve', 'as agreed')}`)
  await printHistory(id)
}

async function isRejected(): Promise<void> {
  console.log('Mia asks for 900 euros for the caterer')
  const { id } = await submitted({ payee: 'caterer', euros: 900 })
  await max.send(id, { type: 'reject', reason: 'we have 700 left' })
  await printHistory(id)
}

async function isEscalated(): Promise<void> {
  console.log('Mia asks for 90 euros for the caterer, and max is on holiday')
  const { id } = await submitted({ payee: 'caterer', euros: 90 })
  console.log(`  dora may: ${await buttons(dora, id)}`)
  await clock.advance(2 * DAY_MS)
  console.log(`  two days later dora may: ${await buttons(dora, id)}; max may: ${await buttons(max, id)}`)
  await dora.send(id, { type: 'overrule', reason: 'the guests are here' })
  await clock.advance(60_000)
  await printHistory(id)
}

async function lapses(): Promise<void> {
  console.log('Mia asks for 10 euros for the caterer, and nobody cares')
  const { id } = await submitted({ payee: 'caterer', euros: 10 })
  await clock.advance(7 * DAY_MS)
  await printHistory(id)
  console.log(`In the end: ${balances()}`)
}

async function submitted(input: Invoice) {
  const job = await mia.submit(payment, input)
  await engine.idle()
  return job
}

async function buttons(who: Session, id: JobId): Promise<string> {
  return (await who.actions(id)).commands.join(', ') || 'nothing'
}

/** The state after a command, or the reason why it was refused. */
async function sent(
  who: Session,
  id: JobId<typeof payment>,
  type: 'approve' | 'reject',
  reason: string,
): Promise<string> {
  try {
    return (await who.send(id, { type, reason })).status
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

async function printHistory(id: JobId): Promise<void> {
  for (const { at, to, by, reason } of await mia.history(id)) {
    console.log(`  ${at.slice(0, 10)} ${to}, by ${by.id}${reason === undefined ? '' : `: ${reason}`}`)
  }
}

function balances(): string {
  const rows = bank.prepare('select name, euros from accounts order by rowid').all()
  return rows.map(({ name, euros }) => `${name} ${euros}`).join(', ')
}

// Output:
// Mia asks for 300 euros for the printer
//   it waits for: [{"kind":"timer","at":"2026-01-03T00:00:00.000Z"},{"kind":"command","commands":[]}]
//   mia may: nothing; max may: approve, reject
//   mia approves: FORBIDDEN
//   max approves: paying
//   the answer was lost, the money was not: us 700, printer 300, caterer 0
//   max clicks again: INVALID_STATE
//   paid once, by two attempts: us 700, printer 300, caterer 0
//   max clicks again: ALREADY_SETTLED
//   2026-01-01 submitted, by mia
//   2026-01-01 waiting, by engine
//   2026-01-01 paying, by max: as agreed
//   2026-01-01 paid, by engine
// Mia asks for 900 euros for the caterer
//   2026-01-01 submitted, by mia
//   2026-01-01 waiting, by engine
//   2026-01-01 rejected, by max: we have 700 left
// Mia asks for 90 euros for the caterer, and max is on holiday
//   dora may: reject
//   two days later dora may: overrule, reject; max may: reject
//   2026-01-01 submitted, by mia
//   2026-01-01 waiting, by engine
//   2026-01-03 escalated, by engine
//   2026-01-03 paying, by dora: the guests are here
//   2026-01-03 paid, by engine
// Mia asks for 10 euros for the caterer, and nobody cares
//   2026-01-03 submitted, by mia
//   2026-01-03 waiting, by engine
//   2026-01-05 escalated, by engine
//   2026-01-10 lapsed, by engine
// In the end: us 610, printer 300, caterer 90
