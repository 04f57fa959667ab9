import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, fromTransition, sendTo } from 'xstate'
import { create, type Decision, send } from '../../src/model/decision.ts'
import type { JobTree } from '../../src/model/decision-data.ts'
import { type AnyJobType, defineJob, withChildren } from '../../src/model/definition.ts'
import type { Job } from '../../src/model/job.ts'
import { contextAt, seed } from './one-job.ts'
import { freeze } from './walks/walk.ts'

// A chart's functions run once for each decision, and changes that they make to their arguments reach no one else.

/** Stored jobs: each read gives the same frozen record, because no decision may change it. */
class Store {
  readonly rows = new Map<string, Job>()
  readonly #types: ReadonlyMap<string, AnyJobType>
  readonly #type: AnyJobType

  constructor(type: AnyJobType, input?: never) {
    this.#type = type
    this.#types = new Map([...withChildren(type)].map((each) => [each.type, each]))
    this.keep(create(type, { ...seed, ...(input === undefined ? {} : { input }) }, contextAt(1_000), this.tree))
  }

  get tree(): JobTree {
    return {
      get: (id) => {
        const job = this.rows.get(id)
        const type = job && this.#types.get(job.type)
        return job && type && { type, job }
      },
      newId: () => `j${this.rows.size + 2}`,
    }
  }

  send(event: { readonly type: string; readonly [field: string]: unknown }, id = 'j1'): Job {
    const job = this.job(id)
    const type = this.#types.get(job.type) ?? this.#type
    return this.keep(send(type, job, freeze(event), contextAt(2_000), this.tree))
  }

  keep({ job, others }: Decision): Job {
    for (const each of [job, ...others.map((other) => other.job)]) this.rows.set(each.id, freeze(each))
    return job
  }

  job(id: string): Job {
    const job = this.rows.get(id)
    if (job === undefined) throw new Error(`no job ${id}`)
    return job
  }
}

function typeOf(config: object, actors: object = {}): AnyJobType {
  const lifecycle: AnyStateMachine = createMachine(config as never).provide({ actors } as never)
  return defineJob({ type: 'own', lifecycle })
}

interface Self {
  readonly getSnapshot: () => { readonly children: { readonly kid: { readonly getSnapshot: () => unknown } } }
}

function contextOfKid<Context>(self: Self): Context {
  return (self.getSnapshot().children.kid.getSnapshot() as { readonly context: Context }).context
}

describe('once in a decision', () => {
  test('runs an assign that changes its context in place, although a child gets an event', () => {
    const stock = createMachine({})
    const type = typeOf(
      {
        context: { items: [] },
        invoke: { id: 'stock', src: 'stock' },
        on: {
          ADD: {
            actions: [
              assign(({ context, event }) => {
                context.items.push(event.sku)
                return { items: context.items }
              }),
              sendTo('stock', { type: 'RESERVE' }),
            ],
          },
        },
      },
      { stock },
    )
    const store = new Store(type)
    expect(store.send({ type: 'ADD', sku: 'tea' }).context).toEqual({ items: ['tea'] })
    expect(store.send({ type: 'ADD', sku: 'rice' }).context).toEqual({ items: ['tea', 'rice'] })
  })

  test('runs the actions of a child that begins', () => {
    let starts = 0
    const child = createMachine({
      context: () => {
        starts++
        return {}
      },
    })
    new Store(typeOf({ invoke: { id: 'kid', src: 'child' } }, { child }))
    expect(starts).toBe(1)
  })

  test('runs transition logic that begins', () => {
    let starts = 0
    const logic = fromTransition(
      (state: number) => state,
      () => ++starts,
    )
    new Store(typeOf({ invoke: { id: 'kid', src: 'logic' } }, { logic }))
    expect(starts).toBe(1)
  })

  test('calls a guard, true or false, for events of persons and of executors', () => {
    const asked: string[] = []
    const guard = (name: string, answer: boolean) => () => {
      asked.push(name)
      return answer
    }
    const type = typeOf(
      {
        on: {
          NO: { guard: guard('no', false), actions: () => {} },
          FORBIDDEN: { guard: guard('forbidden', true) },
          YES: { guard: guard('yes', true), target: '' },
        },
        invoke: { id: 'w', src: 'work' },
      } as never,
      { work: createMachine({}) },
    )
    const store = new Store(type)
    for (const name of ['NO', 'FORBIDDEN']) store.send({ type: name })
    expect(asked).toEqual(['no', 'forbidden'])
  })
})

