import { NonRetryableError } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { BatchStore } from './batch-store.ts'
import { BatchWorld, upTo } from './batch-world.ts'

async function settled(world: BatchWorld): Promise<void> {
  await world.clock.settle()
}

describe('items run', () => {
  test('exactly as many at once as the concurrency says, in the order of the source', async () => {
    const world = new BatchWorld()
    const { ended } = world.attempt({ concurrency: 3 }, upTo(10))
    await settled(world)
    expect(world.running).toEqual([1, 2, 3])
    world.item(2).resolve('two')
    await settled(world)
    expect(world.running).toEqual([1, 3, 4])
    for (const index of [1, 3, 4, 5, 6, 7, 8, 9, 10]) {
      world.item(index).resolve()
      await settled(world)
    }
    expect(await ended).toEqual({ total: 10, completed: 10, failed: 0, skipped: 0 })
    expect(world.store.rows.get(2)).toMatchObject({
      key: '2',
      input: 2,
      status: 'completed',
      attempts: 1,
      output: 'two',
    })
  })

  test('an item begins only when its row and its mark are stored', async () => {
    const world = new BatchWorld()
    const order: string[] = []
    world.onPiece(({ added, begun }) => order.push(`write ${added.length} rows, begun ${begun}`))
    const { ended } = world.attempt({ concurrency: 2, each: ({ index }) => void order.push(`item ${index}`) }, upTo(3))
    await ended
    expect(order).toEqual([
      'write 3 rows, begun 2',
      'item 1',
      'item 2',
      'write 0 rows, begun 3',
      'item 3',
      'write 0 rows, begun 3',
    ])
  })

  test('the ends of one turn are one write, and a write on its way gathers the next ones', async () => {
    const world = new BatchWorld()
    const ends: number[] = []
    let release = () => {}
    const { ended } = world.attempt({ concurrency: 4 }, upTo(4))
    await settled(world)
    world.store.onPiece = async (piece) => {
      ends.push(piece.ended.length)
      if (ends.length === 1)
        await new Promise<void>((resume) => {
          release = resume
        })
    }
    world.item(1).resolve()
    await settled(world)
    for (const index of [2, 3]) world.item(index).resolve()
    await settled(world)
    world.item(4).resolve()
    await settled(world)
    expect(ends).toEqual([1])
    release()
    await ended
    expect(ends).toEqual([1, 3])
  })

  test('the code of an item gets its item, key, place and a key for services', async () => {
    const world = new BatchWorld()
    const { ended } = world.attempt(
      { item: z.object({ url: z.string(), pages: z.coerce.number() }), key: (item) => (item as { url: string }).url },
      [{ url: 'a', pages: '3' }],
    )
    await settled(world)
    expect(world.item(1)).toMatchObject({ item: { url: 'a', pages: 3 }, key: 'a', index: 1, attempt: 1 })
    expect(world.item(1)).toMatchObject({ job: { id: 'job', type: 'scrape' }, idempotencyKey: 'job:1:1' })
    world.item(1).resolve()
    await ended
    expect(world.store.rows.get(1)?.input).toEqual({ url: 'a', pages: '3' })
  })

  test('a batch without items ends at once', async () => {
    const world = new BatchWorld()
    expect(await world.attempt({}, []).ended).toEqual({ total: 0, completed: 0, failed: 0, skipped: 0 })
    expect(world.store.lastPiece).toMatchObject({ isLast: true })
  })

  test('only the last write is marked as the last', async () => {
    const world = new BatchWorld()
    const marks: unknown[] = []
    world.onPiece(({ isLast }) => marks.push(isLast))
    await world.attempt({ concurrency: 1, each: () => 1 }, upTo(3)).ended
    expect(marks).toEqual([undefined, undefined, undefined, true])
  })
})

