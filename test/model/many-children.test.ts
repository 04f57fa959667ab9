import { describe, expect, test } from 'vitest'
import {
  type AnyActorRef,
  type AnyStateMachine,
  assign,
  createMachine,
  enqueueActions,
  fromPromise,
  sendTo,
  stopChild,
} from 'xstate'
import type { ChildActor } from '../../src/model/chart.ts'
import { claim, create, type Decision, end, send } from '../../src/model/decision.ts'
import type { JobTree } from '../../src/model/decision-data.ts'
import { type AnyJobType, defineJob, withChildren } from '../../src/model/definition.ts'
import type { Job } from '../../src/model/job.ts'
import { createChart } from '../../src/model/transition.ts'
import { contextAt, seed, taskOf } from './one-job.ts'

const MANY = 1_000
const ids = Array.from({ length: MANY }, (_, index) => `k${index}`)

const work = fromPromise(async () => {})

const child: AnyStateMachine = createMachine({
  context: { heard: 0 },
  initial: 'a',
  invoke: { id: 'w', src: 'work', onDone: '.done' },
  states: {
    a: { on: { TELL: { actions: assign({ heard: ({ context }) => context.heard + 1 }) } } },
    done: { type: 'final' },
  },
} as never).provide({ actors: { work } } as never)

const count = { actions: assign({ ended: ({ context }: { context: { ended: number } }) => context.ended + 1 }) }
const TELL = { actions: sendTo(({ event }) => String((event as { to?: string }).to), { type: 'TELL' }) }

const parents: { readonly [how: string]: object } = {
  'that a state invokes': {
    context: { ended: 0 },
    initial: 'idle',
    states: {
      idle: { on: { GO: 'busy' } },
      busy: { invoke: ids.map((id) => ({ id, src: 'child', onDone: count })), on: { LEAVE: 'idle', TELL } },
    },
  },
  'that one action spawns': {
    context: { ended: 0 },
    on: {
      GO: {
        actions: enqueueActions(({ enqueue }) => {
          for (const id of ids) enqueue.spawnChild('child', { id } as never)
        }),
      },
      LEAVE: {
        actions: enqueueActions(({ enqueue }) => {
          for (const id of ids) enqueue.stopChild(id)
        }),
      },
      TELL,
      'xstate.done.actor.*': count,
    },
  },
  'that an assign spawns, and keeps the references of': {
    context: { ended: 0, refs: [] },
    initial: 'busy',
    states: {
      busy: {
        on: {
          GO: {
            actions: assign({
              refs: ({ spawn }: { spawn: (src: string, options: object) => unknown }) =>
                ids.map((id) => spawn('child', { id })),
            } as never),
          },
          LEAVE: 'over',
          TELL,
          'xstate.done.actor.*': count,
        },
      },
      over: { type: 'final' },
    },
  },
}

