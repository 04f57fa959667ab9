import { defineJob, type Page, type Policy, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, type Host, Work } from './bench.ts'

type Ada = Host['ada']
type Ids = readonly string[]

const idsOf = (answers: Page<{ readonly id: string }>) => answers.items.map(({ id }) => id)
const outcomesOf = ({ items }: Awaited<ReturnType<Ada['cancelMany']>>) =>
  items.map(({ ok, error }) => ok ?? error?.code)

/** Submits jobs in several milliseconds. Their ids are in the order of a list: the newest first. */
async function submitted(bench: Bench, who: Ada, type: Parameters<Ada['submit']>[0], count: number): Promise<Ids> {
  const ids: string[] = []
  for (let index = 0; index < count; index++) {
    if (index % 3 === 0) await bench.clock.advance(1)
    ids.unshift((await who.submit(type, index)).id)
  }
  return ids
}

async function pass<Answer extends { readonly id: string }>(
  run: (cursor: { readonly cursor?: string }) => Promise<Page<Answer>>,
  between: () => Promise<unknown> = async () => {},
): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await run(cursor === undefined ? {} : { cursor })
    answers.push(...page.items)
    cursor = page.nextCursor
    if (cursor === undefined) return answers
    await between()
  }
}

describe('many jobs by their ids', () => {
  test('are cancelled, each with the reason, and each is answered by itself, in the order of the ids', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.obedient })
    const { ada, bob } = await bench.start({ jobs: [type] })
    const [first = '', second = '', ended = ''] = await submitted(bench, ada, type, 3)
    const { id: foreign } = await bob.submit(type, 1)
    await ada.cancel(ended)
    const { items, ...more } = await ada.cancelMany({
      ids: [second, foreign, 'absent', ended, first, second],
      reason: 'enough',
    })
    expect(items).toEqual([
      { id: second, ok: true },
      { id: foreign, error: { code: 'JOB_NOT_FOUND', message: expect.stringContaining(foreign) } },
      { id: 'absent', error: { code: 'JOB_NOT_FOUND', message: expect.stringContaining('absent') } },
      { id: ended, error: { code: 'ALREADY_SETTLED', message: expect.any(String) } },
      { id: first, ok: true },
    ])
    expect(more).toEqual({})
    const [hidden, absent] = [items[1], items[2]].map((item) => item?.error?.message.replace(item.id, '<id>'))
    expect(hidden).toBe(absent)
    expect((await ada.history(first)).at(-1)).toMatchObject({ command: 'cancel', reason: 'enough' })
    expect((await bob.get(foreign)).phase).toBe('active')
  })

  test('are retried, and each answer names the new job', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => Promise.reject(new Error('no')) })
    const { ada } = await bench.start({ jobs: [type] })
    const ids = await submitted(bench, ada, type, 3)
    await bench.clock.settle()
    const { items } = await ada.retryMany({ ids, fresh: true, assignment: { pool: 'p' } })
    expect(items.map(({ id, ok }) => [id, ok])).toEqual(ids.map((id) => [id, true]))
    const again = await Promise.all(items.map(({ retriedBy = '' }) => ada.get(retriedBy)))
    expect(again.map(({ retryOf }) => retryOf)).toEqual(ids)
    expect(again[0]?.assignment).toEqual({ pool: 'p' })
  })

  test('are deleted, running or not', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.obedient })
    const { ada } = await bench.start({ jobs: [type], concurrency: 1 })
    const ids = await submitted(bench, ada, type, 3)
    expect(outcomesOf(await ada.deleteMany({ ids }))).toEqual([true, true, true])
    expect(await ada.count()).toBe(0)
    expect(outcomesOf(await ada.deleteMany({ ids }))).toEqual(Array(3).fill('JOB_NOT_FOUND'))
    await bench.clock.settle()
  })

  test('are decided together: 1,000 jobs take a few commits', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada, faults } = await bench.start({ jobs: [type], work: false })
    const outcomes = await ada.submitMany(Array.from({ length: 1_000 }, () => ({ type })))
    const ids = outcomes.flatMap(({ job }) => job?.id ?? [])
    const before = faults.calls('commit')
    expect(outcomesOf(await ada.cancelMany({ ids })).every((each) => each === true)).toBe(true)
    expect(faults.calls('commit') - before).toBeLessThan(50)
    expect(await ada.count({ status: 'cancelled' })).toBe(1_000)
  })

  test('are answered by the code that the method for one job throws, and none is acted on without the right', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const policy: Policy = {
      authorize: (_, action, { labels }): Verdict => (action === 'submit' ? 'allow' : (labels.may as 'allow')),
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada, engine } = await bench.start({ jobs: [type], policy })
    const ids: string[] = []
    for (const may of ['hide', 'allow']) ids.push((await ada.submit(type, 1, { labels: { may } })).id)
    const before = await bench.contents()
    for (const run of ['cancelMany', 'retryMany', 'deleteMany'] as const) {
      const [id = ''] = ids
      const method = ({ cancelMany: 'cancel', retryMany: 'retry', deleteMany: 'delete' } as const)[run]
      const { items } = await ada[run]({ ids: [id] })
      expect(items.map(({ error }) => error?.code)).toEqual([await codeOf(ada[method](id))])
      expect((await ada[run]({ filter: { labels: { may: 'hide' } } })).items).toEqual([])
    }
    expect(await bench.contents()).toBe(before)
    expect(outcomesOf(await engine.system.cancelMany({ ids }))).toEqual([true, true])
  })
})

