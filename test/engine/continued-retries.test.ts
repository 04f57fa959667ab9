import {
  defineJob,
  type EndedJob,
  type FollowUp,
  type Json,
  type MigratingJob,
  memoryStorage,
  type Policy,
  rolePolicy,
  type TaskContext,
  task,
} from 'jobchart'
import type { Job } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { assign, createMachine, setup, spawnChild } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, type Host, sqliteDisk, Work } from './bench.ts'

/** An import in steps. Each step writes rows once per key. The import stops where the test says. */
class Import {
  readonly ran: string[] = []
  readonly keys: string[] = []
  readonly rows = new Map<string, string>()
  readonly idempotencyKeys: string[] = []
  /** The step that fails before it is recorded. */
  failAt: string | undefined

  readonly execute = async ({ step, idempotencyKey, input }: TaskContext, names = ['a', 'b', 'c']): Promise<Json> => {
    this.idempotencyKeys.push(idempotencyKey)
    const results: Json[] = []
    for (const name of names) {
      const result = await step(name, ({ key }) => {
        this.keys.push(key)
        if (name === this.failAt) throw new Error(`failed at ${name}`)
        this.ran.push(name)
        this.rows.set(key, name)
        return `${name} of ${JSON.stringify(input)}`
      })
      results.push(result)
    }
    return results
  }
}

const disks = { memory: () => memoryStorage(), sqlite: sqliteDisk }

