import {
  agentTask,
  batch,
  batchRun,
  type CreateEngineOptions,
  createEngine,
  defineJob,
  type Executor,
  memoryStorage,
  program,
  queueExecutor,
  task,
} from 'jobchart'
import { agents, childProcess, workerThreads } from 'jobchart/executors'
import { describe, expect, test } from 'vitest'
import { createMachine, fromPromise, setup } from 'xstate'

const module = new URL('./no-module.js', import.meta.url)
const each = () => 1
const refusal = (message: string | RegExp) =>
  expect.objectContaining({
    code: 'INVALID_DEFINITION',
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  })

/** Options that do not compile. */
const odd = (options: unknown) => options as Parameters<typeof batch>[0]
const jobOf = (actor: unknown) =>
  defineJob({
    type: 'site',
    lifecycle: createMachine({ invoke: { src: 'scrape' } }).provide({ actors: { scrape: actor as never } }),
  })

async function engineWith(
  actor: unknown,
  executors: NonNullable<CreateEngineOptions['executors']> = {},
  options: { readonly work?: boolean } = {},
) {
  const engine = await createEngine({ jobs: [jobOf(actor)], storage: memoryStorage(), executors, ...options })
  await engine.stop()
}

describe('a batch is refused when it is made', () => {
  test.each([
    [{}, /^a batch should have each, the code of an item; or function, the name of the code in an agent/],
    [{ items: () => [] }, /^a batch should have each/],
    [{ concurrency: 20, retry: { limit: 2 } }, /^a batch should have each/],
    [{ version: '2' }, /^a batch should have each/],
    [{ each: undefined }, /^a batch should have each/],
    [{ eahc: each }, /^eahc is not an option of batch; its options are .*each/],
    [{ function: 'scrape', concurrency: 20 }, /^concurrency is not an option of a batch without each/],
    [{ function: 'scrape', each }, /^function should not be given beside each: .* Leave out one/],
    [{ version: '2', each }, /^version should not be given beside each/],
    [{ function: () => 'scrape', each, executor: 'threads' }, /^function should not be given beside each/],
  ])('with the options %o', (options, message) => {
    expect(() => batch(odd(options))).toThrow(refusal(message))
  })

  test('but not with the name of its code, or with an executor', () => {
    for (const options of [{ function: 'scrape' }, { executor: 'agents' }, { executor: 'threads', items: () => [] }]) {
      expect(jobOf(batch(odd(options))).tasks.get('scrape')?.batch).toMatchObject({ isElsewhere: true })
    }
  })
})

describe('an engine is not made', () => {
  const own: Executor = { room: () => 1, start: async (work) => await work.run(), close: async () => {} }

  test.each<[string, unknown, string, Executor | undefined, string]>([
    [
      'a batch without each',
      batch({ executor: 'default' }),
      'default',
      undefined,
      'which runs functions: a batch without',
    ],
    [
      'a batch without each',
      batch({ executor: 'x' }),
      'x',
      childProcess(),
      'which runs programs: a batch without each',
    ],
    [
      'a batch with each',
      batch({ executor: 'processes', each }),
      'processes',
      undefined,
      'and would not call each: name',
    ],
    ['a batch with each', batch({ executor: 'x', each }), 'x', workerThreads({ module }), 'leave out each, and export'],
    ['a batch with each', batch({ executor: 'x', each }), 'x', childProcess({ module }), 'leave out each, and export'],
    [
      'a batch with each',
      batch({ executor: 'agents', each }),
      'agents',
      undefined,
      'leave out each, and give batchRun',
    ],
    [
      'a batch',
      batch({ executor: 'x', function: 'f' }),
      'x',
      agents(),
      'those that run batches are under the name "agents"',
    ],
    [
      'a batch for agents',
      batch({ function: 'f' }),
      'agents',
      workerThreads({ module }),
      'which is not one for agents',
    ],
    [
      'a program',
      program({ executor: 'default' }, { command: 'ls' }),
      'default',
      undefined,
      'functions, and no programs',
    ],
    [
      'a program',
      program({ executor: 'x' }, { command: 'ls' }),
      'x',
      workerThreads({ module }),
      'modules, and no programs',
    ],
  ])('if %s names an executor that cannot run it: %#', async (_, actor, executor, made, message) => {
    const executors = made === undefined ? {} : { [executor]: made }
    const error: unknown = await engineWith(actor, executors).catch((thrown: unknown) => thrown)
    expect(error).toEqual(refusal(`task "scrape" of job type "site" names the executor "${executor}", which `))
    expect(error).toEqual(refusal(message))
  })

  test('but is made if the executor can run them, or does not say what it runs', async () => {
    await engineWith(batch({ each }))
    await engineWith(batch({ function: 'f' }))
    await engineWith(batch({ executor: 'x' }), { x: workerThreads({ module }) })
    await engineWith(batch({ executor: 'x' }), { x: childProcess({ module }) })
    await engineWith(program({ executor: 'x' }, { command: 'ls' }), { x: childProcess() })
    for (const actor of [batch({ executor: 'x' }), batch({ executor: 'x', each }), task({ executor: 'x' }, each)]) {
      await engineWith(actor, { x: own })
    }
  })
})