describe('an item that fails', () => {
  test('does not fail the batch', async () => {
    const world = new BatchWorld()
    const each = ({ index }: { index: number }) => {
      if (index === 2) throw new TypeError('no such page')
    }
    expect(await world.attempt({ each }, upTo(3)).ended).toEqual({ total: 3, completed: 2, failed: 1, skipped: 0 })
    expect(world.store.rows.get(2)).toMatchObject({
      attempts: 1,
      error: { name: 'TypeError', message: 'no such page' },
    })
  })

  test('may throw anything', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const thrown = [undefined, null, Symbol('odd'), 10n, proxy, Object.create(null)]
    const world = new BatchWorld()
    const each = ({ index }: { index: number }) => {
      throw thrown[index - 1]
    }
    const retry = { limit: 1, backoff: '1s' }
    const { ended } = world.attempt({ each, retry }, upTo(thrown.length))
    await world.clock.advance(10_000)
    expect(await ended).toEqual({ total: 6, completed: 0, failed: 6, skipped: 0 })
  })

  test('runs again after its back-off, and takes no place meanwhile', async () => {
    const world = new BatchWorld()
    const { ended } = world.attempt({ concurrency: 1, retry: { limit: 2, backoff: '10s' } }, upTo(2))
    await settled(world)
    world.item(1).reject(new Error('busy'))
    await settled(world)
    expect(world.running).toEqual([2])
    world.item(2).resolve()
    await world.clock.advance(10_000)
    expect(world.item(1).attempt).toBe(2)
    world.item(1).reject(new Error('busy'))
    await world.clock.advance(20_000)
    world.item(1).reject(new Error('still busy'))
    expect(await ended).toEqual({ total: 2, completed: 1, failed: 1, skipped: 0 })
    expect(world.store.rows.get(1)).toMatchObject({ attempts: 3, error: { message: 'still busy' } })
  })

  test('is not tried again after an error that is final, or a result that cannot be stored', async () => {
    const world = new BatchWorld()
    const each = ({ index }: { index: number }): unknown => {
      if (index === 1) throw new NonRetryableError('gone')
      return new Date(0)
    }
    await world.attempt({ retry: { limit: 5 }, each: each as never }, upTo(2)).ended
    expect(world.store.rows.get(1)).toMatchObject({ status: 'failed', attempts: 1 })
    expect(world.store.rows.get(2)).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'NOT_STORABLE' } })
  })

  test('no new item begins while a thousand wait for a retry', async () => {
    const world = new BatchWorld()
    const each = () => Promise.reject(new Error('down'))
    const { ended } = world.attempt({ concurrency: 10, retry: { limit: 1, backoff: '1h' }, each }, upTo(2_000))
    await settled(world)
    expect(world.begun.length).toBe(1_000)
    await world.clock.advance(7_200_000)
    await world.clock.advance(7_200_000)
    expect(await ended).toEqual({ total: 2_000, completed: 0, failed: 2_000, skipped: 0 })
  })

  test('takes too long: its signal is aborted, and it fails when its code has ended', async () => {
    const world = new BatchWorld()
    const { ended } = world.attempt({ timeout: '1s' }, upTo(1))
    await settled(world)
    const item = world.item(1)
    await world.clock.advance(1_000)
    expect(item.signal.reason).toMatchObject({ code: 'TIMEOUT' })
    expect(world.statuses).toEqual(['waiting'])
    item.resolve('late')
    await ended
    expect(world.store.rows.get(1)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' }, attempts: 1 })
  })

  test('that ignores its timeout is left 5 s later, and is not tried again', async () => {
    const world = new BatchWorld()
    const { ended } = world.attempt({ timeout: '1s', concurrency: 1, retry: { limit: 3 } }, upTo(2))
    await world.clock.advance(5_999)
    expect(world.running).toEqual([1])
    const first = world.item(1)
    await world.clock.advance(1)
    expect(world.running).toEqual([1, 2])
    world.item(2).resolve()
    first.resolve('much too late')
    expect(await ended).toEqual({ total: 2, completed: 1, failed: 1, skipped: 0 })
    expect(world.store.rows.get(1)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } })
    expect(world.clock.pendingTimers()).toBe(0)
  })
})

