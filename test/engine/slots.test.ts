import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

test('I14 a pipeline runs one job at a time, and a refused job leaves no trace', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  const before = [await bench.contents(), heard.length]
  const error = await errorOf(ada.submit(type, 2, { pipeline: 'p' }))
  expect([error.code, error.jobId]).toEqual(['ALREADY_RUNNING', id])
  expect([await bench.contents(), heard.length]).toEqual(before)
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'q' }))).toBe('ok')
  work.run(0).finish()
  await bench.clock.settle()
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
})

test('I14 of 20 simultaneous submits to one pipeline one is accepted', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const codes = await Promise.all(
    Array.from({ length: 20 }, (_, index) => codeOf(ada.submit(type, index, { pipeline: 'p' }))),
  )
  expect(codes.filter((code) => code === 'ok')).toHaveLength(1)
  expect(work.runs).toHaveLength(1)
})

test('pipelines of one name in two tenants have separate slots', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1, { pipeline: 'p' })
  const elsewhere = engine.as({ id: 'ada', tenant: 'acme', role: 'editor' })
  expect(await codeOf(elsewhere.submit(type, 1, { pipeline: 'p' }))).toBe('ok')
})

test('a job that waits for an executor’s place already holds its slot', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], work: false })
  await ada.submit(type, 1, { pipeline: 'p' })
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
})

const command = z.object({})

/** Works, can be parked outside its slot, and comes back by itself after a second. */
const parking = defineJob({
  type: 'parking',
  lifecycle: createMachine({
    initial: 'on',
    states: {
      on: { on: { park: 'parked', end: 'ended' } },
      parked: { tags: ['vacates'], after: { 1000: 'on' }, on: { back: 'on' } },
      ended: { type: 'final' },
    },
  }),
  commands: { park: command, back: command, end: command },
})

test('a command that needs a taken slot is refused, and accepted when the slot is free', async () => {
  const bench = new Bench()
  const { ada, heard } = await bench.start({ jobs: [parking] })
  const first = await ada.submit(parking, 1, { pipeline: 'p' })
  await ada.send(first.id, { type: 'park' })
  const second = await ada.submit(parking, 2, { pipeline: 'p' })
  const before = [await bench.contents(), heard.length]
  expect(await codeOf(ada.send(first.id, { type: 'back' }))).toBe('ALREADY_RUNNING')
  expect([await bench.contents(), heard.length]).toEqual(before)
  await ada.send(second.id, { type: 'end' })
  expect((await ada.send(first.id, { type: 'back' })).status).toBe('on')
})

test('a run that should replace one which ends meanwhile gets the slot', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const first = await ada.submit(type, 1, { pipeline: 'p' })
  await bench.clock.settle()
  const slow = await bench.start({ jobs: [type] })
  const answer = Promise.withResolvers<void>()
  slow.faults.plan('commit', answer.promise)
  const replacing = slow.ada.submit(type, 2, { pipeline: 'p', overlap: 'replace' })
  await bench.clock.settle()
  work.run().finish()
  await bench.clock.settle()
  answer.resolve()
  const { id } = await replacing
  await bench.clock.settle()
  expect([(await ada.get(first.id)).status, (await ada.get(id)).status]).toEqual(['completed', 'running'])
})

test('explain names the run whose slot a command needs, as far as the caller may see it', async () => {
  const bench = new Bench()
  const { ada, bob, admin } = await bench.start({ jobs: [parking] })
  const { id } = await ada.submit(parking, 1, { pipeline: 'p' })
  const timer = { kind: 'timer', at: expect.any(String) }
  const commands = { kind: 'command', commands: ['back'] }
  expect(await ada.explain(id)).not.toContainEqual(expect.objectContaining({ kind: 'slot' }))
  await ada.send(id, { type: 'park' })
  expect(await ada.explain(id)).toEqual([timer, commands])
  const other = await bob.submit(parking, 2, { pipeline: 'p' })
  expect(await ada.explain(id)).toEqual([{ kind: 'slot', pipeline: 'p' }, timer, commands])
  expect(await admin.explain(id)).toContainEqual({ kind: 'slot', pipeline: 'p', job: other.id })
  // The slot may be free when the command is sent, so the command is listed.
  expect((await ada.actions(id)).commands).toEqual(['back'])
  await bob.send(other.id, { type: 'end' })
  expect(await ada.explain(id)).toEqual([timer, commands])
})

test('ALREADY_RUNNING says what to do: of a submit, and of a command', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [parking] })
  const first = await ada.submit(parking, 1, { pipeline: 'p' })
  await ada.send(first.id, { type: 'park' })
  const second = await ada.submit(parking, 2, { pipeline: 'p' })
  const ofSubmit = await errorOf(ada.submit(parking, 3, { pipeline: 'p' }))
  expect(ofSubmit.message).toBe(
    "another run holds the pipeline's slot; try again when it has ended, or submit with overlap: 'queue' or 'replace'",
  )
  const ofCommand = await errorOf(ada.send(first.id, { type: 'back' }))
  expect([ofCommand.jobId, ofCommand.message]).toEqual([
    second.id,
    "the next state needs the pipeline's slot, which another run holds; try again when that run has ended",
  ])
})

