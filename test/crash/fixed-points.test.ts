import type { Engine, JobchartError } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { aftermath, attemptsOf, deliver, faultsOf, integrityOf, locksLeft, lossesOf, observer } from './aftermath.ts'
import { Life, testFolder } from './life.ts'
import { STEPS } from './life-options.ts'

/** The point where the process is killed, and the expected state after the next process is done. */
interface Point {
  readonly at: string
  /** State of the pipeline's slot at that point. */
  readonly slot: 'held' | 'free'
  /** Number of attempts. Default 2: the killed one, and the next. */
  readonly attempts?: number
  /** Number of starts of the handler. Default 2. */
  readonly handlers?: number
  /** The step that has to run again, if any. */
  readonly again?: string
  /** Whether the killed process runs no task. */
  readonly work?: false
}

const points: readonly Point[] = [
  { at: 'submit unwritten', slot: 'free', attempts: 1, handlers: 1 },
  // Stored as claimed: the attempt was counted, but its handler never started.
  { at: 'submit written', slot: 'held', handlers: 1 },
  { at: 'submit acknowledged', slot: 'held', attempts: 1, handlers: 1, work: false },
  { at: 'handler entered', slot: 'held' },
  ...STEPS.flatMap((step): readonly Point[] => [
    { at: `${step} begun`, slot: 'held', again: step },
    { at: `${step} took effect`, slot: 'held', again: step },
    { at: `record of ${step} unwritten`, slot: 'held', again: step },
    { at: `record of ${step} written`, slot: 'held' },
    { at: `${step} resolved`, slot: 'held' },
  ]),
  { at: 'end unwritten', slot: 'held' },
  { at: 'end written', slot: 'free', attempts: 1, handlers: 1 },
]

describe('a process killed at a fixed point', () => {
  test.each(points)('$at: the next process finishes its job correctly', async (point) => {
    const { at, slot, attempts = 2, handlers = 2, again, work = true } = point
    const folder = testFolder()
    const submit = { do: 'submit', type: 'deliver', input: {}, pipeline: 'nightly', key: 'first' } as const

    const first = new Life({ folder, stopAt: at, work })
    await first.said('ready')
    first.tell(submit)
    await first.said(at)
    const other = at === 'submit unwritten' ? undefined : await secondRun(folder, slot, first)
    expect(await first.kill()).toEqual({ code: null, signal: 'SIGKILL' })

    const next = new Life({ folder })
    await next.said('ready')
    // Its client does not know the outcome of the submit, and repeats it.
    next.tell(submit)
    const { id } = await next.said('submitted')
    expect(await next.finish()).toEqual({ code: 0, signal: null })
    expect(locksLeft(folder)).toEqual([])

    const found = await aftermath(folder)
    expect(faultsOf(found)).toEqual([])
    expect(integrityOf(folder)).toEqual(['ok', 'ok'])
    expect(found.traces.map(({ job }) => job.id)).toEqual(other === undefined ? [id] : [id, other])
    const [trace] = found.traces
    expect(trace?.job).toMatchObject({ status: 'completed', outcome: 'success', phase: 'settled', output: 'delivered' })
    expect(trace && attemptsOf(trace)).toEqual(Array.from({ length: attempts }, (_, index) => index + 1))
    expect(trace && lossesOf(trace)).toBe(attempts - 1)
    const once = { extract: 1, transform: 1, store: 1 }
    expect(trace?.effects).toEqual(once)
    expect(trace?.runs).toEqual({ ...once, handler: handlers, ...(again === undefined ? {} : { [again]: 2 }) })
    await expectFree(folder)
  })
})

/**
 * Submits a second run of the pipeline while the process is suspended. If it is refused, submits it again after its
 * death.
 */
async function secondRun(folder: string, slot: Point['slot'], first: Life): Promise<string | undefined> {
  const engine = await observer(folder)
  try {
    if (slot === 'free') return await submitted(engine)
    const holder = await refusedBy(engine)
    await first.kill()
    expect(await refusedBy(engine)).toBe(holder)
    return undefined
  } finally {
    await engine.stop()
  }
}

async function submitted(engine: Engine): Promise<string> {
  const { id } = await engine.as({ id: 'bob', role: 'admin' }).submit(deliver, {}, { pipeline: 'nightly' })
  return id
}

async function refusedBy(engine: Engine): Promise<string> {
  const refusal = await submitted(engine).catch((error: JobchartError) => error)
  expect(refusal).toMatchObject({ code: 'ALREADY_RUNNING', jobId: expect.any(String) })
  return typeof refusal === 'string' ? '' : String(refusal.jobId)
}

async function expectFree(folder: string): Promise<void> {
  const engine = await observer(folder)
  await submitted(engine)
  await engine.stop()
}
