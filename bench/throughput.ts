import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import type { Subject } from './subjects/subject.ts'
import { isSubjectName, openSubject, type SubjectName } from './subjects.ts'

/** Jobs that are between their submit and their end at any time of a closed loop; and handlers that may run at once. */
export const IN_FLIGHT = 100

/** Runs are discarded until so much time has passed: code that is compiled while it is measured is another code. */
const WARM_UP_MS = 1_500

/** How jobs arrive. */
export type Load = 'closed' | 'burst'

/**
 * The rate at which a subject takes jobs from submitted to stored as succeeded, and the processor time that each takes
 * of this process, in microseconds; after discarded runs of as many jobs.
 *
 * @throws {Error}  there is no subject of that name, or what was stored is not what should be.
 */
export async function throughput(load: Load, name: string, jobs: number, folder: string): Promise<Measured> {
  if (!isSubjectName(name)) throw new Error(`no subject "${name}"`)
  const begin = performance.now()
  for (let n = 1; n === 1 || performance.now() - begin < WARM_UP_MS; n++) {
    await run(load, name, jobs, join(folder, `warm-up-${n}`))
  }
  return await run(load, name, jobs, join(folder, 'measured'))
}

async function run(load: Load, name: SubjectName, jobs: number, folder: string): Promise<Measured> {
  await mkdir(folder)
  const subject = await openSubject(name, folder, IN_FLIGHT)
  try {
    const committed = subject.commits?.() ?? 0
    const cpu = process.cpuUsage()
    const begin = performance.now()
    if (load === 'closed') await closedLoop(subject, jobs)
    else await subject.completeAll(jobs)
    const seconds = (performance.now() - begin) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const commits = subject.commits === undefined ? {} : { commits: (subject.commits() - committed) / jobs }
    const figures = { jobsPerSecond: jobs / seconds, cpuUs: (user + system) / jobs, ...commits }
    return { figures, facts: await subject.check(jobs) }
  } finally {
    await subject.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Each client submits a job, waits until it has succeeded, and submits the next. */
async function closedLoop(subject: Subject, jobs: number): Promise<void> {
  let submitted = 0
  const client = async () => {
    while (submitted < jobs) await subject.complete(++submitted)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, client))
}