describe('an item fails without an attempt', () => {
  test('if it does not fit the schema', async () => {
    const world = new BatchWorld()
    const schema = z.object({ url: z.url() })
    const { ended } = world.attempt({ item: schema, each: () => 1 }, [{ url: 'http://a.example' }, { url: 'no' }, 5])
    expect(await ended).toEqual({ total: 3, completed: 1, failed: 2, skipped: 0 })
    expect(world.store.rows.get(2)).toMatchObject({
      attempts: 0,
      input: { url: 'no' },
      error: { code: 'INVALID_INPUT' },
    })
    expect(world.begun).toEqual([1])
  })

  test('if a schema that answers later refuses it', async () => {
    const world = new BatchWorld()
    const schema = z.number().refine(async (value) => value !== 2)
    expect(await world.attempt({ item: schema, each: () => 1 }, upTo(3)).ended).toMatchObject({
      completed: 2,
      failed: 1,
    })
  })

  test('if it is not JSON', async () => {
    const world = new BatchWorld()
    const source = async function* () {
      yield new Date(0)
      yield 1n
      yield undefined
    }
    expect(await world.attempt({ source, each: () => 1 }).ended).toMatchObject({ total: 3, failed: 2, completed: 1 })
    expect(world.store.rows.get(1)).toMatchObject({ attempts: 0, error: { code: 'NOT_STORABLE' } })
  })

  test('if its key is taken, in the same piece or in an earlier one; it gets a key with its index', async () => {
    const world = new BatchWorld()
    const keys = new Map([
      [1, 'a'],
      [3, 'a'],
      [2_500, 'a'],
      [2_501, 'a#3'],
    ])
    const key = (_: unknown, index: number) => keys.get(index) ?? `${index}`
    const { ended } = world.attempt({ key, each: () => 1 }, upTo(2_501))
    expect(await ended).toEqual({ total: 2_501, completed: 2_498, failed: 3, skipped: 0 })
    expect(world.store.rows.get(3)).toMatchObject({ key: 'a#3', attempts: 0, error: { code: 'INVALID_INPUT' } })
    expect(world.store.rows.get(2_500)).toMatchObject({ key: 'a#2500', status: 'failed' })
    expect(world.store.rows.get(2_501)).toMatchObject({ key: 'a#3#2501', status: 'failed' })
  })

  test('if its key is too long, is empty, is no text, or cannot be made', async () => {
    const world = new BatchWorld()
    const made: unknown[] = ['x'.repeat(2_001), 'x'.repeat(2_000), '', 5, '\ud800']
    const key = (_: unknown, index: number) => {
      if (index === 6) throw new Error('no key')
      return made[index - 1] as string
    }
    const { ended } = world.attempt({ key, each: () => 1 }, upTo(6))
    expect(await ended).toEqual({ total: 6, completed: 1, failed: 5, skipped: 0 })
    expect(world.store.rows.get(1)?.key).toBe(`${'x'.repeat(1_900)}#1`)
    expect([3, 4, 5, 6].map((index) => world.store.rows.get(index)?.key)).toEqual(['3', '4', '5', '6'])
  })
})

