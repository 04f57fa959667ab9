import { holdsSlot, holdsUniqueKey, type Job } from './job.ts'

/** A write of a changeset. Only writes of a job's row have `job`, and of these only updates have `before`. */
interface OrderedWrite {
  readonly op: string
  readonly job?: Job
  readonly before?: Job
}

/**
 * Sorts the writes of a changeset: those whose job has a slot or takes a unique key come after the others, so that
 * slots and keys are freed before they are taken (S3, S34). Notifications come last, because they are stored only for
 * jobs that exist after the changeset.
 */
export function freedFirst<Write extends OrderedWrite>(writes: readonly Write[]): readonly Write[] {
  if (writes.length < 2) return writes
  const ranks = writes.map(rankOf)
  if (ranks.every((rank) => rank === 0)) return writes
  return [0, 1, 2, 3].flatMap((rank) => writes.filter((_, index) => ranks[index] === rank))
}

function rankOf({ op, job, before }: OrderedWrite): 0 | 1 | 2 | 3 {
  if (op === 'notify') return 3
  if (job === undefined) return 0
  if (holdsUniqueKey(job) && (before === undefined || !holdsUniqueKey(before))) return 2
  return holdsSlot(job) ? 1 : 0
}
