import { agentTask, createEngine, defineJob, type Engine, type Json, memoryStorage, type TaskContext } from 'jobchart'
import { type AgentOptions, type AgentRunOptions, createAgent } from 'jobchart/agents'
import { agents } from 'jobchart/executors'
import type { AgentTransport } from 'jobchart/port'
import { type VirtualClock, virtualClock } from 'jobchart/testing'
import { onTestFinished } from 'vitest'
import { assign, sendTo, setup } from 'xstate'
import { z } from 'zod'

export const LEASE_MS = 30_000

/** One task for agents, and a chart that talks with it. */
const extraction = defineJob({
  type: 'extraction',
  input: z.unknown().transform((value) => value as Json),
  commands: { TELL: z.object({ value: z.json() }), LEAVE: z.object({}) },
  lifecycle: setup({
    types: { context: {} as { input: Json; output: Json; said: Json }, input: {} as Json },
    actors: {
      extract: agentTask<Json, Json>({
        function: '@viewer/extract',
        version: ({ input }) => (input as { readonly version?: string } | null)?.version,
        events: ['SAY', 'NEVER'],
        retry: { limit: 2, backoff: 0 },
        timeout: '10m',
        killGrace: '5s',
      }),
    },
  }).createMachine({
    context: ({ input }) => ({ input, output: null, said: null }),
    output: ({ context: { output, said } }) => ({ output, said }),
    initial: 'working',
    states: {
      working: {
        invoke: {
          id: 'work',
          src: 'extract',
          input: ({ context }) => context.input,
          onDone: {
            guard: ({ event }) => event.output !== 'not wanted',
            target: 'done',
            actions: assign({ output: ({ event }) => event.output }),
          },
          onError: 'failed',
        },
        on: {
          SAY: { actions: assign({ said: ({ event }) => event.value }) },
          TELL: { actions: sendTo('work', ({ event }) => ({ type: 'TOLD', value: event.value })) },
          LEAVE: 'left',
        },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
      left: { type: 'final', tags: 'cancelled' },
    },
  }),
})

/** How the connection between an agent and its engine behaves. */
class Connection {
  /** `away`: no call arrives. `deaf`: calls arrive, and their answers are lost. `silent`: calls are never answered. */
  mode: 'up' | 'away' | 'deaf' | 'silent' = 'up'
  /** The calls that have arrived, by name. */
  readonly arrived: string[] = []
  readonly transport: AgentTransport

  constructor(served: () => AgentTransport) {
    const names = Object.keys(served()) as (keyof AgentTransport)[]
    const calls = names.map((name) => {
      const call = async (...given: unknown[]): Promise<unknown> => {
        if (this.mode === 'away') throw new TypeError('fetch failed')
        if (this.mode === 'silent') return await new Promise(() => {})
        this.arrived.push(name)
        const answer = await (served()[name] as (...given: unknown[]) => Promise<unknown>)(...given)
        if (this.mode === 'up') return answer
        throw new TypeError('terminated')
      }
      return [name, call]
    })
    this.transport = Object.fromEntries(calls)
  }

  count(name: string): number {
    return this.arrived.filter((each) => each === name).length
  }
}

/** Code that a test ends by hand. */
class Code {
  readonly runs: Running[] = []

  readonly run = (context: TaskContext<unknown>, { killSignal }: AgentRunOptions): Promise<unknown> => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.runs.push({ context, killSignal, finish: resolve, fail: reject })
    return promise
  }

  get last(): Running {
    const run = this.runs.at(-1)
    if (run === undefined) throw new Error('no code runs')
    return run
  }
}

interface Running {
  readonly context: TaskContext<unknown>
  readonly killSignal: AbortSignal
  readonly finish: (output?: unknown) => void
  readonly fail: (error: unknown) => void
}

/** Makes an engine, and agents that are connected to it. */
export async function open(options: { readonly clock?: VirtualClock } = {}) {
  const { clock = virtualClock() } = options
  const start = () =>
    createEngine({
      jobs: [extraction],
      storage: memoryStorage(),
      clock,
      executors: { agents: agents({ lease: LEASE_MS }) },
    })
  let engine: Engine = await start()
  onTestFinished(async () => await engine.stop({ timeout: 0 }))
  const code = new Code()
  const agent = (given: Partial<AgentOptions> & { readonly id?: string } = {}) => {
    const { id = 'a1', ...more } = given
    const connection = new Connection(() => engine.asAgent({ id }).agents)
    const made = createAgent({
      transport: connection.transport,
      functions: [{ name: '@viewer/extract', run: code.run }],
      clock,
      ...more,
    })
    onTestFinished(async () => {
      for (const { finish } of code.runs) finish()
      await made.stop({ timeout: 0 })
    })
    return Object.assign(made, { connection })
  }
  return {
    clock,
    code,
    agent,
    get engine() {
      return engine
    },
    get session() {
      return engine.system
    },
    /** Replaces the engine by one with an empty storage. */
    replace: async () => {
      await engine.stop({ timeout: 0 })
      engine = await start()
    },
    submit: async (input: Json = null) => {
      const { id } = await engine.system.submit(extraction, input)
      await clock.settle()
      return id
    },
    view: (id: string) => engine.system.get(id),
  }
}

export async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}
