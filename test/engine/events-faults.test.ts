import { defineJob, JobchartError, type Policy, type Storage, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, type Host } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'
import { type Followed, follow, told } from './following.ts'

const quick = defineJob({ type: 'w', execute: () => 1 })
/** The events of a `quick` job while no engine works. */
const CREATED = 'w: job.created queued'

function sequencesOf({ events }: Followed): readonly number[] {
  return events.map(({ sequence }) => sequence)
}

/** The numbers from 1 on. */
function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/** Number of reads of the log that start where all rows are already known. */
async function readsFor({ ada, faults }: Host, after: number): Promise<number> {
  const before = faults.calls('events')
  const stream = ada.events({ after })
  await stream.next()
  await stream.return?.()
  return faults.calls('events') - before
}

test('a commit at any moment of a stream’s read reaches the stream at once', async () => {
  const late: number[] = []
  for (let moment = 0; moment < 20; moment++) {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick], work: false })
    const stream = ada.events()
    await ada.submit(quick, 0)
    await stream.next()
    const answer = Promise.withResolvers<void>()
    faults.plan('commit', answer.promise)
    void ada.submit(quick, 1)
    await bench.clock.settle()
    // The commit is published between two steps of the stream, each time one step later.
    answer.resolve()
    for (let step = 0; step < moment; step++) await null
    const seen = follow(stream)
    await bench.clock.settle()
    if (seen.events.length !== 1) late.push(moment)
    await bench.end()
  }
  expect(late).toEqual([])
})

describe('an ended stream', () => {
  test('ended by its signal between two reads costs nothing more, even if nobody reads it again', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    const abort = new AbortController()
    const streams = upTo(3).map(() => host.ada.events({ after: 0, signal: abort.signal }))
    for (let n = 0; n < 5; n++) await host.ada.submit(quick, n)
    for (const stream of streams) await stream.next()
    await host.ada.submit(quick, 5)
    expect(await readsFor(host, 5)).toBe(0)
    abort.abort()
    await host.ada.submit(quick, 6)
    // No stream follows any more, so nothing is buffered, and the storage has to be read.
    expect(await readsFor(host, 6)).toBe(1)
    expect(await streams[0]?.next()).toEqual({ value: undefined, done: true })
  })

  test('ended by its signal or by return while the storage does not answer', async () => {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    const { id } = await ada.submit(quick, 1)
    const abort = new AbortController()
    const answer = Promise.withResolvers<void>()
    faults.plan('events', answer.promise, answer.promise)
    faults.plan('summary', answer.promise)
    const aborted = follow(ada.events({ after: 0, signal: abort.signal }))
    const returned = follow(ada.events({ after: 0 }))
    const ofOne = follow(ada.events({ after: 0, job: id, signal: abort.signal }))
    await bench.clock.settle()
    abort.abort()
    void returned.stop()
    await bench.clock.settle()
    expect([aborted, returned, ofOne].map(({ end }) => end())).toEqual(['done', 'done', 'done'])
    // No one gets later events or errors.
    answer.reject(new Error('the connection broke'))
    await bench.clock.settle()
    expect([aborted, returned, ofOne].flatMap(({ events }) => events)).toEqual([])
  })
})

describe('a slow policy', () => {
  // One after the other, these questions would take longer than the 5 s for which rights are valid.
  test('is not asked repeatedly about hidden jobs', async () => {
    const bench = new Bench()
    const asked: string[] = []
    const policy: Policy = {
      authorize: async (_, action, { createdBy }): Promise<Verdict> => {
        if (action !== 'events') return 'allow'
        asked.push(createdBy)
        await new Promise<void>((resume) => bench.clock.timer(3_000, resume))
        return createdBy === 'bob' ? 'hide' : 'allow'
      },
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada, bob } = await bench.start({ jobs: [quick], policy, work: false })
    const seen = follow(ada.events())
    await bob.submit(quick, 1)
    await bob.submit(quick, 2)
    await ada.submit(quick, 3)
    await bench.clock.advance(15_000)
    expect(told(seen.events)).toEqual([CREATED])
    expect(asked.length).toBeLessThan(6)
    await seen.stop()
  })

  test('that returns the same scopes in another order causes no reset', async () => {
    const bench = new Bench()
    let round = 0
    const policy: Policy = {
      authorize: () => 'allow',
      scope: ({ tenant }) => {
        const scopes = [{ tenant, createdBy: 'ada' }, { type: 'v', tenant }, { labels: { team: 'red' } }]
        return round++ % 2 === 0 ? scopes : scopes.reverse()
      },
    }
    const { ada } = await bench.start({ jobs: [quick], policy, work: false })
    const seen = follow(ada.events())
    await bench.clock.advance(20_000)
    expect(round).toBeGreaterThan(3)
    expect(seen.events).toEqual([])
    await seen.stop()
  })
})

test('a job’s stream combined with other filters is refused, not ignored', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [quick] })
  const { id } = await ada.submit(quick, 1)
  for (const narrow of [{ type: 'other' }, { createdBy: 'bob' }, { pipeline: 'p' }, { labels: { team: 'red' } }]) {
    expect(await codeOf(ada.events({ job: id, after: 0, ...narrow }).next())).toBe('INVALID_INPUT')
  }
  expect(await codeOf(ada.events({ job: id, after: 0, labels: {} }).next())).toBe('ok')
})

