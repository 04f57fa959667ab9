import { describe, expect, test } from 'vitest'
import { Bench, codeOf, type Host } from './bench.ts'
import { ends, Hands, piece, rows, scrapeType } from './hand-batch.ts'

const URLS = ['a', 'b', 'c', 'd', 'e']
const NONE = { completed: 0, failed: 0, skipped: 0 }

async function started(options: Parameters<typeof scrapeType>[0] = {}, urls = URLS) {
  const bench = new Bench()
  const hands = new Hands()
  const type = scrapeType(options)
  const host = await bench.start({ jobs: [type], executors: { hands } })
  const { id } = await host.ada.submit(type, urls)
  await bench.clock.settle()
  return { bench, hands, type, host, id, ...host }
}

async function itemsOf(bench: Bench, id: string): Promise<readonly string[]> {
  const items = await (await bench.probe()).items(id, { after: 0, limit: 100 })
  return items.map(({ key, status, error }) => `${key} ${status} ${error?.code ?? ''}`.trim())
}

function shownOf({ heard }: Host): readonly unknown[] {
  return heard.flatMap((event) => (event.type === 'job.progress' ? [event.progress] : []))
}

describe('the counts of a batch', () => {
  test('a job has the total of a list from the entry into its batch', async () => {
    const bench = new Bench()
    const hands = new Hands()
    hands.isFull = true
    const type = scrapeType()
    const { ada } = await bench.start({ jobs: [type], executors: { hands } })
    const { progress } = await ada.submit(type, URLS)
    expect(progress).toEqual({ ...NONE, running: 0, total: 5, waiting: 5 })
  })

  test('the total of a source is absent until the batch knows it', async () => {
    const { bench, hands, ada, id } = await started({ hasSource: true })
    expect((await ada.get(id)).progress).toEqual({ ...NONE, running: 0, waiting: 0 })
    await Promise.all([
      hands.attempt().work.channel.items(piece({ added: rows(1, 3), begun: 2, running: 2 })),
      bench.clock.settle(),
    ])
    expect((await ada.get(id)).progress).toEqual({ ...NONE, running: 2, waiting: 1 })
  })

  test('a piece stores its items and its counts together', async () => {
    const { bench, hands, ada, id } = await started()
    const { channel } = hands.attempt().work
    const counts = { total: 5, completed: 1, failed: 1, skipped: 0 }
    void channel.items(piece({ added: rows(1, 5), begun: 2, running: 2, counts: { ...NONE, total: 5 } }))
    void channel.items(piece({ ended: [...ends('completed', 1), ...ends('failed', 2)], begun: 4, running: 2, counts }))
    await bench.clock.settle()
    expect(await itemsOf(bench, id)).toEqual([
      'page 1 completed',
      'page 2 failed',
      'page 3 waiting',
      'page 4 waiting',
      'page 5 waiting',
    ])
    expect((await ada.get(id)).progress).toEqual({ ...counts, running: 2, waiting: 1 })
  })

  test('no item counts as running when the attempt is over', async () => {
    const { bench, hands, host, ada, id } = await started({ retry: { limit: 1, backoff: '10m' } })
    void hands
      .attempt()
      .work.channel.items(piece({ added: rows(1, 5), begun: 2, running: 2, counts: { ...NONE, total: 5 } }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    expect((await ada.get(id)).progress).toEqual({ ...NONE, total: 5, running: 0, waiting: 5 })
    expect(host.heard.map(({ type }) => type)).toContain('task.retried')
  })

  test('a new invocation starts its own counts, and late pieces of the old one are refused', async () => {
    const { bench, hands, ada, id } = await started({ killGrace: '1m' })
    const old = hands.attempt()
    void old.work.channel.items(
      piece({ added: rows(1, 5), begun: 5, running: 5, counts: { ...NONE, total: 5, completed: 3 } }),
    )
    await bench.clock.settle()
    await ada.send(id, { type: 'leave' })
    await ada.send(id, { type: 'cancel' })
    expect((await ada.get(id)).progress).toEqual({ ...NONE, total: 5, running: 0, waiting: 5 })
    const late = codeOf(old.work.channel.items(piece({ begun: 5, counts: { ...NONE, total: 5, completed: 4 } })))
    await bench.clock.settle()
    expect(await late).toBe('STALE_CLAIM')
    expect((await bench.row(id)).batches).toMatchObject([
      { invoke: 'batch', ordinal: 1 },
      { invoke: 'batch', ordinal: 2 },
    ])
  })

  test('they are published at most every 250 ms, and the last ones before the end of the batch', async () => {
    const { bench, hands, host, ada, id } = await started()
    const { channel } = hands.attempt().work
    for (let done = 0; done < 4; done++) {
      const ended = done === 0 ? [] : ends('completed', done)
      const added = done === 0 ? rows(1, 5) : []
      void channel.items(
        piece({ added, ended, begun: 5, running: 5 - done, counts: { ...NONE, total: 5, completed: done } }),
      )
      await bench.clock.advance(100)
    }
    const counts = { total: 5, completed: 5, failed: 0, skipped: 0 }
    void channel.items(piece({ ended: ends('completed', 4, 5), begun: 5, counts, isLast: true }))
    await bench.clock.settle()
    hands.attempt().end({ ok: true, output: counts })
    await bench.clock.settle()
    expect(shownOf(host)).toMatchObject([
      { completed: 0, running: 5 },
      { completed: 2, running: 3 },
      { completed: 5, running: 0 },
    ])
    expect((await ada.get(id)).output).toMatchObject({ end: counts })
    const types = host.heard.map(({ type }) => type)
    expect(types.lastIndexOf('job.progress')).toBeLessThan(types.lastIndexOf('job.transitioned'))
  })

  test('counts that were not published yet are published with the end of the attempt', async () => {
    const { bench, hands, host } = await started()
    const { channel } = hands.attempt().work
    void channel.items(piece({ added: rows(1, 5), begun: 5, running: 5, counts: { ...NONE, total: 5 } }))
    void channel.items(
      piece({ ended: ends('completed', 1), begun: 5, running: 4, counts: { ...NONE, total: 5, completed: 1 } }),
    )
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken', isFinal: true })
    await bench.clock.settle()
    expect(shownOf(host)).toMatchObject([{ completed: 0 }, { completed: 1 }])
    const types = host.heard.map(({ type }) => type)
    expect(types.lastIndexOf('job.progress')).toBeLessThan(types.lastIndexOf('job.transitioned'))
  })

  test('a chart that names task.progress hears of them', async () => {
    const { bench, hands, ada, id } = await started({ hears: true })
    const { channel } = hands.attempt().work
    void channel.items(piece({ added: rows(1, 5), begun: 5, running: 5, counts: { ...NONE, total: 5 } }))
    void channel.items(
      piece({ ended: ends('failed', 1), begun: 5, running: 4, counts: { ...NONE, total: 5, failed: 1 } }),
    )
    await bench.clock.settle()
    expect((await bench.row(id)).context).toMatchObject({ counts: { total: 5, failed: 0 } })
    await bench.clock.advance(250)
    expect((await bench.row(id)).context).toMatchObject({ counts: { total: 5, failed: 1 } })
    hands.attempt().end({ ok: true, output: null })
    await bench.clock.settle()
    expect((await ada.get(id)).output).toMatchObject({ counts: { ...NONE, total: 5, failed: 1 } })
  })

  test('an error event of a batch has its counts', async () => {
    const { bench, hands, ada, id } = await started()
    const counts = { total: 5, completed: 2, failed: 1, skipped: 0 }
    void hands
      .attempt()
      .work.channel.items(
        piece({ added: rows(1, 5), ended: [...ends('completed', 1, 2), ...ends('failed', 3)], begun: 5, counts }),
      )
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken', isFinal: true })
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'broken', output: { end: { counts } } })
  })
})

