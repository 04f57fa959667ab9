import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, fromPromise } from 'xstate'
import type { Chart } from '../../src/model/chart.ts'
import { admit, claim, create, type Decision, due, end, lose, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, type Job } from '../../src/model/job.ts'
import type { Json } from '../../src/model/storable.ts'
import { type Task, task } from '../../src/model/task.ts'
import { seed } from './one-job.ts'

// Remembered transitions are compared with those of the general function, which decides every type with a `describe`.

const work = fromPromise(async () => {})
const slow = task({ timeout: '10s', retry: { limit: 1 } }, async () => {})
const limited = task({ limits: { concurrency: 2 } }, async () => {})
const keyed = task({ limits: { concurrency: 2, key: 'one' } }, async () => {})

interface StatePlan {
  readonly kind: 'atomic' | 'final' | 'parallel' | 'compound'
  readonly invokes: readonly { readonly src: string; readonly done: number; readonly hasInput: boolean }[]
  readonly on: readonly { readonly event: string; readonly to: number }[]
  readonly after: { readonly ms: number; readonly to: number } | null
  readonly tags: readonly string[]
  readonly label: string | null
}

const statePlan: fc.Arbitrary<StatePlan> = fc.record({
  kind: fc.constantFrom('atomic', 'atomic', 'atomic', 'final', 'parallel', 'compound'),
  invokes: fc.array(
    fc.record({ src: fc.constantFrom('work', 'slow', 'limited', 'keyed'), done: fc.nat(9), hasInput: fc.boolean() }),
    { maxLength: 2, size: 'max' },
  ),
  on: fc.array(fc.record({ event: fc.constantFrom('A', 'B', 'task.started', 'task.claimed', '*'), to: fc.nat(9) }), {
    maxLength: 3,
    size: 'max',
  }),
  after: fc.option(fc.record({ ms: fc.nat(5_000), to: fc.nat(9) })),
  tags: fc.array(fc.constantFrom('vacates', 'indeterminate', 'failure', 'cancelled'), { maxLength: 1, size: 'max' }),
  label: fc.option(fc.constantFrom('working', 'waiting for it')),
})

const plans = fc.array(statePlan, { minLength: 1, maxLength: 4, size: 'max' })

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom('claim', 'claim', 'claim', 'end', 'end', 'send', 'send', 'fail', 'lose', 'due', 'admit'),
    task: fc.nat(2),
    event: fc.constantFrom('A', 'B', 'C'),
    reason: fc.option(fc.string({ size: 'max', maxLength: 20 }), { nil: undefined }),
    // fc.jsonValue makes JSON values only.
    output: fc.option(fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<Json>, { nil: undefined }),
    // The clock may be set back.
    passed: fc.integer({ min: -500, max: 3_000 }),
  }),
  { maxLength: 30, size: 'max' },
)

/** Jobs of one machine that take similar paths, so that one can use what another has cached. */
const lives = fc.array(
  fc.record({
    isWaiting: fc.constantFrom(false, false, true),
    heartbeatMs: fc.constantFrom(500, 2_000),
    /** The script starts with this step, and wraps around at its end. */
    from: fc.nat(30),
    /** This step is left out. */
    without: fc.nat(30),
  }),
  { minLength: 2, maxLength: 8, size: 'max' },
)

type Life = typeof lives extends fc.Arbitrary<readonly (infer Each)[]> ? Each : never
type Step = typeof steps extends fc.Arbitrary<readonly (infer Each)[]> ? Each : never

function configOf(plan: readonly StatePlan[]): object {
  const target = (to: number) => `s${to % plan.length}`
  const states = plan.map((each, index) => [`s${index}`, stateOf(each, (to) => `#m.${target(to)}`)])
  return { id: 'm', initial: 's0', states: Object.fromEntries(states) }
}

function stateOf({ kind, invokes, on, after, tags, label }: StatePlan, target: (to: number) => string): object {
  const inner = { a: { on: { A: 'b' } }, b: {} }
  const regions = { one: { initial: 'a', states: inner }, two: { initial: 'b', states: inner } }
  const shared = { tags, ...(label === null ? {} : { meta: { status: label } }) }
  if (kind === 'final') return { type: 'final', ...shared }
  return {
    ...shared,
    ...(kind === 'parallel' ? { type: 'parallel', states: regions } : {}),
    ...(kind === 'compound' ? { initial: 'a', states: inner } : {}),
    invoke: invokes.map(({ src, done, hasInput }) => ({
      src,
      ...(hasInput ? { input: { path: ['a'] } } : {}),
      onDone: target(done),
    })),
    on: Object.fromEntries(on.map(({ event, to }) => [event, target(to)])),
    ...(after === null ? {} : { after: { [after.ms]: target(after.to) } }),
  }
}

