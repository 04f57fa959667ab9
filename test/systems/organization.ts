import {
  type AnyJobType,
  createEngine,
  type Engine,
  type EventType,
  JobchartError,
  type JobEvent,
  memoryStorage,
  type Policy,
  type Session,
  type Storage,
} from 'jobchart'
import { type MemberRow, type MemberTaskContext, memberJobs } from 'jobchart/presets'
import { type VirtualClock, virtualClock } from 'jobchart/testing'
import { afterEach, expect } from 'vitest'
import { z } from 'zod'

const EVENT_TYPES: readonly EventType[] = [
  'job.created',
  'job.transitioned',
  'job.updated',
  'job.progress',
  'job.deleted',
  'task.started',
  'task.retried',
  'task.lost',
  'task.released',
  'task.stopped',
]

/** One run of a job's work, which lasts until a test ends it. */
export interface Run {
  readonly context: MemberTaskContext<{ readonly file: string }>
  readonly succeed: (output?: string) => void
  readonly fail: (error: unknown) => void
  /** Number of times that its signal was aborted. */
  readonly aborts: () => number
}

/** Work under a test's control. It ignores its signal, but counts it. */
export class Work {
  readonly runs: Run[] = []

  readonly execute = (context: MemberTaskContext<{ readonly file: string }>): Promise<string | undefined> => {
    let aborts = 0
    context.signal.addEventListener('abort', () => aborts++)
    return new Promise((succeed, fail) => {
      this.runs.push({ context, succeed, fail, aborts: () => aborts })
    })
  }

  /** One of the runs, by default the newest. */
  run(index = -1): Run {
    const run = this.runs.at(index)
    if (run === undefined) throw new Error(`the work was begun ${this.runs.length} times only`)
    return run
  }
}

export const members = memberJobs()

/** The types of the page, and another one. */
export function memberTypes({ execute }: Pick<Work, 'execute'>) {
  const define = <const Type extends string>(type: Type) =>
    members.defineJob({
      type,
      input: z.object({ file: z.string() }),
      message: ({ file }) => `${type} ${file}`,
      execute,
    })
  return { load: define('Load'), analysis: define('Analysis'), seed: define('Seed'), reproject: define('Reproject') }
}

export interface OrganizationOptions {
  /** Default: the policy of the preset. */
  readonly policy?: Policy
  readonly storage?: Storage
  readonly clock?: VirtualClock
  /** Number of jobs that run at once. Default 10. */
  readonly concurrency?: number
  readonly deadAfter?: string
  /** False: the engine runs no work. */
  readonly isWorking?: boolean
}

/** The members of two organizations, O and P, on one engine. */
export type Organization = Awaited<ReturnType<typeof organization>>

const endings: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

/** Starts an engine; it is stopped when the test ends. */
export async function organization(options: OrganizationOptions = {}) {
  const { policy = members.policy, storage = memoryStorage(), clock = virtualClock(), concurrency = 10 } = options
  const { deadAfter, isWorking = true } = options
  const more = { work: isWorking, ...(deadAfter === undefined ? {} : { deadAfter }) }
  const work = new Work()
  const types = memberTypes(work)
  const engine = await createEngine({ jobs: Object.values(types), policy, storage, clock, concurrency, ...more })
  const heard: JobEvent[] = []
  for (const type of EVENT_TYPES) engine.on(type, (event) => event.jobId !== undefined && heard.push(event))
  const member = (id: string, role: string, tenant = 'O') => engine.as({ id, role, tenant })
  const stop = async () => await stopped(engine, clock)
  const end = async () => {
    for (const { succeed } of work.runs) succeed()
    await stop()
  }
  endings.push(end)
  return {
    engine,
    clock,
    work,
    heard,
    stop,
    end,
    member,
    ...types,
    ada: member('ada', 'Administrator'),
    ed: member('ed', 'Editor'),
    eve: member('eve', 'Editor'),
    pat: member('pat', 'Administrator', 'P'),
    /** The row of a job, as its organization's administrator sees it. */
    row: async (id: string): Promise<MemberRow> => members.present(await engine.as(administrator).get(id)),
  }
}

/** An editor on an engine with other types; it is stopped when the test ends. */
export async function editorOf(jobs: readonly AnyJobType[]): Promise<Session> {
  const clock = virtualClock()
  const engine = await createEngine({ jobs, policy: members.policy, storage: memoryStorage(), clock })
  endings.push(async () => await stopped(engine, clock))
  return engine.as({ id: 'ed', role: 'Editor', tenant: 'O' })
}

const administrator = { id: 'page', role: 'Administrator', tenant: 'O' }

// Running work is given back; the time for that passes on the virtual clock.
async function stopped(engine: Engine, clock: VirtualClock): Promise<void> {
  let isStopped = false
  const stopping = engine.stop({ timeout: 0 }).finally(() => {
    isStopped = true
  })
  for (let round = 0; round < 20 && !isStopped; round++) await clock.advance(1_000)
  await stopping
}

/** The result of a call: `ok`, or its error code. */
export async function answerOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

/** Checks that a call is refused with the code, and changes nothing. */
export async function expectRefused(
  { row, member, heard }: Organization,
  id: string,
  code: string,
  call: () => Promise<unknown>,
): Promise<void> {
  const look = async () => ({
    row: await row(id),
    history: await member('page', 'Administrator').history(id),
    heard: heard.length,
  })
  const before = await look()
  expect(await answerOf(call())).toBe(code)
  expect(await look()).toEqual(before)
}
