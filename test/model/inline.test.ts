import { expect, test } from 'vitest'
import { type AnyActorLogic, assign, createMachine, fromTransition, sendTo } from 'xstate'
import { claim, create, type DecisionContext, end, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, isBusy, type Job } from '../../src/model/job.ts'

const counter = fromTransition((count: number, event: { type: string }) => {
  if (event.type === 'FAIL') throw new RangeError('mine')
  return event.type === 'SPOIL' ? Number.NaN : count + 1
}, 5)

const forwarding = {
  initial: 'a',
  context: { error: null },
  states: {
    a: {
      invoke: { id: 'c', src: 'logic', onError: { target: 'b', actions: keep('error') } },
      on: {
        TELL: { actions: sendTo('c', ({ event }: { event: { as: string } }) => ({ type: event.as }) as never) },
        LEAVE: 'b',
      },
    },
    b: {},
  },
}

test('transition logic moves with its job: its task holds its state, and nobody claims it', () => {
  const type = typeOf(forwarding)
  const job = created(type)
  expect(job.tasks).toMatchObject([{ id: 'c', status: 'inline', token: 0, snapshot: { status: 'active', context: 5 } }])
  expect(claimableTasks(job)).toEqual([])
  expect(isBusy(job)).toBe(false)
  expect(claim(type, job, 1, { holder: 'me' }, contextAt(2_000)).changed).toBe(false)
})

test('transition logic takes its messages in the same changeset, from the stored state', () => {
  const type = typeOf(forwarding)
  const once = told(type, created(type), 'NEXT')
  expect(once).toMatchObject({ revision: 2, tasks: [{ snapshot: { context: 6 } }] })
  expect(told(type, JSON.parse(JSON.stringify(once)), 'NEXT').tasks).toMatchObject([{ snapshot: { context: 7 } }])
})

test('transition logic that throws is an error event for its chart, and its task is gone', () => {
  const type = typeOf(forwarding)
  expect(told(type, created(type), 'FAIL')).toMatchObject({
    state: 'b',
    tasks: [],
    context: { error: { name: 'RangeError', message: 'mine' } },
  })
})

test('I48 a state of transition logic that JSON would not give back is an error event with its path', () => {
  const type = typeOf(forwarding)
  expect(told(type, created(type), 'SPOIL')).toMatchObject({
    state: 'b',
    context: { error: { code: 'NOT_STORABLE', message: expect.stringContaining('state of "c".context') } },
  })
})

test('transition logic that the chart leaves is gone at once', () => {
  const type = typeOf(forwarding)
  expect(send(type, created(type), { type: 'LEAVE' }, contextAt(2_000)).job).toMatchObject({ state: 'b', tasks: [] })
})

test('transition logic that cannot begin is an error event as its job begins', () => {
  const broken = fromTransition(
    (count: number) => count,
    () => {
      throw new RangeError('mine')
    },
  )
  expect(created(typeOf(forwarding, broken))).toMatchObject({
    state: 'b',
    tasks: [],
    context: { error: { message: 'mine' } },
  })
})

test('a chart that asks for snapshots hears of each state', () => {
  const type = typeOf({
    context: { seen: [] },
    invoke: {
      id: 'c',
      src: 'logic',
      onSnapshot: {
        actions: assign({
          seen: ({ context, event }: { context: { seen: unknown[] }; event: { snapshot: { context: unknown } } }) => [
            ...context.seen,
            event.snapshot.context,
          ],
        } as never),
      },
    },
    on: { TELL: { actions: sendTo('c', { type: 'NEXT' }) } },
  })
  expect(told(type, created(type), 'NEXT').context).toEqual({ seen: [5, 6] })
})

test('I16 transition logic has no token: no report ends it', () => {
  const type = typeOf(forwarding)
  const job = created(type)
  expect(endUnder(type, job, 0)).toBeUndefined()
})

function contextAt(at: number): DecisionContext {
  return { at, random: 0, heartbeatMs: 2_000 }
}

function keep(field: string) {
  return assign({
    error: ({ event }: { event: object }) => (event as { readonly [key: string]: unknown })[field],
  } as never)
}

function typeOf(config: object, logic: AnyActorLogic = counter): AnyJobType {
  return defineJob({ type: 'order', lifecycle: createMachine(config as never).provide({ actors: { logic } }) })
}

function created(type: AnyJobType): Job {
  const seed = { id: 'j1', tenant: 'acme', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const
  return create(type, seed, contextAt(1_000)).job
}

function told(type: AnyJobType, job: Job, as: string): Job {
  return send(type, job, { type: 'TELL', as }, contextAt(2_000)).job
}

function endUnder(type: AnyJobType, job: Job, token: number): unknown {
  return end(type, job, token, { ok: true, output: 'forged' }, contextAt(3_000))
}
