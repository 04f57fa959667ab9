import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine, emit, fromPromise, log, raise } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, textsOf, Work } from './bench.ts'

/** An order: waits for approval, is packed by a task, and billed by plain promise logic. */
function orderType(pack: Work, bill: Work) {
  const machine = createMachine({
    context: { note: '', parcels: 0 },
    initial: 'waiting',
    states: {
      waiting: {
        on: {
          approve: { target: 'packing', actions: assign({ note: ({ event }) => event.note }) },
          touch: { actions: () => {} },
          count: { actions: assign({ parcels: ({ context }) => context.parcels + 1 }) },
        },
      },
      packing: {
        meta: { status: 'in the hall' },
        invoke: {
          id: 'pack',
          src: 'pack',
          input: ({ context }) => ({ note: context.note }),
          onDone: { target: 'billing', actions: assign({ parcels: ({ event }) => event.output }) },
          onError: 'spoilt',
        },
      },
      billing: { invoke: { src: 'bill', onDone: 'shipped', onError: 'spoilt' } },
      shipped: { type: 'final', tags: ['success'] },
      spoilt: { type: 'final', tags: ['failure'] },
      cancelled: { type: 'final', tags: ['cancelled'] },
    },
    on: { cancel: '.cancelled' },
    output: ({ context }) => ({ parcels: context.parcels }),
  })
  return defineJob({
    type: 'order',
    lifecycle: machine.provide({
      actors: {
        pack: task({ retry: { limit: 1, backoff: '1s' } }, pack.obedient),
        bill: fromPromise(async ({ input, signal }) => {
          const context = { input, signal, attempt: 1 }
          return await bill.execute(context as Parameters<Work['execute']>[0])
        }),
      },
    }),
    commands: {
      approve: z.object({ note: z.string().min(1) }),
      touch: z.object({}),
      count: z.object({}),
      cancel: z.object({ reason: z.string().optional() }),
    },
  })
}

test('I8 a machine with commands and two tasks runs from start to end', async () => {
  const bench = new Bench()
  const pack = new Work()
  const bill = new Work()
  const order = orderType(pack, bill)
  const { ada, bob, admin, heard } = await bench.start({ jobs: [order] })
  const { id, status } = await ada.submit(order, undefined)
  expect([status, pack.runs.length]).toEqual(['waiting', 0])
  expect((await admin.send(id, { type: 'approve', note: 'fine' })).status).toBe('in the hall')
  expect(await codeOf(bob.get(id))).toBe('JOB_NOT_FOUND')
  expect(pack.run().context.input).toEqual({ note: 'fine' })
  pack.run().finish(2)
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('billing')
  bill.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'shipped', outcome: 'success', output: { parcels: 2 } })
  const story = (await ada.history(id)).map(({ from, to, by }) => `${from} > ${to} by ${by.id}`)
  expect(story).toEqual([
    'undefined > waiting by ada',
    'waiting > in the hall by root',
    'in the hall > billing by engine',
    'billing > shipped by engine',
  ])
  expect(heard.map(({ jobSequence }) => jobSequence)).toEqual(heard.map((_, index) => index + 1))
})

test('a task of a machine is retried by its own rule before the chart hears of an error', async () => {
  const bench = new Bench()
  const pack = new Work()
  const order = orderType(pack, new Work())
  const { ada } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  await ada.send(id, { type: 'approve', note: 'fine' })
  pack.run().fail(new Error('torn'))
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('in the hall')
  await bench.clock.advance(1_000)
  expect(pack.run().context.attempt).toBe(2)
  pack.run().fail(new Error('torn again'))
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'spoilt', outcome: 'failure', error: { message: 'torn again' } })
})

test('a command that the state does not take is INVALID_STATE; one with wrong fields is INVALID_INPUT', async () => {
  const bench = new Bench()
  const order = orderType(new Work(), new Work())
  const { ada, heard } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  await ada.send(id, { type: 'approve', note: 'fine' })
  const before = [await bench.contents(), heard.length]
  expect(await codeOf(ada.send(id, { type: 'approve', note: 'twice' }))).toBe('INVALID_STATE')
  expect(await codeOf(ada.send(id, { type: 'approve', note: '' }))).toBe('INVALID_INPUT')
  expect(await codeOf(ada.send(id as string, { type: 'task.started' }))).toBe('INVALID_INPUT')
  expect(await codeOf(ada.send(id as string, { type: 'xstate.done.actor.pack' }))).toBe('INVALID_INPUT')
  expect([await bench.contents(), heard.length]).toEqual(before)
})

