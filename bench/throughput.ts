import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import type { Subject } from './subjects/subject.ts'
import { isSubjectName, openSubject, type SubjectName } from './subjects.ts'

/** Jobs that are between their submit and their end at any time of a closed loop; and handlers that may run at once. */
export const IN_FLIGHT = 100

/** Runs are discarded until so much time has passed: code that is compiled while it is measured is another code. */
const WARM_UP_MS = 1_000
/** A discarded run should not be what takes the most memory. */
const WARM_UP_JOBS = 2_000

/** How jobs arrive: each client waits for its job's end; or all are stored before the first is run. */
export type Load = 'closed' | 'stored'

/** What is put under load, and how. */
export interface Loaded {
  readonly load: Load
  /** Of a subject. */
  readonly name: string
  readonly jobs: number
  readonly folder: string
  /** A folder with another build of jobchart, for the subjects that are one. */
  readonly against: string | undefined
}

/**
 * The rate at which a subject takes jobs from submitted to stored as succeeded, the processor time that each takes of
 * this process, in microseconds, and the most memory that the process took; after discarded runs.
 *
 * @throws {Error}  there is no subject of that name, or what was stored is not what should be.
 */
export async function throughput(loaded: Loaded): Promise<Measured> {
  await warmUp(loaded)
  return await run(loaded, 'measured')
}

/** Makes runs that count for nothing, as `loaded` but smaller, until the code is compiled. */
export async function warmUp(loaded: Loaded): Promise<void> {
  const begin = performance.now()
  for (let n = 1; n === 1 || performance.now() - begin < WARM_UP_MS; n++) {
    await run({ ...loaded, jobs: Math.min(loaded.jobs, WARM_UP_JOBS) }, `warm-up-${n}`)
  }
}

async function run({ load, jobs, ...loaded }: Loaded, folder: string): Promise<Measured> {
  const own = join(loaded.folder, folder)
  await mkdir(own)
  const subject = await openSubject(nameOf(loaded), {
    folder: own,
    concurrency: IN_FLIGHT,
    load,
    against: loaded.against,
  })
  try {
    const committed = subject.commits?.() ?? 0
    const cpu = process.cpuUsage()
    const rates = load === 'closed' ? await closed(subject, jobs) : await stored(subject, jobs)
    const { user, system } = process.cpuUsage(cpu)
    const commits = subject.commits === undefined ? {} : { commits: (subject.commits() - committed) / jobs }
    const figures = { ...rates, cpuUs: (user + system) / jobs, ...commits, peakMB: peakMB() }
    return { figures, facts: await subject.check(jobs) }
  } finally {
    await subject.close()
    await rm(own, { recursive: true, force: true })
  }
}

/** @throws {Error}  there is no such subject. */
export function nameOf({ name }: { readonly name: string }): SubjectName {
  if (isSubjectName(name)) return name
  throw new Error(`no subject "${name}"`)
}

/** The most memory (RSS) that this process has taken so far, in units of 1,000,000 bytes. */
export function peakMB(): number {
  return (process.resourceUsage().maxRSS * 1_024) / 1e6
}

async function closed(subject: Subject, jobs: number) {
  const begin = performance.now()
  await closedLoop(subject, jobs)
  return { jobsPerSecond: (jobs * 1_000) / (performance.now() - begin) }
}

/** Each client submits a job, waits until it has succeeded, and submits the next. */
export async function closedLoop(subject: Subject, jobs: number): Promise<void> {
  let submitted = 0
  const client = async () => {
    while (submitted < jobs) await subject.complete(++submitted)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, client))
}

async function stored(subject: Subject, jobs: number) {
  const inputs = Array.from({ length: jobs }, (_, n) => ({ n }))
  const begin = performance.now()
  await subject.store(inputs)
  const draining = performance.now()
  await subject.drain()
  const end = performance.now()
  return {
    storedPerSecond: (jobs * 1_000) / (draining - begin),
    drainedPerSecond: (jobs * 1_000) / (end - draining),
    bothPerSecond: (jobs * 1_000) / (end - begin),
  }
}