describe.each(['memory', 'sqlite'] as const)('in %s, a retry', (disk) => {
  const started = async (followUp?: (job: EndedJob) => readonly FollowUp[]) => {
    const bench = new Bench(disks[disk]())
    const code = new Import()
    const type = defineJob({
      type: 'import',
      execute: (context) => code.execute(context),
      ...(followUp === undefined ? {} : { followUp }),
    })
    const host = await bench.start({ jobs: [type] })
    return { bench, code, type, ...host }
  }

  test('a retry begins with the recorded steps, under the keys of the first try', async () => {
    const { bench, code, type, ada, engine } = await started()
    code.failAt = 'c'
    const first = await ada.submit(type, 1)
    await engine.idle()
    code.failAt = undefined
    const again = await ada.retry(first.id)
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'c'])
    expect((await ada.get(again.id)).output).toEqual(['a of 1', 'b of 1', 'c of 1'])
    // The failed step has run twice, under one key.
    expect(code.keys.length).toBe(4)
    expect(new Set(code.keys).size).toBe(3)
    expect(new Set(code.idempotencyKeys)).toEqual(new Set([`${first.id}/execute/1`]))
    expect((await bench.row(again.id)).stepOrigin).toBe(first.id)
    expect(await ada.explain(again.id)).toContainEqual({ kind: 'retry', retryOf: first.id, steps: 'continued' })
    expect((await ada.explain(first.id)).map(({ kind }) => kind)).not.toContain('retry')
  })

  test('a retry of a cancelled job continues too', async () => {
    const { code, type, ada, engine, bench } = await started()
    const waiting = new Work()
    const slow = Object.assign(code, { failAt: 'c' })
    const first = await ada.submit(type, 1)
    await engine.idle()
    const cancelled = defineJob({
      type: 'slow',
      execute: async (context) => {
        await slow.execute(context, ['a'])
        return await waiting.obedient(context)
      },
    })
    const other = await bench.start({ jobs: [type, cancelled] })
    const { id } = await other.ada.submit(cancelled, 2)
    await bench.clock.settle()
    await other.ada.cancel(id)
    await bench.clock.settle()
    const ran = code.ran.length
    await other.ada.retry(id)
    await bench.clock.settle()
    expect(code.ran.length).toBe(ran)
    expect((await ada.get(first.id)).outcome).toBe('failure')
  })

  test('a retry of a retry has the steps of all tries, and the keys of the first', async () => {
    const { code, type, ada, engine } = await started()
    let { id } = await ada.submit(type, 1)
    const first = id
    for (const failAt of ['b', 'c', 'c', undefined]) {
      code.failAt = failAt
      if (failAt !== 'b') id = (await ada.retry(id)).id
      await engine.idle()
    }
    expect(code.ran).toEqual(['a', 'b', 'c'])
    expect(new Set(code.keys.map((key) => key.slice(0, first.length)))).toEqual(new Set([first]))
    expect(await ada.get(id)).toMatchObject({ outcome: 'success', retries: 3 })
  })

  test('a fresh retry begins with no steps, under new keys', async () => {
    const { code, type, ada, engine } = await started()
    code.failAt = 'c'
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    const fresh = await ada.retry(id, { fresh: true })
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'a', 'b'])
    expect(code.keys.slice(3).every((key) => key.startsWith(`${fresh.id}/`))).toBe(true)
    expect(code.idempotencyKeys).toEqual([`${id}/execute/1`, `${fresh.id}/execute/1`])
    expect(await ada.explain(fresh.id)).toContainEqual({ kind: 'retry', retryOf: id, steps: 'fresh' })
    // A retry of a fresh retry continues that one, not the first try.
    code.failAt = undefined
    await ada.retry(fresh.id, { fresh: false })
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'a', 'b', 'c'])
    expect(code.idempotencyKeys.at(-1)).toBe(`${fresh.id}/execute/1`)
  })

  test('a retry of a successful job is fresh', async () => {
    const { code, type, ada, engine } = await started()
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    const again = await ada.retry(id, { fresh: false })
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    expect(new Set(code.keys).size).toBe(6)
    expect(await ada.explain(again.id)).toContainEqual({ kind: 'retry', retryOf: id, steps: 'fresh' })
  })

  test('a retry has the steps even if the job that it retries is deleted meanwhile', async () => {
    const { bench, code, type, ada, engine } = await started()
    code.failAt = 'c'
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    code.failAt = undefined
    const again = await ada.retry(id)
    await ada.delete(id)
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'c'])
    expect((await ada.get(again.id)).outcome).toBe('success')
    expect((await (await bench.probe()).steps(id, 'execute', 1)).size).toBe(0)
    await ada.delete(again.id)
    expect((await (await bench.probe()).steps(again.id, 'execute', 1)).size).toBe(0)
  })

  test('a retry is refused if the job is deleted while the retry is authorized', async () => {
    const bench = new Bench(disks[disk]())
    const type = defineJob({ type: 'import', execute: () => Promise.reject(new Error('no')) })
    const roles = rolePolicy()
    let between = async () => {}
    const policy: Policy = {
      ...roles,
      authorize: async (who, action, target) => {
        if (action === 'submit') await between()
        return await roles.authorize(who, action, target)
      },
    }
    const { ada, engine } = await bench.start({ jobs: [type], policy })
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    between = () => engine.system.delete(id)
    expect(await codeOf(ada.retry(id))).toBe('JOB_NOT_FOUND')
    expect((await ada.list()).items).toEqual([])
  })

  test('a retry by a follow-up continues, unless it is fresh or has its own input', async () => {
    const ways: FollowUp[] = [
      { kind: 'retry' },
      { kind: 'retry', delay: '10s' },
      { kind: 'retry', fresh: true },
      { kind: 'retry', input: 1 },
      { kind: 'retry', input: 2, fresh: false },
    ]
    for (const [index, way] of ways.entries()) {
      const { bench, code, type, ada, engine } = await started(({ retries }) => (retries === 0 ? [way] : []))
      code.failAt = 'b'
      await ada.submit(type, 1)
      await engine.idle()
      await bench.clock.advance(10_000)
      expect(code.ran).toEqual(index < 2 ? ['a'] : ['a', 'a'])
      expect(new Set(code.keys).size).toBe(index < 2 ? 2 : 4)
    }
  })

  test('a retry by a follow-up of a successful job is fresh', async () => {
    const { code, type, ada, engine } = await started(({ retries }) => (retries === 0 ? [{ kind: 'retry' }] : []))
    await ada.submit(type, 1)
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  })

  test('a retry keeps the steps that its own attempts record', async () => {
    const bench = new Bench(disks[disk]())
    const code = new Import()
    code.failAt = 'b'
    const type = defineJob({
      type: 'import',
      retry: { limit: 1, backoff: 0 },
      execute: async (context) => {
        await code.execute(context, ['a', `c${context.attempt}`]).catch(() => {})
        return await code.execute({ ...context, step: context.step }, ['b'])
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await bench.clock.advance(1_000)
    code.failAt = undefined
    await ada.retry(id)
    await bench.clock.settle()
    expect(code.ran).toEqual(['a', 'c1', 'c2', 'b'])
  })
})

test('a retry that waits for its turn continues when another process admits it', async () => {
  const bench = new Bench()
  const code = new Import()
  const work = new Work()
  const type = defineJob({ type: 'import', execute: (context) => code.execute(context) })
  const other = defineJob({ type: 'other', execute: work.execute })
  const one = await bench.start({ jobs: [type, other] })
  code.failAt = 'c'
  const { id } = await one.ada.submit(type, 1, { pipeline: 'p' })
  await one.engine.idle()
  const holder = await one.ada.submit(other, 1, { pipeline: 'p' })
  expect(await codeOf(one.ada.retry(id))).toBe('ALREADY_RUNNING')
  await one.ada.cancel(holder.id)
  work.run().finish()
  await bench.clock.settle()
  code.failAt = undefined
  await one.crash()
  const two = await bench.start({ jobs: [type, other] })
  await two.ada.retry(id)
  await bench.clock.settle()
  expect(code.ran).toEqual(['a', 'b', 'c'])
})

test('ten thousand steps are continued, and none of them runs again', async () => {
  const bench = new Bench(sqliteDisk())
  let ran = 0
  let isOpen = false
  const type = defineJob({
    type: 'rows',
    execute: async ({ step }) => {
      for (let start = 0; start < 10_000; start += 500) {
        const names = Array.from({ length: 500 }, (_, index) => `row ${start + index}`)
        await Promise.all(names.map((name) => step(name, () => ++ran)))
      }
      if (!isOpen) throw new Error('at the end')
      return 'all'
    },
  })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await engine.idle()
  isOpen = true
  const again = await ada.retry(id)
  await engine.idle()
  expect([ran, (await ada.get(again.id)).output]).toEqual([10_000, 'all'])
})

/** A parent that imports each of some files by a child job, one after the other, and then reports it. */
function parentOf(code: Import) {
  const child = setup({
    types: { input: {} as { file: string }, context: {} as { file: string } },
    actors: { load: task({}, (context: TaskContext) => code.execute(context, ['a', 'b'])) },
  }).createMachine({
    context: ({ input }) => input,
    initial: 'loading',
    states: {
      loading: {
        invoke: {
          id: 'load',
          src: 'load',
          input: ({ context }: { context: { file: string } }) => context.file,
          onDone: 'loaded',
        },
      },
      loaded: { type: 'final' },
    },
  })
  const machine = setup({
    types: { context: {} as { files: number } },
    guards: { hasMore: ({ context }) => context.files < 3 },
    actors: { child, close: task({}, (context: TaskContext) => code.execute(context, ['close'])) },
  }).createMachine({
    context: { files: 0 },
    initial: 'importing',
    states: {
      importing: {
        entry: assign({ files: ({ context }) => context.files + 1 }),
        invoke: {
          id: 'child',
          src: 'child',
          input: ({ context }) => ({ file: `file ${context.files}` }),
          onDone: [{ guard: 'hasMore', target: 'importing', reenter: true }, { target: 'closing' }],
          onError: 'failed',
        },
      },
      closing: { invoke: { id: 'close', src: 'close', onDone: 'done', onError: 'failed' } },
      done: { type: 'final' },
      failed: { type: 'final', tags: ['failure'] },
    },
  })
  return defineJob({ type: 'folder', lifecycle: machine })
}

describe.each(['memory', 'sqlite'] as const)('in %s, the child jobs of a retry', (disk) => {
  const started = async () => {
    const bench = new Bench(disks[disk]())
    const code = new Import()
    const type = parentOf(code)
    const host = await bench.start({ jobs: [type] })
    return { bench, code, type, ...host }
  }

  test('child jobs of a retry continue those of the retried job, by invoke and ordinal', async () => {
    const { code, type, ada, engine } = await started()
    code.failAt = 'close'
    const { id } = await ada.submit(type, undefined)
    await engine.idle()
    expect(await ada.get(id)).toMatchObject({ outcome: 'failure' })
    expect(code.ran).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
    expect(new Set(code.keys).size).toBe(7)
    code.failAt = undefined
    const again = await ada.retry(id)
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'a', 'b', 'a', 'b', 'close'])
    expect(new Set(code.idempotencyKeys)).toEqual(
      new Set([1, 2, 3].map((ordinal) => `${id}/child/${ordinal}/load/1`).concat(`${id}/close/1`)),
    )
    expect((await ada.get(again.id)).outcome).toBe('success')
  })

  test('child jobs of a fresh retry begin without steps', async () => {
    const { code, type, ada, engine } = await started()
    code.failAt = 'close'
    const { id } = await ada.submit(type, undefined)
    await engine.idle()
    await ada.retry(id, { fresh: true })
    await engine.idle()
    expect(code.ran.length).toBe(12)
    expect(new Set(code.keys).size).toBe(14)
  })

  test('child jobs continue even if the retried job is deleted with its own child jobs', async () => {
    const { bench, code, type, ada, engine } = await started()
    code.failAt = 'b'
    const { id } = await ada.submit(type, undefined)
    await engine.idle()
    expect(code.ran).toEqual(['a'])
    code.failAt = undefined
    const [again] = await Promise.all([ada.retry(id), bench.clock.settle()])
    await ada.delete(id)
    await engine.idle()
    expect(code.ran).toEqual(['a', 'b', 'a', 'b', 'a', 'b', 'close'])
    expect((await ada.get(again.id)).outcome).toBe('success')
    // No steps are left behind.
    await ada.delete(again.id)
    await bench.clock.settle()
    const probe = await bench.probe()
    for (const gone of [id, again.id]) {
      for (const ordinal of [1, 2, 3]) expect((await probe.steps(gone, `child/${ordinal}/load`, 1)).size).toBe(0)
    }
  })

  test('retries that make progress are not poison, however often their process dies', async () => {
    const bench = new Bench(disks[disk]())
    const ends: (() => void)[] = []
    const machine = setup({
      actors: {
        child: setup({
          actors: {
            work: task({}, async ({ step, attempt }) => {
              await step(`step ${attempt}`, () => 1)
              if (attempt < 6) await new Promise<void>((resolve) => ends.push(resolve))
              return 'done'
            }),
          },
        }).createMachine({
          invoke: { src: 'work', onDone: '.done' },
          initial: 'on',
          states: { on: {}, done: { type: 'final' } },
        }),
      },
    }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { id: 'c', src: 'child', onDone: 'done', onError: 'lost' } },
        done: { type: 'final' },
        lost: { type: 'final', tags: ['failure'] },
      },
    })
    const type = defineJob({ type: 'm', lifecycle: machine })
    let host: Host = await bench.start({ jobs: [type] })
    const { id } = await host.ada.submit(type, undefined)
    for (let life = 1; life < 6; life++) {
      await bench.clock.settle()
      await host.crash()
      host = await bench.start({ jobs: [type] })
    }
    await bench.clock.settle()
    expect((await host.ada.get(id)).outcome).toBe('success')
  })
})

