import { defineJob, type Session } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise, fromTransition, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

const any = z.object({})

async function submitted(lifecycle: object, options: object = {}) {
  const bench = new Bench()
  const type = defineJob({ type: 't', lifecycle, ...options } as never)
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, {} as never)
  return { ...host, bench, id }
}

const linesOf = async (session: Session, id: string) => {
  const lines: string[] = []
  for await (const { text } of session.logs(id)) lines.push(text)
  return lines
}

describe('explain of a job that runs nothing', () => {
  const approval = createMachine({
    initial: 'open',
    states: {
      open: { on: { approve: 'done', remind: { actions: () => {} }, cancel: 'gone' } },
      done: { type: 'final' },
      gone: { type: 'final' },
    },
  })
  const commands = { approve: { schema: any, by: { relation: 'others' } }, remind: any, cancel: any }

  test('names the commands that the caller may send, including cancel, as actions does', async () => {
    const { ada, admin, engine, id } = await submitted(approval, { commands })
    const expected = [
      [ada, ['remind', 'cancel']],
      [admin, ['approve', 'remind']],
      [engine.system, ['approve', 'remind', 'cancel']],
    ] as const
    for (const [session, names] of expected) {
      expect(await session.explain(id)).toEqual([{ kind: 'command', commands: names }])
      expect((await session.actions(id)).commands).toEqual(names)
    }
  })

  test('says that it waits for a command also to callers who may send none', async () => {
    const machine = createMachine({ on: { approve: { actions: () => {} } } })
    const { ada, id } = await submitted(machine, { commands: { approve: commands.approve } })
    expect(await ada.explain(id)).toEqual([{ kind: 'command', commands: [] }])
  })

  test('says that it is stuck if nothing can move it', async () => {
    const { ada, id } = await submitted(createMachine({ initial: 'a', states: { a: {} } }))
    expect(await ada.explain(id)).toEqual([{ kind: 'stuck' }])
  })

  test('says that it is stuck if a guard refuses every command, or if each one is already obeyed', async () => {
    const guarded = createMachine({ on: { approve: { guard: () => false } } })
    const one = await submitted(guarded, { commands: { approve: any } })
    expect(await one.ada.explain(one.id)).toEqual([{ kind: 'stuck' }])
    const obeyed = createMachine({
      initial: 'a',
      states: { a: { meta: { accepts: ['stop'] } }, b: { on: { stop: 'a' } } },
    })
    const two = await submitted(obeyed, { commands: { stop: any } })
    expect(await two.ada.explain(two.id)).toEqual([{ kind: 'stuck' }])
  })

  test('says that transition logic is stuck, because only events move it', async () => {
    const machine = createMachine({ invoke: { src: 'count' } }).provide({
      actors: { count: fromTransition((state: number) => state + 1, 0) },
    } as never)
    const { ada, id } = await submitted(machine)
    expect(await ada.explain(id)).toEqual([{ kind: 'stuck' }])
  })

  test('does not say stuck while a timer, a task or a child remains', async () => {
    const timed = createMachine({ initial: 'a', states: { a: { after: { 5000: 'b' } }, b: {} } })
    const one = await submitted(timed)
    expect((await one.ada.explain(one.id)).map(({ kind }) => kind)).toEqual(['timer'])
    await one.bench.clock.advance(6_000)
    expect(await one.ada.explain(one.id)).toEqual([{ kind: 'stuck' }])
    const work = new Work()
    const busy = createMachine({ invoke: { src: 'work' } }).provide({
      actors: { work: fromPromise(() => work.execute({} as never)) },
    } as never)
    const two = await submitted(busy)
    expect((await two.ada.explain(two.id)).map(({ kind }) => kind)).toEqual(['running'])
  })

  test('says stuck of a child job only if its parents cannot move it either', async () => {
    const child = createMachine({ initial: 'a', states: { a: { on: { go: 'b' } }, b: {} } })
    const parent = createMachine({
      invoke: { id: 'kid', src: 'kid' },
      on: { push: { actions: sendTo('kid', { type: 'go' }) } },
    })
    const withKid = parent.provide({ actors: { kid: child } } as never)
    for (const [options, expected] of [
      [{ commands: { push: any } }, []],
      [{}, [{ kind: 'stuck' }]],
    ] as const) {
      const { ada, id } = await submitted(withKid, options)
      const [kid] = (await ada.list({ parentId: id })).items
      expect((await ada.explain(id)).map(({ kind }) => kind)).toEqual(['child'])
      expect(await ada.explain(kid?.id ?? '')).toEqual(expected)
    }
  })

  test('does not say stuck of a job that waits, has ended, or has an unknown version', async () => {
    const { ada, bench, id } = await submitted(createMachine({ type: 'final' }))
    expect((await ada.explain(id)).map(({ kind }) => kind)).toEqual(['settled'])
    const still = defineJob({ type: 'still', lifecycle: createMachine({}) })
    const one = await bench.start({ jobs: [still] })
    const later = await one.ada.submit(still, {}, { startAt: bench.clock.now() + 1_000 })
    expect((await one.ada.explain(later.id)).map(({ kind }) => kind)).toEqual(['startAt'])
    await bench.clock.advance(2_000)
    expect((await one.ada.explain(later.id)).map(({ kind }) => kind)).toEqual(['stuck'])
    const other = await bench.start({ jobs: [] })
    expect((await other.ada.explain(later.id)).map(({ kind }) => kind)).toEqual(['unknownVersion'])
    expect((await other.ada.list()).items.map(({ type }) => type)).toContain('still')
  })
})

test('a result that no state takes is a line in the log of its job', async () => {
  const work = new Work()
  const machine = createMachine({ invoke: { id: 'load', src: 'work' } }).provide({
    actors: { work: fromPromise(() => work.execute({} as never)) },
  } as never)
  const { ada, bench, id } = await submitted(machine)
  work.run().finish('a secret result')
  await bench.clock.settle()
  expect(await linesOf(ada, id)).toEqual(['no state took the event "xstate.done.actor.load"'])
  expect(await ada.explain(id)).toEqual([{ kind: 'stuck' }])
})

test('the end of a child job is a line in the log only if no state takes it', async () => {
  const kid = createMachine({ type: 'final' })
  const deaf = createMachine({ invoke: { id: 'kid', src: 'kid' } }).provide({ actors: { kid } } as never)
  const one = await submitted(deaf)
  expect(await linesOf(one.ada, one.id)).toEqual(['no state took the event "xstate.done.actor.kid"'])
  const hearing = createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'kid', src: 'kid', onDone: 'b' } }, b: {} },
  }).provide({ actors: { kid } } as never)
  const two = await submitted(hearing)
  expect(await linesOf(two.ada, two.id)).toEqual([])
})

test('jobs of unknown types are listed and counted', async () => {
  const { ada, bench, id } = await submitted(createMachine({}))
  const other = await bench.start({ jobs: [] })
  expect((await other.ada.list({ type: 't' })).items.map((job) => job.id)).toEqual([id])
  expect((await other.ada.get(id)).type).toBe('t')
  expect(await other.ada.count()).toBe(1)
  expect(await other.ada.counts({ by: 'type' })).toEqual({ t: 1 })
  expect((await ada.get(id)).id).toBe(id)
})
