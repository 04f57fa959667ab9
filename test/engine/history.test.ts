import { defineJob, rolePolicy, type Session } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

const steps = async (session: Session, id: string) =>
  (await session.history(id)).map(({ from, to, command, by }) => `${from ?? ''} > ${to}, ${command} by ${by.id}`)

describe('history', () => {
  const commands = { stop: z.object({ reason: z.string().optional() }), note: z.object({}) }

  function stoppingType(work: Work) {
    const child = createMachine({ initial: 'a', states: { a: { on: { note: 'b' } }, b: {} } })
    const machine = createMachine({
      initial: 'executing',
      meta: { status: 'RUNNING' },
      invoke: [
        { id: 'work', src: 'work' },
        { id: 'child', src: 'child' },
      ],
      states: {
        executing: {
          on: {
            stop: 'stopping',
            note: { actions: sendTo('child', { type: 'note' }) },
            'xstate.done.actor.work': 'stopping',
          },
        },
        stopping: {},
      },
    })
    const actors = { work: fromPromise(() => work.execute({} as never)), child }
    return defineJob({ type: 'w', lifecycle: machine.provide({ actors } as never), commands })
  }

  test('says who sent a command that leaves the label as it is, and lists no other event that does so', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = stoppingType(work)
    const { ada, admin } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    await ada.send(id, { type: 'note' })
    await admin.send(id, { type: 'stop', reason: 'too long' })
    expect(await steps(ada, id)).toEqual([
      ' > RUNNING, undefined by ada',
      'RUNNING > RUNNING, note by ada',
      'RUNNING > RUNNING, stop by root',
    ])
    expect((await ada.history(id)).at(-1)).toMatchObject({ command: 'stop', reason: 'too long' })
    // For its chart it was an event from its parent.
    const [child] = (await ada.list({ parentId: id })).items
    expect(await steps(ada, child?.id ?? '')).toEqual([' > a, undefined by ada', 'a > b, undefined by ada'])
  })

  test('does not list a result that leaves the label as it is', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = stoppingType(work)
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    work.run().finish(1)
    await bench.clock.settle()
    expect(await steps(ada, id)).toEqual([' > RUNNING, undefined by ada'])
  })

  test('names no command where the status is redacted', async () => {
    const bench = new Bench()
    const type = stoppingType(new Work())
    const { ada, admin } = await bench.start({ jobs: [type], policy: rolePolicy({ redact: ['status'] }) })
    const { id } = await ada.submit(type, {})
    await ada.send(id, { type: 'stop' })
    expect((await ada.history(id)).at(-1)?.command).toBe('stop')
    for (const entry of await admin.history(id)) expect(Object.keys(entry).sort()).toEqual(['at', 'by', 'sequence'])
  })
})

describe('an error that describe gives', () => {
  const machine = createMachine({
    initial: 'one',
    states: {
      one: { on: { warn: 'two', succeed: 'good', break: 'bad' } },
      two: { on: { succeed: 'good', break: 'bad', on: 'one' } },
      good: { type: 'final', tags: 'success' },
      bad: { type: 'final', tags: 'failure' },
    },
  })
  const any = z.object({})
  const type = defineJob({
    type: 'described',
    lifecycle: machine,
    commands: { warn: any, succeed: any, break: any, on: any },
    describe: (_, event) => {
      if (event.type !== 'warn' && event.type !== 'break') return undefined
      return { error: { name: 'Warning', message: `${event.type} was said`, stack: 'at file.ts:1' } }
    },
  })

  test('on a transition that does not end the job is in the entry of that transition, not on the job', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    expect((await ada.send(id, { type: 'warn' })).error).toBeUndefined()
    const done = await ada.send(id, { type: 'succeed' })
    expect(done).toMatchObject({ outcome: 'success' })
    expect(done).not.toHaveProperty('error')
    const entries = await ada.history(id)
    expect(entries.map(({ error }) => error)).toEqual([
      undefined,
      { name: 'Warning', message: 'warn was said' },
      undefined,
    ])
  })

  test('on the transition that ends the job is the error of the job', async () => {
    const bench = new Bench()
    const { ada, engine } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    await ada.send(id, { type: 'warn' })
    await ada.send(id, { type: 'on' })
    const error = { name: 'Warning', message: 'break was said' }
    expect((await ada.send(id, { type: 'break' })).error).toEqual(error)
    expect((await ada.history(id)).at(-1)).toMatchObject({ to: 'bad', error })
    expect((await engine.system.history(id)).at(-1)?.error?.stack).toBe('at file.ts:1')
  })

  test('is left out of the history where errors are redacted', async () => {
    const bench = new Bench()
    const { ada, admin } = await bench.start({ jobs: [type], policy: rolePolicy({ redact: ['error'] }) })
    const { id } = await ada.submit(type, {})
    await ada.send(id, { type: 'warn' })
    expect((await ada.history(id)).at(-1)?.error).toBeDefined()
    expect(JSON.stringify(await admin.history(id))).not.toContain('was said')
  })
})
