import { WRITERS } from './blocking.ts'
import { DUE } from './due.ts'
import { AUDIENCES } from './following.ts'
import type { Measurement } from './fresh-process.ts'
import { ITEM_WRITERS } from './items.ts'
import { jobsOf, type Kind, type Options } from './options.ts'
import { PAGE } from './page-actions.ts'
import { PRUNED } from './prune.ts'
import { isOtherBuild, SUBJECTS } from './subjects.ts'
import { MOVERS } from './transition.ts'
import { PARTS } from './tree.ts'

const FULL = SUBJECTS['jobchart-full'].label
/** The subjects for which promises are counted. */
const PROMISING = ['jobchart-full', 'jobchart-memory', 'plainjob-normal', 'p-queue'] as const

/** A row of the report: one measurement, made once in each round. */
export interface Row extends Measurement {
  readonly kind: Kind
  readonly label: string
}

/** All rows that the options select, in the order of the report. */
export function planRows(options: Options): readonly Row[] {
  const { kinds, names, against } = options
  const rows = kinds.flatMap((kind) => rowsOf(kind, jobsOf(kind, options), against))
  return rows.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)))
}

function rowsOf(kind: Kind, jobs: number, against: string | undefined): readonly Row[] {
  switch (kind) {
    case 'closed':
      return Object.entries(SUBJECTS).flatMap(([name, { label, share }]) => {
        if (against === undefined && isOtherBuild(name)) return []
        const other = isOtherBuild(name) && against !== undefined ? { against } : {}
        return [{ kind, name, label, jobs: Math.max(1, Math.round(jobs * share)), ...other }]
      })
    case 'stored':
      return Object.entries(SUBJECTS).flatMap(([name, { label, share }]) => {
        // An older build may not have `submitMany`.
        if (isOtherBuild(name)) return []
        return [{ kind, name, label, jobs: Math.max(1, Math.round(jobs * Math.min(1, share))) }]
      })
    case 'promises':
      return PROMISING.map((name) => ({ kind, name, label: SUBJECTS[name].label, jobs }))
    case 'latency':
      return [{ kind, name: 'jobchart-full', label: FULL, jobs }]
    case 'actions':
      return [{ kind, name: 'jobchart-full', label: `actions for a page of ${PAGE}`, jobs }]
    case 'blocking':
      return labelled(kind, WRITERS, jobs)
    case 'due':
      return labelled(kind, DUE, jobs)
    case 'tree':
      return labelled(kind, PARTS, jobs)
    case 'items':
      return labelled(kind, ITEM_WRITERS, jobs)
    case 'events':
      return labelled(kind, AUDIENCES, jobs)
    case 'transition':
    case 'memory':
      return labelled(kind, MOVERS, jobs)
    case 'waiting':
      return [
        { kind, name: 'few', label: FULL, jobs: Math.min(1_000, jobs) },
        { kind, name: 'some', label: FULL, jobs: Math.min(10_000, jobs) },
        { kind, name: 'many', label: FULL, jobs },
      ]
    case 'heap':
      return [{ kind, name: 'jobchart-full', label: FULL, jobs }]
    case 'prune':
      return labelled(kind, PRUNED, jobs)
    case 'list':
      return ['one-editor', 'thousand-editors'].map((name) => ({ kind, name, label: name, jobs }))
  }
}

function labelled(kind: Kind, rows: { readonly [name: string]: { readonly label: string } }, jobs: number) {
  return Object.entries(rows).map(([name, { label }]) => ({ kind, name, label, jobs }))
}
