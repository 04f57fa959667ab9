/**
 * The calls of an agent as JSON, so that any connection can carry them. Each call is one request and one answer. All
 * calls may be made at the same time.
 *
 * ```
 *  agent:   createAgent({ transport: transportOver(call) })        call: sends a request, resolves with its answer
 *  engine:  answerAgent(session.agents, request)                   resolves with the answer, and never rejects
 * ```
 */
import { defined } from '../model/defined.ts'
import { type ErrorCode, type Issue, JobchartError } from '../model/error.ts'
import { isOptions, shownValue } from '../model/option-checks.ts'
import type { Json } from '../model/storable.ts'
import type { AgentCallOptions, AgentTransport } from '../port/agent.ts'

/** The calls by name, each with the names of its arguments. */
const CALLS = {
  register: ['registration'],
  claim: ['options'],
  heartbeat: ['beat'],
  started: ['claim'],
  progress: ['claim', 'report'],
  log: ['claim', 'lines', 'number'],
  item: ['claim', 'key', 'report'],
  items: ['claim', 'piece'],
  recordedItems: ['claim', 'range'],
  itemKeys: ['claim', 'keys'],
  step: ['claim', 'name', 'result'],
  event: ['claim', 'event'],
  done: ['claim', 'output'],
  fail: ['claim', 'error', 'options'],
  exit: ['claim', 'exitCode', 'options'],
  release: ['claim'],
} as const satisfies { readonly [Call in keyof AgentTransport]: readonly string[] }

/**
 * One call of an agent. `call` names a function of {@link AgentTransport}; the other fields are its arguments by name.
 * E.g. `{ call: 'step', claim: { job, token }, name: 'download', result: 3 }`.
 */
export interface AgentRequest {
  readonly call: keyof AgentTransport
  readonly [argument: string]: Json | undefined
}

/** The answer to a request: what the call has returned, or the error with which it was refused. */
export type AgentAnswer =
  | { readonly ok: true; readonly value?: Json }
  | {
      readonly ok: false
      readonly code: ErrorCode
      readonly message: string
      readonly issues?: readonly Issue[]
      readonly jobId?: string
    }

/**
 * Makes a transport of a connection.
 *
 * @param call  sends a request to the engine and resolves with its answer. It rejects if there is none; then the agent
 *   tries again. When the signal is aborted, it should end the request, so that the engine no longer waits; it may also
 *   go on.
 */
export function transportOver(
  call: (request: AgentRequest, options: AgentCallOptions) => Promise<AgentAnswer>,
): AgentTransport {
  const made = Object.entries(CALLS).map(([name, names]) => {
    // The options of a call itself come after its arguments, and are not sent.
    const run = async (...given: readonly unknown[]): Promise<unknown> => {
      const { signal } = (given[names.length] ?? {}) as AgentCallOptions
      signal?.throwIfAborted()
      const entries = names.map((argument, index) => [argument, given[index]])
      const request = Object.fromEntries([['call', name], ...entries.filter(([, value]) => value !== undefined)])
      const answer = await call(request, signal === undefined ? {} : { signal })
      signal?.throwIfAborted()
      return answered(answer)
    }
    return [name, run]
  })
  // The cast is safe: `CALLS` names all calls, and the answers are those of another such transport.
  return Object.fromEntries(made) as AgentTransport
}

function answered(answer: AgentAnswer): unknown {
  if (!isOptions(answer) || typeof answer.ok !== 'boolean') {
    throw new Error(`the answer should be that of answerAgent(); found ${shownValue(answer)}`)
  }
  if (answer.ok) return answer.value
  const { code, message, issues, jobId } = answer
  throw new JobchartError(code, message, defined({ issues, jobId }))
}

/**
 * Answers a request of an agent, as {@link transportOver} sends it. Every request gets an answer: an error, if it names
 * no call of an agent.
 *
 * @param transport  the calls of this agent: `session.agents`. Which agent it is, your server decides, e.g. by
 *   `engine.authenticateAgent(credential)`.
 * @param request  any value: it is checked.
 * @param options  the signal ends a call that waits, e.g. when the connection is closed.
 * @throws {JobchartError} `INVALID_INPUT` the transport has no calls of an agent.
 */
export async function answerAgent(
  transport: AgentTransport,
  request: unknown,
  options: AgentCallOptions = {},
): Promise<AgentAnswer> {
  if (typeof transport?.register !== 'function') {
    throw new JobchartError(
      'INVALID_INPUT',
      'answerAgent should get the calls of an agent: session.agents of its session',
    )
  }
  try {
    const { call, ...given } = isOptions(request) ? request : {}
    if (typeof call !== 'string' || !Object.hasOwn(CALLS, call)) {
      throw new JobchartError('INVALID_INPUT', `call should be one of ${Object.keys(CALLS).join(', ')}`)
    }
    // The casts are safe: `call` is one of the names, and the engine checks the arguments.
    const names: readonly string[] = CALLS[call as keyof AgentTransport]
    const unknown = Object.keys(given).find((argument) => !names.includes(argument))
    if (unknown !== undefined) {
      throw new JobchartError('INVALID_INPUT', `"${unknown}" is not an argument of ${call}: ${names.join(', ')}`)
    }
    const run = transport[call as keyof AgentTransport] as (...given: readonly unknown[]) => Promise<Json | undefined>
    const value = await run(...names.map((argument) => given[argument]), options)
    return value === undefined ? { ok: true } : { ok: true, value }
  } catch (error) {
    return refusal(error)
  }
}

function refusal(error: unknown): AgentAnswer & { readonly ok: false } {
  if (!(error instanceof JobchartError)) {
    // Another error may show what is no business of the agent.
    return { ok: false, code: 'OUTCOME_UNKNOWN', message: 'the engine could not answer' }
  }
  const { code, message, issues, jobId } = error
  return { ok: false, code, message, ...defined({ issues, jobId }) }
}
