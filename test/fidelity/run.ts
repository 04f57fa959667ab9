import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryStorage, type Outcome } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { DurableRun, type Restart, type Subject } from './durable.ts'
import { runLive } from './live.ts'
import type { Happening } from './script.ts'

/** A machine, the script of events, and its expected end. */
export interface Course extends Subject {
  readonly script: readonly Happening[]
  readonly end: {
    readonly value: unknown
    readonly outcome: Outcome
    readonly output?: unknown
    readonly error?: unknown
    readonly emitted?: readonly unknown[]
    readonly effects?: readonly string[]
  }
  /** Several timers fall due in one wait, so an engine that was away fires the later ones late. */
  readonly isLateWhenAway?: boolean
  /** One task lasts through so many events that a crash before each would make it POISON. */
  readonly isOneLongWork?: boolean
}

const RESTARTS: { readonly [Kind in Restart]: string } = {
  stop: 'with a stop and a start before every event',
  crash: 'with a crash before every event',
  away: 'with no engine while time passes',
}

/** Registers the tests of a course: each kind of restart, in memory and on a file. */
export function fidelity(sentence: string, course: Course): void {
  for (const restart of ['stop', 'crash', 'away'] as const) {
    if (restart === 'away' && (course.isLateWhenAway || !course.script.some(({ kind }) => kind === 'wait'))) continue
    if (restart === 'crash' && course.isOneLongWork) continue
    test(`${sentence}, ${RESTARTS[restart]}`, async () => {
      await checkCourse(course, restart)
    })
  }
  for (const restart of ['stop', 'crash'] as const) {
    if (restart === 'crash' && course.isOneLongWork) continue
    test(`${sentence}, ${RESTARTS[restart]}, on a file`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'jobchart-fidelity-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      await checkCourse(course, restart, sqliteStorage(join(folder, 'jobs.db')))
    })
  }
}

/** Runs a course live and durably, and compares them after every event. */
async function checkCourse(course: Course, restart: Restart, storage = memoryStorage()): Promise<void> {
  const { build, input, script, end } = course
  const live = await runLive(build, input, script)
  const run = new DurableRun(course, storage)
  await run.submit()
  expect(await run.picture(), 'after its submit').toEqual(live.pictures[0])
  for (const [index, happening] of script.entries()) {
    await run.after(restart, happening)
    expect(await run.picture(), `after ${index + 1}: ${shown(happening)}`).toEqual(live.pictures[index + 1])
  }
  const { state, phase, outcome, output, error } = await run.job()
  expect({ state, phase, outcome, output, error: error?.message }).toEqual({
    state: end.value,
    phase: 'settled',
    outcome: end.outcome,
    output: end.output,
    error: end.error,
  })
  expect(run.emitted).toEqual(live.emitted)
  expect(live.emitted).toEqual(end.emitted ?? [])
  expect(run.effects).toEqual(live.effects)
  expect(live.effects).toEqual(end.effects ?? [])
  await run.end()
}

function shown(happening: Happening): string {
  if (happening.kind === 'command') return happening.event.type
  return happening.kind === 'wait' ? `${happening.ms} ms` : happening.what
}
