/** Checks of a policy alone, without an engine. */
import assert from 'node:assert/strict'
import type { Action, Principal, Target } from '../port/policy.ts'
import {
  covers,
  isShown,
  type ManyAction,
  type PolicyBench,
  type PolicyChecks,
  redactedBy,
  said,
  scopeAnswer,
  scopesOf,
  verdictOn,
  verdictsOn,
  wrongInScopes,
  wrongInVerdict,
} from './authorization-answers.ts'
import { asPipeline, frozen, JOB_READS, type Question, questionOf, questionsOf } from './authorization-samples.ts'

const MANY: readonly ManyAction[] = ['list', 'listAll', 'listPipelines', 'events']

/**
 * For each search: the action that gives the scopes, the action that shows one result, and the fields that callers can
 * filter by.
 */
const JOB_FIELDS = ['createdBy', 'assignee', 'type', 'status', 'phase', 'pipeline', 'parentId', 'labels']
const SEARCHES: readonly (readonly [ManyAction, Action, readonly string[]])[] = [
  ['list', 'get', JOB_FIELDS],
  ['listPipelines', 'getPipeline', ['type']],
  ['events', 'events', ['createdBy', 'assignee', 'type', 'pipeline', 'labels']],
]

/** The checks of single answers: P2, P6. */
export const answerChecks: PolicyChecks = {
  'P2 every question is answered in time, with a verdict of the port': async (bench) => {
    const questions = allQuestions(bench)
    const verdicts = await verdictsOn(bench, questions)
    for (const [index, verdict] of verdicts.entries()) {
      const wrong = wrongInVerdict(verdict)
      assert.equal(wrong, undefined, `${about(questions[index])} is answered by ${wrong}`)
    }
  },

  'P2 every request for scopes is answered in time, with false or with scopes of the port': async (bench) => {
    for (const who of bench.principals) {
      for (const action of MANY) {
        const wrong = wrongInScopes(await scopeAnswer(bench, who, action))
        assert.equal(wrong, undefined, `scope of ${said(who)} for "${action}" is ${wrong}`)
      }
    }
  },

  'P6 the same question gets the same answer, whatever was asked before': async (bench) => {
    const questions = allQuestions(bench)
    const first = await verdictsOn(bench, questions)
    const second = [...(await verdictsOn(bench, [...questions].reverse()))].reverse()
    for (const [index, verdict] of first.entries()) {
      assert.deepEqual(second[index], verdict, `${about(questions[index])} is answered otherwise the second time`)
    }
    for (const who of bench.principals) {
      for (const action of MANY) {
        const scopes = [await scopeAnswer(bench, who, action), await scopeAnswer(bench, who, action)]
        assert.deepEqual(scopes[1], scopes[0], `the scope of ${said(who)} for "${action}" is another the second time`)
      }
    }
  },

  'P6 the policy changes none of its arguments': async (bench) => {
    for (const question of allQuestions(bench)) {
      const given = structuredClone(question)
      const verdict = await verdictOn(bench, given)
      assert.deepEqual(given, question, `${about(question)} changes what it was asked with`)
      assert.deepEqual(
        await verdictOn(bench, frozen(given)),
        verdict,
        `${about(question)} is answered otherwise frozen`,
      )
    }
    for (const who of bench.principals) {
      for (const action of MANY) {
        const given = structuredClone(who)
        await scopesOf(bench, given, action)
        assert.deepEqual(given, who, `the scope of ${said(who)} for "${action}" changes what it was asked with`)
        await scopesOf(bench, frozen(given), action)
      }
    }
  },
}