describe('a source', () => {
  test('is read as far as needed, and the total is known when it has ended', async () => {
    const world = new BatchWorld()
    let read = 0
    const source = async function* () {
      for (; read < 100_000; ) yield { n: ++read }
    }
    const totals: unknown[] = []
    world.onPiece(({ counts }) => totals.push(counts.total))
    const { drain, ended } = world.attempt({ source, concurrency: 2 })
    await settled(world)
    expect(world.running).toEqual([1, 2])
    expect(read).toBeLessThanOrEqual(400)
    drain()
    for (const index of [1, 2]) world.item(index).resolve()
    const counts = await ended
    expect(totals[0]).toBeUndefined()
    expect(counts).toEqual({
      total: world.store.rows.size,
      completed: 2,
      failed: 0,
      skipped: world.store.rows.size - 2,
    })
  })

  test('with large items is read a few at a time', async () => {
    const world = new BatchWorld()
    let read = 0
    let added = 0
    const source = function* () {
      for (; read < 200; ) yield { n: ++read, text: 'x'.repeat(170_000) }
    }
    world.onPiece((piece) => {
      added = Math.max(added, piece.added.length)
    })
    const { ended } = world.attempt({ source, concurrency: 2 })
    await settled(world)
    expect(world.running).toEqual([1, 2])
    expect(read).toBeLessThanOrEqual(60)
    for (let index = 1; index <= 200; index++) {
      world.item(index).resolve()
      await settled(world)
    }
    expect(await ended).toMatchObject({ total: 200, completed: 200 })
    expect(added).toBeLessThanOrEqual(32)
  })

  test('with large items is read a few at a time after a loss too', async () => {
    const world = new BatchWorld()
    let read = 0
    const source = function* () {
      for (read = 0; read < 2_000; ) yield { n: ++read, text: 'x'.repeat(170_000) }
    }
    const first = world.attempt({ source, concurrency: 500 })
    await settled(world)
    world.lost(first)
    world.attempt({ source, concurrency: 500 })
    await world.clock.advance(0)
    await settled(world)
    const suspects = world.running.length
    expect(read - suspects).toBeLessThanOrEqual(100)
  })

  test('with large items runs as many at once as with small ones', async () => {
    const world = new BatchWorld()
    const items = Array.from({ length: 80 }, () => 'x'.repeat(170_000))
    world.attempt({ concurrency: 60 }, items)
    await settled(world)
    expect(world.running.length).toBe(60)
  })

  test('may be slow: each item begins as soon as it is there', async () => {
    const world = new BatchWorld()
    const source = async function* () {
      for (let n = 1; n <= 3; n++) {
        await new Promise<void>((resume) => {
          world.clock.timer(1_000, resume)
        })
        yield n
      }
    }
    const { ended } = world.attempt({ source })
    await world.clock.advance(1_000)
    expect(world.running).toEqual([1])
    await world.clock.advance(2_000)
    expect(world.running).toEqual([1, 2, 3])
    for (const index of [1, 2, 3]) world.item(index).resolve()
    expect(await ended).toEqual({ total: 3, completed: 3, failed: 0, skipped: 0 })
  })

  test('fails: what runs ends, the rest is skipped, and the error has the counts', async () => {
    const world = new BatchWorld()
    let isClosed = false
    const source = async function* () {
      try {
        for (let n = 1; n <= 5; n++) yield n
        throw Object.assign(new Error('connection lost'), { code: 'ECONN' })
      } finally {
        isClosed = true
      }
    }
    const { ended } = world.attempt({ source, concurrency: 2 })
    await settled(world)
    for (const index of world.running) world.item(index).resolve()
    await settled(world)
    for (const index of world.running) world.item(index).resolve()
    const error = await ended.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: 'connection lost', code: 'ECONN' })
    const { counts } = error as {
      readonly counts: { readonly total: number; readonly completed: number; readonly skipped: number }
    }
    expect(counts).toEqual(world.store.counts)
    expect(counts.total).toBe(counts.completed + counts.skipped)
    expect(isClosed).toBe(true)
    expect(world.statuses).not.toContain('waiting')
  })

  test('fails, and has more items after a loss: the counts never exceed the total', async () => {
    const world = new BatchWorld()
    let isDown = true
    const source = async function* () {
      for (let n = 1; n <= 10; n++) yield n
      if (isDown) throw new Error('connection lost')
      for (let n = 11; n <= 30; n++) yield n
      await new Promise<void>((resume) => world.clock.timer(10_000, resume))
    }
    const first = world.attempt({ source, concurrency: 2 })
    await settled(world)
    world.lost(first)
    isDown = false
    world.onPiece(({ counts: { total = Number.POSITIVE_INFINITY, completed, failed, skipped }, running }) => {
      expect(completed + failed + skipped + running).toBeLessThanOrEqual(total)
    })
    const { ended } = world.attempt({ source, concurrency: 2, each: () => 1 })
    await world.clock.advance(10_000)
    await ended.catch(() => {})
    expect(world.store.counts.total).toBe(30)
  })

  test.each([
    ['is not iterable', { source: () => 5 as never }],
    [
      'throws',
      {
        source: () => {
          throw new Error('no file')
        },
      },
    ],
    ['rejects', { source: () => Promise.reject(new Error('no file')) }],
    ['is a list that is no list', { items: () => 'abc' as never }],
    [
      'is a function of the input that throws',
      {
        items: () => {
          throw new Error('no list')
        },
      },
    ],
  ])('that %s ends the batch with an error', async (_, options) => {
    const world = new BatchWorld()
    const error = await world.attempt(options, undefined).ended.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      message: expect.any(String),
      counts: { total: 0, completed: 0, failed: 0, skipped: 0 },
    })
  })

  test.each(['drained', 'stopped'])(
    'is closed when the batch is %s, even while it waits for its next item',
    async (how) => {
      const world = new BatchWorld()
      let reason: unknown
      const source = async function* ({ signal }: { readonly signal: AbortSignal }) {
        yield 1
        await new Promise<void>((resume) => signal.addEventListener('abort', () => resume()))
        reason = signal.reason
      }
      const { drain, stop, ended } = world.attempt({ source, each: () => 1 })
      await settled(world)
      if (how === 'drained') drain()
      else stop()
      await ended.catch(() => {})
      expect(reason).toMatchObject({ code: 'TASK_STOPPED' })
    },
  )

  test('that ignores its end is left after 5 s', async () => {
    const world = new BatchWorld()
    const source = async function* () {
      yield 1
      await new Promise<never>(() => {})
    }
    const { drain, ended } = world.attempt({ source, each: () => 1 })
    await settled(world)
    drain()
    await world.clock.advance(5_000)
    expect(await ended).toEqual({ total: 1, completed: 1, failed: 0, skipped: 0 })
    expect(world.clock.pendingTimers()).toBe(0)
  })

  test('that gives fewer items than before ends the batch with an error, and no item stays waiting', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 2 }, upTo(10))
    await settled(world)
    world.lost(first)
    const error = await world
      .attempt({ concurrency: 2, each: () => 1 }, upTo(4))
      .ended.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID_INPUT', counts: { total: 10, completed: 0, failed: 2, skipped: 8 } })
    expect(world.statuses).not.toContain('waiting')
  })
})

