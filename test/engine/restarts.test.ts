import { defineJob, type Executor, task } from 'jobchart'
import { expect, test } from 'vitest'
import { type AnyActorRef, assign, createMachine, emit, fromCallback, log, raise, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, textsOf, Work } from './bench.ts'

// Features that this library adds to XState's charts, each over a restart.

const command = z.object({})
const ends = { done: { type: 'final' }, failed: { type: 'final', tags: 'failure' } } as const

test('a chart that names the executor’s events hears of each attempt and each loss, but not of work given back at a stop', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = setup({
    types: { context: {} as { heard: readonly unknown[] } },
    actors: { work: task({}, work.obedient) },
    actions: { hear: assign({ heard: ({ context, event }) => [...context.heard, event] }) },
  }).createMachine({
    context: { heard: [] },
    initial: 'busy',
    states: { busy: { invoke: { id: 'w', src: 'work', onDone: 'done' } }, ...ends },
    on: { 'task.claimed': { actions: 'hear' }, 'task.started': { actions: 'hear' }, 'task.lost': { actions: 'hear' } },
    output: ({ context }) => context.heard,
  })
  const type = defineJob({ type: 'm', lifecycle: machine })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  const stopping = two.engine.stop({ timeout: 0 })
  await bench.clock.advance(0)
  await stopping
  const { ada } = await bench.start({ jobs: [type] })
  work.run().finish()
  await bench.clock.settle()
  const { output } = await ada.get(id)
  const attempt = [{ type: 'task.claimed', agent: { id: expect.any(String) } }, { type: 'task.started' }]
  const lost = { type: 'task.lost', reason: 'its process died' }
  expect(output).toMatchObject([...attempt, lost, ...attempt, ...attempt])
})

test('an event that a task sent before a crash is kept, and its next attempt may send it again', async () => {
  const bench = new Bench()
  const talker = task({ events: ['HALF'] }, async ({ send, attempt }) => {
    await send({ type: 'HALF', attempt })
    if (attempt === 1) await new Promise(() => {})
  })
  const machine = createMachine({
    types: {} as { context: { told: readonly number[] }; events: { type: 'HALF'; attempt: number } },
    context: { told: [] },
    initial: 'busy',
    states: {
      busy: {
        invoke: { src: 'talker', onDone: 'done' },
        on: { HALF: { actions: assign({ told: ({ context, event }) => [...context.told, event.attempt] }) } },
      },
      ...ends,
    },
    output: ({ context }) => context.told,
  }).provide({ actors: { talker } } as never)
  const type = defineJob({ type: 'm', lifecycle: machine })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await bench.clock.settle()
  await one.crash()
  expect((await bench.row(id)).context).toEqual({ told: [1] })
  const { ada } = await bench.start({ jobs: [type] })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'done', output: [1, 2] })
})

function toldBy(work: Work, messages: readonly string[]) {
  const says = Object.fromEntries(messages.map((type) => [`say-${type}`, { actions: sendTo('w', { type }) }]))
  const lifecycle = createMachine({
    initial: 'busy',
    states: { busy: { invoke: { id: 'w', src: 'work', onDone: 'done', onError: 'failed' }, on: says }, ...ends },
  } as never).provide({ actors: { work: task({ retry: { limit: 3 } }, work.execute) } } as never)
  const commands = Object.fromEntries(messages.map((type) => [`say-${type}`, command]))
  return defineJob({ type: 'told', lifecycle, commands })
}

test('messages to a task are given again after a crash, in order, including a drain', async () => {
  const bench = new Bench()
  const work = new Work()
  const messages = ['one', 'task.drain', 'two']
  const told = toldBy(work, messages)
  const one = await bench.start({ jobs: [told] })
  const { id } = await one.ada.submit(told, undefined)
  for (const type of messages) await one.ada.send(id, { type: `say-${type}` })
  await one.crash()
  const { ada } = await bench.start({ jobs: [told] })
  const heard: string[] = []
  const { context } = work.run()
  void (async () => {
    for await (const { type } of context.inbox) heard.push(type)
  })()
  await bench.clock.settle()
  expect([context.attempt, heard, context.signal.aborted]).toEqual([2, messages, false])
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('done')
})