describe('a later attempt of a batch', () => {
  test('gets the counts and the mark of those before it', async () => {
    const { bench, hands } = await started({ retry: { limit: 1, backoff: 0 } })
    expect(hands.attempt().work.batch).toEqual({ counts: { ...NONE, total: 5 }, begun: 0, losses: 0 })
    const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
    void hands.attempt().work.channel.items(piece({ added: rows(1, 5), ended: ends('completed', 1), begun: 3, counts }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.advance(1_000)
    expect(hands.attempts.length).toBe(2)
    expect(hands.attempt().work.batch).toEqual({ counts, begun: 3, losses: 0 })
    const recorded = hands.attempt().work.channel.recordedItems({ from: 1, to: 2 })
    const keys = hands.attempt().work.channel.itemKeys(['page 2', 'page 9'])
    await bench.clock.settle()
    expect(await recorded).toEqual([
      { index: 1, key: 'page 1', status: 'completed', attempts: 1 },
      { index: 2, key: 'page 2', status: 'waiting', attempts: 0 },
    ])
    expect(await keys).toEqual([{ key: 'page 2', index: 2 }])
  })

  test('three crashes without a new item are poison', async () => {
    const { bench, type, host, id } = await started()
    let last = host
    for (let crash = 0; crash < 3; crash++) {
      await last.crash()
      last = await bench.start({ jobs: [type], executors: { hands: new Hands() } })
      await bench.clock.settle()
    }
    expect(await last.ada.get(id)).toMatchObject({
      status: 'broken',
      output: { end: { counts: { ...NONE, total: 5 } } },
    })
  })

  test('an item that ran alone has caused the crash, so the batch goes on', async () => {
    const { bench, type, host, hands, id } = await started()
    let last = host
    let now = hands
    for (let crash = 1; crash <= 4; crash++) {
      const counts = { ...NONE, total: 5, ...(crash < 3 ? {} : { completed: 1 }) }
      const ended = crash === 3 ? ends('completed', 1) : []
      const careful = crash < 3 ? {} : { careful: 2 }
      void now.attempt().work.channel.items(piece({ added: rows(1, 5), ended, begun: 2, counts, ...careful }))
      await bench.clock.settle()
      await last.crash()
      now = new Hands()
      last = await bench.start({ jobs: [type], executors: { hands: now } })
      await bench.clock.settle()
      expect(now.attempt().work.batch?.losses).toBe(crash)
    }
    expect(now.attempt().work.batch).toMatchObject({ careful: 2, begun: 2 })
    expect((await last.ada.get(id)).phase).toBe('active')
  })

  test('items that ended between two crashes start the count of losses again', async () => {
    const { bench, type, host, hands } = await started()
    let last = host
    let now = hands
    for (let crash = 1; crash <= 4; crash++) {
      const counts = { ...NONE, total: 5, completed: crash }
      void now
        .attempt()
        .work.channel.items(piece({ added: rows(crash, crash), ended: ends('completed', crash), begun: 5, counts }))
      await bench.clock.settle()
      await last.crash()
      now = new Hands()
      last = await bench.start({ jobs: [type], executors: { hands: now } })
      await bench.clock.settle()
      expect(now.attempt().work.batch?.losses).toBe(1)
    }
  })
})

describe('a drained batch', () => {
  test('its code is told, and its end is that of its code', async () => {
    const { bench, hands, ada, id } = await started()
    const { work, end } = hands.attempt()
    expect(work.draining.aborted).toBe(false)
    await ada.send(id, { type: 'cancel' })
    expect([work.draining.aborted, work.signal.aborted]).toEqual([true, false])
    const counts = { total: 5, completed: 0, failed: 0, skipped: 5 }
    void work.channel.items(piece({ added: rows(1, 5), ended: ends('skipped', 1, 2, 3, 4, 5), counts, isLast: true }))
    await bench.clock.settle()
    end({ ok: true, output: counts })
    await bench.clock.settle()
    expect((await ada.get(id)).output).toMatchObject({ end: counts })
  })

  test('it ends at once if no attempt holds it', async () => {
    const bench = new Bench()
    const hands = new Hands()
    hands.isFull = true
    const type = scrapeType()
    const host = await bench.start({ jobs: [type], executors: { hands } })
    const { id } = await host.ada.submit(type, URLS)
    const { status, output, progress } = await host.ada.send(id, { type: 'cancel' })
    const counts = { total: 5, completed: 0, failed: 0, skipped: 5 }
    expect({ status, output, progress }).toEqual({
      status: 'done',
      output: { end: counts, counts: null },
      progress: { ...counts, running: 0, waiting: 0 },
    })
    expect(shownOf(host)).toEqual([{ ...counts, running: 0, waiting: 0 }])
    const types = host.heard.map(({ type }) => type)
    expect(types.indexOf('job.progress')).toBeLessThan(types.lastIndexOf('job.transitioned'))
  })

  test('it ends at once in the back-off of its task: what may have begun has failed, the rest is skipped', async () => {
    const { bench, hands, ada, id } = await started({ retry: { limit: 1, backoff: '10m' } })
    const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
    void hands.attempt().work.channel.items(piece({ added: rows(1, 4), ended: ends('completed', 1), begun: 3, counts }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    await ada.send(id, { type: 'cancel' })
    expect((await ada.get(id)).output).toMatchObject({ end: { total: 5, completed: 1, failed: 2, skipped: 2 } })
    expect(await itemsOf(bench, id)).toEqual([
      'page 1 completed',
      'page 2 failed LOST',
      'page 3 failed LOST',
      'page 4 skipped',
    ])
  })

  test('of a source of unknown length: the total is what was read', async () => {
    const { bench, hands, ada, id } = await started({ hasSource: true, retry: { limit: 1, backoff: '10m' } })
    const counts = { completed: 1, failed: 0, skipped: 0 }
    void hands.attempt().work.channel.items(piece({ added: rows(1, 4), ended: ends('completed', 1), begun: 2, counts }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    await ada.send(id, { type: 'cancel' })
    expect((await ada.get(id)).output).toMatchObject({ end: { total: 4, completed: 1, failed: 1, skipped: 2 } })
  })

  test.each([
    ['its process dies', 'crash'],
    ['its engine stops', 'stop'],
  ])('it ends in the same commit when %s', async (_, how) => {
    const { bench, type, hands, host, engine, id } = await started()
    const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
    void hands
      .attempt()
      .work.channel.items(piece({ added: rows(1, 5), ended: ends('completed', 1), begun: 2, running: 1, counts }))
    await bench.clock.settle()
    await host.ada.send(id, { type: 'cancel' })
    if (how === 'crash') await host.crash()
    else {
      const stopped = engine.stop({ timeout: 0 })
      await bench.clock.advance(60_000)
      await stopped
    }
    const full = new Hands()
    full.isFull = true
    const next = await bench.start({ jobs: [type], executors: { hands: full } })
    await bench.clock.settle()
    expect(await next.ada.get(id)).toMatchObject({
      status: 'done',
      output: { end: { total: 5, completed: 1, failed: 1, skipped: 3 } },
    })
    const log = await bench.log(id)
    const row = log.find(({ events }) =>
      events.some(({ type }) => type === (how === 'crash' ? 'task.lost' : 'task.released')),
    )
    expect(row?.events.map((event) => ('to' in event ? event.to : event.type))).toContain('done')
  })

  test('it ends instead of another attempt when its attempt fails', async () => {
    const { bench, hands, ada, id } = await started({ retry: { limit: 5, backoff: 0 } })
    await ada.send(id, { type: 'cancel' })
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'done', output: { end: { skipped: 5 } } })
    expect(hands.attempts.length).toBe(1)
  })

  test('it ends when its code has stopped, if its attempt took too long and would be repeated', async () => {
    const { bench, hands, ada, id } = await started({ timeout: '1m', retry: { limit: 5, backoff: 0 } })
    await bench.clock.advance(60_000)
    expect(hands.attempt().work.signal.aborted).toBe(true)
    await ada.send(id, { type: 'cancel' })
    expect((await ada.get(id)).status).not.toBe('done')
    hands.attempt().end({ ok: false, error: 'stopped' })
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'done', output: { end: { skipped: 5 } } })
  })

  test('a later request to stop counts more', async () => {
    const { bench, hands, ada, id } = await started({ retry: { limit: 5, backoff: 0 } })
    await ada.send(id, { type: 'cancel' })
    await ada.send(id, { type: 'halt' })
    hands.attempt().end({ ok: false, error: 'stopped' })
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ status: 'broken', output: { end: { counts: { total: 5 } } } })
  })
})

