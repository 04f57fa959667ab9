import type { TaskContext } from 'jobchart'

/** What a process of its own runs for an execution. */
function square({ input: { of } }: TaskContext<{ readonly of: number }>): number {
  if (of < 0) throw Object.assign(new RangeError('it is negative'), { exitCode: 3 })
  return of * of
}

export { square as default }