describe('own values', () => {
  test('a chart that keeps its input as context and changes it leaves the stored input unchanged', () => {
    const type = typeOf({
      context: ({ input }: { input: { list: number[] } }) => input,
      entry: assign(({ context }) => {
        context.list.push(9)
        return { list: context.list }
      }),
    })
    const { rows } = new Store(type, { list: [1] } as never)
    expect(rows.get('j1')).toMatchObject({ input: { list: [1] }, context: { list: [1, 9] } })
  })

  test('a parent that reverses the list of its child does not change the child', () => {
    const child = createMachine({ context: { list: [1, 2, 3] } })
    const type = typeOf(
      {
        context: { seen: null },
        invoke: { id: 'kid', src: 'child' },
        on: {
          LOOK: {
            actions: assign({
              seen: ({ self }: { self: Self }) => contextOfKid<{ list: number[] }>(self).list.reverse(),
            } as never),
          },
        },
      },
      { child },
    )
    const store = new Store(type)
    expect(store.send({ type: 'LOOK' }).context).toEqual({ seen: [3, 2, 1] })
    expect(store.job('j2').context).toEqual({ list: [1, 2, 3] })
  })

  test('a parent that changes the state of its transition logic does not change that logic', () => {
    const logic = fromTransition((state: number[]) => state, [1, 2])
    const type = typeOf(
      {
        context: { seen: null },
        invoke: { id: 'kid', src: 'logic' },
        on: {
          LOOK: {
            actions: assign({
              seen: ({ self }: { self: Self }) => contextOfKid<number[]>(self).reverse(),
            } as never),
          },
        },
      },
      { logic },
    )
    const job = new Store(type).send({ type: 'LOOK' })
    expect(job.context).toEqual({ seen: [2, 1] })
    expect(job.tasks[0]?.snapshot).toMatchObject({ context: [1, 2] })
  })

  test('transition logic may change its state and its events in place', () => {
    const logic = fromTransition((state: string[], event: { type: string; list: string[] }) => {
      state.push(...event.list.splice(0))
      return state
    }, [] as string[])
    const type = typeOf(
      {
        invoke: { id: 'kid', src: 'logic' },
        on: { TELL: { actions: sendTo('kid', ({ event }) => event) } },
      },
      { logic },
    )
    const store = new Store(type)
    store.send({ type: 'TELL', list: ['a'] })
    expect(store.send({ type: 'TELL', list: ['b'] }).tasks[0]?.snapshot).toMatchObject({ context: ['a', 'b'] })
  })

  test('a chart that changes its event changes neither the log nor the events of others', () => {
    const child = createMachine({
      context: { got: null },
      on: { ADD: { actions: assign({ got: ({ event }) => event.list.splice(0) }) } },
    } as never)
    const type = typeOf(
      {
        context: { got: null },
        invoke: { id: 'kid', src: 'child' },
        on: {
          ADD: { actions: [assign({ got: ({ event }) => event.list.reverse() }), sendTo('kid', ({ event }) => event)] },
        },
      },
      { child },
    )
    const store = new Store(type)
    const tree = store.tree
    const decision = send(type, store.job('j1'), freeze({ type: 'ADD', list: [1, 2] }), contextAt(2_000), tree)
    expect(decision.job.context).toEqual({ got: [2, 1] })
    expect(decision.inputs).toEqual([{ type: 'ADD', list: [1, 2] }])
    expect(decision.others[0]).toMatchObject({
      job: { context: { got: [2, 1] } },
      inputs: [{ type: 'ADD', list: [2, 1] }],
    })
  })

  test('a sent event stays as it was sent, although its sender changes it later', () => {
    const child = createMachine({
      context: { got: null },
      on: { ADD: { actions: assign({ got: ({ event }) => event.list }) } },
    } as never)
    const type = typeOf(
      {
        context: { kept: null },
        invoke: { id: 'kid', src: 'child' },
        on: {
          ADD: {
            actions: [sendTo('kid', ({ event }) => event), assign({ kept: ({ event }) => event.list.splice(0) })],
          },
        },
      },
      { child },
    )
    const store = new Store(type)
    expect(store.send({ type: 'ADD', list: [1, 2] }).context).toEqual({ kept: [1, 2] })
    expect(store.job('j2').context).toEqual({ got: [1, 2] })
  })

  test('describe may change its arguments', () => {
    const lifecycle = createMachine({ context: { list: [1] }, on: { GO: { actions: assign({ n: 1 } as never) } } })
    const type = defineJob({
      type: 'own',
      lifecycle,
      describe: ({ context }, event) => {
        const { list } = context as { list: number[] }
        list.push(2)
        ;(event as { type: string }).type = 'changed'
        return { message: String(list) }
      },
    })
    const store = new Store(type)
    const decision = send(type, store.job('j1'), { type: 'GO' }, contextAt(2_000))
    expect(decision).toMatchObject({
      inputs: [{ type: 'GO' }],
      job: { message: '1,2', context: { list: [1], n: 1 } },
    })
  })
})
