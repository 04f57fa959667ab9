import fc from 'fast-check'
import { createEngine, defineJob, type JobType, memoryStorage, queueExecutor, task } from 'jobchart'
import type { Job } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, type Host, Work } from './bench.ts'

interface Page {
  readonly host: string
}

/** A crawler that loads two pages of one host at a time. */
function crawl(work: Work, concurrency = 2) {
  const limits = { concurrency, key: ({ input }: { readonly input: unknown }) => (input as Page).host }
  return defineJob({ type: 'crawl', limits, execute: work.execute })
}

async function submitAll(host: Host, type: JobType, inputs: readonly unknown[]): Promise<readonly string[]> {
  const jobs = await Promise.all(inputs.map((input) => host.ada.submit(type, input)))
  return jobs.map(({ id }) => id)
}

function hostsOf({ runs }: Work): readonly string[] {
  return runs.map(({ context }) => (context.input as Page).host)
}

const brokenKeys: readonly (readonly [string, () => unknown])[] = [
  [
    'throws',
    () => {
      throw new Error('no host')
    },
  ],
  ['gives nothing', () => undefined],
  ['gives an empty text', () => ''],
  ['gives too long a text', () => 'x'.repeat(201)],
]

const [a, b] = [{ host: 'a' }, { host: 'b' }]

