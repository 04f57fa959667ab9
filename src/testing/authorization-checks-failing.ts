/** A policy that fails is a denial, whatever it would have said. */
import assert from 'node:assert/strict'
import type { Session } from 'jobchart'
import type { Policy, Verdict } from '../port/policy.ts'
import { type PolicyChecks, said } from './authorization-answers.ts'
import { codeOf, jobMethods, pipelineMethods } from './authorization-methods.ts'
import { ABSENT, inWorld, type World } from './authorization-world.ts'

/** How long an engine waits for an answer. */
const ANSWER_MS_MAX = 5_000
/** Answers that one call may wait for: whether it may be, and whether the job may be seen. */
const QUESTIONS_MAX = 3

// A policy in JavaScript may do any of it.
const failures: { readonly [name: string]: () => unknown } = {
  throws: () => {
    throw new Error('the directory is down')
  },
  rejects: () => Promise.reject(new Error('the directory is down')),
  'never answers': () => new Promise(() => {}),
  'answers true': () => true,
  'answers with an empty object': () => ({}),
  'answers with a word that is none': () => 'allowed',
}

/** Checks of what an engine makes of a policy that fails: P2. */
export const failureChecks: PolicyChecks = Object.fromEntries(
  Object.entries(failures).map(([name, fail]) => [
    `P2 where the policy ${name}, every method of every principal is denied`,
    async (bench) => {
      await inWorld(bench, async (world) => {
        world.answerBy(failing(fail))
        const before = await world.stored()
        for (const who of bench.principals) {
          for (const [call, code, expected] of await codesOf(world, world.sessionOf(who))) {
            assert.equal(code, expected, `${call} by ${said(who)}`)
          }
        }
        assert.equal(await world.stored(), before, 'something was changed though nothing was allowed')
      })
    },
  ]),
)

function failing(fail: () => unknown): Policy {
  // What it gives is no answer of the port, and is judged at run time.
  return { authorize: () => fail() as Verdict, scope: () => fail() as false }
}

/** For each call, the code that it is refused with, and the one that is expected. */
async function codesOf(world: World, session: Session): Promise<readonly (readonly [string, string, string])[]> {
  const [job, pipeline] = [world.jobs[0]?.id ?? '', world.pipelines[0]?.id ?? '']
  const [type] = world.types
  const calls: Promise<readonly [string, string, string]>[] = []
  const denied = (name: string, call: Promise<unknown>, expected: string) => {
    calls.push(codeOf(call).then((code) => [name, code, expected]))
  }
  for (const { name, call } of jobMethods) {
    // Of several, those that may be seen: none.
    denied(name, call(session, job), name === 'actions of many' ? 'ok' : 'JOB_NOT_FOUND')
  }
  for (const { name, call } of pipelineMethods) denied(name, call(session, pipeline), 'PIPELINE_NOT_FOUND')
  denied('list', session.list(), 'FORBIDDEN')
  denied('count', session.count(), 'FORBIDDEN')
  denied('events of all', session.events({ after: 0 }).next(), 'FORBIDDEN')
  denied('pipelines.list', session.pipelines.list(), 'FORBIDDEN')
  denied('submit', session.submit(type, { index: 0 }), 'FORBIDDEN')
  denied('pipelines.define', session.pipelines.define({ id: ABSENT, job: type, input: { index: 0 } }), 'FORBIDDEN')
  for (let asked = 0; asked < QUESTIONS_MAX; asked++) await world.clock.advance(ANSWER_MS_MAX)
  return await Promise.all(calls)
}
