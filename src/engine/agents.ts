/** The part of a session that is about agents. */

import { parseWith } from '../context/parse-with.ts'
import type { Json } from '../model/storable.ts'
import type { AgentTransport, ClaimKey } from '../port/agent.ts'
import type { Principal } from '../port/policy.ts'
import { lastCounts, readItemKeys, readItems, reportItems } from './agent-batches.ts'
import {
  claimKeySchema,
  exitSchema,
  failSchema,
  itemKeysSchema,
  lineNumberSchema,
  linesSchema,
  pieceSchema,
  rangeSchema,
  stepNameSchema,
} from './agent-options.ts'
import {
  giveBack,
  type Reporting,
  reportDone,
  reportEvent,
  reportExit,
  reportFailure,
  reportItem,
  reportLines,
  reportProgress,
  reportStart,
  reportStep,
  stale,
} from './agent-reports.ts'
import { begun, type CallOptions, parseOptions } from './call-options.ts'
import type { Core } from './core.ts'
import type { Call } from './notifications.ts'
import { claimTasks, heartbeat, isStillKnown, registerAgent, requireAgent } from './operations/agent-calls.ts'
import {
  type AgentListOptions,
  type AgentView,
  type EnrolledAgent,
  type EnrollOptions,
  enrollAgent,
  listAgents,
  listPools,
  type PoolView,
  revokeAgent,
} from './operations/agents.ts'
import type { Page } from './page.ts'

/**
 * Agents. The calls of {@link AgentTransport} are those of an agent, for sessions of `engine.asAgent`; for others they
 * fail with `FORBIDDEN`. The other calls are for people.
 */
export interface Agents extends AgentTransport {
  /**
   * The agents of the caller's tenant, by id: their functions and pools, who enrolled them, when they last called, and
   * what they run.
   *
   * @throws {JobchartError} `FORBIDDEN`, `INVALID_INPUT`
   */
  list(options?: AgentListOptions): Promise<Page<AgentView>>
  /** The pools of the caller's tenant, by name. @throws {JobchartError} `FORBIDDEN` */
  pools(options?: CallOptions): Promise<readonly PoolView[]>
  /**
   * Enrolls an agent: it gets an id and a credential, by which `engine.authenticateAgent` knows it. It may join only
   * the given pools.
   *
   * @throws {JobchartError} `FORBIDDEN`; `INVALID_INPUT` (also if the id is taken; `revoke` frees it).
   */
  enroll(options?: EnrollOptions): Promise<EnrolledAgent>
  /**
   * Revokes an agent: its credential is no longer valid, its reports are refused, and the tasks that it holds are lost.
   *
   * @throws {JobchartError} `AGENT_NOT_FOUND`, `FORBIDDEN`
   */
  revoke(id: string, options?: CallOptions & { readonly tenant?: string }): Promise<void>
}

/** Binds the operations on agents to a session. */
export function agentsOf(call: Call): Agents {
  // Runs a report on a claim. Every argument comes from outside, so it is parsed.
  const report = <Answer>(claim: ClaimKey, run: (reporting: Reporting) => Promise<Answer>) =>
    call(async (core, who) => await run(await reportingOf(core, who, claim)))
  return {
    register: (registration, options) =>
      call((core, who) => registerAgent(core, who, registration, begun(options, []))),
    claim: (options, more) => call((core, who) => claimTasks(core, who, options, begun(more, []))),
    heartbeat: (beat, options) => call((core, who) => heartbeat(core, who, beat, begun(options, []))),
    started: (claim) => report(claim, reportStart),
    progress: (claim, told) => report(claim, (reporting) => reportProgress(reporting, told)),
    log: (claim, lines, number) =>
      report(claim, async (reporting) => {
        const parsed = await parseWith(linesSchema, lines, 'lines')
        await reportLines(reporting, parsed, await parseWith(lineNumberSchema, number, 'number'))
      }),
    item: (claim, key, item) => report(claim, (reporting) => reportItem(reporting, key, item)),
    items: (claim, piece) =>
      report(claim, async (reporting) => reportItems(reporting, await parseWith(pieceSchema, piece, 'items'))),
    recordedItems: (claim, range) =>
      report(claim, async (reporting) => readItems(reporting, await parseWith(rangeSchema, range, 'range'))),
    itemKeys: (claim, keys) =>
      report(claim, async (reporting) => readItemKeys(reporting, await parseWith(itemKeysSchema, keys, 'keys'))),
    step: (claim, name, result) =>
      report(claim, async (reporting) => {
        await reportStep(reporting, await parseWith(stepNameSchema, name, 'name'), result)
      }),
    event: (claim, event) => report(claim, (reporting) => reportEvent(reporting, event)),
    done: (claim, output) => report(claim, (reporting) => reportDone(reporting, output, lastCounts(reporting))),
    fail: (claim, error: Json, options = {}) =>
      report(claim, async (reporting) => {
        const { isFinal } = await parseOptions(failSchema, options)
        await reportFailure(reporting, error, isFinal, lastCounts(reporting))
      }),
    exit: (claim, exitCode, options = {}) =>
      report(claim, async (reporting) => {
        const exit = await parseWith(exitSchema, { ...options, exitCode }, 'exit')
        await reportExit(reporting, exit.exitCode, exit.message)
      }),
    release: (claim) => report(claim, (reporting) => giveBack(reporting, lastCounts(reporting))),
    list: (options) => call((core, who) => listAgents(core, who, begun(options))),
    pools: (options) => call((core, who) => listPools(core, who, begun(options, []))),
    enroll: (options) => call((core, who) => enrollAgent(core, who, begun(options))),
    revoke: (id, options) => call((core, who) => revokeAgent(core, who, id, begun(options, ['tenant']))),
  }
}

async function reportingOf(core: Core, who: Principal, claim: ClaimKey): Promise<Reporting> {
  requireAgent(who)
  const { job, token } = await parseOptions(claimKeySchema, claim, 'claim')
  if (!(await isStillKnown(core, who))) throw stale()
  core.desk.saw(who, core.clock.now())
  return { core, agent: { tenant: who.tenant, id: who.id }, claim: { job, token } }
}
