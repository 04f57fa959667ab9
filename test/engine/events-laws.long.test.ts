import fc from 'fast-check'
import { defineJob, type Policy, type SessionEvent } from 'jobchart'
import { expect, test } from 'vitest'
import { shareOf } from '../share.ts'
import { Bench, type Host } from './bench.ts'
import { follow } from './following.ts'

const quick = defineJob({ type: 'w', execute: () => 1 })
const RIGHTS_MS_MAX = 5_000

const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const), host: fc.nat(1), who: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.nat(6) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(9_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), host: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('refuse' as const), host: fc.nat(1) }) },
)

/** Decides for each event, not by scopes, who may see it. */
const byRow: Policy = {
  authorize: ({ id, role }, action, { createdBy }) =>
    action === 'submit' || role === 'admin' || id === createdBy ? 'allow' : 'hide',
  scope: ({ tenant }) => [{ tenant }],
}

/** One reader, whose role changes between one that sees all jobs and one that sees own jobs. */
class Reader {
  readonly given: SessionEvent[] = []
  /** Events of others that arrived although the right to them had ended too long before. */
  readonly late: SessionEvent[] = []
  readonly #bench: Bench
  readonly #hosts: readonly Host[]
  #role = 'admin'
  #turnedAt = 0
  #stream: AsyncIterableIterator<SessionEvent> | undefined
  #isLooking = false

  constructor(bench: Bench, hosts: readonly Host[]) {
    this.#bench = bench
    this.#hosts = hosts
    this.resume(0)
  }

  resume(host: number): void {
    const after = this.given.at(-1)?.sequence ?? 0
    this.#isLooking = false
    this.#stream = this.#hosts[host]?.engine.as(() => ({ id: 'ada', role: this.#role })).events({ after })
  }

  async cut(host: number): Promise<void> {
    await this.#stream?.return?.()
    await this.#bench.clock.settle()
    this.resume(host)
  }

  turn(): void {
    this.#role = this.#role === 'admin' ? 'editor' : 'admin'
    this.#turnedAt = this.#bench.clock.elapsed()
  }

  // One read at a time, because a read may wait for the next event.
  look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    const stream = this.#stream
    void stream?.next().then(
      ({ value, done }) => {
        if (stream === this.#stream) this.#isLooking = false
        if (done !== true) this.#take(value)
      },
      // The storage failed: the reader resumes after its last event.
      () => this.resume(0),
    )
  }

  async rest(): Promise<void> {
    await this.#stream?.return?.()
    this.#role = 'editor'
    const rest = follow(this.#hosts[1]?.ada.events({ after: this.given.at(-1)?.sequence ?? 0 }) ?? ([] as never))
    await this.#bench.clock.settle()
    this.given.push(...rest.events)
    await rest.stop()
  }

  #take(event: SessionEvent): void {
    this.given.push(event)
    const isOwn = event.type === 'reset' || event.createdBy === 'ada'
    const isOver = this.#role === 'editor' && this.#bench.clock.elapsed() - this.#turnedAt >= RIGHTS_MS_MAX
    if (!isOwn && isOver) this.late.push(event)
  }
}

test('I40 I53 under random actions, events come once and in order, and only to callers who may see their jobs', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60, size: 'max' }), fc.boolean(), async (acts, isByRow) => {
      const bench = new Bench()
      const options = { jobs: [quick], ...(isByRow ? { policy: byRow } : {}) }
      const hosts = [await bench.start(options), await bench.start(options)]
      const reader = new Reader(bench, hosts)
      for (const each of acts) {
        if (each.do === 'submit')
          void hosts[each.host]?.[each.who === 0 ? 'ada' : 'bob'].submit(quick, 1).catch(() => {})
        else if (each.do === 'advance') await bench.clock.advance(each.ms)
        else if (each.do === 'cut') await reader.cut(each.host)
        else if (each.do === 'turn') reader.turn()
        else if (each.do === 'refuse') hosts[each.host]?.faults.plan('events', 'refused')
        else
          for (let n = 0; n < each.count; n++) {
            reader.look()
            await bench.clock.settle()
          }
      }
      for (const { faults } of hosts) faults.heal()
      await bench.clock.advance(2_000)
      await reader.rest()
      const told = reader.given.filter(({ type }) => type !== 'reset').map(({ sequence }) => sequence)
      expect(told).toEqual([...new Set(told)].sort((a, b) => a - b))
      const own = (await bench.log())
        .filter(({ createdBy }) => createdBy === 'ada')
        .flatMap(({ sequence, events }) => events.map((_, index) => sequence + index))
      const given = new Set(told)
      expect(own.filter((sequence) => !given.has(sequence))).toEqual([])
      expect(reader.late).toEqual([])
      await bench.end()
    }),
    { numRuns: shareOf(1_000) },
  )
})
