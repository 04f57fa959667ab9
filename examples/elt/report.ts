import type { HistoryEntry } from 'jobchart'
import type { Run } from './begin.ts'
import { howFar } from './screen.ts'
import { rejectedInWords, type Summary, summary } from './summary.ts'
import { amount, number } from './words.ts'

/** The numbers of a completed run, one per line. Every run gives the same, because the data does not change. */
export function resultLines(output: unknown): readonly string[] {
  const of: Summary = summary.parse(output)
  return [
    'Result',
    `  extracted  ${amount(of.flights, 'flight')}, ${amount(of.airports, 'airport')}`,
    `  rejected   ${rejectedInWords(of.rejected, of.reasons)}`,
    `  loaded     ${amount(of.loaded, 'flight')} in ${amount(of.chunks, 'chunk')}`,
    `  delay      ${number(of.delayMinutes)} minutes in all`,
    `  distance   ${number(of.distanceMiles)} miles in all`,
    `  verified   ${amount(of.origins, 'airport')} of origin agree with the source`,
  ]
}

/** The end of a run that did not complete. */
export function endedLine({ id, status, error }: Run): string {
  return `Run ${id} ended as ${status}${note(error?.message)}.`
}

/** The run's states with the times of their entries (UTC). */
export function historyLines(history: readonly HistoryEntry[]): readonly string[] {
  return ['History', ...history.map(({ at, from, to, message }) => `  ${at}  ${step(from, to)}${note(message)}`)]
}

/** Earlier runs, newest first. */
export function earlierLines(runs: readonly Run[]): readonly string[] {
  if (runs.length === 0) return ['Earlier runs', '  none']
  return [
    'Earlier runs',
    ...runs.map((run) => `  ${run.createdAt}  ${run.id}  ${run.status}${note(run.error?.message)}`),
  ]
}

/** The reason why a new run was refused, in words. */
export function refusedLines(run: Run | undefined): readonly string[] {
  if (run === undefined) return ['A run was going until just now. Start again.']
  const { progress, startedAt, createdAt } = run
  const far = progress === undefined ? '' : `, ${howFar(progress.completed, progress.total ?? 0)}`
  return [
    `Run ${run.id} is going in another process, since ${startedAt ?? createdAt}. It is ${run.status}${far}.`,
    'One run at a time: start again when it has ended.',
  ]
}

function step(from: string | undefined, to: string): string {
  return from === undefined ? to : `${from} → ${to}`
}

function note(message: string | undefined): string {
  return message === undefined ? '' : `: ${message}`
}
