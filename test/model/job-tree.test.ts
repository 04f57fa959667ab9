import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, fromPromise, sendParent, sendTo } from 'xstate'
import {
  claim,
  create,
  type Decision,
  type DecisionContext,
  due,
  end,
  type JobTree,
  lose,
  release,
  remove,
  report,
  send,
} from '../../src/model/decision.ts'
import { type AnyJobType, defineJob, withChildren } from '../../src/model/definition.ts'
import { holdsSlot, type Job, wakeAt } from '../../src/model/job.ts'

const HEARTBEAT = 2_000
const GRACE = 5_000

const working = machineOf({
  initial: 'busy',
  states: {
    busy: { invoke: { id: 'w', src: 'work', onDone: 'done', onError: 'broken' }, on: { GO: 'idle' } },
    idle: {},
    done: { type: 'final', output: { rows: 3 } },
    broken: { type: 'final', tags: ['failure'] },
  },
  output: ({ event }: { event: { output: unknown } }) => event.output,
})

const parent = typeOf({
  initial: 'running',
  context: { result: null },
  states: {
    running: {
      invoke: {
        id: 'c',
        src: 'child',
        input: { path: 'a.zip' },
        onDone: { target: 'over', actions: keep('output') },
        onError: { target: 'over', actions: keep('error') },
      },
      on: { LEAVE: 'left' },
    },
    left: {},
    over: { type: 'final' },
  },
  on: { END: '.over' },
})

describe('a child job', () => {
  test('is created with its parent, in one decision, and held by one of its tasks', () => {
    const { decision, world } = started(parent)
    expect(decision.others).toHaveLength(1)
    const child = jobIn(world, 'j2')
    expect(child).toMatchObject({
      type: 'order/child',
      version: '1',
      tenant: 'acme',
      createdBy: 'ada',
      labels: { team: 'blue' },
      priority: 4,
      trigger: 'parent',
      parentId: 'j1',
      parentInvoke: 'c',
      input: { path: 'a.zip' },
      status: 'busy',
      revision: 1,
      eventCount: 1,
    })
    expect(child).not.toHaveProperty('pipeline')
    expect(jobIn(world, 'j1').tasks).toMatchObject([{ id: 'c', status: 'claimed', child: 'j2' }])
    expect(decision.others[0]).not.toHaveProperty('before')
  })

  test('that succeeds gives the parent’s done event, in one changeset', () => {
    const { claimed } = started(parent)
    const { decision, after } = change(claimed('j2'), 'j2', (type, job, tree) =>
      end(type, job, 2, { ok: true }, contextAt(3_000), tree),
    )
    expect(decision).toMatchObject({ job: { status: 'done', outcome: 'success', output: { rows: 3 } } })
    expect(decision.others.map(({ job }) => job.id)).toEqual(['j1'])
    expect(jobIn(after, 'j1')).toMatchObject({
      status: 'over',
      phase: 'settled',
      tasks: [],
      context: { result: { rows: 3 } },
    })
  })

  test('that fails gives the parent’s error event', () => {
    const type = typeOf(
      {
        initial: 'a',
        context: { result: null },
        states: { a: { invoke: { id: 'c', src: 'child', onError: { target: 'b', actions: keep('error') } } }, b: {} },
      },
      machineOf({ on: { GO: { actions: assign(thrower) } } }),
    )
    const { world } = started(type)
    const { decision, after } = sent(world, 'j2', 'GO')
    expect(decision.job).toMatchObject({ status: 'error', outcome: 'failure', error: { name: 'RangeError' } })
    expect(jobIn(after, 'j1')).toMatchObject({
      state: 'b',
      context: { result: { name: 'RangeError', message: 'mine' } },
    })
  })

  test('that ends at its start notifies its parent in the changeset that creates both', () => {
    const type = typeOf(
      {
        initial: 'a',
        states: { a: { invoke: { id: 'c', src: 'child', onDone: 'b' } }, b: {} },
      },
      machineOf({ initial: 'z', states: { z: { type: 'final' } } }),
    )
    const { decision, world } = started(type)
    expect(decision.job).toMatchObject({ state: 'b', tasks: [] })
    expect(decision.events.map((event) => event.type)).toEqual(['job.created', 'job.transitioned'])
    expect(jobIn(world, 'j2')).toMatchObject({ phase: 'settled', outcome: 'success' })
  })

  test('whose parent has left the invoke sends it no event', () => {
    const { claimed } = started(parent)
    const left = sent(claimed('j2'), 'j1', 'LEAVE').after
    const { after } = change(left, 'j2', (type, job, tree) => end(type, job, 2, { ok: true }, contextAt(4_000), tree))
    expect(jobIn(after, 'j1')).toMatchObject({ state: 'left', context: { result: null } })
  })
})

