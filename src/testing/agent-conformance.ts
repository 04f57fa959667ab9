import { callback, checkOptions, required } from '../model/option-checks.ts'
import type { AgentTransport } from '../port/agent.ts'
import { AgentBench } from './agent-bench.ts'
import { agentChecks } from './agent-checks.ts'
import type { RegisterTest } from './storage-conformance.ts'

/** A transport, and how to end it. */
export interface TransportUnderTest {
  /** The agent's end. */
  readonly transport: AgentTransport
  /** Called after each check. Closes connections and servers. */
  readonly dispose?: () => unknown
}

/** Options of {@link agentConformance}. */
export interface AgentConformanceOptions {
  /** The `test` function of your runner. */
  readonly test: RegisterTest
}

/**
 * Checks a transport of agents against the guarantees of its port. The name of each check begins with its number. Each
 * check has an engine of its own, on a virtual clock.
 *
 * ```ts
 * agentConformance(
 *   (served) => ({ transport: transportOver(async (request, options) => await answerAgent(served, request, options)) }),
 *   { test },
 * )
 * ```
 *
 * @param make  connects an agent: `served` is the engine's end of the calls. Several agents of one check are connected
 *   one after the other.
 */
export function agentConformance(
  make: (served: AgentTransport) => TransportUnderTest | Promise<TransportUnderTest>,
  options: AgentConformanceOptions,
): void {
  checkOptions('agentConformance', options, { test: required(callback) }, { form: 'agentConformance(make, { test })' })
  for (const [name, check] of Object.entries(agentChecks)) {
    options.test(name, async () => {
      const open: TransportUnderTest[] = []
      const connect = async (served: AgentTransport): Promise<AgentTransport> => {
        const under = await make(served)
        open.push(under)
        return under.transport
      }
      const bench = new AgentBench(connect)
      try {
        await check(bench)
      } finally {
        for (const { dispose } of open) await dispose?.()
        await bench.close()
      }
    })
  }
}
