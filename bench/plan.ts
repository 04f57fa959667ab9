import type { Measurement } from './fresh-process.ts'
import { SUBMITS } from './latency.ts'
import type { Kind, Options } from './options.ts'
import { SUBJECTS } from './subjects.ts'
import { MOVERS } from './transition.ts'

/** A row of the report: one measurement, made once in each round. */
export interface Row extends Measurement {
  readonly kind: Kind
  readonly label: string
}

/** All rows that were asked for, in the order of a round. */
export function planRows({ kinds, names, jobs }: Options): readonly Row[] {
  const rows = kinds.flatMap((kind) => rowsOf(kind, jobs))
  return rows.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)))
}

function rowsOf(kind: Kind, jobs: number): readonly Row[] {
  switch (kind) {
    case 'closed':
    case 'burst':
      return Object.entries(SUBJECTS).map(([name, { label, share }]) => {
        return { kind, name, label, jobs: Math.max(1, Math.round(jobs * share)) }
      })
    case 'latency':
      return [{ kind, name: 'jobchart-full', label: SUBJECTS['jobchart-full'].label, jobs: SUBMITS }]
    case 'transition':
    case 'memory':
      return Object.entries(MOVERS).map(([name, { label }]) => ({ kind, name, label, jobs: 0 }))
  }
}
