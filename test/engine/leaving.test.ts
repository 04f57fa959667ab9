import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, fromCallback, sendTo, stopChild } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

// A chart sends to a task in the transition that leaves it.

const any = z.looseObject({})
const bye = sendTo('line', { type: 'BYE' })
const call = { id: 'line', src: 'line' }

/** Machines that leave the invoke `line` by `GO`, and send to it on the way. */
const leaving = {
  'by its exit': {
    initial: 'talking',
    states: { talking: { invoke: call, exit: bye, on: { GO: 'over' } }, over: { type: 'final' } },
  },
  'by an action that stops it': {
    initial: 'talking',
    states: { talking: { invoke: call, on: { GO: { actions: [bye, stopChild('line')] } } } },
  },
  'by the entry of a final state': {
    invoke: call,
    initial: 'talking',
    states: { talking: { on: { GO: 'over' } }, over: { type: 'final', entry: bye } },
  },
}

test.each(Object.entries(leaving))(
  'a callback that is being left still gets the last event sent to it, before it is closed: %s',
  async (_, chart) => {
    const bench = new Bench()
    const heard: string[] = []
    const line = fromCallback(({ receive }) => {
      receive((event) => heard.push(event.type))
      return () => heard.push('(closed)')
    })
    const on = { HI: { actions: sendTo('line', { type: 'HI' }) } }
    const lifecycle = createMachine({ ...chart, on } as never).provide({ actors: { line } } as never)
    const type = defineJob({ type: 'talk', lifecycle, commands: { HI: any, GO: any } })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined)
    await bench.clock.settle()
    await ada.send(id, { type: 'HI' })
    await ada.send(id, { type: 'GO' })
    await bench.clock.settle()
    expect(heard).toEqual(['HI', 'BYE', '(closed)'])
  },
)

test.each(Object.entries(leaving))(
  'a task that is being left still reads the last event sent to it, and then the end of its inbox: %s',
  async (_, chart) => {
    const bench = new Bench()
    const read: string[] = []
    const line = task({}, async ({ inbox, signal }) => {
      for await (const { type } of inbox) read.push(type)
      read.push(signal.aborted ? '(stopped)' : '(open)')
    })
    const lifecycle = createMachine({ ...chart } as never).provide({ actors: { line } } as never)
    const type = defineJob({ type: 'talk', lifecycle, commands: { GO: any } })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined)
    await bench.clock.settle()
    await ada.send(id, { type: 'GO' })
    await bench.clock.settle()
    expect(read).toEqual(['BYE', '(stopped)'])
  },
)

test('a message sent after its task was left reaches nobody', async () => {
  const bench = new Bench()
  const heard: string[] = []
  const line = fromCallback(({ receive }) => {
    receive((event) => heard.push(event.type))
    return () => heard.push('(closed)')
  })
  const lifecycle = createMachine({
    initial: 'talking',
    states: {
      talking: { invoke: call, on: { GO: { actions: [stopChild('line'), sendTo('line', { type: 'LATE' })] } } },
    },
  } as never).provide({ actors: { line } } as never)
  const type = defineJob({ type: 'talk', lifecycle, commands: { GO: any } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  await ada.send(id, { type: 'GO' })
  await bench.clock.settle()
  expect(heard).toEqual(['(closed)'])
})

test('a task that its chart leaves as it is claimed takes no place from the next one', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    initial: 'a',
    states: { a: { invoke: { src: 'line' }, on: { 'task.started': 'b' } }, b: { type: 'final', tags: 'success' } },
  })
  const line = task({}, async () => {})
  const type = defineJob({ type: 'leaves', lifecycle: lifecycle.provide({ actors: { line } } as never) })
  const { ada } = await bench.start({ jobs: [type], concurrency: 1 })
  for (let n = 0; n < 3; n++) ada.submit(type, undefined)
  await bench.clock.settle()
  const { items } = await ada.list()
  expect(items.map(({ status }) => status)).toEqual(['b', 'b', 'b'])
})