describe('a failing storage', () => {
  test('ends a reading stream with a typed error; resuming loses and repeats nothing', async () => {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    for (let n = 0; n < 5; n++) await ada.submit(quick, n)
    const first = ada.events({ after: 0 })
    expect((await first.next()).value?.sequence).toBe(1)
    faults.isDown = true
    const behind = follow(ada.events({ after: 1 }))
    await bench.clock.settle()
    expect([sequencesOf(behind), behind.end()]).toEqual([[], 'STORAGE_UNAVAILABLE'])
    faults.heal()
    const again = follow(ada.events({ after: 1 }))
    await bench.clock.settle()
    expect(sequencesOf(again)).toEqual([2, 3, 4, 5])
    // Rows that were read before do not need the storage.
    expect((await first.next()).value?.sequence).toBe(2)
    await again.stop()
    await first.return?.()
  })

  test('does not end a waiting stream, which misses nothing: unheard commits, unreadable gaps, a full buffer', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [quick], work: false })
    const other = await bench.start({ jobs: [quick], work: false })
    const seen = follow(host.ada.events())
    await bench.clock.settle()
    await other.ada.submit(quick, 'foreign')
    host.faults.plan('commit', 'unheard')
    host.faults.plan('landed', 'refused')
    expect(await codeOf(host.ada.submit(quick, 'unheard'))).toBe('OUTCOME_UNKNOWN')
    host.faults.failing('read')
    await Promise.all(upTo(1_500).map((n) => host.ada.submit(quick, n)))
    await bench.clock.advance(12_000)
    expect([seen.events, seen.end()]).toEqual([[], 'open'])
    host.faults.heal()
    await bench.clock.advance(200)
    expect(sequencesOf(seen)).toEqual(upTo(1_502))
    await seen.stop()
  })

  test('that refuses change notices delays the events of other engines, and nothing else', async () => {
    const bench = new Bench()
    let isLying = true
    const open: Storage['open'] = async (host) => {
      const inner = await bench.disk.open(host)
      return { ...inner, changed: () => !isLying && inner.changed() }
    }
    const host = await bench.start({ jobs: [quick], work: false }, new FaultyStorage({ open }))
    const other = await bench.start({ jobs: [quick], work: false })
    const seen = follow(host.ada.events())
    await other.ada.submit(quick, 1)
    await bench.clock.advance(6_000)
    expect(sequencesOf(seen)).toEqual([])
    // An own commit shows that there are rows before it.
    await host.ada.submit(quick, 2)
    await bench.clock.settle()
    expect(sequencesOf(seen)).toEqual([1, 2])
    await other.ada.submit(quick, 3)
    isLying = false
    await bench.clock.advance(100)
    expect(sequencesOf(seen)).toEqual([1, 2, 3])
    await seen.stop()
  })

  test('whose engine was stopped meanwhile ends the stream with ENGINE_STOPPED', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    await host.ada.submit(quick, 1)
    const answer = Promise.withResolvers<void>()
    host.faults.plan('events', answer.promise)
    const seen = follow(host.ada.events({ after: 0 }))
    await bench.clock.settle()
    await host.engine.stop()
    answer.reject(new Error('the connection was closed'))
    await bench.clock.settle()
    expect(seen.end()).toBe('ENGINE_STOPPED')
  })
})

describe('readers', () => {
  test('200 readers that come and go in any order leave nothing behind', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    await host.ada.submit(quick, 1)
    const before = bench.clock.pendingTimers()
    const ends = upTo(200).map((n) => {
      const abort = new AbortController()
      const stream = host.ada.events({ after: n % 3 === 0 ? 0 : 1, signal: abort.signal })
      const seen = n % 4 === 0 ? undefined : follow(stream)
      return { at: (n * 77) % 200, seen, end: () => (n % 2 === 0 ? abort.abort() : void stream.return?.()) }
    })
    await bench.clock.settle()
    for (const [index, { end }] of ends.sort((a, b) => a.at - b.at).entries()) {
      end()
      if (index % 40 === 0) await host.ada.submit(quick, index)
    }
    await bench.clock.settle()
    expect(ends.filter(({ seen }) => seen !== undefined && seen.end() !== 'done')).toEqual([])
    expect(bench.clock.pendingTimers()).toBe(before)
    await host.ada.submit(quick, 2)
    expect(await readsFor(host, 6)).toBe(1)
  })

  test('each reader gets each event once and then the end, also with parallel reads or a shared stream', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick], work: false })
    const stream = ada.events()
    const looks = upTo(6).map(() => stream.next())
    for (let n = 0; n < 4; n++) await ada.submit(quick, n)
    await bench.clock.settle()
    looks.push(stream.next())
    await stream.return?.()
    const results = await Promise.all([...looks, stream.next()])
    expect(results.map(({ value }) => value?.sequence)).toEqual([...upTo(4), ...upTo(4).map(() => undefined)])
    expect(results.map(({ done }) => done)).toEqual([false, false, false, false, true, true, true, true])
  })

  test('readers whose principal is gone get that error and harm no other reader; a clock jump harms none', async () => {
    const bench = new Bench()
    const { engine, ada } = await bench.start({ jobs: [quick], work: false })
    let isGone = false
    const lost = engine.as(() => {
      if (isGone) throw new JobchartError('JOB_NOT_FOUND', 'no such person')
      return { id: 'ada', role: 'editor' }
    })
    const [seen, other] = [follow(lost.events()), follow(ada.events())]
    await ada.submit(quick, 1)
    await bench.clock.advance(4_000)
    for (const day of [1, -2, 1]) {
      bench.clock.jump(day * 86_400_000)
      await ada.submit(quick, day)
      await bench.clock.settle()
    }
    isGone = true
    await bench.clock.advance(1_000)
    await ada.submit(quick, 5)
    await bench.clock.settle()
    expect([sequencesOf(seen), seen.end()]).toEqual([[1, 2, 3, 4], 'JOB_NOT_FOUND'])
    expect([sequencesOf(other), other.end()]).toEqual([upTo(5), 'open'])
    await other.stop()
  })
})
