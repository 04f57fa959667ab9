import { defineJob, type Policy, type Verdict } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, type Host, textsOf, Work } from './bench.ts'

type Call = (host: Host, id: string, signal: AbortSignal) => Promise<unknown>

const type = defineJob({ type: 'w', execute: new Work().execute })

const calls: readonly (readonly [string, Call])[] = [
  ['submit', ({ ada }, _, signal) => ada.submit(type, 1, { signal })],
  ['get', ({ ada }, id, signal) => ada.get(id, { signal })],
  ['list', ({ ada }, _, signal) => ada.list({ signal })],
  ['cancel', ({ ada }, id, signal) => ada.cancel(id, { signal })],
  ['send', ({ ada }, id, signal) => ada.send(id, { type: 'cancel' }, { signal })],
  ['history', ({ ada }, id, signal) => ada.history(id, { signal })],
  ['logs', ({ ada }, id, signal) => textsOf(ada.logs(id, { signal }))],
  ['result', ({ ada }, id, signal) => ada.result(id, { signal })],
]

test.each(calls)('%s under an aborted signal rejects with its reason, and changes nothing', async (_, call) => {
  const bench = new Bench()
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  const before = await bench.contents()
  const reason = new Error('given up')
  await expect(call(host, id, AbortSignal.abort(reason))).rejects.toBe(reason)
  await bench.clock.settle()
  expect(await bench.contents()).toBe(before)
})

test('a call that is aborted while its policy decides is not carried out', async () => {
  const bench = new Bench()
  let answer: ((verdict: Verdict) => void) | undefined
  let isSlow = false
  const policy: Policy = {
    authorize: () =>
      isSlow
        ? new Promise((given) => {
            answer = given
          })
        : 'allow',
    scope: ({ tenant }) => [{ tenant }],
  }
  const host = await bench.start({ jobs: [type], policy })
  const { id } = await host.ada.submit(type, 1)
  const before = await bench.contents()
  isSlow = true
  for (const [name, call] of calls) {
    if (!['submit', 'cancel', 'send'].includes(name)) continue
    const giveUp = new AbortController()
    const reason = new Error('given up')
    const given = expect(call(host, id, giveUp.signal), name).rejects.toBe(reason)
    await bench.clock.settle()
    giveUp.abort(reason)
    answer?.('allow')
    await given
  }
  expect(await bench.contents()).toBe(before)
})

test('a caller who stops waiting for a result leaves nothing behind', async () => {
  const bench = new Bench()
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  const giveUp = new AbortController()
  const reason = new Error('given up')
  const waiting = host.ada.result(id, { signal: giveUp.signal })
  const other = host.ada.result(id)
  await bench.clock.settle()
  giveUp.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await host.ada.cancel(id)
  expect((await other).status).toBe('cancelled')
})

test('an abort after the commit undoes nothing', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const giveUp = new AbortController()
  const { id } = await ada.submit(type, 1, { signal: giveUp.signal })
  giveUp.abort()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('running')
})

test('a call that is aborted while its schema parses is not carried out', async () => {
  const bench = new Bench()
  const reason = new Error('given up')
  let giveUp = new AbortController()
  const slow = z.object({ n: z.number() }).refine(async () => {
    giveUp.abort(reason)
    return true
  })
  const machine = createMachine({ initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' } } })
  const plain = defineJob({ type: 'plain', input: slow, execute: () => 1 })
  const moved = defineJob({ type: 'm', lifecycle: machine, commands: { go: slow } })
  const { ada } = await bench.start({ jobs: [plain, moved] })
  const { id } = await ada.submit(moved, undefined)
  const before = await bench.contents()
  await expect(ada.submit(plain, { n: 1 }, { signal: giveUp.signal })).rejects.toBe(reason)
  giveUp = new AbortController()
  await expect(ada.send(id, { type: 'go', n: 1 }, { signal: giveUp.signal })).rejects.toBe(reason)
  expect(await bench.contents()).toBe(before)
})

test('a copy of the context by spread has its signal and its inbox', async () => {
  const bench = new Bench()
  const work = new Work()
  const { ada } = await bench.start({ jobs: [defineJob({ type: 'w', execute: work.execute })] })
  await ada.submit('w', 1)
  const { context } = work.run()
  const copy = { ...context }
  expect(copy.signal).toBe(context.signal)
  expect(copy.inbox).toBe(context.inbox)
})

test('all contexts share their getters, so that V8 frees an ended attempt with the young generation', async () => {
  const bench = new Bench()
  const work = new Work()
  const { ada } = await bench.start({ jobs: [defineJob({ type: 'w', execute: work.execute })] })
  await ada.submit('w', 1)
  await ada.submit('w', 2)
  const [one, other] = work.runs.map(({ context }) => Object.getOwnPropertyDescriptors(context))
  expect(one?.signal.get).toBeDefined()
  expect(one?.signal.get).toBe(other?.signal.get)
  expect(one?.inbox.get).toBe(other?.inbox.get)
})