test('a command that changes nothing is answered, and nothing is written', async () => {
  const bench = new Bench()
  const order = orderType(new Work(), new Work())
  const { ada, heard } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  const before = [await bench.contents(), heard.length]
  expect((await ada.send(id, { type: 'touch' })).status).toBe('waiting')
  expect([await bench.contents(), heard.length]).toEqual(before)
})

test('I11 of 20 simultaneous commands none is lost, and the numbers have no gap', async () => {
  const bench = new Bench()
  const order = orderType(new Work(), new Work())
  const { ada } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  await Promise.all(Array.from({ length: 20 }, () => ada.send(id, { type: 'count' })))
  const { context, revision, eventCount } = await bench.row(id)
  expect({ context, revision, eventCount }).toEqual({
    context: { note: '', parcels: 20 },
    revision: 21,
    eventCount: 21,
  })
})

test('I11 of two simultaneous commands that exclude each other one is refused', async () => {
  const bench = new Bench()
  const pack = new Work()
  const order = orderType(pack, new Work())
  const { ada, admin } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  const codes = await Promise.all([
    codeOf(ada.send(id, { type: 'approve', note: 'ada' })),
    codeOf(admin.send(id, { type: 'approve', note: 'root' })),
  ])
  expect(codes.sort()).toEqual(['INVALID_STATE', 'ok'])
  expect(pack.runs).toHaveLength(1)
  expect(await ada.history(id)).toHaveLength(2)
})

test('two commands on two engines of one storage are both applied', async () => {
  const bench = new Bench()
  const order = orderType(new Work(), new Work())
  const one = await bench.start({ jobs: [order] })
  const two = await bench.start({ jobs: [order] })
  const { id } = await one.ada.submit(order, undefined)
  await Promise.all([one.ada.send(id, { type: 'count' }), two.ada.send(id, { type: 'count' })])
  expect((await bench.row(id)).context).toEqual({ note: '', parcels: 2 })
})

test('history shows commands and changes of the label, by the public label of meta.status', async () => {
  const bench = new Bench()
  const order = orderType(new Work(), new Work())
  const { ada } = await bench.start({ jobs: [order] })
  const { id } = await ada.submit(order, undefined)
  await ada.send(id, { type: 'count' })
  await ada.send(id, { type: 'count' })
  expect((await ada.history(id)).map(({ sequence, to, command }) => [sequence, to, command])).toEqual([
    [1, 'waiting', undefined],
    [2, 'waiting', 'count'],
    [3, 'waiting', 'count'],
  ])
  await ada.cancel(id, { reason: 'no stock' })
  expect((await ada.history(id)).at(-1)).toMatchObject({
    sequence: 4,
    from: 'waiting',
    to: 'cancelled',
    reason: 'no stock',
  })
})

test('a timer that is due before the next sweep fires at its time', async () => {
  const bench = new Bench()
  const machine = createMachine({ initial: 'a', states: { a: { after: { 300: 'b' } }, b: { type: 'final' } } })
  const type = defineJob({ type: 'm', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type], sweep: '1h' })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(299)
  expect((await ada.get(id)).status).toBe('a')
  await bench.clock.advance(1)
  expect((await ada.get(id)).status).toBe('b')
})

test('a history of more rows than one read is read to its end', async () => {
  const bench = new Bench()
  const flip = { on: { flip: 'b' } }
  const machine = createMachine({ initial: 'a', states: { a: flip, b: { on: { flip: 'a' } } } })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { flip: z.object({}) } })
  const { ada } = await bench.start({ jobs: [type], work: false })
  const { id } = await ada.submit(type, undefined)
  for (let flips = 0; flips < 510; flips++) await ada.send(id, { type: 'flip' })
  const history = await ada.history(id)
  expect(history.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 511 }, (_, index) => index + 1))
})

test('a machine that throws ends its own job as an error, and no other', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'on',
    states: {
      on: {
        on: {
          go: {
            guard: () => {
              throw new TypeError('guard')
            },
            target: 'off',
          },
        },
      },
      off: {},
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { go: z.object({}) } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const view = await ada.send(id, { type: 'go' })
  expect(view).toMatchObject({ status: 'error', outcome: 'failure', phase: 'settled' })
  expect(await codeOf(ada.send(id, { type: 'go' }))).toBe('ALREADY_SETTLED')
})

