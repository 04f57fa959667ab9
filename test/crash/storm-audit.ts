import type { Job } from '../../src/port/index.ts'
import { type Aftermath, faultsOf, lossesOf, type Trace } from './aftermath.ts'
import type { Dated } from './journal.ts'

/** Times at which a process was started and killed, by the shared clock. */
export interface Span {
  readonly pid: number
  readonly spawnedAt: number
  killedAt?: number
}

/** A run of code, until its end or the kill of its process. */
interface Run {
  readonly job: string
  readonly task: string
  readonly token: number
  readonly pid: number
  readonly from: number
  readonly until: number
  readonly isCutOff: boolean
}

/** The contents of the file and of the journals. */
export function stormFaults(found: Aftermath, journal: readonly Dated[], spans: readonly Span[]): readonly string[] {
  const acknowledged = journal.flatMap((entry) => (entry.did === 'submit' ? [entry.job] : []))
  const jobs = new Map(found.traces.map(({ job }) => [job.id, job]))
  const runs = runsOf(journal, spans)
  return [
    ...faultsOf({ ...found, acknowledged }),
    ...found.traces.flatMap((trace) => faultsOfEnd(trace, found.traces)),
    ...overlaps(runs, ({ job, task }) => `${job}/${task}`, 'I16 one task under two tokens'),
    ...overlaps(runs, (run) => pipelineOf(jobs, run), 'I14 one pipeline with two runs'),
    ...faultsOfTokens(runs),
    ...faultsOfSteps(journal),
    ...faultsOfCancels(journal, jobs),
  ]
}

/** Every run of code, in the order of its start. */
export function runsOf(journal: readonly Dated[], spans: readonly Span[]): readonly Run[] {
  const ends = new Map(journal.flatMap((entry) => (entry.did === 'end' ? [[nameOf(entry), entry.at]] : [])))
  const killedAt = new Map(spans.map((span) => [span.pid, span.killedAt ?? Number.POSITIVE_INFINITY]))
  return journal.flatMap((entry) => {
    if (entry.did !== 'start') return []
    const { job, task, token, pid, at } = entry
    const end = ends.get(nameOf(entry))
    const until = end ?? killedAt.get(pid) ?? Number.POSITIVE_INFINITY
    return [{ job, task, token, pid, from: at, until, isCutOff: end === undefined }]
  })
}

/** For each killed process: the time until the first of its tasks was started again, and by which process. */
export function recoveries(journal: readonly Dated[], spans: readonly Span[]) {
  const runs = runsOf(journal, spans)
  const found = { restart: [] as number[], open: [] as number[], takeover: [] as number[] }
  for (const { pid, killedAt = Number.POSITIVE_INFINITY } of spans) {
    const cutOff = runs.filter((run) => run.pid === pid && run.isCutOff)
    const again = runs.filter((run) => run.from > killedAt && cutOff.some((each) => isSame(each, run)))[0]
    const by = spans.find((span) => span.pid === again?.pid)
    if (again === undefined || by === undefined) continue
    const opened = journal.find(({ did, pid }) => did === 'open' && pid === by.pid)?.at ?? by.spawnedAt
    if (by.spawnedAt < killedAt) found.takeover.push(again.from - killedAt)
    else {
      found.restart.push(again.from - by.spawnedAt)
      found.open.push(again.from - opened)
    }
  }
  return found
}

function isSame(a: Run, b: Run): boolean {
  return a.job === b.job && a.task === b.task
}

function nameOf({ pid, job, task, token }: { pid: number; job: string; task: string; token: number }): string {
  return `${pid}/${job}/${task}/${token}`
}

function overlaps(runs: readonly Run[], groupOf: (run: Run) => string | undefined, what: string): readonly string[] {
  const faults: string[] = []
  for (const [group, own] of Map.groupBy(runs, groupOf)) {
    if (group === undefined) continue
    let before: Run | undefined
    for (const run of own) {
      if (before !== undefined && run.from < before.until)
        faults.push(`${what}: ${group}, ${JSON.stringify([before, run])}`)
      if (before === undefined || run.until > before.until) before = run
    }
  }
  return faults
}

// A child works in its parent's slot.
function pipelineOf(jobs: ReadonlyMap<string, Job>, { job }: Run): string | undefined {
  let root = jobs.get(job)
  while (root?.parentId !== undefined) root = jobs.get(root.parentId)
  return root?.pipeline
}

function faultsOfTokens(runs: readonly Run[]): readonly string[] {
  const faults: string[] = []
  for (const [job, own] of Map.groupBy(runs, ({ job }) => job)) {
    const tokens = own.map(({ token }) => token)
    if (tokens.some((token, index) => index > 0 && token <= (tokens[index - 1] ?? 0)))
      faults.push(`I16 tokens of ${job} do not rise: ${tokens}`)
  }
  return faults
}

function faultsOfSteps(journal: readonly Dated[]): readonly string[] {
  const recorded = new Set<string>()
  const faults: string[] = []
  for (const entry of journal) {
    if (entry.did === 'record') recorded.add(entry.key)
    if (entry.did === 'step' && recorded.has(entry.key)) faults.push(`I22 ${entry.key} ran though it was recorded`)
  }
  return faults
}

function faultsOfCancels(journal: readonly Dated[], jobs: ReadonlyMap<string, Job>): readonly string[] {
  return journal.flatMap((entry) => {
    if (entry.did === 'refuse') return entry.code.startsWith('not typed') ? [entry.code] : []
    if (entry.did !== 'cancel') return []
    const status = jobs.get(entry.job)?.status
    return status === entry.status ? [] : [`I26 a cancel was answered "${entry.status}", and the job is ${status}`]
  })
}

function faultsOfEnd(trace: Trace, traces: readonly Trace[]): readonly string[] {
  const { job, effects } = trace
  const { id, type, status, phase, tasks, error } = job
  const faults: string[] = []
  const times = Object.values(effects)
  if (phase !== 'settled' || tasks.length > 0) faults.push(`I19 ${id} is left ${status}`)
  if (times.some((each) => each !== 1)) faults.push(`${id} took effect twice: ${JSON.stringify(effects)}`)
  const wanted = type === 'plain' ? 2 : 1
  if ((status === 'completed' || status === 'done') && times.length !== wanted)
    faults.push(`I21 ${id} is ${status}, and took effect ${times.length} times`)
  const isPoisoned = lossesOf(trace) >= 3 || traces.some((each) => each.job.parentId === id && lossesOf(each) >= 3)
  if (job.outcome === 'failure' && !isPoisoned) faults.push(`${id} failed: ${error?.code} ${error?.message}`)
  return faults
}