test('a retry under a newer version of its type continues', async () => {
  const bench = new Bench()
  const code = new Import()
  const old = defineJob({ type: 'import', version: '1', execute: (context) => code.execute(context) })
  const one = await bench.start({ jobs: [old] })
  code.failAt = 'c'
  const { id } = await one.ada.submit(old, 1)
  await one.engine.idle()
  await one.engine.stop()
  code.failAt = undefined
  const now = defineJob({
    type: 'import',
    version: '2',
    previous: [old],
    migrate: ({ state, context }: MigratingJob) => ({ state, context }),
    execute: (context) => code.execute(context, ['a', 'b', 'c', 'd']),
  })
  const two = await bench.start({ jobs: [now] })
  await two.ada.retry(id)
  await two.engine.idle()
  expect(code.ran.slice(0, 3)).toEqual(['a', 'b', 'c'])
})

test('spawned actors continue by their id and spawn order, however often their work was claimed', async () => {
  const bench = new Bench()
  const ran: string[] = []
  let isOpen = false
  const load = task({ retry: { limit: 3, backoff: 0 } }, async ({ step, input, attempt, job }) => {
    await step('load', () => ran.push(`${String(input)} `))
    if (attempt < 3 && !isOpen) throw new Error(`again ${job.id}`)
    return input
  })
  const machine = setup({ actors: { load } }).createMachine({
    entry: spawnChild('load', { id: 'same', input: 'first' }),
    initial: 'one',
    states: {
      one: {
        on: {
          'xstate.done.actor.same': { target: 'two', actions: spawnChild('load', { id: 'same', input: 'second' }) },
        },
      },
      two: {
        on: {
          'xstate.done.actor.same': { target: 'three', actions: spawnChild('load', { id: 'same', input: 'third' }) },
        },
      },
      three: { on: { 'xstate.done.actor.same': 'failed' } },
      failed: { type: 'final', tags: ['failure'] },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(10_000)
  expect(ran).toEqual(['first ', 'second ', 'third '])
  isOpen = true
  const again = await ada.retry(id)
  await bench.clock.advance(10_000)
  expect((await ada.get(again.id)).outcome).toBe('failure')
  expect(ran).toEqual(['first ', 'second ', 'third '])
})

test('no two invoke ids give the same step key', async () => {
  const bench = new Bench()
  const keys: string[] = []
  const note = task({}, async ({ step }: TaskContext) => {
    for (const name of ['x', '1:x', 'b/1:x']) await step(name, ({ key }) => keys.push(key))
  })
  const child = setup({ actors: { note } }).createMachine({ invoke: { id: 'b', src: 'note' } })
  const ids = ['a', 'a/1', 'a/1/b', 'a%2F1', 'a:1', '\ud800', 'A', '', ' ']
  const machine = createMachine({
    type: 'parallel',
    states: Object.fromEntries(
      ids.map((id, index) => [`s${index}`, { invoke: { id: `${id}`, src: index === 0 ? 'child' : 'note' } }]),
    ),
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { note, child } }) })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(keys.length).toBe(ids.length * 3)
  expect(new Set(keys).size).toBe(keys.length)
})

test('an unknown option of retry is refused by name, before the job is read', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', input: z.number(), execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const odd = (options: object) => ada.retry('absent', options as { fresh?: boolean })
  await expect(odd({ fresh: 'yes' })).rejects.toMatchObject({
    code: 'INVALID_INPUT',
    message: expect.stringContaining('fresh'),
  })
  await expect(odd({ frsh: true })).rejects.toMatchObject({
    code: 'INVALID_INPUT',
    message: expect.stringContaining('frsh'),
  })
})

test('a view of a retry names none of its steps', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => Promise.reject(new Error('no')) })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await engine.idle()
  const again: object = await ada.retry(id)
  expect(Object.keys(again)).not.toContain('stepOrigin' satisfies keyof Job)
})