test('I36 a timer that needs a taken slot delays no other job’s timer, and fires when the slot is free', async () => {
  const bench = new Bench()
  const clockwork = defineJob({
    type: 'clockwork',
    lifecycle: createMachine({ initial: 'a', states: { a: { after: { 2000: 'b' } }, b: { type: 'final' } } }),
  })
  const { ada } = await bench.start({ jobs: [parking, clockwork] })
  const first = await ada.submit(parking, 1, { pipeline: 'p' })
  await ada.send(first.id, { type: 'park' })
  const second = await ada.submit(parking, 2, { pipeline: 'p' })
  const other = await ada.submit(clockwork, 3)
  await bench.clock.advance(5_000)
  expect((await ada.get(other.id)).status).toBe('b')
  expect((await ada.get(first.id)).status).toBe('parked')
  await ada.send(second.id, { type: 'end' })
  await bench.clock.advance(1_000)
  expect((await ada.get(first.id)).status).toBe('on')
})

test('I36 a timer that needs a taken slot does not prevent an engine’s start', async () => {
  const bench = new Bench()
  const one = await bench.start({ jobs: [parking] })
  const first = await one.ada.submit(parking, 1, { pipeline: 'p' })
  await one.ada.send(first.id, { type: 'park' })
  await one.ada.submit(parking, 2, { pipeline: 'p' })
  await one.crash()
  await bench.clock.advance(5_000)
  expect(await codeOf(bench.start({ jobs: [parking] }))).toBe('ok')
})

test('I36 a hundred timers that wait for their slots delay no other job’s timer', async () => {
  const bench = new Bench()
  const clockwork = defineJob({
    type: 'clockwork',
    lifecycle: createMachine({ initial: 'a', states: { a: { after: { 2000: 'b' } }, b: { type: 'final' } } }),
  })
  const { ada } = await bench.start({ jobs: [parking, clockwork] })
  for (let pipeline = 0; pipeline < 100; pipeline++) {
    const { id } = await ada.submit(parking, 1, { pipeline: `p${pipeline}` })
    await ada.send(id, { type: 'park' })
    await ada.submit(parking, 2, { pipeline: `p${pipeline}` })
  }
  const other = await ada.submit(clockwork, 3)
  await bench.clock.advance(4_000)
  expect((await ada.get(other.id)).status).toBe('b')
})

/** Its work is retried outside the slot, and a claim would take the slot back. */
function outsideType(work: Work) {
  const machine = createMachine({
    initial: 'waiting',
    states: {
      waiting: { tags: ['vacates'], invoke: { src: 'work', onDone: 'ended' } },
      ended: { type: 'final' },
    },
  })
  const actors = { work: task({ retry: { limit: 3, backoff: '1s' } }, work.execute) }
  return defineJob({ type: 'outside', lifecycle: machine.provide({ actors }) })
}

test('I36 a task whose claim needs a taken slot waits, and delays no other', async () => {
  const bench = new Bench()
  const outside = new Work()
  const work = new Work()
  const vacating = outsideType(outside)
  const plain = defineJob({ type: 'plain', execute: work.execute })
  const { ada } = await bench.start({ jobs: [vacating, plain], concurrency: 2 })
  await ada.submit(vacating, 1, { pipeline: 'p' })
  outside.run().fail(new Error('again'))
  await bench.clock.settle()
  // In the pause before its retry the job frees its slot, and another job takes it.
  await ada.submit(plain, 'holder', { pipeline: 'p' })
  await bench.clock.advance(1_000)
  expect(outside.runs).toHaveLength(1)
  // One job fills the second place and the next one waits. Then a place is free, and the claim meets the task that
  // cannot run.
  await ada.submit(plain, 'filler')
  await ada.submit(plain, 'next')
  work.run(1).finish()
  await bench.clock.advance(3_000)
  expect(work.runs.map(({ context }) => context.input)).toEqual(['holder', 'filler', 'next'])
  work.run(0).finish()
  await bench.clock.advance(3_000)
  expect(outside.runs).toHaveLength(2)
})

test('a slot is free when the chart leaves its work in the changeset of the claim, whatever the grace', async () => {
  const bench = new Bench()
  const work = new Work()
  const lifecycle = createMachine({
    initial: 'waiting',
    states: {
      waiting: { invoke: { src: 'work' }, on: { 'task.started': { target: 'late', guard: () => true } } },
      late: { type: 'final' },
    },
  }).provide({ actors: { work: task({ killGrace: 'never' }, work.execute) } })
  const type = defineJob({ type: 'w', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined, { pipeline: 'p' })
  await bench.clock.settle()
  expect(await bench.row(id)).toMatchObject({ status: 'late', tasks: [] })
  expect(work.runs).toEqual([])
  expect(await codeOf(ada.submit(type, undefined, { pipeline: 'p' }))).toBe('ok')
})

test('I29 a child job that ends in the changeset of its claim leaves no task in its parent', async () => {
  const bench = new Bench()
  const work = new Work()
  const child = createMachine({
    initial: 'waiting',
    states: { waiting: { invoke: { src: 'work' }, on: { 'task.started': 'over' } }, over: { type: 'final' } },
  }).provide({ actors: { work: task({ killGrace: 'never' }, work.execute) } })
  const lifecycle = createMachine({
    initial: 'asking',
    states: { asking: { invoke: { src: 'child', onDone: 'told' } }, told: {} },
  }).provide({ actors: { child } })
  const type = defineJob({ type: 'w', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(await bench.row(id)).toMatchObject({ status: 'told', tasks: [] })
})
