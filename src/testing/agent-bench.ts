/** The engine, the job types and the agents that the checks of `agentConformance` use. */
import assert from 'node:assert/strict'
import { agentTask, batch, type CommandSchemas, createEngine, defineJob, type Json, memoryStorage } from 'jobchart'
import { agents } from 'jobchart/executors'
import { assign, sendTo, setup } from 'xstate'
import type { AgentRegistration, AgentTransport, ClaimedTask, ClaimKey } from '../port/agent.ts'
import { type VirtualClock, virtualClock } from './virtual-clock.ts'

/** How long a lease of the checks lasts. */
export const LEASE_MS = 9_000
/** A registration for the function of the checks. */
const WORK: AgentRegistration = { functions: [{ name: 'work' }] }
/** Values that a connection must not change. */
export const VALUE: Json = {
  text: 'a "b" \n € 𝄞',
  list: [1, -0.5, true, null, {}, []],
  constructor: { deep: { empty: '' } },
}

const anyFields: CommandSchemas[string] = {
  '~standard': { version: 1, vendor: 'jobchart', validate: (value) => ({ value }) },
}

const type = defineJob({
  type: 'agent-conformance',
  commands: { TELL: anyFields, LEAVE: anyFields },
  lifecycle: setup({
    types: { context: {} as { input: Json; output: Json; said: Json }, input: {} as Json },
    actors: { work: agentTask<Json, Json>({ events: ['SAY', 'NEVER'], retry: { limit: 9, backoff: 0 } }) },
  }).createMachine({
    context: ({ input }) => ({ input, output: null, said: null }),
    output: ({ context: { output, said } }) => ({ output, said }),
    initial: 'working',
    states: {
      working: {
        invoke: {
          id: 'work',
          src: 'work',
          input: ({ context }) => context.input,
          onDone: { target: 'done', actions: assign({ output: ({ event }) => event.output }) },
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

/** A job of one batch, which the function `batch` of an agent runs. */
const batchType = defineJob({
  type: 'agent-conformance-batch',
  lifecycle: setup({ actors: { items: batch({ function: 'batch' }) } }).createMachine({
    initial: 'working',
    states: {
      working: { invoke: { id: 'items', src: 'items', onDone: 'done', onError: 'failed' } },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  }),
})

type Connect = (served: AgentTransport) => Promise<AgentTransport>

/** An engine whose tasks are run by agents. Its clock is virtual; a connection may take real time. */
export class AgentBench {
  readonly clock: VirtualClock = virtualClock()
  readonly #connect: Connect
  readonly #engine: ReturnType<typeof createEngine>

  constructor(connect: Connect) {
    this.#connect = connect
    const executors = { agents: agents({ lease: LEASE_MS }) }
    this.#engine = createEngine({ jobs: [type, batchType], storage: memoryStorage(), clock: this.clock, executors })
  }

  /** Connects an agent. */
  async connected(id: string): Promise<AgentTransport> {
    return await this.#connect((await this.#engine).asAgent({ id }).agents)
  }

  /** Connects an agent and registers it. */
  async agent(id: string, registration = WORK): Promise<AgentTransport> {
    const agent = await this.connected(id)
    await agent.register(registration)
    return agent
  }

  /** Submits a job whose task asks for the function `work`. Returns its id. */
  async submit(input: Json = null): Promise<string> {
    const { id } = await (await this.#engine).system.submit(type, input)
    return id
  }

  /** An agent that has claimed the batch of a new job. */
  async claimedBatch(): Promise<{ readonly agent: AgentTransport; readonly task: ClaimedTask; claim: ClaimKey }> {
    const agent = await this.agent('first', { functions: [{ name: 'batch' }] })
    await (await this.#engine).system.submit(batchType)
    const task = await this.claim(agent)
    return { agent, task, claim: keyOf(task) }
  }

  /** An agent that has claimed the task of a new job. */
  async claimed(
    input?: Json,
  ): Promise<{ readonly agent: AgentTransport; readonly task: ClaimedTask; claim: ClaimKey }> {
    const agent = await this.agent('first')
    await this.submit(input)
    const task = await this.claim(agent)
    return { agent, task, claim: keyOf(task) }
  }

  async claim(agent: AgentTransport): Promise<ClaimedTask> {
    const [task] = await this.passing(agent.claim({ wait: '10s' }))
    assert.ok(task !== undefined, 'a task should be claimed')
    return task
  }

  async session() {
    return (await this.#engine).system
  }

  /** Passes time until the promise has settled. */
  async passing<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false
    const settled = () => {
      isSettled = true
    }
    promise.then(settled, settled)
    while (!isSettled) await this.clock.advance(100)
    return await promise
  }

  async close(): Promise<void> {
    await (await this.#engine).stop({ timeout: 0 })
  }
}

/** The claim on a task. */
function keyOf({ job, token }: ClaimedTask): ClaimKey {
  return { job: job.id, token }
}
