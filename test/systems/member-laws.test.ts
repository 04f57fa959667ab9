import fc from 'fast-check'
import type { JobView, Policy } from 'jobchart'
import type { MemberRow } from 'jobchart/presets'
import { describe, expect, test } from 'vitest'
import { answerOf, members, type Organization, organization, type Run } from './organization.ts'

// Progress is stored at most once in this many milliseconds.
const PROGRESS_MS = 250

/** Something that happens to a job. */
type Step =
  | { readonly do: 'percent'; readonly value: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'succeed' | 'fail' | 'cancel' | 'restart' }

const percents: fc.Arbitrary<Step> = fc
  .oneof(fc.double(), fc.double({ min: -20, max: 120 }), fc.integer({ min: -1, max: 101 }))
  .map((value) => ({ do: 'percent', value }))
const waits: fc.Arbitrary<Step> = fc.integer({ min: 0, max: 600 }).map((ms) => ({ do: 'wait', ms }))
const restarts: fc.Arbitrary<Step> = fc.constant({ do: 'restart' })
const ends: fc.Arbitrary<Step> = fc.constantFrom({ do: 'succeed' }, { do: 'fail' }, { do: 'cancel' })

const FIELDS: readonly (keyof JobView)[] = [
  'type',
  'version',
  'tenant',
  'createdBy',
  'trigger',
  'labels',
  'status',
  'phase',
  'outcome',
  'input',
  'output',
  'error',
  'message',
  'progress',
  'priority',
  'startedAt',
  'endedAt',
  'updatedAt',
]

/** Applies one step to the newest run of a job. */
async function happen({ clock, engine, work, ed, stop }: Organization, id: string, step: Step): Promise<void> {
  const run = work.runs.at(-1)
  switch (step.do) {
    case 'percent':
      return run?.context.percent(step.value)
    case 'wait':
      return await clock.advance(step.ms)
    case 'succeed':
    case 'fail':
      run?.[step.do]('an end')
      return await clock.settle()
    case 'cancel':
      expect(['ok', 'ALREADY_SETTLED']).toContain(await answerOf(ed.cancel(id)))
      return await clock.settle()
    case 'restart':
      for (const each of work.runs) obey(each)
      await stop()
      await engine.start()
  }
}

/** Work that ends when it is told to. Its engine does not wait for it. */
function obey({ context: { signal }, succeed }: Run): void {
  if (signal.aborted) succeed()
  else signal.addEventListener('abort', () => succeed(), { once: true })
}

/** The percent that an attempt should show after the given steps. */
function reachedBy(steps: readonly Step[]): number {
  const said = steps.flatMap((step) => (step.do === 'percent' && Number.isFinite(step.value) ? [step.value] : []))
  return Math.floor(Math.min(100, Math.max(0, ...said)))
}

describe('laws', () => {
  test('percent is the highest value that any attempt reported, from 0 to 100', async () => {
    const steps = fc.array(fc.oneof({ weight: 6, arbitrary: percents }, { weight: 3, arbitrary: waits }, restarts), {
      size: 'max',
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const world = await organization()
        const { id } = await world.ed.submit(world.seed, { file: 'x' })
        for (const [index, step] of all.entries()) {
          await happen(world, id, step)
          await world.clock.advance(PROGRESS_MS)
          expect((await world.row(id)).progress).toBe(reachedBy(all.slice(0, index + 1)))
        }
        const told = world.heard.flatMap((event) => (event.type === 'job.progress' ? [event.progress] : []))
        for (const { total } of told) expect(total).toBe(100)
        // None reports a value that is already known.
        const completed = told.map((progress) => progress.completed)
        expect(completed).toEqual([...new Set(completed)].sort((a, b) => a - b))
        await world.end()
      }),
      { numRuns: 60 },
    )
  })

  test('every job makes a row, in any state and with any redaction', async () => {
    const steps = fc.array(fc.oneof(percents, waits, restarts, ends), { size: 'max', maxLength: 12 })
    const redactions = fc.subarray<string>([...FIELDS])
    await fc.assert(
      fc.asyncProperty(steps, redactions, fc.boolean(), async (all, redact, isSecond) => {
        const world = await organization({ policy: redacting(redact), concurrency: 1 })
        if (isSecond) await world.eve.submit(world.load, { file: 'before it' })
        const { id } = await world.ed.submit(world.seed, { file: 'x' })
        const rows: MemberRow[] = []
        for (const step of [{ do: 'wait', ms: 0 } as const, ...all]) {
          await happen(world, id, step)
          rows.push(await world.row(id))
          checkRow(members.present(await world.member('guest', 'Administrator').get(id)), redact)
        }
        checkLife(rows)
        await world.end()
      }),
      { numRuns: 100 },
    )
  })
})

/** The preset's policy, with redacted fields for a guest. */
function redacting(redact: readonly string[]): Policy {
  const { scope, authorize } = members.policy
  return {
    scope,
    authorize: async (who, action, target) => {
      const verdict = await authorize(who, action, target)
      return who.id === 'guest' && verdict === 'allow' ? { redact } : verdict
    },
  }
}

const STATUSES = ['Waiting', 'Running', 'Successful', 'Failed', 'Cancelled']

/** A row has every column with the right type, and shows nothing of redacted fields. */
function checkRow(row: MemberRow, redacted: readonly string[] = []): void {
  expect(Object.keys(row)).toEqual(members.columns.map(({ key }) => key))
  expect(STATUSES).toContain(row.status)
  expect(Number.isInteger(row.progress) && row.progress >= 0 && row.progress <= 100).toBe(true)
  for (const key of ['type', 'id', 'message', 'creation', 'update', 'startedBy'] as const) {
    expect(typeof row[key]).toBe('string')
  }
  for (const key of ['errorDetail', 'start', 'end'] as const) {
    expect(row[key] === null || typeof row[key] === 'string').toBe(true)
  }
  const hides = (field: string) => redacted.includes(field)
  if (hides('message') || hides('input')) expect(row.message).toBe('')
  if (hides('error') || hides('input')) expect(row.errorDetail).toBe(null)
  if (hides('createdBy')) expect(row.startedBy).toBe('')
  if (hides('startedAt')) expect(row.start).toBe(null)
  if (hides('endedAt')) expect(row.end).toBe(null)
}

/**
 * The rows of one job in the order of time: they only go forward, except that a job that is given back waits again. An
 * ended row does not change.
 */
function checkLife(rows: readonly MemberRow[]): void {
  for (const [index, row] of rows.entries()) {
    checkRow(row)
    const { status, progress, creation, start, end, update, errorDetail, message } = row
    const hasEnded = status !== 'Waiting' && status !== 'Running'
    expect(end !== null).toBe(hasEnded)
    expect(errorDetail !== null).toBe(status === 'Failed')
    if (status === 'Waiting') expect(start).toBe(rows[index - 1]?.start ?? null)
    if (status === 'Successful') expect(progress).toBe(100)
    expect(message).toBe('Seed x')
    const times = [creation, start ?? creation, end ?? update, update]
    expect(times).toEqual([...times].sort())
    const before = rows[index - 1]
    if (before === undefined) continue
    expect(progress).toBeGreaterThanOrEqual(before.progress)
    const isGivenBack = before.status === 'Running' && status === 'Waiting'
    if (!isGivenBack) expect(STATUSES.indexOf(status)).toBeGreaterThanOrEqual(STATUSES.indexOf(before.status))
    if (before.end !== null) expect(row).toEqual(before)
  }
}
