/**
 * Rights on a company's backups: its administrator, two editors, the owner of one system, a person without a role, and
 * the administrator of another company. Only the person who made a backup may see its passphrase.
 *
 *     npm run example examples/rights-and-roles.ts
 *
 * The program works in a temporary folder, which it removes at its end.
 */
import { createCipheriv, randomBytes, scryptSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createEngine,
  defineJob,
  JobchartError,
  type JobId,
  rolePolicy,
  type Session,
  type SessionPrincipal,
} from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const folder = await mkdtemp(join(tmpdir(), 'rights-and-roles-'))

const backup = defineJob({
  type: 'backup',
  input: z.object({ rows: z.string(), passphrase: z.string() }),
  // A number of bytes cannot repeat the passphrase, so it is shown even where the input is hidden. Errors and logs
  // might repeat it, so they are hidden.
  safe: ['output'],
  async execute({ input: { rows, passphrase }, job, log }) {
    if (passphrase.length < 8) throw new Error(`"${passphrase}" is too short for a passphrase`)
    log(`encrypting with "${passphrase}"`)
    const [salt, iv] = [randomBytes(16), randomBytes(12)]
    const cipher = createCipheriv('aes-256-gcm', scryptSync(passphrase, salt, 32), iv)
    const secret = Buffer.concat([cipher.update(rows), cipher.final()])
    await writeFile(join(folder, `${job.id}.backup`), Buffer.concat([salt, iv, cipher.getAuthTag(), secret]))
    return { bytes: secret.length }
  },
})

// The company chooses its role names. Their meaning is defined here, not in the jobs.
const policy = rolePolicy({
  admin: ['Administrator'],
  editor: ['Editor'],
  cancel: 'creatorOrAdmin',
  redact: ['input'],
  resources: { system: { see: ['operator', 'owner'], submit: ['operator'] } },
})

/** The people, as the host's directory knows them now. */
const directory = new Map<string, SessionPrincipal>([
  ['ada', { id: 'ada', tenant: 'acme', role: 'Administrator' }],
  ['ed', { id: 'ed', tenant: 'acme', role: 'Editor', relations: { 'system:7': 'operator' } }],
  ['eve', { id: 'eve', tenant: 'acme', role: 'Editor', relations: { 'system:8': 'operator' } }],
  ['otto', { id: 'otto', tenant: 'acme', relations: { 'system:7': 'owner' } }],
  ['vic', { id: 'vic', tenant: 'acme' }],
  ['mallory', { id: 'mallory', tenant: 'globex', role: 'Administrator' }],
])

const engine = await createEngine({ jobs: [backup], policy, storage: sqliteStorage(join(folder, 'jobs.db')) })
try {
  await tellTheStory()
} finally {
  await engine.stop()
  await rm(folder, { recursive: true })
}

// A session looks its person up at each call. A person who loses a role loses it at once, in open sessions too.
function as(name: string): Session {
  return engine.as(() => directory.get(name) ?? { id: name })
}

async function tellTheStory(): Promise<void> {
  const input = { rows: 'ada,1\ned,2\n', passphrase: 'correct horse' }
  const good = await as('ed').submit(backup, input, { labels: { system: '7' } })
  const bad = await as('ed').submit(backup, { ...input, passphrase: '1234' }, { labels: { system: '7' } })
  const later = await as('eve').submit(backup, input, { labels: { system: '8' }, startAt: '2100-01-01T02:00:00Z' })
  await as('mallory').submit(backup, input)
  await engine.idle()

  console.log('Who sees how many jobs, and whose')
  for (const name of directory.keys()) console.log(`  ${name}: ${await seenBy(name)}`)

  console.log('What is hidden is answered for as what is not there; what is seen may still be refused')
  const nowhere = '00000000-0000-7000-8000-000000000000'
  const hidden = await answer(as('eve').get(good.id), String, ({ message }) => message)
  const absent = await answer(as('eve').get(nowhere), String, ({ message }) => message)
  console.log(`  the same words to eve: ${hidden.replace(good.id, nowhere) === absent}`)
  console.log(`  ed's retried by eve, who does not see it: ${await answer(as('eve').retry(bad.id), String)}`)
  console.log(`  ed's retried by otto, who does: ${await answer(as('otto').retry(bad.id), String)}`)
  const foreign = as('eve').submit(backup, input, { labels: { system: '7' } })
  console.log(`  system 7 backed up by eve, its operator not: ${await answer(foreign, String)}`)

  console.log('The administrator sees the jobs, and nothing that may repeat a passphrase')
  for (const name of ['ed', 'ada']) console.log(`  ${name}: ${await detailsFor(name, good.id, bad.id)}`)

  console.log('A page of jobs, with the buttons of each')
  for (const name of ['ada', 'ed', 'eve', 'otto']) console.log(`  ${name}: ${await pageOf(name)}`)
  console.log(`  why eve's does not run yet: ${JSON.stringify(await as('ada').explain(later.id))}`)

  console.log('Eve becomes an administrator, and leaves the company; her session stays the same')
  const eve = as('eve')
  directory.set('eve', { id: 'eve', tenant: 'acme', role: 'Administrator' })
  console.log(`  she sees ${await answer(eve.count(), String)}`)
  directory.delete('eve')
  console.log(`  she sees ${await answer(eve.count(), String)}`)

  // For the host's own code only, never for a request: no policy is asked, and all tenants are included.
  console.log(`The host sees ${await engine.system.count()}, of both companies`)
}

