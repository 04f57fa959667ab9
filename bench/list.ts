import { statSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createEngine, type ListOptions, type Session, systemClock } from 'jobchart'
import type { JobFilter } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import { EDITOR, fillFile, middleOf, type Shape, TENANT, TYPES } from './list-file.ts'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'

const LIMIT = 50
const CALLS = 200
const COUNTS = 5

type Filter = Pick<ListOptions, 'type' | 'phase' | 'status' | 'pipeline' | 'labels'>

/** The filters. Each kind of filter matches most jobs, only the rare ones, or none. */
const CASES: readonly (readonly [name: string, filter: Filter])[] = [
  ['no filter', {}],
  ['type, common', { type: 'bulk' }],
  ['type, rare', { type: 'rare' }],
  ['type, none', { type: 'absent' }],
  ['phase, common', { phase: 'settled' }],
  ['phase, rare', { phase: 'indeterminate' }],
  ['phase, none', { phase: 'waiting' }],
  ['status, common', { status: 'completed' }],
  ['status, rare', { status: 'lost' }],
  ['status, none', { status: 'absent' }],
  ['pipeline, common', { pipeline: 'common' }],
  ['pipeline, rare', { pipeline: 'rare' }],
  ['pipeline, none', { pipeline: 'absent' }],
  ['label, common', { labels: { team: 'common' } }],
  ['label, rare', { labels: { team: 'rare' } }],
  ['label, none', { labels: { team: 'absent' } }],
]

/**
 * Times pages of 50 jobs for an editor and for an admin, with one filter each. Also times counts of such lists, with
 * the longest turn of the event loop meanwhile.
 *
 * @throws {Error}  a list has other jobs than expected.
 */
export async function lists(name: string, jobs: number, folder: string): Promise<Measured> {
  const shape: Shape = name === 'one-editor' ? 'one-editor' : 'thousand-editors'
  const file = join(folder, 'jobchart.db')
  const filling = performance.now()
  await fillFile(file, jobs, shape)
  const fillSeconds = (performance.now() - filling) / 1_000
  const figures: Record<string, number> = {
    'the file|fillSeconds': fillSeconds,
    'the file|fileMiB': statSync(file).size / 2 ** 20,
  }
  const engine = await createEngine({ jobs: TYPES, storage: sqliteStorage(file), work: false })
  try {
    for (const [role, id] of [
      ['editor', EDITOR],
      ['admin', 'boss'],
    ] as const) {
      const session = engine.as({ id, role, tenant: TENANT })
      for (const [asked, filter] of CASES)
        Object.assign(figures, await listed(session, `${role}: ${asked}`, filter, jobs))
    }
  } finally {
    await engine.stop()
  }
  Object.assign(figures, await counted(file))
  return { figures, facts: {} }
}

async function listed(session: Session, name: string, filter: Filter, jobs: number): Promise<Record<string, number>> {
  const first = await session.list({ ...filter, limit: LIMIT })
  if (name.endsWith('rare') ? first.items.length !== 10 : (first.items.length === 0) !== name.endsWith('none')) {
    throw new Error(`"${name}" lists ${first.items.length} jobs`)
  }
  const figures = await timed(name, () => session.list({ ...filter, limit: LIMIT }))
  if (first.nextCursor === undefined) return figures
  const cursor = deeper(first.nextCursor, middleOf(jobs))
  return {
    ...figures,
    ...(await timed(`${name}, in the middle`, () => session.list({ ...filter, limit: LIMIT, cursor }))),
  }
}

async function timed(name: string, call: () => Promise<unknown>): Promise<Record<string, number>> {
  const ms: number[] = []
  for (let index = 0; index < CALLS; index++) {
    const begin = performance.now()
    await call()
    ms.push(performance.now() - begin)
  }
  return {
    [`${name}|p50Ms`]: quantile(ms, 0.5),
    [`${name}|p99Ms`]: quantile(ms, 0.99),
    [`${name}|maxMs`]: Math.max(...ms),
  }
}

async function counted(file: string): Promise<Record<string, number>> {
  const storage = await sqliteStorage(file).open({ clock: systemClock(), instance: 'counter' })
  const editor = { tenant: TENANT, createdBy: EDITOR }
  const relations = Array.from({ length: 300 }, (_, index) => ({ tenant: TENANT, labels: { team: `team-${index}` } }))
  const filters: readonly (readonly [string, JobFilter])[] = [
    ["the editor's", { scopes: [editor] }],
    ["the editor's, by label", { scopes: [editor], labels: { team: 'common' } }],
    ["the editor's, by label and status", { scopes: [editor], labels: { team: 'common' }, status: ['completed'] }],
    ["the tenant's", { scopes: [{ tenant: TENANT }] }],
    [
      "the editor's, or of a label, or of 300 relations",
      { scopes: [editor, { tenant: TENANT, labels: { team: 'common' } }, ...relations] },
    ],
  ]
  const figures: Record<string, number> = {}
  try {
    for (const [name, filter] of filters) {
      const turns = monitorEventLoopDelay({ resolution: 1 })
      turns.enable()
      const ms: number[] = []
      for (let index = 0; index < COUNTS; index++) {
        const begin = performance.now()
        figures[`count: ${name}|found`] = await storage.count(filter)
        ms.push(performance.now() - begin)
      }
      turns.disable()
      figures[`count: ${name}|p50Ms`] = quantile(ms, 0.5)
      figures[`count: ${name}|maxMs`] = Math.max(...ms)
      figures[`count: ${name}|turnMaxMs`] = turns.max / 1e6
    }
  } finally {
    await storage.close()
  }
  return figures
}

// Makes a cursor that points elsewhere: a cursor contains the time and the id of the last job of a page, and this one
// gets another time.
function deeper(cursor: string, createdAt: number): string {
  const [, ...rest] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as readonly unknown[]
  return Buffer.from(JSON.stringify([createdAt, ...rest])).toString('base64url')
}