describe('many jobs by a filter', () => {
  test('are all that list shows for it, the newest first, in pages of `limit`', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const { ada, bob, admin } = await bench.start({ jobs: [type] })
    const own = await submitted(bench, ada, type, 7)
    const others = await submitted(bench, bob, type, 2)
    const page = await ada.cancelMany({ filter: { phase: 'active' }, limit: 5 })
    expect(idsOf(page)).toEqual(own.slice(0, 5))
    const rest = await ada.cancelMany({ filter: { phase: 'active' }, limit: 5, cursor: page.nextCursor ?? '' })
    expect(idsOf(rest)).toEqual(own.slice(5))
    expect(rest.nextCursor).toBeUndefined()
    expect(await ada.cancelMany({ filter: { phase: 'active' } })).toEqual({ items: [] })
    expect(idsOf(await admin.cancelMany({ filter: { createdBy: 'bob' } }))).toEqual(others)
  })

  test('are at most 100 in one call unless it says otherwise, and at most 1,000', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada } = await bench.start({ jobs: [type], work: false })
    await ada.submitMany(Array.from({ length: 1_230 }, () => ({ type })))
    const sizes: number[] = []
    for (const limit of [{}, { limit: 1_000 }, { limit: 1_000 }]) {
      sizes.push((await ada.deleteMany({ filter: {}, ...limit })).items.length)
    }
    expect(sizes).toEqual([100, 1_000, 130])
    expect(await ada.count()).toBe(0)
  })

  test('a pass of retries never comes to the jobs that it makes itself', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => Promise.reject(new Error('no')) })
    const { ada } = await bench.start({ jobs: [type] })
    const ids = await submitted(bench, ada, type, 10)
    await bench.clock.advance(1)
    const answers = await pass(
      (cursor) => ada.retryMany({ filter: { status: 'failed' }, limit: 3, ...cursor }),
      () => bench.clock.advance(1_000),
    )
    expect(answers.map(({ id }) => id)).toEqual(ids)
    await bench.clock.settle()
    expect(await ada.count({ status: 'failed' })).toBe(20)
  })

  test.each([1, 2, 5, 100])(
    'no job is acted on twice and none that matches is left out while others come, go and change: pages of %i',
    async (limit) => {
      const bench = new Bench()
      const work = new Work()
      const type = defineJob({ type: 'w', execute: work.obedient })
      const { ada } = await bench.start({ jobs: [type], concurrency: 3 })
      const ids = await submitted(bench, ada, type, 24)
      const left = new Set(ids)
      const came = new Set<string>()
      const answers = await pass(
        (cursor) => ada.cancelMany({ filter: { status: ['running', 'queued'] }, limit, ...cursor }),
        async () => {
          await bench.clock.advance(1)
          came.add((await ada.submit(type, 'new')).id)
          // One is deleted, and one has ended: jobs before and after the cursor.
          const [first = '', second = ''] = [...left].filter((_, place) => place % 5 === 0)
          left.delete(first)
          left.delete(second)
          await ada.delete(first).catch(() => {})
          await ada.cancel(second).catch(() => {})
        },
      )
      const seen = answers.map(({ id }) => id)
      expect(new Set(seen).size).toBe(seen.length)
      expect([...left].filter((id) => !seen.includes(id))).toEqual([])
      expect(seen.filter((id) => came.has(id))).toEqual([])
      await bench.clock.settle()
    },
  )

  test('are refused where the filter names a redacted field, and show no cursor of another person', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: ['labels'] }),
      scope: ({ tenant }) => [{ tenant, redact: ['labels'] }],
    }
    const { ada, bob } = await bench.start({ jobs: [type], policy })
    await submitted(bench, ada, type, 2)
    expect(await codeOf(ada.cancelMany({ filter: { labels: { team: 'red' } } }))).toBe('FORBIDDEN')
    const { nextCursor = '' } = await ada.cancelMany({ filter: {}, limit: 1 })
    expect(await codeOf(bob.cancelMany({ filter: {}, cursor: nextCursor }))).toBe('INVALID_INPUT')
  })
})