async function seenBy(name: string): Promise<string> {
  const owners = await answer(as(name).list(), ({ items }) =>
    items
      .map(({ createdBy }) => createdBy)
      .sort()
      .join(', '),
  )
  return `count ${await answer(as(name).count(), String)}, list ${owners}`
}

/** The page of a backup that was made, and of one that failed. */
async function detailsFor(name: string, good: JobId<typeof backup>, bad: JobId<typeof backup>): Promise<string> {
  const { error, redacted } = await as(name).get(bad)
  const { output } = await as(name).get(good)
  const lines: string[] = []
  for await (const { text } of as(name).logs(good)) lines.push(text)
  const why = error === undefined ? `(no ${redacted?.join(', ')})` : error.message
  return `failed: ${why}; log: ${lines.join() || '(empty)'}; output: ${output?.bytes} bytes`
}

/** One call for a whole page: the actions of each job for the caller. */
async function pageOf(name: string): Promise<string> {
  const { items } = await as(name).list()
  const actions = await as(name).actions(items.map(({ id }) => id))
  const rows = items.map(({ id, status, labels }) => {
    const may = Object.entries(actions.get(id) ?? {}).flatMap(([button, isThere]) => (isThere === true ? [button] : []))
    return `${labels.system} ${status} [${may.join(' ')}]`
  })
  return rows.sort().join(', ')
}

/** The result of a call in words: its value, or its refusal. */
async function answer<Given>(
  call: Promise<Given>,
  words: (given: Given) => string,
  refusal = ({ code }: JobchartError): string => code,
): Promise<string> {
  try {
    return words(await call)
  } catch (error) {
    if (error instanceof JobchartError) return refusal(error)
    throw error
  }
}

// Output:
// Who sees how many jobs, and whose
//   ada: count 3, list ed, ed, eve
//   ed: count 2, list ed, ed
//   eve: count 1, list eve
//   otto: count 2, list ed, ed
//   vic: count FORBIDDEN, list FORBIDDEN
//   mallory: count 1, list mallory
// What is hidden is answered for as what is not there; what is seen may still be refused
//   the same words to eve: true
//   ed's retried by eve, who does not see it: JOB_NOT_FOUND
//   ed's retried by otto, who does: FORBIDDEN
//   system 7 backed up by eve, its operator not: FORBIDDEN
// The administrator sees the jobs, and nothing that may repeat a passphrase
//   ed: failed: "1234" is too short for a passphrase; log: encrypting with "correct horse"; output: 11 bytes
//   ada: failed: (no error, input, message); log: (empty); output: 11 bytes
// A page of jobs, with the buttons of each
//   ada: 7 completed [], 7 failed [], 8 waiting [cancel]
//   ed: 7 completed [retry delete], 7 failed [retry delete]
//   eve: 8 waiting [cancel delete]
//   otto: 7 completed [], 7 failed []
//   why eve's does not run yet: [{"kind":"startAt","at":"2100-01-01T02:00:00.000Z"}]
// Eve becomes an administrator, and leaves the company; her session stays the same
//   she sees 3
//   she sees FORBIDDEN
// The host sees 4, of both companies
