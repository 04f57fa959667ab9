import type { JobchartOptions, Keeping } from './subjects/jobchart.ts'
import type { Subject } from './subjects/subject.ts'

/**
 * The subjects: each library and setting that is measured. They are measured in this order, so subjects that are
 * compared stand next to each other.
 */
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

/** The name of a subject, for `--subjects` and for measure.ts. */
export type SubjectName = keyof typeof SUBJECTS

interface SubjectRow {
  readonly label: string
  /** The part of the given number of jobs that this subject runs, so that all subjects take about equally long. */
  readonly share: number
}

/** Options for opening a subject. The other libraries use only the folder and the concurrency. */
export type SubjectOptions = Omit<JobchartOptions, 'keeping'>

/** Whether a subject of this name exists. */
export function isSubjectName(name: string): name is SubjectName {
  return Object.hasOwn(SUBJECTS, name)
}

/** Whether the subject is the other build of jobchart, which `--against` names. */
export function isOtherBuild(name: string): boolean {
  return name.startsWith('against-')
}

/** Opens a subject in an empty folder. Loads only the packages of this subject into the process. */
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
