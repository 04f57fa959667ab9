import { quietLogger } from '../context/quiet-logger.ts'
import { systemClock } from '../context/system-clock.ts'
import { JobchartError } from '../model/error.ts'
import {
  callback,
  checkOptions,
  duration,
  having,
  names,
  type OptionRule,
  required,
  schema,
  text,
  wholeNumber,
} from '../model/option-checks.ts'
import { type Duration, durationMs } from '../model/time.ts'
import type { AgentTransport } from '../port/agent.ts'
import type { Clock } from '../port/clock.ts'
import type { Logger } from '../port/logger.ts'
import { AgentRun, type RunningTask } from './agent-run.ts'
import type { RunnableFunction } from './runnable-function.ts'

/** Options of {@link createAgent}. */
export interface AgentOptions<Inputs extends readonly unknown[] = readonly unknown[]> {
  /**
   * The agent's calls to its engine: `session.agents` of an agent's session in the engine's process, or
   * {@link transportOver} a connection.
   */
  readonly transport: AgentTransport
  /** A name for people. Default: the agent's id. */
  readonly name?: string
  /** The pools in which the agent is. Default: none. */
  readonly pools?: readonly string[]
  /** What the agent can run. If a task fits several of them, the first one runs. */
  readonly functions: { readonly [Index in keyof Inputs]: RunnableFunction<Inputs[Index]> }
  /** How many tasks run at once: 1 to 1,000. Default 1. */
  readonly concurrency?: number
  /** How long one call waits for tasks: from `'100ms'` to `'1m'`. Default `'30s'`. */
  readonly claimWait?: Duration
  /** How often leases are renewed. Default: a third of the lease. Longer than a third of the lease is not possible. */
  readonly heartbeat?: Duration
  /** Where the agent logs. Default: nowhere. */
  readonly logger?: Logger
  /** Default: the machine's clock. */
  readonly clock?: Clock
}

/** The options of `agent.stop`. */
export interface AgentStopOptions {
  /** How long running tasks may take to finish before they are told to stop. Default `'10s'`. */
  readonly timeout?: Duration
}

/** A program that pulls tasks from an engine, runs them and reports to it. */
export interface Agent {
  /**
   * Registers the agent, and begins to claim tasks. Resolves when the agent is registered. While the engine cannot be
   * reached, the agent tries again.
   *
   * @throws {JobchartError} `FORBIDDEN` or `INVALID_INPUT` the engine refuses the agent; `ENGINE_STOPPED` the agent was
   *   stopped meanwhile.
   */
  readonly start: () => Promise<void>
  /**
   * Stops: claims no more tasks, and waits for those that run. After the timeout their code is told to stop (`signal`
   * has the reason `ENGINE_STOPPED`); what has not ended within its `killGrace`, at most 3 s, is given back to the
   * engine, and the attempt does not count. The agent can be started again.
   */
  readonly stop: (options?: AgentStopOptions) => Promise<void>
  /** The tasks whose code runs now. */
  readonly running: () => readonly RunningTask[]
}

const CODE = {
  name: required(text()),
  version: text(),
  input: schema,
  output: schema,
  run: required(callback),
}

const FUNCTIONS: OptionRule = {
  expected: 'a list of at least one function',
  fits: (value) => Array.isArray(value) && value.length > 0,
}

const CALLS = ['register', 'claim', 'heartbeat', 'started', 'done', 'fail', 'release']

const OPTIONS = {
  transport: required(having('an AgentTransport, such as session.agents', ...CALLS)),
  name: text(),
  pools: names,
  functions: required(FUNCTIONS),
  concurrency: wholeNumber(1),
  claimWait: duration,
  heartbeat: duration,
  logger: having('a logger with debug, info, warn and error', 'debug', 'info', 'warn', 'error'),
  clock: having('a clock', 'now', 'elapsed', 'turn', 'timer', 'randomBytes'),
}

const CONCURRENCY_MAX = 1_000
/** Without a wait, the agent would ask for tasks without a pause. */
const CLAIM_WAIT_MS_MIN = 100
const CLAIM_WAIT_MS_MAX = 60_000

/**
 * Makes an agent. It claims tasks as long as it has room, runs their code with the same context as in the engine's
 * process, and renews its leases. An engine that is away does not end it: it goes on with its tasks and tries again.
 *
 * ```ts
 * const agent = createAgent({
 *   transport: engine.asAgent({ id: 'extractor-1' }).agents,
 *   functions: [{ name: 'extract', input: z.object({ file: z.string() }), run: ({ input }) => extract(input.file) }],
 * })
 * await agent.start()
 * ```
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function createAgent<const Inputs extends readonly unknown[]>(options: AgentOptions<Inputs>): Agent {
  checkOptions('createAgent', options, OPTIONS)
  // The cast is safe: the code of a function is called only with an input that its own schema has parsed.
  const functions = options.functions as readonly RunnableFunction[]
  functions.forEach((code, index) => {
    checkOptions('a function of an agent', code, CODE, { prefix: `functions.${index}.` })
  })
  const { transport, name, pools = [], concurrency = 1, clock = systemClock() } = options
  if (concurrency > CONCURRENCY_MAX) {
    throw new JobchartError('INVALID_DEFINITION', `concurrency should be at most ${CONCURRENCY_MAX}`)
  }
  const claimWaitMs = durationMs(options.claimWait ?? '30s', 'claimWait')
  if (claimWaitMs < CLAIM_WAIT_MS_MIN || claimWaitMs > CLAIM_WAIT_MS_MAX) {
    throw new JobchartError('INVALID_DEFINITION', "claimWait should be from '100ms' to '1m'")
  }
  const settings = {
    ...{ transport, functions, concurrency, clock },
    registration: {
      ...(name === undefined ? {} : { name }),
      pools: [...pools],
      functions: functions.map((code) => ({
        name: code.name,
        ...(code.version === undefined ? {} : { version: code.version }),
      })),
    },
    claimWaitMs,
    heartbeatMs: options.heartbeat === undefined ? undefined : durationMs(options.heartbeat, 'heartbeat'),
    logger: quietLogger(options.logger),
  }
  let run: AgentRun | undefined
  return {
    start: async () => {
      if (run === undefined) {
        const begun = new AgentRun(settings)
        run = begun
        begun.ended.then(() => {
          if (run === begun) run = undefined
        })
      }
      await run.started
    },
    stop: async (given = {}) => {
      checkOptions('stop', given, { timeout: duration })
      await run?.stop(durationMs(given.timeout ?? '10s', 'timeout'))
    },
    running: () => run?.running ?? [],
  }
}