describe.each(Object.entries(parents))('a thousand children %s', (_, config) => {
  test('begin, get messages, end and are left', () => {
    const { rows, decide } = world(config)
    decide('j1', (type, job, tree) => send(type, job, { type: 'GO' }, contextAt(1_000), tree))
    expect(rows.size).toBe(MANY + 1)
    const children = [...rows.keys()].filter((id) => id !== 'j1')
    for (const id of children) {
      decide(id, (type, job, tree) =>
        claim(type, job, taskOf(job).invocation, { holder: 'me' }, contextAt(2_000), tree),
      )
    }
    for (const to of ids)
      decide('j1', (type, job, tree) => send(type, job, { type: 'TELL', to }, contextAt(3_000), tree))
    for (const id of children) expect(rows.get(id)?.context).toEqual({ heard: 1 })
    for (const id of children.slice(0, 600)) {
      decide(id, (type, job, tree) => end(type, job, taskOf(job).token, { ok: true }, contextAt(4_000), tree))
    }
    expect(rows.get('j1')).toMatchObject({ context: { ended: 600 }, tasks: { length: 400 } })
    decide('j1', (type, job, tree) => send(type, job, { type: 'LEAVE' }, contextAt(5_000), tree))
    expect(children.map((id) => rows.get(id)?.phase)).toEqual(children.map(() => 'settled'))
    for (const id of children.slice(600)) {
      decide(id, (type, job, tree) => end(type, job, taskOf(job).token, { ok: true }, contextAt(6_000), tree))
    }
    expect(rows.get('j1')).toMatchObject({ context: { ended: 600 }, tasks: [] })
  })

  test('stay the same objects in their parent, except the one that changes', () => {
    const { rows, decide } = world(config)
    const { job: before } = decide('j1', (type, job, tree) => send(type, job, { type: 'GO' }, contextAt(1_000), tree))
    const [id] = [...rows.keys()].filter((each) => each !== 'j1')
    decide(String(id), (type, job, tree) =>
      claim(type, job, taskOf(job).invocation, { holder: 'me' }, contextAt(2_000), tree),
    )
    decide(String(id), (type, job, tree) => end(type, job, taskOf(job).token, { ok: true }, contextAt(4_000), tree))
    const after = rows.get('j1')?.tasks ?? []
    expect(after).toHaveLength(MANY - 1)
    expect(after.every((task) => before.tasks.includes(task))).toBe(true)
  })
})

test('a chart looks up only the children that it addresses', () => {
  const chart = createChart(
    createMachine({
      on: {
        TELL,
        STOP: { actions: stopChild('k7') },
        COUNT: {
          actions: assign({
            n: ({ self }: { self: AnyActorRef }) => Object.keys(self.getSnapshot().children).length,
          } as never),
        },
      },
    } as never),
  )
  const looked: string[] = []
  const list: readonly ChildActor[] = ids.map((id, index) => ({ id, src: 'child', invocation: index + 1 }))
  const children = {
    byId: (id: string) => {
      looked.push(id)
      return list.find((each) => each.id === id)
    },
    byInvocation: (invocation: number) => list.find((each) => each.invocation === invocation),
    bySystemId: () => undefined,
    all: () => {
      looked.push('all')
      return list
    },
  }
  const { snapshot } = chart.start(undefined)
  const take = (event: { type: string; to?: string }) => {
    looked.length = 0
    const { actions } = chart.transition(snapshot, event, { children, nextInvocation: MANY + 1 })
    return { actions, looked: new Set(looked) }
  }
  expect(take({ type: 'TELL', to: 'k5' })).toMatchObject({ actions: [{ to: 6 }], looked: new Set(['k5']) })
  expect(take({ type: 'STOP' })).toMatchObject({ actions: [{ kind: 'leave', invocation: 8 }], looked: new Set(['k7']) })
  expect(take({ type: 'OTHER' }).looked).toEqual(new Set())
  expect(take({ type: 'COUNT' }).looked).toContain('all')
})

type Decide = (type: AnyJobType, job: Job, tree: JobTree) => Decision | undefined

function world(config: object) {
  const lifecycle: AnyStateMachine = createMachine(config as never).provide({ actors: { child } } as never)
  const type = defineJob({ type: 'many', lifecycle })
  const types = new Map([...withChildren(type)].map((each) => [each.type, each]))
  const rows = new Map<string, Job>()
  let made = 1
  const tree: JobTree = {
    get: (id) => {
      const job = rows.get(id)
      return job && { type: types.get(job.type) ?? type, job }
    },
    newId: () => `j${++made}`,
  }
  const keep = (decision: Decision | undefined): Decision => {
    if (decision === undefined) throw new Error('the token is not good')
    for (const { job } of [decision, ...decision.others]) rows.set(job.id, job)
    return decision
  }
  keep(create(type, seed, contextAt(1_000), tree))
  const decide = (id: string, change: Decide): Decision => {
    const stored = tree.get(id)
    if (stored === undefined) throw new Error(`no job ${id}`)
    return keep(change(stored.type, stored.job, tree))
  }
  return { rows, decide }
}