/** The same machine as two types: one whose transitions are remembered, and one whose are not. */
function both(config: object): {
  readonly plain: AnyJobType
  readonly asked: AnyJobType
  readonly calls: () => number
} {
  const lifecycle: AnyStateMachine = createMachine(config as never).provide({
    actors: { work, slow, limited, keyed },
  } as never)
  const type = defineJob({ type: 'plain', lifecycle })
  const { chart, calls } = counted(type.chart)
  return { plain: { ...type, chart }, asked: defineJob({ type: 'plain', lifecycle, describe: () => undefined }), calls }
}

/** A chart that counts its calls. */
function counted(chart: Chart): { readonly chart: Chart; readonly calls: () => number } {
  let calls = 0
  const watched = new Proxy(chart, {
    get: (_, name) => {
      const value = Reflect.get(chart, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        calls++
        return value.apply(chart, args)
      }
    },
  })
  return { chart: watched, calls: () => calls }
}

function begun(type: AnyJobType, { isWaiting, heartbeatMs }: Life, at: number, id: string): Decision {
  const more = { id, isWaiting, idempotencyKey: id, ...(isWaiting ? { pipeline: 'p' } : { input: { id } }) }
  return create(type, { ...seed, ...more }, { at, random: 0.5, heartbeatMs })
}

function change(type: AnyJobType, job: Job, step: Step, life: Life, at: number): Decision | undefined {
  const { kind, event, reason, output } = step
  const context = { at, random: 0.5, heartbeatMs: life.heartbeatMs }
  if (kind === 'send') return send(type, job, { type: event, ...(reason === undefined ? {} : { reason }) }, context)
  if (kind === 'due') return due(type, job, context)
  if (kind === 'admit') return admit(type, job, context)
  const ready: readonly Task[] = kind === 'claim' ? claimableTasks(job) : job.tasks
  const chosen = ready[step.task % Math.max(1, ready.length)]
  if (chosen === undefined) return undefined
  const { token, invocation } = chosen
  if (kind === 'claim') return claim(type, job, invocation, { holder: `holder ${at}` }, context)
  if (kind === 'lose') return lose(type, job, { invocation, reason: 'died', steps: 0 }, context)
  if (kind === 'fail') return end(type, job, token, { ok: false, error: { message: 'no' } }, context)
  return end(type, job, token, output === undefined ? { ok: true } : { ok: true, output }, context)
}

function textOf(decision: Decision | undefined): string {
  if (decision === undefined) return 'none'
  const { before, job, events, inputs, handled, changed, others, looked, logs, effects } = decision
  const all = [before?.revision, job, events, inputs, handled, changed, others, looked, logs, effects]
  return JSON.stringify(all, (key, value) => (key === 'stack' ? undefined : value))
}

function alike<Decided extends Decision | undefined>(one: Decided, other: Decided): Decided {
  expect(textOf(one)).toBe(textOf(other))
  return one
}

