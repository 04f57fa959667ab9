/** Checks that a failing policy denies everything. */
import assert from 'node:assert/strict'
import type { Session } from 'jobchart'
import type { Policy, Verdict } from '../port/policy.ts'
import { type PolicyChecks, said } from './authorization-answers.ts'
import { codeOf, jobMethods, pipelineMethods } from './authorization-methods.ts'
import { ABSENT, inWorld, type World } from './authorization-world.ts'

/** How long an engine waits for an answer of its policy, in milliseconds. */
const ANSWER_MS_MAX = 5_000
/** How many answers one call waits for, at most: one for the action, the others for the right to see the job. */
const QUESTIONS_MAX = 3

// The ways to fail. A policy written in JavaScript may do any of these, because no compiler checks it.
const failures: { readonly [name: string]: () => unknown } = {
  throws: () => {
    throw new Error('the directory is down')
  },
  rejects: () => Promise.reject(new Error('the directory is down')),
  'never answers': () => new Promise(() => {}),
  'answers true': () => true,
  'answers with an empty object': () => ({}),
  'answers with an unknown word': () => 'allowed',
}

/** The checks of an engine with a failing policy: P2. */
export const failureChecks: PolicyChecks = Object.fromEntries(
  Object.entries(failures).map(([name, fail]) => [
    `P2 if the policy ${name}, every method is denied to every principal`,
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
  // The cast is wrong on purpose: the engine must reject the value at run time.
  return { authorize: () => fail() as Verdict, scope: () => fail() as false }
}

/** Makes every call. Returns for each one its name, its error code and the expected code. */
async function codesOf(world: World, session: Session): Promise<readonly (readonly [string, string, string])[]> {
  const [job, pipeline] = [world.jobs[0]?.id ?? '', world.pipelines[0]?.id ?? '']
  const [type] = world.types
  const calls: Promise<readonly [string, string, string]>[] = []
  const denied = (name: string, call: Promise<unknown>, expected: string) => {
    calls.push(codeOf(call).then((code) => [name, code, expected]))
  }
  for (const { name, call } of jobMethods) {
    // `actions` of several jobs leaves out the jobs that the caller may not see. Here it leaves out all of them, and an
    // empty answer is no error.
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