test.each(['cancelMany', 'retryMany', 'deleteMany'] as const)(
  '%s whose signal was aborted changes nothing',
  async (run) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const { ada } = await bench.start({ jobs: [type] })
    const ids = await submitted(bench, ada, type, 2)
    const before = await bench.contents()
    const given = new Error('enough')
    for (const choice of [{ ids }, { filter: {} }]) {
      await expect(ada[run]({ ...choice, signal: AbortSignal.abort(given) })).rejects.toBe(given)
    }
    expect(await bench.contents()).toBe(before)
  },
)

test.each(['cancelMany', 'retryMany', 'deleteMany'] as const)(
  '%s of something else than options says what to write, and changes nothing',
  async (run) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const { ada } = await bench.start({ jobs: [type] })
    const [id = ''] = await submitted(bench, ada, type, 1)
    const before = await bench.contents()
    const wrong = [
      [[id], 'a list'],
      [id, 'a string'],
      [undefined, 'undefined'],
      [new Set([id]), 'an object'],
    ] as const
    for (const [options, found] of wrong) {
      await expect(ada[run](options as never)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: `options should be { ids } or { filter }, e.g. ${run}({ ids: [id] }); found ${found}`,
      })
    }
    for (const signal of ['now', null]) {
      expect(await codeOf(ada[run]({ ids: [id], signal } as never))).toBe('INVALID_INPUT')
    }
    expect(await bench.contents()).toBe(before)
  },
)

test.each(['cancelMany', 'retryMany', 'deleteMany'] as const)(
  '%s by a filter with an undefined field is refused, and acts on no job',
  async (run) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const { ada } = await bench.start({ jobs: [type] })
    await submitted(bench, ada, type, 2)
    const before = await bench.contents()
    await expect(ada[run]({ filter: { type: 'w', pipeline: undefined } } as never)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: 'filter.pipeline is undefined; to act on jobs with any, leave it out',
    })
    expect(await bench.contents()).toBe(before)
  },
)

test('a call for many jobs that is aborted while the policy is asked ends with the reason, and acts on none', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: new Work().obedient })
  const abort = new AbortController()
  const policy: Policy = {
    authorize: async (_, action): Promise<Verdict> => {
      if (action === 'command') abort.abort(new Error('enough'))
      return 'allow'
    },
    scope: async ({ tenant }) => [{ tenant }],
  }
  const { ada } = await bench.start({ jobs: [type], policy })
  const ids = await submitted(bench, ada, type, 2)
  await bench.clock.settle()
  await expect(ada.cancelMany({ ids, signal: abort.signal })).rejects.toThrow('enough')
  await bench.clock.settle()
  expect((await ada.list()).items.map(({ status }) => status)).toEqual(['running', 'running'])
})

test('a storage that fails is told to a person without its own words, for each job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: new Work().obedient })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const ids = await submitted(bench, ada, type, 2)
  faults.plan('summary', 'refused')
  const { items } = await ada.cancelMany({ ids })
  expect(items).toEqual([
    { id: ids[0], error: { code: 'STORAGE_UNAVAILABLE', message: expect.stringContaining('try again later') } },
    { id: ids[1], ok: true },
  ])
})
