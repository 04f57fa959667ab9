import { AUDIENCES } from './following.ts'
import type { Measurement } from './fresh-process.ts'
import { SUBMITS } from './latency.ts'
import type { Kind, Options } from './options.ts'
import { ORACLES, SAMPLES } from './oracle.ts'
import { PAGE } from './page-actions.ts'
import { SUBJECTS } from './subjects.ts'
import { MOVERS } from './transition.ts'

/** Jobs of a run of most kinds. */
const JOBS = 2_000
/** How long a run of `events` lasts. */
const SECONDS = 10
const FULL = SUBJECTS['jobchart-full'].label

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

function rowsOf(kind: Kind, jobs: number | undefined): readonly Row[] {
  switch (kind) {
    case 'closed':
    case 'burst':
      return Object.entries(SUBJECTS).map(([name, { label, share }]) => {
        return { kind, name, label, jobs: Math.max(1, Math.round((jobs ?? JOBS) * share)) }
      })
    case 'latency':
      return [{ kind, name: 'jobchart-full', label: SUBJECTS['jobchart-full'].label, jobs: SUBMITS }]
    case 'actions':
      return [{ kind, name: 'jobchart-full', label: `actions for a page of ${PAGE}`, jobs: PAGE }]
    case 'events':
      return Object.entries(AUDIENCES).map(([name, { label }]) => ({ kind, name, label, jobs: jobs ?? SECONDS }))
    case 'transition':
    case 'memory':
      return Object.entries(MOVERS).map(([name, { label }]) => ({ kind, name, label, jobs: 0 }))
    case 'waiting':
      return [1_000, 10_000, jobs ?? 200_000].map((waiting) => {
        return { kind, name: 'jobchart-full', label: FULL, jobs: waiting }
      })
    case 'blocking':
      return [{ kind, name: 'jobchart-full', label: FULL, jobs: jobs ?? 20_000 }]
    case 'heap':
      return [{ kind, name: 'jobchart-full', label: FULL, jobs: jobs ?? 1_000_000 }]
    case 'oracle':
      return ORACLES.map((name) => ({ kind, name, label: name.replace('-', ', policy '), jobs: jobs ?? SAMPLES }))
    case 'list':
      return ['one-editor', 'thousand-editors'].map((name) => {
        return { kind, name, label: name, jobs: jobs ?? 1_000_000 }
      })
  }
}
