import type { JobchartOptions, Keeping } from './subjects/jobchart.ts'
import type { Subject } from './subjects/subject.ts'

/** What can be put under load, in the order in which it is measured: what is compared stands side by side. */
export const SUBJECTS = {
  'jobchart-full': { label: 'jobchart, SQLite FULL (its default)', share: 1 },
  'plainjob-normal': { label: 'plainjob, SQLite NORMAL (its default)', share: 1 },
  'against-full': { label: 'jobchart of --against, SQLite FULL', share: 1 },
  'jobchart-memory': { label: 'jobchart, memoryStorage', share: 1 },
  'against-memory': { label: 'jobchart of --against, memoryStorage', share: 1 },
  'jobchart-normal': { label: "jobchart, SQLite, durability: 'normal'", share: 1 },
  'plainjob-full': { label: 'plainjob, SQLite FULL', share: 1 / 4 },
  'p-queue': { label: 'p-queue, storing nothing', share: 10 },
} as const satisfies { readonly [name: string]: SubjectRow }

/** As `--subjects` and measure.ts take it. */
export type SubjectName = keyof typeof SUBJECTS

interface SubjectRow {
  readonly label: string
  /** Its part of the jobs of a closed loop, so that a run of each takes about as long. */
  readonly share: number
}

/** How a subject is opened; peers read only the folder and the concurrency. */
export type SubjectOptions = Omit<JobchartOptions, 'keeping'>

/** Whether there is a subject of that name. */
export function isSubjectName(name: string): name is SubjectName {
  return Object.hasOwn(SUBJECTS, name)
}

/** Whether a subject is another build of jobchart, which `--against` names. */
export function isOtherBuild(name: string): boolean {
  return name.startsWith('against-')
}

/** Opens a subject on an empty folder. Only its own packages are loaded into the process. */
export async function openSubject(name: SubjectName, options: SubjectOptions): Promise<Subject> {
  const { folder, concurrency } = options
  switch (name) {
    case 'jobchart-full':
      return openBuild('full', { ...options, against: undefined })
    case 'jobchart-normal':
      return openBuild('normal', { ...options, against: undefined })
    case 'jobchart-memory':
      return openBuild('memory', { ...options, against: undefined })
    case 'against-full':
      return openBuild('full', options)
    case 'against-memory':
      return openBuild('memory', options)
    case 'plainjob-full':
      return (await import('./subjects/plainjob.ts')).openPlainjob(folder, 'FULL', concurrency)
    case 'plainjob-normal':
      return (await import('./subjects/plainjob.ts')).openPlainjob(folder, 'NORMAL', concurrency)
    case 'p-queue':
      return (await import('./subjects/p-queue.ts')).openPQueue(concurrency)
  }
}

async function openBuild(keeping: Keeping, options: SubjectOptions): Promise<Subject> {
  return await (await import('./subjects/jobchart.ts')).openJobchart({ ...options, keeping })
}
