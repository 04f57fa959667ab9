/**
 * Agents as real processes, in two pools, extract artifacts from real archives and images. One agent is too old for a
 * job, one is killed before it begins, and one comes back after its lease has ended.
 *
 *     npm run example examples/agents-and-pools/main.ts
 */
import { createEngine } from 'jobchart'
import { agents } from 'jobchart/executors'
import { agentJobs } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { startBox } from './boxes.ts'
import { fileOf } from './files.ts'

const tools = agentJobs({
  tools: { viewer: { versions: ['1.0', '2.1'], functions: { unpack: {}, measure: {} } } },
})
const { unpack, measure } = tools.jobs.viewer
const engine = await createEngine({
  jobs: tools.types,
  policy: tools.policy,
  storage: sqliteStorage('jobs.db'),
  executors: { agents: agents({ lease: '3s' }) },
})
const ada = engine.as({ id: 'ada', role: 'Administrator' })
const uma = engine.as({ id: 'uma', role: 'User' })

async function enroll(id: string, ...pools: string[]): Promise<string> {
  return (await ada.agents.enroll({ id, pools })).credential
}

/** Resolves when the job has this status. */
async function reached(id: string, status: string): Promise<void> {
  for await (const event of uma.events({ job: id, after: 0 })) if ('to' in event && event.to === status) return
}

/** Resolves when the job has left the state Claimed. */
async function givenBack(id: string): Promise<void> {
  for await (const event of uma.events({ job: id, after: 0 })) {
    if ('to' in event && event.type === 'job.transitioned' && event.from === 'Claimed') return
  }
}

async function say(what: string, id: string): Promise<void> {
  const { status, agentName, outputs, message } = tools.present(await uma.get(id))
  const by = agentName === null ? '' : `, ${agentName}`
  console.log(
    `${what}: ${status}${by}${outputs.length > 0 ? `, ${outputs.length} artifacts` : ''}${message === null ? '' : `, "${message}"`}`,
  )
}

// Only an agent that is too old is in the pool.
const old = await startBox(engine, await enroll('box-0', 'fast'), '1.0', 'fast')
const letter = await fileOf('tiny-picture.docx')
const first = await uma.submit(unpack, { file: letter, version: '2.1' }, { assignment: { pool: 'fast' } })
for (const why of await uma.explain(first.id)) {
  if (why.kind === 'noAgent') console.log(`no agent has ${why.function} ${why.version} in pool ${why.assignment?.pool}`)
}

// Another agent claims the job, and is killed before it has begun.
const second = await startBox(engine, await enroll('box-1', 'fast'), '2.1', 'fast')
const begun = await second.next('started')
await say('box-1 has claimed it', first.id)
second.process.kill('SIGKILL')
await givenBack(first.id)
await say('box-1 was killed', first.id)

// The next one runs it.
const third = await startBox(engine, await enroll('box-2', 'fast', 'slow'), '2.1', 'fast', 'slow')
await reached(first.id, 'Completed')
await say('box-2 has run it', first.id)
console.log(
  `a late report of box-1: ${JSON.stringify(await begun.resume()).includes('STALE_CLAIM') ? 'STALE_CLAIM' : 'accepted'}`,
)

// An agent stands still in the middle of a job until its lease has ended, and then comes back.
const late = third.next('event')
const logo = await uma.submit(measure, { file: await fileOf('ffox.png') }, { assignment: { agent: 'box-2' } })
const report = await late
third.process.kill('SIGSTOP')
await reached(logo.id, 'Failed')
await say('box-2 stood still', logo.id)
third.process.kill('SIGCONT')
console.log(
  `its report, late: ${JSON.stringify(await report.resume()).includes('STALE_CLAIM') ? 'STALE_CLAIM' : 'accepted'}`,
)

// From now on, both pools have an agent, and everything is done.
const fourth = await startBox(engine, await enroll('box-3', 'slow'), '2.1', 'slow')
const documents = ['tables.docx', 'footnotes.docx', 'comments.docx', 'simple-list.docx']
const images = ['7zip.png', 'gimp.png', 'ffox.png']
const jobs = [
  ...(await Promise.all(documents.map(async (id) => uma.submit(unpack, { file: await fileOf(id), version: '2.1' })))),
  ...(await Promise.all(
    images.map(async (id) => uma.submit(measure, { file: await fileOf(id) }, { assignment: { pool: 'slow' } })),
  )),
]
for (const { id } of jobs) await uma.result(id)
for (const { id } of jobs) {
  const { inputs = [], status, outputs } = tools.present(await uma.get(id))
  console.log(`${inputs[0]?.name}: ${status}, ${outputs.length} artifacts`)
}

const history = await uma.history(first.id)
console.log(history.map((entry) => tools.presentEntry(first.id, entry).name).join(', '))
for (const { name, agents: members } of await uma.agents.pools()) console.log(`pool ${name}: ${members.join(', ')}`)
const seen = tools.present(await ada.get(first.id))
console.log(`the administrator does not see: ${seen.redacted?.join(', ')}`)
const told = (await uma.notifications.list({ limit: 100 })).items.map(({ channels }) => channels.join(' and '))
for (const channels of new Set(told)) console.log(`${told.filter((each) => each === channels).length} by ${channels}`)

await Promise.all([old, second, third, fourth].map((box) => box.end()))
await engine.stop()

// Output:
// no agent has @viewer/unpack 2.1 in pool fast
// box-1 has claimed it: Claimed, box-1
// box-1 was killed: Pending, "agent lost"
// box-2 has run it: Completed, box-2, 13 artifacts
// a late report of box-1: STALE_CLAIM
// box-2 stood still: Failed, box-2, "agent lost"
// its report, late: STALE_CLAIM
// tables.docx: Completed, 12 artifacts
// footnotes.docx: Completed, 17 artifacts
// comments.docx: Completed, 16 artifacts
// simple-list.docx: Completed, 13 artifacts
// 7zip.png: Completed, 1 artifacts
// gimp.png: Completed, 1 artifacts
// ffox.png: Completed, 1 artifacts
// Pending, Claimed, Pending, Claimed, Running, Validating, Uploading, Completed
// pool fast: box-0, box-1, box-2
// pool slow: box-2, box-3
// the administrator does not see: inputs, parameters
// 8 by browser and audio
// 1 by toast
