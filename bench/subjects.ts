import type { Subject } from './subjects/subject.ts'

/** What can be put under load, in the order in which it is measured. */
export const SUBJECTS = {
  'jobchart-full': { label: 'jobchart, SQLite FULL (its default)', share: 1 },
  'jobchart-normal': { label: "jobchart, SQLite, durability: 'normal'", share: 1 },
  'jobchart-memory': { label: 'jobchart, memoryStorage', share: 1 },
  'plainjob-full': { label: 'plainjob, SQLite FULL', share: 1 / 4 },
  'plainjob-normal': { label: 'plainjob, SQLite NORMAL (its default)', share: 1 },
  'p-queue': { label: 'p-queue, storing nothing', share: 30 },
} as const satisfies { readonly [name: string]: SubjectRow }

/** As `--subjects` and measure.ts take it. */
export type SubjectName = keyof typeof SUBJECTS

interface SubjectRow {
  readonly label: string
  /** Its part of `--jobs`, so that a run of each takes about as long. */
  readonly share: number
}

/** Whether there is a subject of that name. */
export function isSubjectName(name: string): name is SubjectName {
  return Object.hasOwn(SUBJECTS, name)
}

/** Opens a subject on an empty folder. Only its own packages are loaded into the process. */
export async function openSubject(name: SubjectName, folder: string, concurrency: number): Promise<Subject> {
  switch (name) {
    case 'jobchart-full':
      return (await import('./subjects/jobchart.ts')).openJobchart(folder, 'full', concurrency)
    case 'jobchart-normal':
      return (await import('./subjects/jobchart.ts')).openJobchart(folder, 'normal', concurrency)
    case 'jobchart-memory':
      return (await import('./subjects/jobchart.ts')).openJobchart(folder, 'memory', concurrency)
    case 'plainjob-full':
      return (await import('./subjects/plainjob.ts')).openPlainjob(folder, 'FULL', concurrency)
    case 'plainjob-normal':
      return (await import('./subjects/plainjob.ts')).openPlainjob(folder, 'NORMAL', concurrency)
    case 'p-queue':
      return (await import('./subjects/p-queue.ts')).openPQueue(concurrency)
  }
}
