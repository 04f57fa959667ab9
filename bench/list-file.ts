import { systemClock } from 'jobchart'
import type { Job, StorageConnection } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import { create } from '../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../src/model/definition.ts'
import { eventRow } from '../src/model/event.ts'

/** Who owns the jobs: one editor nearly all, or a thousand editors equal parts. */
export type Shape = 'one-editor' | 'thousand-editors'

/** The editor whose lists are measured. */
export const EDITOR = 'editor-0'
export const TENANT = 'acme'

/** The job types of the file. No job has the last one. */
export const TYPES: readonly AnyJobType[] = ['bulk', 'rare', 'absent'].map((type) =>
  defineJob({ type, execute: () => undefined }),
)

const START = 1_767_225_600_000
/** How many jobs have fields like no other job. They are the oldest jobs of the editor. */
const RARE = 10
const COMMIT_JOBS = 5_000

/** The creation time of the job in the middle, in milliseconds UTC. */
export function middleOf(jobs: number): number {
  return START + jobs / 2
}

/**
 * Writes the jobs to a new file. For speed, it uses the storage's own connection, and large commits. The newest tenth
 * are child jobs, which most lists leave out. Half of the rest have a label and a pipeline. The oldest jobs of the
 * editor have a type, phase, status, pipeline and label that no other job has.
 */
export async function fillFile(file: string, jobs: number, shape: Shape): Promise<void> {
  const storage = await sqliteStorage(file, { durability: 'normal' }).open({ clock: systemClock(), instance: 'filler' })
  try {
    for (let first = 0; first < jobs; first += COMMIT_JOBS) await commit(storage, first, jobs, shape)
  } finally {
    await storage.close()
  }
}

async function commit(storage: StorageConnection, first: number, jobs: number, shape: Shape): Promise<void> {
  const made = Array.from({ length: Math.min(COMMIT_JOBS, jobs - first) }, (_, index) =>
    jobOf(first + index, jobs, shape),
  )
  const { results } = await storage.commit(
    made.map((job) => {
      const events = eventRow(job, { kind: 'user', id: job.createdBy }, [{ type: 'job.updated' }], [])
      return { id: `changeset-${job.id}`, writes: [{ op: 'insert', job, events }] }
    }),
  )
  const refused = results.find(({ status }) => status !== 'applied')
  if (refused !== undefined) throw new Error(`a job was not written: ${refused.status}`)
}

const [bulk, rare] = TYPES.map((type) =>
  type === undefined
    ? undefined
    : create(
        type,
        {
          id: 'template',
          tenant: TENANT,
          createdBy: EDITOR,
          trigger: 'manual',
          labels: {},
          priority: 0,
          input: { n: 1 },
        },
        { at: START, random: 0, heartbeatMs: 2_000 },
      ).job,
)

function jobOf(index: number, jobs: number, shape: Shape): Job {
  if (bulk === undefined || rare === undefined) throw new Error('there are no templates')
  const createdAt = START + index
  const owner = shape === 'one-editor' ? (index % 1_000 === 999 ? 1 : 0) : index % 1_000
  const ids = { id: idOf(index), createdBy: `editor-${owner}`, createdAt, updatedAt: createdAt, eventCount: 1 }
  const isRare = owner === 0 && index < (shape === 'one-editor' ? RARE : RARE * 1_000)
  if (isRare) {
    const place = { pipeline: 'rare', labels: { team: 'rare' }, vacates: true }
    return { ...rare, ...ids, ...place, phase: 'indeterminate', status: 'lost', tasks: [] }
  }
  const settled = { phase: 'settled', status: 'completed', outcome: 'success', endedAt: createdAt, tasks: [] } as const
  if (index >= jobs * 0.9) return { ...bulk, ...ids, ...settled, parentId: idOf(0) }
  // The half with a label is spread over all owners.
  const isHalf = Math.floor(index / 1_000) % 2 === 0
  return { ...bulk, ...ids, ...settled, ...(isHalf ? { labels: { team: 'common' }, pipeline: 'common' } : {}) }
}

// An id like a UUID of version 7: the time, then pseudo-random digits.
function idOf(index: number): string {
  const time = (START + index).toString(16).padStart(12, '0')
  const tail = (Math.imul(index, 0x9e3779b1) >>> 0).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${tail}`
}
