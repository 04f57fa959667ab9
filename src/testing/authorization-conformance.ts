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

/** What you give to the suite: a policy, and the principals and targets to ask it about. */
export interface PolicyUnderTest {
  readonly policy: Policy
  /**
   * Principals that the policy knows: one of each kind; of two tenants, if the policy has tenants; and with relations,
   * if it uses any. The suite adds strangers, so you need not give a principal without rights.
   */
  readonly principals: readonly SessionPrincipal[]
  /**
   * Jobs and pipelines to ask about. The suite adds a job for each tenant, creator, assignee and resource that the
   * principals name (a relation on `system:7` means the label `system: '7'`). Give targets for the other fields that the
   * policy looks at: types, pipelines and labels.
   */
  readonly targets?: readonly SampleTarget[]
  /** Called after each check. Removes files and other things that the policy leaves. */
  readonly dispose?: () => Promise<void> | void
}

/** Options of {@link authorizationConformance}. */
export interface AuthorizationConformanceOptions {
  /** The `test` function of your runner. */
  readonly test: RegisterTest
  /** How long the policy may take for one answer, in milliseconds. Default 5,000, as in an engine. */
  readonly answerMsMax?: number
}

/**
 * Checks a policy against the guarantees of its port, alone and through an engine on `memoryStorage()`. The name of
 * each check begins with its number. P2 to P5 are guarantees of the port; the suite adds:
 *
 * - P6 The same question gets the same answer, and no argument is changed.
 * - P7 Jobs and pipelines of another tenant are hidden, unless a scope of `list` names that tenant.
 * - P8 A job that `get` hides is hidden from every other read.
 * - P9 Roles, relations, types, pipelines and labels with odd names (`__proto__`, a lone surrogate, 200 characters) are
 *   answered, and give no right.
 *
 * The engine itself guarantees P1.
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
  const rules = { test: required(callback), answerMsMax: wholeNumber(1) }
  checkOptions('authorizationConformance', options, rules, { form: 'authorizationConformance(make, { test })' })
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
