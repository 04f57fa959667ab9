import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import type { Subject } from './subjects/subject.ts'
import { isSubjectName, openSubject, type SubjectName } from './subjects.ts'

/** How many clients a closed loop has, each with one unfinished job, and how many handlers may run at the same time. */
export const IN_FLIGHT = 100

/** Warm-up runs are made for this many milliseconds, so that the code is compiled. Their figures are discarded. */
const WARM_UP_MS = 1_000
/** Warm-up runs have at most this many jobs, so that they do not determine the peak memory. */
const WARM_UP_JOBS = 2_000

/**
 * How jobs arrive. `closed`: each client waits for the end of its job before it submits the next. `stored`: all jobs
 * are stored before the first one runs.
 */
export type Load = 'closed' | 'stored'

/** What to measure: a subject under a load. */
export interface Loaded {
  readonly load: Load
  /** The name of the subject. */
  readonly name: string
  readonly jobs: number
  readonly folder: string
  /** The folder of another build of jobchart, for subjects that measure that build. */
  readonly against: string | undefined
}

/**
 * Measures how many jobs per second a subject takes from their submits until they are stored as succeeded, the CPU time
 * of this process per job in microseconds, and the peak memory. Warm-up runs come first.
 *
 * @throws {Error}  there is no such subject, or the stored jobs are not as expected.
 */
export async function throughput(loaded: Loaded): Promise<Measured> {
  await warmUp(loaded)
  return await run(loaded, 'measured')
}

/** Makes small runs of the same load until the code is compiled. Their figures are discarded. */
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

/**
 * Checks that a subject of this name exists.
 *
 * @throws {Error}  there is none.
 */
export function nameOf({ name }: { readonly name: string }): SubjectName {
  if (isSubjectName(name)) return name
  throw new Error(`no subject "${name}"`)
}

/** The highest memory (RSS) of this process so far, in units of 1,000,000 bytes. */
export function peakMB(): number {
  return (process.resourceUsage().maxRSS * 1_024) / 1e6
}

async function closed(subject: Subject, jobs: number) {
  const begin = performance.now()
  await closedLoop(subject, jobs)
  return { jobsPerSecond: (jobs * 1_000) / (performance.now() - begin) }
}

/** Runs the jobs by clients that each submit a job, wait until it has succeeded, and submit the next. */
export async function closedLoop(subject: Pick<Subject, 'complete'>, jobs: number): Promise<void> {
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
