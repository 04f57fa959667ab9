import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, createMachine, fromPromise } from 'xstate'
import { claim, create, due, end, send } from '../../src/model/decision.ts'
import type { JobTree } from '../../src/model/decision-data.ts'
import { type AnyJobType, defineJob, withChildren } from '../../src/model/definition.ts'
import type { Job } from '../../src/model/job.ts'
import { claimed, contextAt, created, seed, taskOf } from './one-job.ts'

// Any throw in a decision ends its job, so no claimed task stays without code that runs it.

const work = fromPromise(async () => {})

const lifecycle: AnyStateMachine = createMachine({
  initial: 'a',
  states: {
    a: {
      invoke: [
        { id: 'one', src: 'work', onDone: 'b' },
        { id: 'two', src: 'work' },
      ],
      on: { GO: 'b' },
    },
    b: { invoke: { id: 'three', src: 'work' } },
  },
}).provide({ actors: { work } })

const type = defineJob({ type: 'chart', lifecycle, labels: { error: 'broken' } })

/** The same version, with code that has lost its tasks. */
const forgetful: AnyJobType = { ...type, tasks: new Map() }

const lost = { name: 'Error', message: 'job type "chart" has no logic "work"' }

describe('a throw in a decision ends the job, visibly', () => {
  test('at a claim, with all its tasks', () => {
    const job = created(type)
    const decision = claim(forgetful, job, taskOf(job).invocation, { holder: 'me' }, contextAt(2_000))
    expect(decision).toMatchObject({
      changed: true,
      job: { status: 'broken', phase: 'settled', outcome: 'failure', error: lost, tasks: [], endedAt: 2_000 },
    })
    expect(decision.events.at(-1)).toMatchObject({
      type: 'job.transitioned',
      from: 'a',
      to: 'broken',
      outcome: 'failure',
      error: lost,
    })
  })

  test('at the end of an attempt: other code of the job is stopped, and abandoned after its grace', () => {
    const both = claimed(type, claimed(type))
    const failing = { ok: false as const, error: { message: 'no' } }
    const { job } = end(forgetful, both, taskOf(both).token, failing, contextAt(3_000)) ?? {}
    expect(job).toMatchObject({ phase: 'settled', error: lost })
    expect(job?.tasks.map(({ status }) => status)).toEqual(['stopping', 'stopping'])
    const later = due(forgetful, job as Job, contextAt(99_000)).job
    expect(later.tasks).toEqual([])
  })

  test('at its start', () => {
    const throwing: AnyJobType = { ...type, chart: { ...type.chart, start: () => thrower('start') } }
    const decision = create(throwing, seed, contextAt(1_000))
    expect(decision).toMatchObject({
      job: { revision: 1, status: 'broken', outcome: 'failure', phase: 'settled', error: { message: 'start' } },
      events: [{ type: 'job.created', to: 'broken', outcome: 'failure' }],
    })
  })

  test('during a transition, and it takes no further event', () => {
    const transition = () => thrower('inside')
    const throwing: AnyJobType = { ...type, chart: { ...type.chart, transition } }
    const { job } = send(throwing, created(type), { type: 'GO' }, contextAt(2_000))
    expect(job).toMatchObject({ status: 'broken', error: { message: 'inside' }, tasks: [] })
    expect(send(throwing, job, { type: 'GO' }, contextAt(3_000)).changed).toBe(false)
  })

  test('of a child, and its parent gets an error event', () => {
    const { rows, tree, childType } = parentAndChild()
    const child = jobIn(rows, 'j2')
    const decision = claim(
      { ...childType, tasks: new Map() },
      child,
      taskOf(child).invocation,
      { holder: 'me' },
      contextAt(2_000),
      tree,
    )
    expect(decision.job).toMatchObject({ phase: 'settled', outcome: 'failure' })
    expect(decision.others).toMatchObject([{ job: { id: 'j1', state: 'heard', tasks: [] } }])
  })

  test('of a child at its start, not of its parent, which gets an error event', () => {
    const tree: JobTree = { get: () => undefined, newId: () => 'j2' }
    const later = beginning({ a: { on: { GO: 'b' } } }, 'a')
    const decision = send(later, created(later), { type: 'GO' }, contextAt(2_000), tree)
    expect(decision.job).toMatchObject({ state: 'heard', phase: 'active', tasks: [] })
    expect(decision.others).toMatchObject([
      { job: { id: 'j2', phase: 'settled', outcome: 'failure', error: { message: 'start' } } },
    ])
    const atOnce = create(beginning({}, 'b'), seed, contextAt(1_000), tree)
    expect(atOnce.job).toMatchObject({ state: 'heard', phase: 'active', tasks: [] })
    expect(atOnce.others).toMatchObject([{ job: { id: 'j2', error: { message: 'start' } } }])
  })

  test('of a parent, not of the child whose end it handled', () => {
    const { rows, tree, childType } = parentAndChild((parent) => ({
      ...parent,
      chart: { ...parent.chart, transition: () => thrower('heard') },
    }))
    const decision = send(childType, jobIn(rows, 'j2'), { type: 'END' }, contextAt(2_000), tree)
    expect(decision.job).toMatchObject({ status: 'end', outcome: 'success' })
    expect(decision.others).toMatchObject([{ job: { id: 'j1', outcome: 'failure', error: { message: 'heard' } } }])
  })
})

/** A type that invokes a child in `b`, whose chart throws at its start. */
function beginning(states: object, initial: string): AnyJobType {
  const lifecycle: AnyStateMachine = createMachine({
    initial,
    states: { ...states, b: { invoke: { id: 'kid', src: 'child', onError: 'heard' } }, heard: {} },
  } as never).provide({ actors: { child: createMachine({}) } } as never)
  const type: AnyJobType = defineJob({ type: 'parent', lifecycle })
  const children = [...type.children].map(([src, child]) => {
    return [src, { ...child, chart: { ...child.chart, start: () => thrower('start') } }] as const
  })
  return { ...type, children: new Map(children) }
}

/** A stored job and the child job that it waits for. Later decisions find the parent under `changed` of its type. */
function parentAndChild(changed = (parent: AnyJobType) => parent) {
  const child: AnyStateMachine = createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'one', src: 'work' }, on: { END: 'end' } }, end: { type: 'final' } },
  }).provide({ actors: { work } })
  const lifecycle: AnyStateMachine = createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'kid', src: 'child', onDone: 'heard', onError: 'heard' } }, heard: {} },
  }).provide({ actors: { child } } as never)
  const [parentType, childType] = [...withChildren(defineJob({ type: 'parent', lifecycle }))] as [
    AnyJobType,
    AnyJobType,
  ]
  const rows = new Map<string, Job>()
  const tree: JobTree = {
    get: (id) => {
      const job = rows.get(id)
      return job && { type: id === 'j1' ? changed(parentType) : childType, job }
    },
    newId: () => 'j2',
  }
  const made = create(parentType, seed, contextAt(1_000), tree)
  for (const { job } of [made, ...made.others]) rows.set(job.id, job)
  return { rows, tree, childType }
}

function jobIn(rows: ReadonlyMap<string, Job>, id: string): Job {
  const job = rows.get(id)
  if (job === undefined) throw new Error(`no job ${id}`)
  return job
}

function thrower(message: string): never {
  throw new Error(message)
}