/** The checks that answers agree with each other: P4, P7, P8. */
export const agreementChecks: PolicyChecks = {
  ...Object.fromEntries(SEARCHES.flatMap(([many, one]) => [narrowEnough(many, one), wideEnough(many, one)])),
  ...Object.fromEntries(SEARCHES.map(([many, one, fields]) => redactsAlike(many, one, fields))),
  // A policy may refuse `listAll` to a caller who may list some jobs. So `listAll` need not be wide enough, but it must
  // never show a hidden job.
  ...Object.fromEntries([narrowEnough('listAll', 'get'), redactsAlike('listAll', 'get', JOB_FIELDS)]),

  'P7 jobs and pipelines of another tenant are hidden, unless a scope of list names that tenant': async (bench) => {
    for (const who of bench.principals) {
      const scopes = [...(await scopesOf(bench, who, 'list')), ...(await scopesOf(bench, who, 'listPipelines'))]
      const named = new Set([who.tenant, ...scopes.map(({ tenant }) => tenant)])
      const foreign = bench.targets.filter(({ tenant }) => !named.has(tenant))
      const questions = foreign.flatMap((target) => questionsOf(who, target))
      const verdicts = await verdictsOn(bench, questions)
      const wrong = questions.findIndex((_, index) => isShown(verdicts[index]))
      assert.equal(wrong, -1, `${about(questions[wrong])} is answered by ${said(verdicts[wrong])}`)
    }
  },

  'P8 a job that get hides is hidden from every other read': async (bench) => {
    for (const who of bench.principals) {
      for (const target of bench.targets) {
        if (isShown(await verdictOn(bench, questionOf(who, 'get', target)))) continue
        const questions = JOB_READS.map((action) => questionOf(who, action, target))
        const verdicts = await verdictsOn(bench, questions)
        const wrong = verdicts.findIndex(isShown)
        assert.equal(wrong, -1, `${about(questions[wrong])} is answered by ${said(verdicts[wrong])}, and get hides it`)
      }
    }
  },
}

type Check = readonly [string, PolicyChecks[string]]

function narrowEnough(many: ManyAction, one: Action): Check {
  return [
    `P4 a target that "${one}" hides is in no scope of "${many}"`,
    async (bench) => {
      await forEach(bench, many, one, (who, target, { verdict, covering }) => {
        if (isShown(verdict)) return
        const what = `"${one}" of ${said(target)} by ${said(who)} is answered by ${said(verdict)}`
        assert.deepEqual(covering, [], `${what}, and it stands in a scope of "${many}"`)
      })
    },
  ]
}

function wideEnough(many: ManyAction, one: Action): Check {
  return [
    `P4 a target that "${one}" shows is in a scope of "${many}"`,
    async (bench) => {
      await forEach(bench, many, one, (who, target, { verdict, covering }) => {
        if (!isShown(verdict)) return
        const what = `"${one}" of ${said(target)} by ${said(who)} is answered by ${said(verdict)}`
        assert.notEqual(covering.length, 0, `${what}, and it stands in no scope of "${many}"`)
      })
    },
  ]
}

function redactsAlike(many: ManyAction, one: Action, fields: readonly string[]): Check {
  return [
    `P4 a field that "${one}" redacts and "${many}" filters by is redacted in each matching scope of "${many}"`,
    async (bench) => {
      await forEach(bench, many, one, (who, target, { verdict, covering }) => {
        for (const field of redactedBy(verdict).filter((each) => fields.includes(each))) {
          for (const { redact = [], ...scope } of covering) {
            const what = `"${one}" of ${said(target)} by ${said(who)} redacts "${field}"`
            assert.ok(redact.includes(field), `${what}, and the scope ${said(scope)} of "${many}" does not`)
          }
        }
      })
    },
  ]
}

interface Seen {
  readonly verdict: unknown
  /** The scopes of the search that cover the target. */
  readonly covering: Awaited<ReturnType<typeof scopesOf>>
}

async function forEach(
  bench: PolicyBench,
  many: ManyAction,
  one: Action,
  look: (who: Principal, target: Target, seen: Seen) => void,
): Promise<void> {
  const targets = one === 'getPipeline' ? bench.targets.map(asPipeline) : bench.targets
  for (const who of bench.principals) {
    const scopes = await scopesOf(bench, who, many)
    const verdicts = await verdictsOn(
      bench,
      targets.map((target) => questionOf(who, one, target)),
    )
    for (const [index, target] of targets.entries()) {
      look(who, target, { verdict: verdicts[index], covering: scopes.filter((scope) => covers(scope, target)) })
    }
  }
}

function allQuestions({ principals, targets }: PolicyBench): readonly Question[] {
  return principals.flatMap((who) => targets.flatMap((target) => questionsOf(who, target)))
}

function about(question: Question | undefined): string {
  if (question === undefined) return 'nothing'
  return `authorize(${said(question.who)}, ${said(question.action)}, ${said(question.target)})`
}
