import type { JobView, Session } from 'jobchart'
import { executions } from './executions.ts'

/** Prints the rows of a workspace, the oldest first, as its screen would show them. */
export async function show(session: Session): Promise<void> {
  console.log(line('PIPELINE', 'STATUS', 'EXIT', 'HOW IT ENDED'))
  const { items } = await session.list({ order: 'oldest' })
  for (const view of items) console.log(rowLine(view))
}

function rowLine(view: JobView): string {
  const { status, exitCode, exitMessage, errorMessage } = executions.present(view, { details: true })
  // What a signal ended says nothing more than that.
  const why = [...new Set([exitMessage, errorMessage])].filter((text) => text !== null)
  return line(view.pipeline ?? '', status, `${exitCode ?? ''}`, why.join(': '))
}

function line(pipeline: string, status: string, exit: string, how: string): string {
  return `  ${pipeline.padEnd(9)} ${status.padEnd(9)} ${exit.padStart(4)}  ${how}`.trimEnd()
}