const waiting = typeOf({
  initial: 'running',
  context: { result: null, seen: null },
  states: {
    running: {
      invoke: { id: 'c', src: 'child', onDone: 'over', onError: { target: 'broken', actions: keep('error') } },
      on: {
        TELL: { actions: sendTo('c', { type: 'GO' }) },
        LOOK: { actions: assign({ seen: ({ self }) => lookedAt(self) }) },
        STOP: { target: 'left', actions: assign({ seen: ({ self }) => lookedAt(self) }) },
        LEAVE: 'left',
      },
    },
    left: {},
    over: {},
    broken: {},
  },
})

describe('a child job whose row is gone', () => {
  test('ends with an error as soon as its parent sends to it', () => {
    const world = without(started(waiting).world, 'j2')
    const { decision } = sent(world, 'j1', 'TELL')
    expect(decision).toMatchObject({ job: { state: 'broken', tasks: [] }, others: [] })
    expect(decision.job.context).toMatchObject({ result: { name: 'JobchartError', code: 'JOB_NOT_FOUND' } })
  })

  test('ends with an error as soon as its parent reads it, and the parent sees the error', () => {
    const world = without(started(waiting).world, 'j2')
    const { job } = sent(world, 'j1', 'LOOK').decision
    expect(job).toMatchObject({ state: 'broken', tasks: [], context: { seen: 'error' } })
  })

  test('is forgotten when its parent leaves it', () => {
    const world = without(started(waiting).world, 'j2')
    expect(sent(world, 'j1', 'LEAVE').decision).toMatchObject({ job: { state: 'left', tasks: [] }, others: [] })
  })

  test('is not part of its parent’s deletion', () => {
    const world = without(started(waiting).world, 'j2')
    const { decision } = change(world, 'j1', (type, job, tree) => remove(type, job, contextAt(3_000), tree))
    expect(decision.job).toMatchObject({ deletedAt: 3_000, tasks: [] })
  })
})

test('a child job whose parent is gone continues, and ends alone', () => {
  const world = without(started(parent).claimed('j2'), 'j1')
  const { decision } = change(world, 'j2', (type, job, tree) => end(type, job, 2, { ok: true }, contextAt(3_000), tree))
  expect(decision).toMatchObject({ job: { phase: 'settled', outcome: 'success' }, others: [] })
})

test('a decision names the jobs that its chart read, at their revisions, but not those that it changed', () => {
  const { claimed } = started(waiting)
  const world = claimed('j2')
  expect(sent(world, 'j1', 'LOOK').decision).toMatchObject({
    job: { context: { seen: 'active' } },
    others: [],
    looked: [{ id: 'j2', revision: 2 }],
  })
  expect(sent(world, 'j1', 'STOP').decision).toMatchObject({
    job: { context: { seen: 'active' } },
    others: [{ job: { id: 'j2' } }],
    looked: [],
  })
})

test('a decision names a parent that heard of its child and did not move', () => {
  const { world } = started(
    typeOf({ invoke: { id: 'c', src: 'child' } }, machineOf({ on: { GO: { actions: sendParent({ type: 'NEWS' }) } } })),
  )
  expect(sent(world, 'j2', 'GO').decision).toMatchObject({ others: [], looked: [{ id: 'j1', revision: 1 }] })
})

test('a job with parents or children is not decided without its tree', () => {
  const { world } = started(parent)
  expect(() => send(parent, jobIn(world, 'j1'), { type: 'LEAVE' }, contextAt(3_000))).toThrow('need the job tree')
})