describe('remembered transitions', () => {
  test('law: each decision of a plain chart equals that of the general function, to the byte', () => {
    let [decisions, calls] = [0, 0]
    fc.assert(
      fc.property(plans, steps, lives, (plan, list, jobs) => {
        const { plain, asked, calls: callsOf } = both(configOf(plan))
        for (const [index, life] of jobs.entries()) {
          let at = 1_000_000 * (index + 1)
          const id = `j${index}`
          let { job } = alike(begun(plain, life, at, id), begun(asked, life, at, id))
          const from = life.from % Math.max(1, list.length)
          for (const [number, step] of [...list.slice(from), ...list.slice(0, from)].entries()) {
            if (number === life.without) continue
            at += step.passed
            const before = job
            const decision = alike(change(plain, before, step, life, at), change(asked, before, step, life, at))
            if (decision?.before !== undefined) expect(decision.before).toBe(before)
            decisions++
            job = decision?.job ?? before
          }
        }
        calls += callsOf()
      }),
      { numRuns: 250 },
    )
    expect(decisions).toBeGreaterThan(2_500)
    // Otherwise each decision calls its chart at least once.
    expect(calls).toBeLessThan(decisions)
  })

  test('only the first of many jobs of one function runs its chart', () => {
    const { chart, calls } = counted(defineJob({ type: 'f', execute: () => 1 }).chart)
    const type = { ...defineJob({ type: 'f', execute: () => 1 }), chart }
    const lives = [1, 2, 3].map((n) => {
      const context = { at: 1_000 * n, random: 0, heartbeatMs: 500 }
      const begun = create(type, { ...seed, id: `j${n}`, input: n }, context).job
      const claimedJob = claim(type, begun, 1, { holder: `h${n}` }, context).job
      const done = end(type, claimedJob, 2, { ok: true, output: { n } }, context)?.job
      return { calls: calls(), held: claimedJob, done }
    })
    expect(new Set(lives.map((life) => life.calls)).size).toBe(1)
    expect(lives[2]).toMatchObject({
      held: { tasks: [{ holder: 'h3', token: 2 }], startedAt: 3_000, status: 'running' },
      done: { id: 'j3', input: 3, output: { n: 3 }, endedAt: 3_000, revision: 3, outcome: 'success' },
    })
  })

  test('give copies: changing an output later changes no job', () => {
    const type = defineJob({ type: 'f', execute: () => 1 })
    const lives = [1, 2].map((n) => {
      const context = { at: 1_000, random: 0, heartbeatMs: 500 }
      const claimedJob = claim(
        type,
        create(type, { ...seed, id: `j${n}` }, context).job,
        1,
        { holder: 'h' },
        context,
      ).job
      const output = { list: [n] }
      const done = end(type, claimedJob, 2, { ok: true, output }, context)?.job
      output.list.push(9)
      return done?.output
    })
    expect(lives).toEqual([{ list: [1] }, { list: [2] }])
  })

  test('an output that cannot be stored ends its job with that error, each time', () => {
    const type = defineJob({ type: 'f', execute: () => 1 })
    for (const output of [1, 'x'.repeat(2_000_000), 2]) {
      const context = { at: 1_000, random: 0, heartbeatMs: 500 }
      const claimedJob = claim(type, create(type, seed, context).job, 1, { holder: 'h' }, context).job
      const done = end(type, claimedJob, 2, { ok: true, output }, context)?.job
      expect(done?.outcome).toBe(typeof output === 'number' ? 'success' : 'failure')
    }
  })
})

test('of two paths to one state, each keeps its own counts of the states on the way', () => {
  const state = (to: object) => ({ invoke: { src: 'work' }, on: to })
  const { plain, asked } = both({
    id: 'm',
    initial: 'a',
    states: {
      a: state({ A: 'b', B: 'c' }),
      b: state({ A: { target: 'b', reenter: true }, B: 'a' }),
      c: state({ A: { target: 'c', reenter: true }, B: 'a' }),
    },
  })
  for (const way of ['AABA', 'BABA', 'AABA', 'BABA']) {
    let job = create(plain, seed, { at: 1, random: 0, heartbeatMs: 1 }).job
    for (const type of way) {
      const context = { at: 2, random: 0, heartbeatMs: 1 }
      job = alike(send(plain, job, { type }, context), send(asked, job, { type }, context)).job
    }
    expect(job.ordinals).toEqual(way.startsWith('A') ? { 'm.a': 2, 'm.b': 2 } : { 'm.a': 2, 'm.c': 2 })
  }
})

test.each<[string, object]>([
  ['a guard', { on: { A: { guard: () => true, target: '.a' } } }],
  ['an action', { on: { A: { actions: () => {} } } }],
  ['an assign', { on: { A: { actions: assign({}) } } }],
  ['an entry action', { entry: () => {} }],
  ['an exit action', { exit: () => {} }],
  ['a context that is made', { context: () => ({}) }],
  ['an output that is made', { output: () => 1 }],
  ['an input that is made', { invoke: { src: 'work', input: () => 1 } }],
  ['a history', { states: { h: { type: 'history' } } }],
])('a chart with %s is asked each time', (_, more) => {
  const base = { initial: 'a', states: { a: {} }, on: { A: '.a' } }
  const merged = { ...base, ...more, states: { ...base.states, ...(more as { states?: object }).states } }
  const { plain, calls } = both(merged)
  const asked = [1, 2, 3].map((n) => {
    const before = calls()
    create(plain, { ...seed, id: `j${n}` }, { at: n, random: 0, heartbeatMs: 1 })
    return calls() - before
  })
  expect(Math.min(...asked)).toBeGreaterThan(0)
})