describe('limits', () => {
  test('I15 tasks of one key run up to their limit, other keys run beside them, and a freed place is filled at once', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = crawl(work)
    const host = await bench.start({ jobs: [type] })
    await submitAll(host, type, [a, a, a, a, b])
    await bench.clock.settle()
    expect(hostsOf(work)).toEqual(['a', 'a', 'b'])
    work.run(0).finish()
    await bench.clock.settle()
    expect(hostsOf(work)).toEqual(['a', 'a', 'b', 'a'])
    work.run(1).fail(new Error('no'))
    await bench.clock.settle()
    expect(hostsOf(work)).toEqual(['a', 'a', 'b', 'a', 'a'])
  })

  test('a key may be separate for each tenant, whose name its function is given', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({
      type: 'w',
      execute: work.execute,
      limits: { concurrency: 1, key: ({ tenant }) => tenant },
    })
    const { engine } = await bench.start({ jobs: [type] })
    for (const tenant of ['one', 'one', 'two'])
      await engine.as({ id: 'ada', tenant, role: 'editor' }).submit(type, tenant)
    await bench.clock.settle()
    expect(work.runs.map(({ context }) => context.input)).toEqual(['one', 'two'])
  })

  test('I15 a key is shared by types and engines, and another engine takes a free place by its next poll', async () => {
    const bench = new Bench()
    const [one, two] = [new Work(), new Work()]
    const shared = (name: string, work: Work) =>
      defineJob({ type: name, limits: { concurrency: 2, key: 'api' }, execute: work.execute })
    const first = await bench.start({ jobs: [shared('one', one)] })
    const second = await bench.start({ jobs: [shared('two', two)] })
    await submitAll(first, shared('one', one), [1, 2])
    await submitAll(second, shared('two', two), [1])
    await bench.clock.settle()
    expect([one.runs.length, two.runs.length]).toEqual([2, 0])
    one.run(0).finish()
    await bench.clock.advance(100)
    expect(two.runs).toHaveLength(1)
  })

  test('I14 a cancelled job keeps its place until its code has stopped or was abandoned', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'one', limits: { concurrency: 1 }, killGrace: '5s', execute: work.execute })
    const host = await bench.start({ jobs: [type] })
    const [running] = await submitAll(host, type, [1, 2, 3])
    await bench.clock.settle()
    expect(work.runs).toHaveLength(1)
    await host.ada.cancel(String(running))
    await bench.clock.settle()
    expect(work.runs).toHaveLength(1)
    await bench.clock.advance(20_000)
    expect(host.heard.some(({ type: name }) => name === 'task.abandoned')).toBe(true)
    expect(work.runs).toHaveLength(2)
    work.run(1).finish()
    await bench.clock.settle()
    expect(work.runs).toHaveLength(3)
  })

  test('I19 tasks that wait for a key run after the process that held it has died', async () => {
    const bench = new Bench()
    const [one, two] = [new Work(), new Work()]
    const first = await bench.start({ jobs: [crawl(one, 1)] })
    await submitAll(first, crawl(one, 1), [a, a])
    await bench.clock.settle()
    const second = await bench.start({ jobs: [crawl(two, 1)] })
    await first.crash()
    await bench.clock.advance(2_000)
    expect(two.runs).toHaveLength(1)
    two.run().finish()
    await bench.clock.settle()
    expect(two.runs).toHaveLength(2)
    two.run().finish()
    await second.engine.idle()
  })

  test('tasks of one name without a key share one; a limit of the lifecycle is shared by all without a key', async () => {
    const bench = new Bench()
    const [own, left, right] = [new Work(), new Work(), new Work()]
    const machine = createMachine({
      type: 'parallel',
      states: {
        own: { invoke: { src: 'own' } },
        left: { invoke: { src: 'left' } },
        right: { invoke: { src: 'right' } },
      },
    }).provide({
      actors: {
        own: task({ limits: { concurrency: 2 } }, own.execute),
        left: task({}, left.execute),
        right: task({}, right.execute),
      },
    })
    const type = defineJob({ type: 'three', lifecycle: machine, limits: { concurrency: 3 } })
    const host = await bench.start({ jobs: [type], concurrency: 50 })
    const ids = await submitAll(host, type, [1, 2, 3])
    await bench.clock.settle()
    expect(own.runs).toHaveLength(2)
    expect(left.runs.length + right.runs.length).toBe(3)
    const keys = (await bench.row(String(ids[0]))).tasks.map(({ limitKey }) => limitKey)
    expect(keys).toEqual(['["three","own"]', '["three"]', '["three"]'])
  })

  test('a user’s key never equals a generated one', async () => {
    const bench = new Bench()
    const [made, given] = [new Work(), new Work()]
    const one = defineJob({ type: 'one', limits: { concurrency: 1 }, execute: made.execute })
    const key = '["one","execute"]'
    const two = defineJob({ type: 'two', limits: { concurrency: 1, key }, execute: given.execute })
    const host = await bench.start({ jobs: [one, two] })
    await submitAll(host, one, [1])
    await submitAll(host, two, [1])
    await bench.clock.settle()
    expect([made.runs.length, given.runs.length]).toEqual([1, 1])
  })

  test.each(brokenKeys)('I36 a key that %s ends its own job alone, with INVALID_INPUT', async (_, broken) => {
    const bench = new Bench()
    const work = new Work()
    const key = ({ input }: { readonly input: unknown }) => (input === 'bad' ? (broken() as string) : 'k')
    const type = defineJob({ type: 'keyed', limits: { concurrency: 5, key }, execute: work.execute })
    const host = await bench.start({ jobs: [type] })
    const [bad] = await submitAll(host, type, ['bad', 'good'])
    await bench.clock.settle()
    expect(await bench.row(String(bad))).toMatchObject({ outcome: 'failure', error: { code: 'INVALID_INPUT' } })
    expect(work.runs).toHaveLength(1)
  })

  test('a changed or removed limit applies to stored jobs too', async () => {
    const bench = new Bench()
    const first = await bench.start({ jobs: [crawl(new Work(), 1)], work: false })
    await submitAll(first, crawl(new Work(), 1), [a, a, a, a, a])
    await first.engine.stop()
    const two = new Work()
    const second = await bench.start({ jobs: [crawl(two, 2)] })
    await bench.clock.settle()
    expect(two.runs).toHaveLength(2)
    await second.crash()
    const all = new Work()
    await bench.start({ jobs: [defineJob({ type: 'crawl', execute: all.execute })] })
    await bench.clock.advance(2_000)
    expect(all.runs).toHaveLength(5)
  })

  test.each([
    ['0', { concurrency: 0 }],
    ['a fraction', { concurrency: 1.5 }],
    ['no number', { key: 'k' }],
    ['an empty key', { concurrency: 1, key: '' }],
    ['a key that is no text', { concurrency: 1, key: 7 }],
  ])('%s is refused as a limit', async (_, limits) => {
    const make = async () => task({ limits: limits as { concurrency: number } }, () => 1)
    expect((await errorOf(make())).code).toBe('INVALID_DEFINITION')
  })
})