describe('a drained batch', () => {
  test('begins nothing new, lets run what runs, and skips the rest', async () => {
    const world = new BatchWorld(new BatchStore(5_000))
    const { drain, ended } = world.attempt({ concurrency: 2, retry: { limit: 3, backoff: '1h' } }, upTo(5_000))
    await settled(world)
    world.item(1).reject(new Error('busy'))
    await settled(world)
    expect(world.running).toEqual([2, 3])
    drain()
    await settled(world)
    expect(world.item(2).draining.aborted).toBe(true)
    expect(world.item(2).signal.aborted).toBe(false)
    expect(world.store.rows.get(1)).toMatchObject({ status: 'failed', attempts: 1, error: { message: 'busy' } })
    expect(world.store.counts).toEqual({ total: 5_000, completed: 0, failed: 1, skipped: 4_997 })
    world.item(2).resolve()
    world.item(3).reject(new Error('gone'))
    expect(await ended).toEqual({ total: 5_000, completed: 1, failed: 2, skipped: 4_997 })
    expect(world.statuses).not.toContain('waiting')
    expect(world.clock.pendingTimers()).toBe(0)
  })

  test('that is drained before an item begins runs none', async () => {
    const world = new BatchWorld(new BatchStore(3))
    expect(await world.attempt({}, upTo(3), { isDraining: true }).ended).toEqual({
      ...{ total: 3, completed: 0, failed: 0, skipped: 3 },
    })
    expect(world.begun).toEqual([])
  })

  test('begins nothing in a later attempt: what may have run has failed, the rest is skipped', async () => {
    const world = new BatchWorld()
    let opened = 0
    const source = async function* () {
      opened++
      yield* upTo(2_000)
    }
    const first = world.attempt({ source, concurrency: 3 })
    await settled(world)
    world.item(2).resolve()
    await settled(world)
    world.lost(first)
    world.begun.length = 0
    const rows = world.store.rows.size
    const { ended } = world.attempt({ source, concurrency: 3 }, undefined, { isDraining: true })
    expect(await ended).toEqual({ total: rows, completed: 1, failed: 3, skipped: rows - 4 })
    expect(world.statuses.slice(0, 5)).toEqual(['failed', 'completed', 'failed', 'failed', 'skipped'])
    expect(world.store.rows.get(1)?.error).toMatchObject({ code: 'LOST' })
    expect(world.begun).toEqual([])
    expect(opened).toBe(1)
  })
})

