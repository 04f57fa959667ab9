import { defineJob, type Policy, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, type Host } from './bench.ts'
import { follow, told } from './following.ts'

const quick = defineJob({ type: 'w', execute: () => 1 })
/** What a job of `quick` tells where nobody works. */
const CREATED = 'w: job.created queued'

/** The numbers from 1 on. */
function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/** How often the storage is asked for rows of the log from a place before which all is known. */
async function readsFor({ ada, faults }: Host, after: number): Promise<number> {
  const before = faults.calls('events')
  const stream = ada.events({ after })
  await stream.next()
  await stream.return?.()
  return faults.calls('events') - before
}

test('is told at once of what is committed at any moment of its look', async () => {
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
    // The commit is published between two steps of the stream, one further at each moment.
    answer.resolve()
    for (let step = 0; step < moment; step++) await null
    const seen = follow(stream)
    await bench.clock.settle()
    if (seen.events.length !== 1) late.push(moment)
    await bench.end()
  }
  expect(late).toEqual([])
})

describe('ended', () => {
  test('by its signal while nobody looks, it costs nothing more, even if nobody looks again', async () => {
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
    // Nobody follows any more, so that nothing is kept, and the storage has to be asked.
    expect(await readsFor(host, 6)).toBe(1)
    expect(await streams[0]?.next()).toEqual({ value: undefined, done: true })
  })

  test('by its signal, or by return, while the storage does not answer', async () => {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick], work: false, poll: '1h' })
    const { id } = await ada.submit(quick, 1)
    const abort = new AbortController()
    const answer = Promise.withResolvers<void>()
    faults.plan('events', answer.promise, answer.promise)
    faults.plan('head', answer.promise)
    const aborted = follow(ada.events({ after: 0, signal: abort.signal }))
    const returned = follow(ada.events({ after: 0 }))
    const ofOne = follow(ada.events({ after: 0, job: id, signal: abort.signal }))
    await bench.clock.settle()
    abort.abort()
    void returned.stop()
    await bench.clock.settle()
    expect([aborted, returned, ofOne].map(({ end }) => end())).toEqual(['done', 'done', 'done'])
    // What comes, or fails, after it is heard by nobody.
    answer.reject(new Error('the connection broke'))
    await bench.clock.settle()
    expect([aborted, returned, ofOne].flatMap(({ events }) => events)).toEqual([])
  })
})

describe('a policy that takes its time', () => {
  // One after the other, they take longer than rights last.
  test('is not asked again and again about what it hides', async () => {
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

  test('and names the same scopes in another order each time, is no change of rights', async () => {
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

test('what the events of one job are narrowed by beside it is refused, and not passed over', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [quick] })
  const { id } = await ada.submit(quick, 1)
  for (const narrow of [{ type: 'other' }, { createdBy: 'bob' }, { pipeline: 'p' }, { labels: { team: 'red' } }]) {
    expect(await codeOf(ada.events({ job: id, after: 0, ...narrow }).next())).toBe('INVALID_INPUT')
  }
  expect(await codeOf(ada.events({ job: id, after: 0, labels: {} }).next())).toBe('ok')
})
