import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { type AnyStateMachine, createMachine, fromPromise, setup } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

const any = z.looseObject({})

test('states may be named prototype and constructor', async () => {
  const bench = new Bench()
  const car = defineJob({
    type: 'car',
    commands: { OK: any },
    lifecycle: setup({ actors: { sketch: fromPromise(async () => {}) } }).createMachine({
      initial: 'idea',
      states: {
        idea: { invoke: { id: 'sketch', src: 'sketch', onDone: 'prototype' } },
        prototype: {
          initial: 'draft',
          states: {
            draft: {
              on: { OK: '.constructor' },
              initial: 'on',
              states: { on: {}, constructor: { on: { OK: '#sold' } } },
            },
          },
        },
        sold: { id: 'sold', type: 'final' },
      },
    }),
  })
  const { ada } = await bench.start({ jobs: [car] })
  const { id } = await ada.submit(car, undefined)
  await bench.clock.settle()
  expect((await bench.row(id)).state).toEqual({ prototype: { draft: 'on' } })
  await ada.send(id, { type: 'OK' })
  expect((await bench.row(id)).state).toEqual({ prototype: { draft: 'constructor' } })
  await ada.send(id, { type: 'OK' })
  expect(await ada.result(id)).toMatchObject({ status: 'sold', outcome: 'success' })
})

test('a state may be named by half a surrogate pair: its label is well-formed', async () => {
  const bench = new Bench()
  const odd = 'half \ud83d'
  const machine = createMachine({
    initial: 'a',
    states: { a: { invoke: { src: 'work', onDone: odd } }, [odd]: { on: { OK: 'b' } }, b: { type: 'final' } },
  })
  const lifecycle = machine.provide({ actors: { work: task({}, async () => {}) } })
  const type = defineJob({ type: 'odd', commands: { OK: any }, lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(await bench.row(id)).toMatchObject({ state: odd, status: 'half \ufffd', phase: 'active' })
  expect((await ada.list({ status: 'half \ufffd' })).items.map((item) => item.id)).toEqual([id])
  await ada.send(id, { type: 'OK' })
  expect(await ada.result(id)).toMatchObject({ status: 'b' })
})

test('a state may be nested more than 200 levels deep', async () => {
  const bench = new Bench()
  let deep: object = { on: { OK: '#end' } }
  for (let level = 0; level < 300; level++) deep = { initial: 's', states: { s: deep } }
  const lifecycle: AnyStateMachine = createMachine({
    initial: 'a',
    states: { a: { on: { GO: 'deep' } }, deep, end: { id: 'end', type: 'final' } },
  } as never)
  const type = defineJob({ type: 'deep', commands: { GO: any, OK: any }, lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await ada.send(id, { type: 'GO' })
  expect(await ada.send(id, { type: 'OK' })).toMatchObject({ status: 'end', outcome: 'success' })
})