describe('a stopped batch', () => {
  test('begins nothing new and aborts what runs; what ends well is stored, the rest may run again', async () => {
    const world = new BatchWorld()
    const { stop, ended } = world.attempt({ concurrency: 3 }, upTo(5))
    await settled(world)
    const [one, two, three] = [world.item(1), world.item(2), world.item(3)]
    stop('ENGINE_STOPPED')
    expect(one.signal.reason).toMatchObject({ code: 'ENGINE_STOPPED' })
    one.resolve('done')
    two.reject(one.signal.reason)
    await settled(world)
    expect(world.statuses).toEqual(Array(5).fill('waiting'))
    three.reject(new Error('aborted'))
    await expect(ended).rejects.toMatchObject({ code: 'ENGINE_STOPPED' })
    expect(world.statuses).toEqual(['completed', ...Array(4).fill('waiting')])
    expect(world.store.counts).toEqual({ total: 5, completed: 1, failed: 0, skipped: 0 })
  })

  test('that has lost its claim stops with that error', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 1 }, upTo(3))
    await settled(world)
    world.store.onPiece = () => {
      throw new Error('the storage is gone')
    }
    const item = world.item(1)
    item.resolve()
    await expect(first.ended).rejects.toThrow('the storage is gone')
    expect(world.begun).toEqual([1])
  })
})