test('a spawned callback is reached by its reference and by its system id, before and after a restart', async () => {
  const bench = new Bench()
  const heard: string[] = []
  const ear = fromCallback(({ receive }) => receive(({ type }) => heard.push(type)))
  const machine = setup({
    types: { context: {} as { ear: AnyActorRef | undefined } },
    actors: { ear },
  }).createMachine({
    context: { ear: undefined },
    entry: assign({ ear: ({ spawn }) => spawn('ear', { id: 'e', systemId: 'the-ear' }) }),
    on: {
      say: {
        actions: [
          sendTo(({ system }) => system.get('the-ear') as AnyActorRef, { type: 'BY_SYSTEM' }),
          sendTo(({ context }) => context.ear ?? 'nobody', { type: 'BY_REFERENCE' }),
        ],
      },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { say: command } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.ada.send(id, { type: 'say' })
  await bench.clock.settle()
  const said = ['BY_SYSTEM', 'BY_REFERENCE']
  expect(heard).toEqual(said)
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await two.ada.send(id, { type: 'say' })
  await bench.clock.settle()
  expect(heard).toEqual([...said, ...said, ...said])
})

test('work that was stopping and died with its process is not begun again: TASK_LOST', async () => {
  const bench = new Bench()
  const work = new Work()
  const told = toldBy(work, ['task.stop'])
  const one = await bench.start({ jobs: [told] })
  const { id } = await one.ada.submit(told, undefined)
  await one.ada.send(id, { type: 'say-task.stop' })
  await one.crash()
  const { ada } = await bench.start({ jobs: [told] })
  await bench.clock.advance(60_000)
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'TASK_LOST' } })
  expect(work.runs).toHaveLength(1)
})

test("recovery 'await' offers a lost attempt to nobody, over restarts too, until its chart leaves it", async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'busy',
    states: { busy: { invoke: { src: 'work', onDone: 'done' }, on: { leave: 'failed' } }, ...ends },
  }).provide({ actors: { work: task({ recovery: 'await' }, work.execute) } })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { leave: command } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  const [{ token } = { token: 0 }] = (await bench.row(id)).tasks
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await bench.clock.advance(60_000)
  await two.crash()
  const { ada } = await bench.start({ jobs: [type] })
  await bench.clock.advance(60_000)
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'lost', attempt: 1, token }])
  expect([work.runs.length, (await ada.get(id)).status]).toEqual([1, 'busy'])
  await ada.send(id, { type: 'leave' })
  expect([work.runs.length, (await bench.row(id)).tasks]).toEqual([1, []])
})

test('an awaited attempt whose engine was only frozen ends its task when the engine thaws', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', recovery: 'await', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  const two = await bench.start({ jobs: [type], deadAfter: '10s' })
  one.faults.isMute = true
  await bench.clock.advance(12_000)
  expect((await bench.row(id)).tasks).toMatchObject([{ status: 'lost' }])
  one.faults.heal()
  work.run().finish('after all')
  await bench.clock.settle()
  expect(await two.ada.get(id)).toMatchObject({ status: 'completed', output: 'after all' })
  expect(work.runs).toHaveLength(1)
})

test('the schemas of a task apply to an attempt after a crash: to its input and to its output', async () => {
  const bench = new Bench()
  const work = new Work()
  const read = task(
    {
      input: z.object({ path: z.string().transform((path) => path.toUpperCase()) }),
      output: z.object({ rows: z.number() }),
    },
    work.execute as never,
  )
  const machine = createMachine({
    initial: 'busy',
    states: { busy: { invoke: { src: 'read', input: { path: 'a.csv' }, onDone: 'done', onError: 'failed' } }, ...ends },
  }).provide({ actors: { read } } as never)
  const type = defineJob({ type: 'm', lifecycle: machine })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const { ada } = await bench.start({ jobs: [type] })
  expect(work.run().context).toMatchObject({ attempt: 2, input: { path: 'A.CSV' } })
  work.run().finish({ rows: 'many' })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({
    status: 'failed',
    error: { code: 'INVALID_INPUT', message: expect.stringContaining('output') },
  })
})

test('a person may send the commands of the type and nothing else, before and after a restart', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'on',
    states: { on: { on: { go: 'done', OWN: 'failed', 'task.lost': 'failed' }, after: { 5000: 'failed' } }, ...ends },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { go: command } })
  let host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, undefined)
  for (let restart = 0; restart < 2; restart++) {
    for (const name of ['OWN', 'task.lost', 'xstate.after.5000.(machine).on']) {
      expect(await codeOf(host.ada.send(id as string, { type: name }))).toBe('INVALID_INPUT')
    }
    await host.crash()
    host = await bench.start({ jobs: [type] })
  }
  expect((await host.ada.send(id, { type: 'go' })).status).toBe('done')
})

test('a custom executor gets the function and version of a task again after a crash', async () => {
  const bench = new Bench()
  const seen: unknown[] = []
  const rows: Executor = {
    room: () => 5,
    start: async ({ function: name, version, input, attempt }) => {
      seen.push({ name, version, input, attempt })
      return attempt === 1 ? await new Promise<never>(() => {}) : { ok: true, output: 5 }
    },
    close: async () => {},
  }
  const here = () => Promise.reject(new Error('it does not run here'))
  const machine = createMachine({
    initial: 'counting',
    states: { counting: { invoke: { src: 'count', input: 'a.csv', onDone: 'done' } }, ...ends },
  } as never).provide({
    actors: { count: task({ executor: 'rows', function: 'count-rows', version: '7' }, here) },
  } as never)
  const type = defineJob({ type: 'counted', lifecycle: machine })
  const one = await bench.start({ jobs: [type], executors: { rows } })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const { ada } = await bench.start({ jobs: [type], executors: { rows } })
  await bench.clock.settle()
  const call = { name: 'count-rows', version: '7', input: 'a.csv' }
  expect(seen).toEqual([
    { ...call, attempt: 1 },
    { ...call, attempt: 2 },
  ])
  expect((await ada.get(id)).status).toBe('done')
})

