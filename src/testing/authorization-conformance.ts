import type { SessionPrincipal } from 'jobchart'
import { callback, checkOptions, required, wholeNumber } from '../model/option-checks.ts'
import type { Policy } from '../port/policy.ts'
import type { PolicyBench } from './authorization-answers.ts'
import { agreementChecks, answerChecks } from './authorization-checks.ts'
import { engineChecks } from './authorization-checks-engine.ts'
import { failureChecks } from './authorization-checks-failing.ts'
import { oddChecks } from './authorization-checks-odd.ts'
import { principalOf, type SampleTarget, targetsFor } from './authorization-samples.ts'
import type { RegisterTest } from './storage-conformance.ts'

/** What each check gets: a policy, and whom and what it is asked about. */
export interface PolicyUnderTest {
  readonly policy: Policy
  /**
   * Whom the policy knows: one of each kind, in two tenants where there are tenants, and with relations where there are
   * any. The kit adds strangers of its own, so nobody without rights is needed.
   */
  readonly principals: readonly SessionPrincipal[]
  /**
   * What they are asked about, beside a job for each tenant, creator and resource that the principals name (a relation
   * `system:7` is about the label `system: '7'`). Give those that the policy looks at in other ways: its types, pipelines
   * and labels.
   */
  readonly targets?: readonly SampleTarget[]
  /** Removes what the policy has left. */
  readonly dispose?: () => Promise<void> | void
}

/** How the suite is run. */
export interface AuthorizationConformanceOptions {
  /** Your runner's `test`. */
  readonly test: RegisterTest
  /** How long the policy may take for one answer, in milliseconds. Default 5,000, as an engine waits for it. */
  readonly answerMsMax?: number
}

/**
 * Checks a policy against the guarantees of its port, alone and through an engine on `memoryStorage()`; each check is named
 * by the number of what it checks: P2 to P5 are the port's, and the kit adds
 *
 * - P6 The same question gets the same answer, and no argument is changed.
 * - P7 What is of another tenant is nothing, unless a scope of `list` names that tenant.
 * - P8 Of a job that `get` hides, no other read shows anything.
 * - P9 Roles, relations, types, pipelines and labels with odd names (`__proto__`, a lone surrogate, 200 characters) are
 *   answered, and give no right.
 *
 * P1 is the engine's to keep.
 *
 * ```ts
 * authorizationConformance(
 *   () => ({
 *     policy: myPolicy(),
 *     principals: [
 *       { id: 'ada', tenant: 'acme', role: 'editor' },
 *       { id: 'root', tenant: 'acme', role: 'admin' },
 *       { id: 'eve', tenant: 'other', role: 'admin', relations: { 'system:7': 'owner' } },
 *     ],
 *   }),
 *   { test },
 * )
 * ```
 */
export function authorizationConformance(
  make: () => PolicyUnderTest | Promise<PolicyUnderTest>,
  options: AuthorizationConformanceOptions,
): void {
  checkOptions('authorizationConformance', options, { test: required(callback), answerMsMax: wholeNumber(1) })
  const { test, answerMsMax = 5_000 } = options
  const checks = { ...answerChecks, ...agreementChecks, ...oddChecks, ...engineChecks, ...failureChecks }
  for (const [name, check] of Object.entries(checks)) {
    test(name, async () => {
      const { policy, principals, targets = [], dispose } = await make()
      try {
        await check(benchOf({ policy, principals, targets }, answerMsMax))
      } finally {
        await dispose?.()
      }
    })
  }
}

function benchOf(
  { policy, principals, targets = [] }: Omit<PolicyUnderTest, 'dispose'>,
  answerMsMax: number,
): PolicyBench {
  if (principals.length === 0)
    throw new Error('a policy is checked by what it answers: give at least one of principals')
  const known = principals.map(principalOf)
  return { policy, principals: known, targets: targetsFor(known, targets), answerMsMax }
}
