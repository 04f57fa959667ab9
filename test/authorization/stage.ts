import {
  type Engine,
  JobchartError,
  type JobEvent,
  type Policy,
  type Session,
  type SessionPrincipal,
  type Storage,
} from 'jobchart'
import { Bench, type HostOptions } from '../engine/bench.ts'

/** No job and no pipeline has this id. */
export const ABSENT = '019b7654-0000-7000-8000-00000000abcd'

const FAR = Number.MAX_SAFE_INTEGER

/** Allows everything in its tenant. */
const allowAll: Policy = {
  authorize: () => 'allow',
  scope: ({ tenant }) => [{ tenant }],
}

/** An engine whose policy allows everything while the jobs are created. */
export class Stage {
  readonly bench: Bench
  readonly engine: Engine
  readonly heard: readonly JobEvent[]
  /** The policy that the engine asks now. */
  policy: Policy = allowAll

  private constructor(bench: Bench, engine: Engine, heard: readonly JobEvent[]) {
    this.bench = bench
    this.engine = engine
    this.heard = heard
  }

  /** Starts an engine that allows everything. */
  static async open(options: Omit<HostOptions, 'policy'>, disk?: Storage): Promise<Stage> {
    const bench = new Bench(disk)
    let stage: Stage | undefined
    const policy: Policy = {
      authorize: (...question) => (stage?.policy ?? allowAll).authorize(...question),
      scope: (...question) => (stage?.policy ?? allowAll).scope(...question),
    }
    const { engine, heard } = await bench.start({ concurrency: 10_000, ...options, policy })
    stage = new Stage(bench, engine, heard)
    return stage
  }

  /** Does something without asking the policy of the test. */
  async freely<Value>(who: SessionPrincipal | 'system', act: (session: Session) => Promise<Value>): Promise<Value> {
    const { policy } = this
    this.policy = allowAll
    try {
      return await act(who === 'system' ? this.engine.system : this.engine.as(who))
    } finally {
      this.policy = policy
    }
  }

  /** All stored jobs and pipelines, and all published events, as text. */
  async contents(): Promise<string> {
    const probe = await this.bench.probe()
    const log = await probe.events({ after: 0, limit: FAR })
    const jobs = await probe.many([...new Set(log.map(({ jobId }) => jobId))])
    const pipelines = await probe.pipelines({ scopes: [{}] }, { limit: FAR })
    return JSON.stringify({ log, jobs, pipelines, heard: this.heard.length })
  }
}

/** All values of an iterable. */
export async function allOf<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

/** The result of a call: its error code, or its value. */
export async function settled(
  call: () => Promise<unknown>,
): Promise<{ readonly code: string; readonly value?: unknown }> {
  try {
    return { code: 'ok', value: await call() }
  } catch (error) {
    return { code: error instanceof JobchartError ? error.code : `not typed: ${String(error)}` }
  }
}

/** Everything in an error, as text. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return textOf(error)
  const { name, message, cause } = error
  return textOf({ ...error, name, message, cause: cause === undefined ? undefined : errorText(cause) })
}

/** A value as text: maps by their entries, errors with all their fields. */
export function textOf(value: unknown): string {
  const plain = (_: string, each: unknown) => (each instanceof Map ? [...each] : each)
  return JSON.stringify(value, plain) ?? String(value)
}

/** The result of a call as text, with the requested id removed. */
export async function answerText(call: () => Promise<unknown>, id: string): Promise<string> {
  try {
    return `gives ${textOf(await call())}`.replaceAll(id, '<id>')
  } catch (error) {
    return `rejects with ${errorText(error)}`.replaceAll(id, '<id>')
  }
}