describe('leaving an invoked machine', () => {
  test('stops the child in the same changeset, under the label of stopped jobs', () => {
    const { world } = started(parent)
    const { decision, after } = sent(world, 'j1', 'LEAVE')
    expect(decision.job).toMatchObject({ state: 'left', tasks: [] })
    expect(jobIn(after, 'j2')).toMatchObject({ status: 'stopped', outcome: 'cancelled', phase: 'settled', tasks: [] })
    expect(decision.others.flatMap(({ events }) => events)).toEqual([
      { type: 'job.transitioned', from: 'busy', to: 'stopped', outcome: 'cancelled' },
    ])
  })

  test('keeps the child in the parent’s tasks, with its slot, until the child’s own work is gone', () => {
    const { claimed } = started(parent)
    const left = sent(claimed('j2'), 'j1', 'END').after
    const [job, child] = [jobIn(left, 'j1'), jobIn(left, 'j2')]
    expect(job).toMatchObject({ phase: 'settled', tasks: [{ id: 'c', status: 'stopping', child: 'j2' }] })
    expect(wakeAt(job)).toBeUndefined()
    expect(child.tasks).toMatchObject([{ status: 'stopping', stopBy: 3_000 + HEARTBEAT + GRACE }])
    expect(holdsSlot(job)).toBe(true)
    const stopped = change(left, 'j2', (type, each, tree) =>
      end(type, each, 2, { ok: true }, contextAt(4_000), tree),
    ).after
    expect([jobIn(stopped, 'j1').tasks, jobIn(stopped, 'j2').tasks]).toEqual([[], []])
    expect(holdsSlot(jobIn(stopped, 'j1'))).toBe(false)
    const abandoned = change(left, 'j2', (type, each, tree) => due(type, each, contextAt(99_999), tree)).after
    expect([jobIn(abandoned, 'j1').tasks, jobIn(abandoned, 'j2').tasks]).toEqual([[], []])
  })

  test('I29 stops the whole subtree, however deep, in one changeset', () => {
    const middle = machineOf({ invoke: { id: 'd', src: 'child' } }).provide({ actors: { child: working } })
    const type = typeOf(
      { initial: 'a', states: { a: { invoke: { src: 'child' }, on: { LEAVE: 'b' } }, b: {} } },
      middle,
    )
    const { world } = started(type)
    const { decision, after } = sent(world, 'j1', 'LEAVE')
    expect(decision.others.map(({ job }) => [job.id, job.status]).sort()).toEqual([
      ['j2', 'stopped'],
      ['j3', 'stopped'],
    ])
    expect([...after.values()].flatMap(({ tasks }) => tasks)).toEqual([])
  })

  test('a child that is left during its own transition starts nothing more', () => {
    const child = machineOf({
      initial: 'a',
      states: {
        a: { on: { GO: { target: 'b', actions: sendParent({ type: 'LEAVE' }) } } },
        b: { invoke: { id: 'w', src: 'work' }, after: { 50: 'a' } },
      },
    })
    const type = typeOf({ initial: 'a', states: { a: { invoke: { src: 'child' }, on: { LEAVE: 'b' } }, b: {} } }, child)
    const { after } = sent(started(type).world, 'j2', 'GO')
    expect(jobIn(after, 'j1')).toMatchObject({ state: 'b', tasks: [] })
    expect(jobIn(after, 'j2')).toMatchObject({ phase: 'settled', status: 'stopped', tasks: [], timers: [] })
  })
})

describe('messages', () => {
  test('to a child and back are one changeset, each taken after the other is done', () => {
    const child = machineOf({ on: { ASK: { actions: [sendParent({ type: 'ONE' }), sendParent({ type: 'TWO' })] } } })
    const type = typeOf(
      {
        context: { seen: '' },
        invoke: { id: 'c', src: 'child' },
        on: {
          GO: { actions: [sendTo('c', { type: 'ASK' }), see('GO')] },
          ONE: { actions: see('ONE') },
          TWO: { actions: see('TWO') },
        },
      },
      child,
    )
    const { decision } = sent(started(type).world, 'j1', 'GO')
    expect(decision.job.context).toEqual({ seen: 'GO ONE TWO ' })
    expect(decision.job.revision).toBe(2)
    expect(decision.inputs).toEqual([{ type: 'GO' }, { type: 'ONE' }, { type: 'TWO' }])
    expect(decision.others).toMatchObject([{ job: { id: 'j2', revision: 2 }, inputs: [{ type: 'ASK' }] }])
  })

  test('for a task wait in its inbox, and are given again to a later attempt', () => {
    const type = typeOf({
      invoke: { id: 'w', src: 'work' },
      on: { GO: { actions: sendTo('w', { type: 'X', n: 1 } as { type: string }) } },
    })
    const told = sent(started(type).claimed('j1'), 'j1', 'GO').after
    expect(jobIn(told, 'j1').tasks).toMatchObject([{ status: 'claimed', inbox: [{ type: 'X', n: 1 }] }])
    const lost = change(told, 'j1', (each, job, tree) =>
      lose(each, job, { invocation: 1, reason: 'died', steps: 0 }, contextAt(4_000), tree),
    ).after
    expect(jobIn(lost, 'j1').tasks).toMatchObject([{ status: 'available', inbox: [{ type: 'X', n: 1 }] }])
  })

  test('that circle without end are an error of a job, and end', () => {
    const child = machineOf({ on: { PING: { actions: sendParent({ type: 'PONG' }) } } })
    const type = typeOf(
      { invoke: { id: 'c', src: 'child' }, on: { PONG: { actions: sendTo('c', { type: 'PING' }) } } },
      child,
    )
    const { after } = sent(started(type).world, 'j1', 'PONG')
    const errors = [...after.values()].map(({ error }) => error?.code)
    expect(errors).toContain('INVALID_DEFINITION')
  })
})

