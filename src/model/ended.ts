import type { EndedChild } from './job.ts'
import type { OpenJob } from './move-record.ts'

/**
 * Keeps a child that has ended by itself known to its chart: until its state is left, the chart may send to it, and
 * nothing comes of that.
 */
export function noteEnded(job: OpenJob, { id, src, invocation }: EndedChild): void {
  job.ended = [...(job.ended ?? []).filter((each) => each.invocation !== invocation), { id, src, invocation }]
}

/** Forgets the ended children that are meant: the chart has left them, or begins them anew. */
export function forgetEnded(job: OpenJob, isMeant: (child: EndedChild) => boolean): void {
  const left = (job.ended ?? []).filter((each) => !isMeant(each))
  if (left.length > 0) job.ended = left
  else delete job.ended
}