test('a context that cannot be stored ends its own job, and no other', async () => {
  const bench = new Bench()
  const machine = createMachine({
    context: { at: 0 as unknown },
    on: { go: { actions: assign({ at: () => new Date(0) }) } },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { go: z.object({}) } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  expect(await ada.send(id, { type: 'go' })).toMatchObject({ outcome: 'failure', error: { code: 'NOT_STORABLE' } })
})

test('timers fire at their time: after, and a delayed raise that is cancelled by leaving', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'a',
    states: {
      a: { after: { 1500: 'b' } },
      b: { entry: raise({ type: 'ring' }, { delay: 700, id: 'r' }), on: { ring: 'c' } },
      c: { after: { 86400000: 'd' }, on: { skip: 'd' } },
      d: { type: 'final' },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { skip: z.object({}) } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(1_499)
  expect((await ada.get(id)).status).toBe('a')
  await bench.clock.advance(1)
  expect((await ada.get(id)).status).toBe('b')
  await bench.clock.advance(700)
  expect((await ada.get(id)).status).toBe('c')
  await ada.send(id, { type: 'skip' })
  expect((await bench.row(id)).timers).toEqual([])
})

test('emit and log reach the events and the log, also from the transition that a start of the work causes', async () => {
  const bench = new Bench()
  const ran: string[] = []
  const machine = createMachine({
    initial: 'asking',
    entry: [log('created'), emit({ type: 'made' })],
    states: {
      asking: {
        on: { 'task.started': { actions: [log('started'), emit({ type: 'began' }), () => ran.push('effect')] } },
        invoke: { src: 'work', onDone: 'done' },
      },
      done: { type: 'final', entry: log('done') },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: fromPromise(async () => 1) } }) })
  // The first task is claimed in the commit that creates it, the second by a separate claim.
  for (const concurrency of [2, 1]) {
    ran.length = 0
    const { ada, heard, engine } = await bench.start({ jobs: [type], concurrency })
    const [, job] = await Promise.all([ada.submit(type, undefined), ada.submit(type, undefined)])
    await engine.idle()
    const emitted = heard.flatMap((event) =>
      event.type === 'job.emitted' && event.jobId === job.id ? [event.event] : [],
    )
    expect(emitted).toEqual([{ type: 'made' }, { type: 'began' }])
    expect(await textsOf(ada.logs(job.id))).toEqual(['created', 'started', 'done'])
    expect(ran).toEqual(['effect', 'effect'])
    await engine.stop()
  }
})

test('I61 an action that throws or rejects harms neither the job nor the process', async () => {
  const bench = new Bench()
  const ran: string[] = []
  const machine = createMachine({
    initial: 'on',
    states: {
      on: {
        entry: [
          () => {
            throw new Error('now')
          },
          async () => {
            throw new Error('later')
          },
          () => {
            ran.push('next')
          },
        ],
      },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type] })
  expect((await ada.submit(type, undefined)).status).toBe('on')
  expect(ran).toEqual(['next'])
})

test('I61 actions that send to their own job endlessly let the rest of the process run', async () => {
  const bench = new Bench()
  let sent = 0
  const again = ({ self }: { readonly self: { send(event: { readonly type: string }): void } }) => {
    if (++sent < 500) self.send({ type: 'ping' })
  }
  const lifecycle = createMachine({ initial: 'on', states: { on: { on: { ping: { actions: again } } } } })
  const type = defineJob({ type: 'm', lifecycle, commands: { ping: z.object({}) } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await ada.send(id, { type: 'ping' })
  await new Promise<void>((resume) => bench.clock.turn(resume))
  expect(sent).toBeLessThan(10)
  await bench.clock.settle()
  expect(sent).toBe(500)
})

test('a command whose schema does not give an object is its name alone', async () => {
  const machine = createMachine({
    initial: 'waiting',
    states: { waiting: { on: { go: 'done' } }, done: { type: 'final', output: ({ event }) => event } },
    output: ({ event }) => ('output' in event ? event.output : undefined),
  })
  const commands = { go: z.any().transform(() => 'gone') }
  const type = defineJob({ type: 'm', lifecycle: machine, commands })
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  expect(await ada.send(id, { type: 'go' })).toMatchObject({ status: 'done', output: { type: 'go' } })
})