describe('tasks that no claim holds', () => {
  test('I16 a child’s task has no token: no report ends it, gives it back or speaks for it', () => {
    const { world } = started(parent)
    const job = jobIn(world, 'j1')
    const tree = treeIn(world)
    expect(end(parent, job, 0, { ok: true, output: 'forged' }, contextAt(3_000), tree)).toBeUndefined()
    expect(report(parent, job, 0, { kind: 'event', event: { type: 'LEAVE' } }, contextAt(3_000), tree)).toBeUndefined()
    expect(release(parent, job, 0, contextAt(3_000), tree)).toMatchObject({ changed: false, job })
  })

  test('I12 a child’s task is not an attempt: it cannot be lost with a process', () => {
    const { world } = started(parent)
    const loss = { invocation: 1, reason: 'died', steps: 0 }
    expect(lose(parent, jobIn(world, 'j1'), loss, contextAt(3_000), treeIn(world)).changed).toBe(false)
  })
})

const seed = {
  id: 'j1',
  tenant: 'acme',
  createdBy: 'ada',
  trigger: 'manual',
  labels: { team: 'blue' },
  priority: 4,
  pipeline: 'nightly',
} as const

type World = ReadonlyMap<string, Job>

interface Changed {
  readonly decision: Decision
  readonly after: World
}

const types = new Map<string, AnyJobType>()

function thrower(): never {
  throw new RangeError('mine')
}

function keep(field: 'output' | 'error') {
  return assign({
    result: ({ event }: { event: object }) => (event as { readonly [key: string]: unknown })[field],
  } as never)
}

function see(word: string) {
  return assign({ seen: ({ context }: { context: { seen: string } }) => `${context.seen}${word} ` } as never)
}

function contextAt(at: number): DecisionContext {
  return { at, random: 0, heartbeatMs: HEARTBEAT }
}

function machineOf(config: object): AnyStateMachine {
  return createMachine(config as never).provide({ actors: { work: fromPromise(async () => {}) } })
}

function typeOf(config: object, child = working): AnyJobType {
  return defineJob({ type: 'order', lifecycle: machineOf(config).provide({ actors: { child } }) })
}

function started(type: AnyJobType) {
  types.clear()
  for (const each of withChildren(type)) types.set(each.type, each)
  const decision = create(type, seed, contextAt(1_000), treeIn(new Map([['j1', undefined]])))
  const world = applied(new Map(), decision)
  /** The jobs with the first task of one of them claimed. */
  const claimed = (id: string): World => {
    const job = jobIn(world, id)
    const invocation = job.tasks[0]?.invocation ?? -1
    return applied(world, claim(typeIn(job), job, invocation, { holder: 'me' }, contextAt(2_000), treeIn(world)))
  }
  return { decision, world, claimed }
}

type Decide = (type: AnyJobType, job: Job, tree: JobTree) => Decision | undefined

function change(world: World, id: string, decide: Decide): Changed {
  const job = jobIn(world, id)
  const decision = decide(typeIn(job), job, treeIn(world))
  if (decision === undefined) throw new Error('the token is not good')
  return { decision, after: applied(world, decision) }
}

function sent(world: World, id: string, name: string): Changed {
  return change(world, id, (type, job, tree) => send(type, job, { type: name }, contextAt(3_000), tree))
}

function without(world: World, id: string): World {
  return new Map([...world].filter(([each]) => each !== id))
}

function lookedAt(self: { getSnapshot: () => unknown }): unknown {
  const { children } = self.getSnapshot() as { children: { c: { getSnapshot: () => { status: string } } } }
  return children.c.getSnapshot().status
}

function applied(world: World, { job, others }: Decision): World {
  return new Map([...world, [job.id, job], ...others.map((each) => [each.job.id, each.job] as const)])
}

function jobIn(world: World, id: string): Job {
  const job = world.get(id)
  if (job === undefined) throw new Error(`no job ${id}`)
  return job
}

function typeIn(job: Job): AnyJobType {
  const type = types.get(job.type)
  if (type === undefined) throw new Error(`no type ${job.type}`)
  return type
}

function treeIn(world: ReadonlyMap<string, Job | undefined>): JobTree {
  let made = world.size
  return {
    get: (id) => {
      const job = world.get(id)
      return job === undefined ? undefined : { type: typeIn(job), job }
    },
    newId: () => `j${++made}`,
  }
}
