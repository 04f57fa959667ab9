import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createEngine, defineJob } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { expect, test } from 'vitest'
import { assign, createMachine, emit } from 'xstate'
import { z } from 'zod'
import { sqliteDisk } from './bench.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const MIB = 1_048_576

/** Nearly the maximum size, and different from every other one. */
function large(): string {
  return Buffer.alloc(MIB - 1_000, 'x').toString()
}

/** MiB on the heap and outside of it, after garbage collection. */
async function heldMib(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await new Promise<void>((resume) => setImmediate(resume))
    collect()
  }
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / MIB
}

const machine = createMachine({
  types: {} as {
    context: { count: number }
    events: { type: 'give' | 'tell'; text: string; number: number } | { type: 'cancel' }
  },
  context: { count: 0 },
  on: {
    give: { actions: assign(({ context }) => ({ count: context.count + 1 })) },
    tell: { actions: emit(({ event }) => ({ type: 'told', text: `${event.text}${event.number}` })) },
    cancel: '.over',
  },
  initial: 'a',
  states: { a: {}, over: { type: 'final' } },
})
const given = z.object({ text: z.string(), number: z.number() })
const talking = defineJob({
  type: 't',
  lifecycle: machine,
  commands: { give: given, tell: given, cancel: z.object({}) },
})

// On files, because stored data is then outside of the heap.
async function start() {
  const engine = await createEngine({ jobs: [talking], storage: sqliteDisk(), clock: virtualClock(), work: false })
  return { engine, admin: engine.as({ id: 'root', role: 'admin' }) }
}

test('the events that moved the charts are not kept for streams', async () => {
  const { admin, engine } = await start()
  const { id } = await admin.submit(talking, {})
  const stream = admin.events()
  await admin.send(id, { type: 'give', text: 'first', number: 0 })
  await stream.next()
  const before = await heldMib()
  for (let number = 1; number <= 60; number++) await admin.send(id, { type: 'give', text: large(), number })
  expect((await heldMib()) - before).toBeLessThan(15)
  await engine.stop()
})

test('emitted payloads are not kept for a reader who never reads, and are loaded in parts for one who reads', async () => {
  const { admin, engine } = await start()
  const { id } = await admin.submit(talking, {})
  const [never, late] = [admin.events(), admin.events()]
  await admin.send(id, { type: 'give', text: 'first', number: 0 })
  for (const stream of [never, late]) await stream.next()
  const before = await heldMib()
  for (let number = 1; number <= 60; number++) await admin.send(id, { type: 'tell', text: large(), number })
  expect((await heldMib()) - before).toBeLessThan(20)
  // The first read loads a batch, which is kept until the next read.
  await late.next()
  await late.next()
  expect((await heldMib()) - before).toBeLessThan(30)
  await engine.stop()
})
