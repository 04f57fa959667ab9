/** Checks that names without a meaning give no rights. */
import assert from 'node:assert/strict'
import type { Principal, Scope, Target } from '../port/policy.ts'
import {
  covers,
  isShown,
  type PolicyBench,
  type PolicyChecks,
  said,
  scopesOf,
  verdictsOn,
} from './authorization-answers.ts'
import { oddPrincipals, oddTargets, questionsOf, strangerOf, targetOf, unique } from './authorization-samples.ts'

/**
 * Odd roles are tried on at most this many targets of each tenant. If a role has a right, it usually has it on one of
 * the first targets, so more would only cost time.
 */
const TARGETS_MAX = 8

/** The checks of odd names: P9. */
export const oddChecks: PolicyChecks = {
  'P9 an odd role or relation allows no more than none': async (bench) => {
    for (const tenant of tenantsOf(bench)) {
      for (const target of bench.targets.filter((each) => each.tenant === tenant).slice(0, TARGETS_MAX)) {
        const plain = await allowedTo(bench, strangerOf(tenant), target)
        for (const who of oddPrincipals(tenant)) {
          const more = [...(await allowedTo(bench, who, target))].filter((action) => !plain.has(action))
          assert.deepEqual(more, [], `${said(who)} may do more with ${said(target)} than who has no role`)
        }
      }
    }
  },

  'P9 an odd role or relation has no wider scope than none': async (bench) => {
    for (const tenant of tenantsOf(bench)) {
      const isIn = (scopes: readonly Scope[], target: Target) => scopes.some((scope) => covers(scope, target))
      for (const action of ['list', 'listAll', 'listPipelines', 'events'] as const) {
        const plain = await scopesOf(bench, strangerOf(tenant), action)
        for (const who of oddPrincipals(tenant)) {
          const scopes = await scopesOf(bench, who, action)
          const more = bench.targets.filter((target) => isIn(scopes, target) && !isIn(plain, target))
          assert.deepEqual(more, [], `the scope of ${said(who)} for "${action}" holds more than of who has no role`)
        }
      }
    }
  },

  'P9 an odd type, pipeline or label gives a stranger nothing': async (bench) => {
    const labels = labelsOf(bench)
    for (const tenant of tenantsOf(bench)) {
      const who = strangerOf(tenant)
      const target = targetOf({ tenant, createdBy: 'jobchart-conformance-creator' })
      const plain = await allowedTo(bench, who, target)
      for (const odd of oddTargets(target, labels)) {
        const more = [...(await allowedTo(bench, who, odd))].filter((action) => !plain.has(action))
        assert.deepEqual(more, [], `${said(who)} may do more with ${said(odd)} than with ${said(target)}`)
      }
    }
  },

  'P9 an odd type, pipeline or label gets an answer for every principal': async (bench) => {
    const labels = labelsOf(bench)
    for (const who of bench.principals) {
      const target = targetOf({ tenant: who.tenant, createdBy: who.id })
      for (const odd of oddTargets(target, labels)) await allowedTo(bench, who, odd)
    }
  },
}

/** The actions and commands that the policy allows the principal on the target. */
async function allowedTo(bench: PolicyBench, who: Principal, target: Target): Promise<ReadonlySet<string>> {
  const questions = questionsOf(who, target)
  const verdicts = await verdictsOn(bench, questions)
  const allowed = questions.filter((_, index) => isShown(verdicts[index]))
  return new Set(allowed.map((question) => `${question.action} ${question.target.command?.name ?? ''}`.trim()))
}

function tenantsOf({ principals }: PolicyBench): readonly string[] {
  return unique(principals.map(({ tenant }) => tenant))
}

function labelsOf({ targets }: PolicyBench): readonly string[] {
  return unique(targets.flatMap(({ labels }) => Object.keys(labels)))
}
