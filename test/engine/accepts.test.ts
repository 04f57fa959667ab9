import { defineJob } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

const commands = { stop: z.object({}), pause: z.object({}) }

function stoppable(work: Work) {
  const machine = createMachine({
    initial: 'running',
    invoke: { id: 'work', src: 'work' },
    on: { pause: '.paused' },
    states: {
      running: { on: { stop: { target: 'stopping', actions: sendTo('work', { type: 'task.stop' }) } } },
      stopping: {
        meta: { accepts: ['stop', 'pause'] },
        on: { 'xstate.done.actor.work': 'stopped', 'xstate.error.actor.work': 'stopped' },
      },
      paused: {},
      stopped: { type: 'final', tags: 'cancelled' },
    },
  })
  const actors = { work: fromPromise(({ signal }) => work.execute({ signal } as never)) }
  return defineJob({ type: 'w', lifecycle: machine.provide({ actors } as never), commands, cancel: 'stop' })
}

describe('a command that a state accepts', () => {
  test('answers with the job, writes nothing, and is not listed in actions', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = stoppable(work)
    const { ada, bob, heard } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    expect(await ada.actions(id)).toMatchObject({ commands: ['stop', 'pause'], cancel: true })
    await ada.send(id, { type: 'stop' })
    const before = [await bench.contents(), heard.length]
    expect(await ada.send(id, { type: 'stop' })).toMatchObject({ id, status: 'stopping' })
    expect(await ada.cancel(id)).toMatchObject({ id, status: 'stopping' })
    // A state above would take the command, but the inner state only accepts it.
    expect((await ada.send(id, { type: 'pause' })).status).toBe('stopping')
    expect(await codeOf(bob.send(id, { type: 'stop' }))).toBe('JOB_NOT_FOUND')
    expect([await bench.contents(), heard.length]).toEqual(before)
    expect(await ada.actions(id)).toMatchObject({ commands: [], cancel: false })
    expect((await ada.history(id)).filter(({ command }) => command === 'stop')).toHaveLength(1)
    work.run().finish(1)
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'stopped', outcome: 'cancelled' })
    expect(await codeOf(ada.send(id, { type: 'stop' }))).toBe('ALREADY_SETTLED')
  })

  test('moves the job once when it is sent twice at the same time', async () => {
    const bench = new Bench()
    const type = stoppable(new Work())
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    const answers = await Promise.all([ada.cancel(id), ada.cancel(id), ada.send(id, { type: 'stop' })])
    expect(answers.map(({ status }) => status)).toEqual(['stopping', 'stopping', 'stopping'])
    expect((await ada.history(id)).filter(({ command }) => command === 'stop')).toHaveLength(1)
  })

  test('that is the cancel of a replaced run: the next run waits until that one has stopped', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = stoppable(work)
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {}, { pipeline: 'p' })
    await ada.cancel(id)
    const next = await ada.submit(type, {}, { pipeline: 'p', overlap: 'replace' })
    expect(next.phase).toBe('waiting')
    work.run().finish(1)
    await bench.clock.settle()
    expect((await ada.get(next.id)).phase).toBe('active')
  })
})

test.each([
  ['a name that is no command', ['stpo']],
  ['a text', 'stop'],
  ['no name', [5]],
])('a state that accepts an event that is not a command is refused: %s', (_, accepts) => {
  const lifecycle = createMachine({
    initial: 'a',
    states: { a: { meta: { accepts }, on: { stop: 'b', pause: 'b' } }, b: {} },
  })
  expect(() => defineJob({ type: 't', lifecycle, commands })).toThrow(
    /meta\.accepts of state ".*a" should be a list of the type's commands \(stop, pause\)/,
  )
})
