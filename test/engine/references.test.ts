import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { type AnyActorRef, createMachine, fromCallback, fromPromise, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

// References to nobody, and references in places where they are not allowed.

const any = z.looseObject({})

interface Scope {
  readonly event: { readonly type: string; readonly to?: unknown }
  readonly self: AnyActorRef
  readonly system: { readonly get: (id: string) => AnyActorRef }
}

test('a sendTo with an unknown target goes to the machine itself, and one line of the job’s log says so', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    on: { GO: { actions: sendTo((({ system }: Scope) => system.get('nowhere')) as never, { type: 'HI' } as never) } },
  })
  const type = defineJob({ type: 'lost', lifecycle, commands: { GO: any } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await ada.send(id, { type: 'GO' })
  const lines = await (await bench.probe()).logs(id, 0, 10)
  expect(lines.map(({ text }) => text)).toEqual([
    'warning: sendTo found no actor for "HI", which went to the machine itself',
  ])
})

test('a machine that keeps sending to unknown targets ends as an error, with one line in its log', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    on: { GO: { actions: sendTo((({ system }: Scope) => system.get('nowhere')) as never, { type: 'GO' } as never) } },
  })
  const type = defineJob({ type: 'lost', lifecycle, commands: { GO: any } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const job = await ada.send(id, { type: 'GO' })
  expect(job).toMatchObject({ outcome: 'failure', error: { code: 'INVALID_DEFINITION' } })
  expect(await (await bench.probe()).logs(id, 0, 10)).toHaveLength(1)
})

const self = ({ self: own }: Scope) => ({ parent: own })

test.each([
  ['the input of a promise', { invoke: { id: 'work', src: 'promise', input: self } }, 'the input of "work"'],
  ['the input of a callback', { invoke: { id: 'work', src: 'callback', input: self } }, 'the input of "work"'],
  [
    'an event for a callback',
    {
      invoke: { id: 'work', src: 'callback' },
      on: { GO: { actions: sendTo('work', (({ self: from }: Scope) => ({ type: 'ASK', from })) as never) } },
    },
    'the event "ASK" for "work"',
  ],
])('a reference in %s ends the job, and the error says what to do', async (_, config, what) => {
  const bench = new Bench()
  const actors = { promise: fromPromise(async () => 1), callback: fromCallback(() => {}) }
  const lifecycle = createMachine({ on: { GO: {} }, ...config } as never, { actors } as never)
  const type = defineJob({ type: 'handing', lifecycle, commands: { GO: any } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined as never)
  await ada.send(id, { type: 'GO' } as never).catch(() => {})
  const { outcome, error } = await ada.get(id)
  expect({ outcome, error }).toMatchObject({ outcome: 'failure', error: { code: 'INVALID_DEFINITION' } })
  expect(error?.message).toBe(
    `${what} refers to an actor, which the code of a task cannot use; send events to the task's own job with send or sendBack`,
  )
})

test('a command of a person is data, even if it looks like a reference', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    on: { GO: { actions: sendTo((({ event }: Scope) => event.to) as never, { type: 'HI' } as never) } },
  })
  const type = defineJob({ type: 'forged', lifecycle, commands: { GO: any } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const job = await ada.send(id, { type: 'GO', to: { xstate$$type: 1, id: 'other', path: [] } } as never)
  expect(job).toMatchObject({ outcome: 'failure', error: { code: 'INVALID_DEFINITION' } })
})