describe('the law of limits', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('submit' as const), key: fc.integer({ min: 0, max: 2 }), type: fc.boolean() }),
    fc.record({ do: fc.constantFrom('finish' as const, 'fail' as const, 'cancel' as const), at: fc.nat() }),
    fc.record({ do: fc.constantFrom('crash' as const, 'stop' as const), which: fc.boolean() }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  )

  test('I15 I19 no key ever exceeds its limit over two engines, and every job ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 30 }), async (limit, steps) => {
        const bench = new Bench()
        const work = new Work()
        const key = ({ input }: { readonly input: unknown }) => `key ${String(input)}`
        const options = {
          limits: { concurrency: limit, key },
          retry: { limit: 1, backoff: 10 },
          execute: work.obedient,
        }
        const types = [defineJob({ type: 'even', ...options }), defineJob({ type: 'odd', ...options })] as const
        const start = () => bench.start({ jobs: types, concurrency: 4 })
        const hosts: [Host, Host] = [await start(), await start()]
        const ids: string[] = []
        const check = async () => expectWithin(limit, await Promise.all(ids.map((id) => bench.row(id))))
        for (const each of steps) {
          if (each.do === 'submit')
            ids.push((await hosts[each.key % 2 === 0 ? 0 : 1].ada.submit(types[each.type ? 0 : 1], each.key)).id)
          else if (each.do === 'finish') work.runs[each.at % work.runs.length]?.finish()
          else if (each.do === 'fail') work.runs[each.at % work.runs.length]?.fail(new Error('no'))
          else if (each.do === 'cancel') await hosts[0].ada.cancel(String(ids[each.at % ids.length])).catch(() => {})
          else if (each.do === 'wait') await bench.clock.advance(each.ms)
          else if ('which' in each) {
            const index = each.which ? 1 : 0
            if (each.do === 'crash') await hosts[index].crash()
            else await stopped(bench, hosts[index])
            hosts[index] = await start()
          }
          await bench.clock.settle()
          await check()
        }
        for (let turn = 0; turn < 40 && (await unsettled(bench, ids)) > 0; turn++) {
          for (const run of work.runs) run.finish()
          await bench.clock.advance(1_500)
          await check()
        }
        expect(await unsettled(bench, ids)).toBe(0)
        await bench.end()
      }),
      { numRuns: 40 },
    )
  })
})

async function stopped(bench: Bench, { engine }: Host): Promise<void> {
  const end = engine.stop({ timeout: 10 })
  await bench.clock.advance(50)
  await end
}

function expectWithin(limit: number, rows: readonly Job[]): void {
  const counts = new Map<string, number>()
  for (const { limitKey, status } of rows.flatMap(({ tasks }) => tasks)) {
    if (limitKey === undefined || (status !== 'claimed' && status !== 'stopping')) continue
    counts.set(limitKey, (counts.get(limitKey) ?? 0) + 1)
  }
  expect(Math.max(0, ...counts.values())).toBeLessThanOrEqual(limit)
}

async function unsettled(bench: Bench, ids: readonly string[]): Promise<number> {
  const rows = await Promise.all(ids.map((id) => bench.row(id)))
  return rows.filter(({ phase }) => phase !== 'settled').length
}

test('concurrency is refused beside a custom default executor, which would ignore it', async () => {
  const executors = { default: queueExecutor({ concurrency: 2 }) }
  const code = await codeOf(createEngine({ jobs: [], storage: memoryStorage(), concurrency: 3, executors }))
  expect(code).toBe('INVALID_DEFINITION')
})