test('an engine that runs no tasks is made, whatever its executors run', async () => {
  for (const actor of [batch({ executor: 'x' }), program({ executor: 'x' }, { command: 'ls' })]) {
    await engineWith(actor, { x: queueExecutor() }, { work: false })
    await expect(engineWith(actor, { x: queueExecutor() })).rejects.toEqual(refusal('which runs functions'))
  }
})

describe('batchRun is refused, with the place where it belongs,', () => {
  const run = batchRun({ each })
  const place = /batchRun\(\) makes the code of a batch in an agent or in a module\. .*batch\(\{ function/

  test.each<[string, () => unknown]>([
    ['as an actor that a state invokes', () => jobOf(run)],
    ['as an actor that nothing invokes', () => machineOf({ spare: run })],
    [
      'as the src of an invoke',
      () => defineJob({ type: 'site', lifecycle: createMachine({ invoke: { src: run } } as never) }),
    ],
    ['as the code of a task', () => jobOf(task({}, run))],
    ['as the code of a promise', () => jobOf(fromPromise(run as never))],
    ['as the code of a job', () => defineJob({ type: 'site', execute: run })],
  ])('%s', (_, define) => {
    expect(define).toThrow(refusal(place))
  })

  test.each<[string, unknown, string]>([
    [
      'a function',
      each,
      'the actor "scrape" should be actor logic; found a function. For a function, use task({}, run)',
    ],
    ['a text', 'scrape', 'the actor "scrape" should be actor logic; found a string'],
  ])('and so is %s, with what to write', (_, actor, message) => {
    expect(() => jobOf(actor)).toThrow(refusal(message))
  })

  test.each<[string, unknown]>([
    ['a placeholder', {}],
    ['a function', each],
    ['a text', 'scrape'],
    ['null', null],
  ])('but not %s as an actor that nothing invokes', (_, actor) => {
    expect(machineOf({ spare: actor }).type).toBe('site')
  })

  test('but not a placeholder that .provide() replaces', () => {
    const scrape = task({}, async () => {})
    const machine = setup({ actors: { scrape: {} as typeof scrape } }).createMachine({ invoke: { src: 'scrape' } })
    const { tasks } = defineJob({ type: 'site', lifecycle: machine.provide({ actors: { scrape } }) })
    expect([...tasks.keys()]).toEqual(['scrape'])
  })

  test('but nothing that is logic', () => {
    expect(machineOf({ spare: agentTask() }).type).toBe('site')
    expect(machineOf({ spare: undefined }).type).toBe('site')
  })
})

function machineOf(actors: object) {
  return defineJob({ type: 'site', lifecycle: createMachine({}).provide({ actors: actors as never }) })
}
