import type { MemberRow } from 'jobchart/presets'
import { members } from './members.ts'

/** Number of characters of an id that are shown: the last ones, because the first ones are the time. */
const idCharacters = 4

/** The page's table as lines, with the details of failures below it. */
export function tableLines(rows: readonly MemberRow[]): readonly string[] {
  const shown = members.columns.filter(({ key }) => key !== 'errorDetail')
  const lines = [shown.map(({ name }) => name), ...rows.map((row) => shown.map(({ key }) => cellOf(row, key)))]
  const widths = shown.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const details = rows.flatMap(({ id, errorDetail }) =>
    errorDetail === null ? [] : [`! ${short(id)}: ${errorDetail}`],
  )
  return [
    ...lines.map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
    ...details,
  ]
}

function cellOf(row: MemberRow, key: keyof MemberRow): string {
  switch (key) {
    case 'id':
      return short(row.id)
    case 'status':
      return row.errorDetail === null ? row.status : `${row.status} !`
    case 'progress':
      return `${row.progress} %`
    case 'creation':
    case 'start':
    case 'end':
    case 'update':
      return timeOf(row[key])
    default:
      return row[key] ?? ''
  }
}

function short(id: string): string {
  return id.slice(-idCharacters)
}

/** '14:03:27.250', in UTC. */
function timeOf(iso: string | null): string {
  return iso === null ? '–' : iso.slice(11, 23)
}