test('a crash during the commit of a transition keeps its emits and log lines once; other actions never run', async () => {
  const bench = new Bench()
  const ran: string[] = []
  const acts = [emit({ type: 'moved' }), log('moved'), () => ran.push('effect')]
  const machine = createMachine({
    initial: 'off',
    states: { off: { on: { go: { target: 'on', actions: acts } } }, on: { on: { go: 'done' } }, ...ends },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { go: command } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  one.faults.plan('commit', 'unheard')
  one.faults.plan('landed', 'refused')
  expect(await codeOf(one.ada.send(id, { type: 'go' }))).toBe('OUTCOME_UNKNOWN')
  await one.crash()
  const { ada } = await bench.start({ jobs: [type] })
  await bench.clock.advance(5_000)
  expect((await ada.get(id)).status).toBe('on')
  await ada.send(id, { type: 'go' })
  const emitted = (await bench.log(id)).flatMap(({ events }) => events.filter(({ type }) => type === 'job.emitted'))
  expect(emitted).toMatchObject([{ event: { type: 'moved' } }])
  expect([await textsOf(ada.logs(id)), ran]).toEqual([['moved'], []])
})

test('tags, meta and describe of a state hold over a restart: slot, phase, label, message, outcome', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'on',
    states: {
      on: { on: { park: 'parked' } },
      parked: { tags: ['vacates', 'indeterminate'], meta: { status: 'out there' }, on: { end: 'over' } },
      over: { type: 'final', tags: ['success', 'cancelled'] },
    },
  })
  const type = defineJob({
    type: 'm',
    lifecycle: machine,
    commands: { park: command, end: command },
    describe: ({ value }, event) => ({ message: `${event.type} to ${value}`, exitCode: 3 }),
  })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined, { pipeline: 'p' })
  await one.ada.send(id, { type: 'park' })
  await one.crash()
  const { ada } = await bench.start({ jobs: [type] })
  const parked = { status: 'out there', phase: 'indeterminate', message: 'park to parked', exitCode: 3 }
  expect(await ada.get(id)).toMatchObject(parked)
  expect(await codeOf(ada.submit(type, undefined, { pipeline: 'p' }))).toBe('ok')
  expect(await ada.send(id, { type: 'end' })).toMatchObject({ phase: 'settled', outcome: 'cancelled' })
})

test('labels of ends outside the chart are the type’s also after a restart: a stopped child, a parent that threw', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'on',
    states: {
      on: { invoke: { src: 'child' }, on: { leave: 'off' } },
      off: { on: { go: { actions: assign(refuse) } } },
    },
  }).provide({ actors: { child: createMachine({ after: { 60000: { actions: () => {} } } }) } } as never)
  const labels = { error: 'broken', stopped: 'called off' }
  const type = defineJob({ type: 'm', lifecycle: machine, labels, commands: { leave: command, go: command } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.crash()
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.send(id, { type: 'leave' })
  const [child] = (await engine.system.list({ type: 'm/child' })).items
  expect(child).toMatchObject({ status: 'called off', phase: 'settled', outcome: 'cancelled' })
  const error = { name: 'Error', message: 'no' }
  expect(await ada.send(id, { type: 'go' })).toMatchObject({ status: 'broken', outcome: 'failure', error })
})

test('a machine in an endless loop ends its own job, and later engines can start', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'off',
    states: {
      off: { on: { spin: 'ping', circle: 'raising' }, after: { 5000: 'done' } },
      ping: { always: 'pong' },
      pong: { always: 'ping' },
      raising: { entry: raise({ type: 'AGAIN' }), on: { AGAIN: { actions: raise({ type: 'AGAIN' }) } } },
      ...ends,
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { spin: command, circle: command } })
  const one = await bench.start({ jobs: [type] })
  const [spun, circled, sane] = await Promise.all([1, 2, 3].map(() => one.ada.submit(type, undefined)))
  const endless = { outcome: 'failure', error: { message: expect.stringContaining('Infinite loop') } }
  expect(await one.ada.send(spun?.id ?? '', { type: 'spin' })).toMatchObject(endless)
  expect(await one.ada.send(circled?.id ?? '', { type: 'circle' })).toMatchObject(endless)
  await one.crash()
  const { ada } = await bench.start({ jobs: [type] })
  await bench.clock.advance(5_000)
  expect((await ada.get(sane?.id ?? '')).status).toBe('done')
})

function refuse(): never {
  throw new Error('no')
}