describe('after a loss', () => {
  test('no completed item runs again, and the batch goes on where it was', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 2 }, upTo(6))
    await settled(world)
    world.item(1).resolve()
    await settled(world)
    expect(world.running).toEqual([2, 3])
    world.lost(first)
    world.begun.length = 0
    expect(await world.attempt({ concurrency: 2, each: () => 1 }, upTo(6)).ended).toEqual({
      ...{ total: 6, completed: 6, failed: 0, skipped: 0 },
    })
    expect(world.begun).toEqual([2, 3, 4, 5, 6])
  })

  test('the items that may have caused it run at once, and new ones begin when none of them runs', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 3 }, upTo(9))
    await settled(world)
    world.lost(first)
    const { ended } = world.attempt({ concurrency: 3 }, upTo(9))
    await settled(world)
    expect(world.running).toEqual([1, 2, 3])
    for (const index of [1, 2]) world.item(index).resolve()
    await settled(world)
    expect(world.running).toEqual([3])
    world.item(3).resolve()
    await settled(world)
    expect(world.running).toEqual([4, 5, 6])
    for (const indexes of [
      [4, 5, 6],
      [7, 8, 9],
    ]) {
      for (const index of indexes) world.item(index).resolve()
      await settled(world)
    }
    expect(await ended).toMatchObject({ completed: 9 })
  })

  test('after two of them in a row they run alone, each marked before it begins', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 3 }, upTo(6))
    await settled(world)
    world.lost(first)
    world.lost(first)
    const { ended } = world.attempt({ concurrency: 3 }, upTo(6))
    for (const index of [1, 2, 3]) {
      await settled(world)
      expect(world.running).toEqual([index])
      expect(world.store.careful).toBe(index)
      world.item(index).resolve()
    }
    await settled(world)
    expect(world.running).toEqual([4, 5, 6])
    expect(world.store.careful).toBeUndefined()
    for (const index of [4, 5, 6]) world.item(index).resolve()
    expect(await ended).toMatchObject({ completed: 6 })
  })

  test('the one that ran alone at the third one has failed, and the batch goes on', async () => {
    const world = new BatchWorld()
    const first = world.attempt({ concurrency: 3 }, upTo(6))
    await settled(world)
    world.lost(first)
    world.lost(first)
    const alone = world.attempt({ concurrency: 3 }, upTo(6))
    await settled(world)
    world.item(1).resolve()
    await settled(world)
    expect(world.running).toEqual([2])
    world.lost(alone)
    const { ended } = world.attempt({ concurrency: 3, each: () => 1 }, upTo(6))
    expect(await ended).toEqual({ total: 6, completed: 5, failed: 1, skipped: 0 })
    expect(world.store.rows.get(2)).toMatchObject({ status: 'failed', error: { code: 'LOST' } })
  })

  test('an item that kills its process ends as failed after a few losses, and each other item completes', async () => {
    const world = new BatchWorld()
    let losses = 0
    for (;;) {
      const before = world.store.counts
      const attempt: ReturnType<BatchWorld['attempt']> = world.attempt(
        {
          concurrency: 20,
          each: async ({ index }) => {
            // The item kills its process after others have ended.
            await new Promise<void>((resume) => {
              world.clock.turn(resume)
            })
            if (index !== 5) return
            await new Promise<void>((resume) => {
              world.clock.timer(10, resume)
            })
            attempt.lose()
          },
        },
        upTo(2_000),
      )
      await world.clock.advance(100_000)
      const counts = await attempt.ended.catch(() => undefined)
      if (counts !== undefined) {
        expect(counts).toEqual({ total: 2_000, completed: 1_999, failed: 1, skipped: 0 })
        break
      }
      losses++
      const { completed, failed } = world.store.counts
      // As the engine counts: an item that ended starts the count anew, unless an item ran alone.
      const hasEnded = completed + failed > before.completed + before.failed
      world.store.losses = hasEnded && world.store.careful === undefined ? 1 : world.store.losses + 1
    }
    expect(losses).toBeLessThanOrEqual(5)
  })
})

describe('a retry of a job', () => {
  const retried = [
    { index: 1, key: '1', status: 'completed', attempts: 1, isOfRetried: true },
    { index: 2, key: '2', status: 'failed', attempts: 1, isOfRetried: true },
    { index: 3, key: '3', status: 'skipped', attempts: 0, isOfRetried: true },
  ] as const

  test.each([
    ['unfinished', [2, 3, 4]],
    ['failed', [2]],
    [undefined, [1, 2, 3, 4]],
  ] as const)('runs the items of "%s" again', async (again, expected) => {
    const world = new BatchWorld()
    world.store.again = again
    world.store.retried = retried
    const { ended } = world.attempt({ each: () => 1 }, upTo(4))
    const { length } = expected
    expect(await ended).toEqual({ total: length, completed: length, failed: 0, skipped: 0 })
    expect(world.begun).toEqual(expected)
    expect([...world.store.rows.keys()]).toEqual(expected)
  })

  test('goes on after a loss with its own items', async () => {
    const world = new BatchWorld()
    world.store.again = 'unfinished'
    world.store.retried = retried
    const first = world.attempt({ concurrency: 1 }, upTo(5))
    await settled(world)
    world.item(2).resolve()
    await settled(world)
    world.lost(first)
    world.begun.length = 0
    expect(await world.attempt({ each: () => 1 }, upTo(5)).ended).toEqual({
      ...{ total: 4, completed: 4, failed: 0, skipped: 0 },
    })
    expect(world.begun).toEqual([3, 4, 5])
  })
})
