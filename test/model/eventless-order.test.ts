import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createActor, createMachine } from 'xstate'
import { send } from '../../src/model/decision.ts'
import { contextAt, created } from './one-job.ts'

const note = (name: string) => assign({ order: ({ context }) => [...context.order, name] })
const region = (name: string) => ({
  always: { guard: ({ context }: { context: { on: boolean } }) => context.on, target: 'after', actions: note(name) },
})

const flat = { initial: 'before', states: { before: region('flat'), after: {} } }
const deep = {
  initial: 'outer',
  states: { outer: { initial: 'before', states: { before: region('deep'), after: {} } } },
}

test.each([
  ['the deep region first', { deep, flat }],
  ['the flat region first', { flat, deep }],
])('eventless transitions of several regions are taken in the order of a live actor: %s', (_, states) => {
  const lifecycle = createMachine({
    context: { on: false, order: [] },
    type: 'parallel',
    on: { GO: { actions: assign({ on: true }) } },
    states,
  } as never)
  const live = createActor(lifecycle).start()
  live.send({ type: 'GO' })
  const type = defineJob({ type: 'regions', lifecycle })
  const stored = JSON.parse(JSON.stringify(created(type)))
  expect(send(type, stored, { type: 'GO' }, contextAt(2_000)).job.context).toEqual(live.getSnapshot().context)
  expect(live.getSnapshot().context).toMatchObject({ order: Object.keys(states) })
})