describe('a retry of a job with a batch', () => {
  /** Items 1 and 2 are completed, 3 has failed, 4 is skipped; 5 has no row. */
  async function ended(options: Parameters<typeof scrapeType>[0] = {}) {
    const all = await started(options)
    const { bench, hands } = all
    const counts = { total: 5, completed: 2, failed: 1, skipped: 2 }
    const ended = [...ends('completed', 1, 2), ...ends('failed', 3), ...ends('skipped', 4)]
    void hands.attempt().work.channel.items(piece({ added: rows(1, 4), ended, begun: 3, counts, isLast: true }))
    await bench.clock.settle()
    return all
  }

  test('runs what was not completed, and counts only its own items', async () => {
    const { bench, hands, ada, id } = await ended()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    const again = await ada.retry(id)
    await bench.clock.settle()
    expect(again.progress).toEqual({ ...NONE, total: 3, running: 0, waiting: 3 })
    expect(hands.attempt().work.batch).toEqual({
      counts: { ...NONE, total: 3 },
      begun: 0,
      losses: 0,
      again: 'unfinished',
    })
    const recorded = hands.attempt().work.channel.recordedItems({ from: 1, to: 5 })
    await bench.clock.settle()
    expect((await recorded).map(({ index, status, isOfRetried }) => [index, status, isOfRetried])).toEqual([
      [1, 'completed', true],
      [2, 'completed', true],
      [3, 'failed', true],
      [4, 'skipped', true],
    ])
  })

  test('of the failed items runs only these, also after a success', async () => {
    const { bench, hands, ada, id } = await ended()
    hands.attempt().end({ ok: true, output: null })
    await bench.clock.settle()
    const again = await ada.retry(id, { items: 'failed' })
    await bench.clock.settle()
    expect(again).toMatchObject({ retryOf: id, progress: { total: 1 } })
    expect(hands.attempt().work.batch?.again).toBe('failed')
    expect((await bench.row(again.id)).again).toEqual({
      items: 'failed',
      runs: [{ invoke: 'batch', ordinal: 1, completed: 2, failed: 1 }],
      jobs: 1,
    })
  })

  test.each([
    ['after a success', { ok: true } as const, {}],
    ['that is fresh', { ok: false, error: 'broken' } as const, { fresh: true }],
  ])('%s runs all items', async (_, end, options) => {
    const { bench, hands, ada, id } = await ended()
    hands.attempt().end(end)
    await bench.clock.settle()
    const again = await ada.retry(id, options)
    await bench.clock.settle()
    expect(again.progress?.total).toBe(5)
    expect(hands.attempt().work.batch?.again).toBeUndefined()
    const recorded = hands.attempt().work.channel.recordedItems({ from: 1, to: 5 })
    await bench.clock.settle()
    expect(await recorded).toEqual([])
  })

  test('is counted over the jobs that the retried job retries', async () => {
    const { bench, hands, ada, id } = await ended()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    const second = await ada.retry(id)
    await bench.clock.settle()
    // The retry completes item 4 and fails item 5. It does not come to item 3.
    const counts = { total: 3, completed: 1, failed: 1, skipped: 0 }
    const ended5 = [...ends('completed', 4), ...ends('failed', 5)]
    void hands.attempt().work.channel.items(piece({ added: rows(4, 5), ended: ended5, begun: 5, counts }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken', isFinal: true })
    await bench.clock.settle()
    const third = await ada.retry(second.id, { items: 'failed' })
    await bench.clock.settle()
    expect(third.progress?.total).toBe(2)
    const recorded = hands.attempt().work.channel.recordedItems({ from: 1, to: 5 })
    await bench.clock.settle()
    expect((await recorded).map(({ index, status }) => `${index} ${status}`)).toEqual([
      '1 completed',
      '2 completed',
      '3 failed',
      '4 completed',
      '5 failed',
    ])
    hands.attempt().end({ ok: false, error: 'broken', isFinal: true })
    await bench.clock.settle()
    expect((await ada.retry(third.id)).progress?.total).toBe(2)
  })

  test('passes over items, and a drain of it counts only its own', async () => {
    const { bench, hands, ada, id } = await ended({ retry: { limit: 1, backoff: '10m' } })
    hands.attempt().end({ ok: true, output: null })
    await bench.clock.settle()
    const again = await ada.retry(id, { items: 'failed' })
    await bench.clock.settle()
    void hands
      .attempt()
      .work.channel.items(piece({ added: rows(3, 3), begun: 3, running: 1, counts: { ...NONE, total: 1 } }))
    await bench.clock.settle()
    hands.attempt().end({ ok: false, error: 'broken' })
    await bench.clock.settle()
    const { output } = await ada.send(again.id, { type: 'cancel' })
    expect(output).toMatchObject({ end: { total: 1, completed: 0, failed: 1, skipped: 0 } })
  })

  test('of a job that entered its batch twice passes over the completed items of each entry', async () => {
    const { bench, hands, ada, id } = await started()
    /** Completes some items of the running entry, of those that it has from `first` on. */
    const complete = async (first: number, ...completed: readonly number[]) => {
      const counts = { ...NONE, total: 6 - first, completed: completed.length }
      const all = { added: rows(first, 5), ended: ends('completed', ...completed), begun: 5, counts }
      void hands.attempt().work.channel.items(piece(all))
      await bench.clock.settle()
    }
    const broken = { ok: false, error: 'broken', isFinal: true } as const
    const enterAgain = async (job: string) => {
      await ada.send(job, { type: 'leave' })
      await bench.clock.settle()
      hands.attempt().end(broken)
      await ada.send(job, { type: 'cancel' })
      await bench.clock.settle()
    }
    await complete(1, 1, 2)
    await enterAgain(id)
    await complete(1, 1)
    hands.attempt().end(broken)
    await bench.clock.settle()
    const second = await ada.retry(id)
    await bench.clock.settle()
    expect((await ada.get(second.id)).progress?.total).toBe(3)
    // The retry ends before it has entered its batch again.
    await complete(3, 3)
    hands.attempt().end(broken)
    await bench.clock.settle()
    const third = await ada.retry(second.id)
    await bench.clock.settle()
    expect((await ada.get(third.id)).progress?.total).toBe(2)
    await enterAgain(third.id)
    expect((await ada.get(third.id)).progress?.total).toBe(4)
  })

  test('of failed items is refused where there are none', async () => {
    const { bench, hands, ada, id } = await started()
    const counts = { total: 5, completed: 5, failed: 0, skipped: 0 }
    void hands
      .attempt()
      .work.channel.items(piece({ added: rows(1, 5), ended: ends('completed', 1, 2, 3, 4, 5), begun: 5, counts }))
    await bench.clock.settle()
    hands.attempt().end({ ok: true, output: counts })
    await bench.clock.settle()
    expect(await codeOf(ada.retry(id, { items: 'failed' }))).toBe('INVALID_STATE')
  })
})

describe('the death of the process that runs a batch', () => {
  const death = { ok: false, exitCode: 137, error: { name: 'ExitError', message: 'ended by SIGKILL' } } as const

  test('is a crash: the batch goes on, and its next attempt hears of it', async () => {
    const { bench, hands, ada, id } = await started()
    const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
    void hands.attempt().work.channel.items(piece({ added: rows(1, 5), ended: ends('completed', 1), begun: 3, counts }))
    await bench.clock.settle()
    hands.attempt().end(death)
    await bench.clock.settle()
    expect(hands.attempts.length).toBe(2)
    expect(hands.attempt().work.batch).toMatchObject({ counts, begun: 3, losses: 1 })
    expect((await bench.log(id)).flatMap(({ events }) => events)).toContainEqual(
      expect.objectContaining({ type: 'task.lost', reason: 'ended by SIGKILL' }),
    )
    expect(await ada.get(id)).toMatchObject({ phase: 'active', progress: counts })
  })

  test('three times in a row without the end of an item ends the batch as POISON', async () => {
    const { bench, hands, ada, id } = await started()
    for (let deaths = 0; deaths < 3; deaths++) {
      hands.attempt().end(death)
      await bench.clock.settle()
    }
    expect(hands.attempts.length).toBe(3)
    const output = { end: { counts: { total: 5, completed: 0 } } }
    expect(await ada.get(id)).toMatchObject({ status: 'broken', error: { code: 'POISON' }, output })
  })

  test('that was told to stop ends the batch with the exit', async () => {
    const { bench, hands, ada, id } = await started()
    await ada.send(id, { type: 'halt' })
    hands.attempt().end(death)
    await bench.clock.settle()
    expect(hands.attempts.length).toBe(1)
    expect(await ada.get(id)).toMatchObject({ status: 'broken', exitCode: 137, error: death.error })
  })

  test('of a drained batch ends it: what may have begun has failed', async () => {
    const { bench, hands, ada, id } = await started()
    const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
    void hands.attempt().work.channel.items(piece({ added: rows(1, 5), ended: ends('completed', 1), begun: 3, counts }))
    await bench.clock.settle()
    await ada.send(id, { type: 'cancel' })
    hands.attempt().end(death)
    await bench.clock.settle()
    const end = { total: 5, completed: 1, failed: 2, skipped: 2 }
    expect(await ada.get(id)).toMatchObject({ status: 'done', output: { end } })
  })
})
