import { describe, expect, test } from 'vitest'
import { createMachine, sendTo } from 'xstate'
import { admit, claim, create, due, end, remove, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, dueAt, holdsSlot, type Job, wakeAt } from '../../src/model/job.ts'
import { task } from '../../src/model/task.ts'
import { claimed, contextAt, machineType, seed, taskOf } from './one-job.ts'

const type = machineType({
  initial: 'a',
  states: {
    a: { invoke: { id: 'w', src: 'work' }, after: { 10000: 'late' }, on: { GO: 'b' } },
    b: { after: { 5000: 'late' }, tags: 'indeterminate' },
    late: {},
  },
})

function waiting(of: AnyJobType = type, more: object = {}): Job {
  return create(of, { ...seed, isWaiting: true, pipeline: 'p', ...more }, contextAt(1_000)).job
}

describe('a waiting job', () => {
  test('has its first state, holds no slot, and has no due timers', () => {
    const job = waiting()
    expect(job).toMatchObject({ phase: 'waiting', state: 'a', timers: [{ dueAt: 10_000 }] })
    expect(job).not.toHaveProperty('admittedAt')
    expect([holdsSlot(job), wakeAt(job), claimableTasks(job)]).toEqual([false, undefined, []])
    expect(due(type, job, contextAt(999_999)).changed).toBe(false)
    expect(claim(type, job, 1, { holder: 'me' }, contextAt(999_999)).job.tasks).toMatchObject([{ status: 'claimed' }])
  })

  test('takes events, and keeps waiting in another state, whose timers wait too', () => {
    const { job } = send(type, waiting(), { type: 'GO' }, contextAt(3_000))
    expect(job).toMatchObject({
      phase: 'waiting',
      status: 'waiting',
      state: 'b',
      tasks: [],
      timers: [{ dueAt: 5_000 }],
    })
    expect(admit(type, job, contextAt(9_000)).job).toMatchObject({
      phase: 'indeterminate',
      timers: [{ dueAt: 14_000 }],
    })
  })

  test('is admitted once: its tasks may be claimed and its timers count from then', () => {
    const { job, events } = admit(type, waiting(), contextAt(9_000))
    expect(events).toEqual([{ type: 'job.admitted', from: 'waiting', to: 'a' }])
    expect(job).toMatchObject({ phase: 'active', status: 'a', admittedAt: 9_000, timers: [{ dueAt: 19_000 }] })
    expect([holdsSlot(job), claimableTasks(job)]).toMatchObject([true, [{ availableAt: 9_000 }]])
    expect(admit(type, job, contextAt(10_000)).changed).toBe(false)
  })

  test('that has settled is not admitted', () => {
    const plain = defineJob({ type: 'plain', execute: () => 1 })
    const { job } = send(plain, waiting(plain), { type: 'cancel' }, contextAt(2_000))
    expect(job).toMatchObject({ phase: 'settled', outcome: 'cancelled' })
    expect(admit(plain, job, contextAt(3_000)).changed).toBe(false)
  })

  test('is ordered by its start time, else by its creation time', () => {
    expect([dueAt(waiting()), dueAt(waiting(type, { startAt: 5_000 }))]).toEqual([1_000, 5_000])
  })

  test('begins its child jobs at its admission, with the messages that were sent to them', () => {
    const child = createMachine({ initial: 'on', states: { on: { on: { HELLO: 'greeted' } }, greeted: {} } })
    const lifecycle = createMachine({
      invoke: { id: 'c', src: 'child' },
      on: { GREET: { actions: sendTo('c', { type: 'HELLO' }) } },
    }).provide({ actors: { child } } as never)
    const parent = defineJob({ type: 'parent', lifecycle })
    const told = send(parent, waiting(parent), { type: 'GREET' }, contextAt(2_000)).job
    expect(told.tasks).toMatchObject([{ status: 'available', inbox: [{ type: 'HELLO' }] }])
    const { job, others } = admit(parent, told, contextAt(3_000), { get: () => undefined, newId: () => 'j2' })
    expect(job.tasks).toMatchObject([{ status: 'claimed', child: 'j2', inbox: [] }])
    expect(others).toMatchObject([{ job: { id: 'j2', parentId: 'j1', status: 'greeted', admittedAt: 3_000 } }])
  })
})

describe('a deleted job', () => {
  test('has no timers and no tasks but stopping ones, and takes no further event', () => {
    const { job, events } = remove(type, claimed(type), contextAt(3_000))
    expect(events).toEqual([{ type: 'job.deleted' }])
    expect(job).toMatchObject({ deletedAt: 3_000, timers: [], tasks: [{ status: 'stopping' }] })
    expect(send(type, job, { type: 'GO' }, contextAt(4_000)).changed).toBe(false)
    expect(remove(type, job, contextAt(4_000)).changed).toBe(false)
    const over = end(type, job, taskOf(job).token, { ok: true }, contextAt(5_000))
    expect(over?.job).toMatchObject({ state: 'a', tasks: [] })
    expect(holdsSlot(over?.job ?? job)).toBe(false)
  })
})

describe('a child machine that is left and entered again', () => {
  const child = createMachine({
    invoke: { id: 'w', src: 'work' },
    after: { 1000: '.late' },
    initial: 'on',
    states: { on: {}, late: {} },
  })
  const lifecycle = createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'c', src: 'child' }, on: { AGAIN: { target: 'a', reenter: true } } } },
  }).provide({ actors: { child: child.provide({ actors: { work: task({}, async () => {}) } }) } } as never)
  const parent = defineJob({ type: 'parent', lifecycle })
  const childType = parent.children.get('child')
  if (childType === undefined) throw new Error('there is no child type')

  test('begins at once, and its work waits until the old work has stopped', () => {
    const world = new Map<string, Job>()
    let ids = 1
    const tree = {
      get: (id: string) => {
        const job = world.get(id)
        return job === undefined ? undefined : { type: id === 'j1' ? parent : childType, job }
      },
      newId: () => `j${++ids}`,
    }
    const keep = (decision: ReturnType<typeof send> | undefined) => {
      for (const { job } of [...(decision === undefined ? [] : [decision]), ...(decision?.others ?? [])])
        world.set(job.id, job)
    }
    const row = (id: string) => world.get(id) ?? waiting()
    keep(create(parent, seed, contextAt(1_000), tree))
    keep(claim(childType, row('j2'), taskOf(row('j2')).invocation, { holder: 'me' }, contextAt(2_000), tree))
    keep(send(parent, row('j1'), { type: 'AGAIN' }, contextAt(3_000), tree))
    expect(row('j1').tasks).toMatchObject([
      { child: 'j2', status: 'stopping' },
      { child: 'j3', status: 'claimed' },
    ])
    expect(row('j3')).toMatchObject({ blocked: true, timers: [{ dueAt: 4_000 }] })
    expect(claimableTasks(row('j3'))).toEqual([])
    keep(end(childType, row('j2'), taskOf(row('j2')).token, { ok: true }, contextAt(5_000), tree))
    expect(row('j1').tasks).toMatchObject([{ child: 'j3', status: 'claimed' }])
    expect(row('j3')).not.toHaveProperty('blocked')
    expect(claimableTasks(row('j3'))).toHaveLength(1)
  })
})
