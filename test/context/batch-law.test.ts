import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { ItemContext } from '../../src/model/batch.ts'
import type { BatchPiece } from '../../src/model/batch-piece.ts'
import { shareOf } from '../share.ts'
import { BatchStore } from './batch-store.ts'
import { type BatchAttempt, BatchWorld } from './batch-world.ts'

/** How an item behaves: what each of its attempts does, and how long it takes. `no`: its schema refuses it. */
interface Behaviour {
  readonly ends: readonly ('ok' | 'fails' | 'no' | 'slow')[]
  readonly ms: number
  readonly key: number
}

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  ends: fc.array(fc.constantFrom('ok', 'ok', 'ok', 'fails', 'no', 'slow'), { minLength: 1, maxLength: 3, size: 'max' }),
  ms: fc.nat(30),
  key: fc.nat(200),
})

/** What happens to the batch, at the given write or time. */
const happening = fc.oneof(
  fc.record({ at: fc.nat(30), kind: fc.constantFrom('lost before', 'lost after', 'stopped') }),
  fc.record({ ms: fc.nat(200), kind: fc.constantFrom('drained', 'stopped', 'lost') }),
)

const plan = fc.record({
  items: fc.array(behaviour, { maxLength: 60, size: 'max' }),
  concurrency: fc.integer({ min: 1, max: 8 }),
  limit: fc.nat(2),
  isList: fc.boolean(),
  hasKeys: fc.boolean(),
  /** How long each call of the storage takes. */
  callMs: fc.nat(20),
  /** What happens to each attempt; the last one runs to its end. */
  attempts: fc.array(happening, { maxLength: 4, size: 'max' }),
})

type Plan = typeof plan extends fc.Arbitrary<infer Value> ? Value : never

test('each item ends once, no completed item runs again, and each write has exact counts, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async (given) => {
      await new Run(given).check()
    }),
    { numRuns: shareOf(120) },
  )
})

class Run {
  readonly #plan: Plan
  readonly #world: BatchWorld
  #live = 0
  #isDrained = false
  /** What was wrong with items that ran. Their code cannot throw it, because that would only fail the item. */
  readonly #wrong: string[] = []

  constructor(plan: Plan) {
    this.#plan = plan
    this.#world = new BatchWorld(new BatchStore(plan.isList ? plan.items.length : undefined))
    const { clock, store } = this.#world
    if (plan.callMs > 0) {
      store.takesTime = () =>
        new Promise((resume) => {
          clock.timer(plan.callMs, resume)
        })
    }
  }

  async check(): Promise<void> {
    const { items, isList, attempts } = this.#plan
    for (const happening of attempts) if (await this.#attempt(happening)) return this.#checkEnd()
    expect(await this.#attempt(undefined)).toBe(true)
    this.#checkEnd()
    if (!this.#isDrained) expect(this.#world.store.counts.total).toBe(items.length)
    else if (isList) expect(this.#world.store.counts.total).toBe(items.length)
  }

  // Resolves with true if the batch has ended.
  async #attempt(happening: Plan['attempts'][number] | undefined): Promise<boolean> {
    const { items, concurrency, limit, isList, hasKeys } = this.#plan
    const { clock, store } = this.#world
    const before = store.counts
    this.#live = 0
    let writes = 0
    let isLost = false
    const lose = () => {
      isLost = true
      attempt.lose()
    }
    store.beforePiece = (piece) => {
      if (happening !== undefined && 'at' in happening && happening.at === writes && happening.kind === 'lost before')
        lose()
      if (!isLost) this.#checkPiece(piece)
    }
    store.onPiece = () => {
      if (happening !== undefined && 'at' in happening && happening.at === writes) {
        if (happening.kind === 'lost after') lose()
        if (happening.kind === 'stopped') attempt.stop('ENGINE_STOPPED')
      }
      writes++
      this.#checkRows()
    }
    const source = async function* () {
      yield* items
    }
    const attempt: BatchAttempt = this.#world.attempt(
      {
        ...{ concurrency, retry: { limit, backoff: 40 }, timeout: 50, each: (context) => this.#each(context) },
        item: z.custom<Behaviour>((item) => (item as Behaviour).ends[0] !== 'no'),
        ...(hasKeys ? { key: (item) => `${(item as Behaviour).key}` } : {}),
        ...(isList ? {} : { source }),
      },
      isList ? items : undefined,
      { isDraining: this.#isDrained },
    )
    if (happening !== undefined && 'ms' in happening) {
      clock.timer(happening.ms, () => {
        if (happening.kind === 'lost') lose()
        else if (happening.kind === 'stopped') attempt.stop('ENGINE_STOPPED')
        else {
          this.#isDrained = true
          attempt.drain()
        }
      })
    }
    await clock.advance(60_000)
    const counts = await attempt.ended.catch((thrown: { readonly code?: unknown }) => {
      expect(thrown.code).toMatch(/^(STALE_CLAIM|ENGINE_STOPPED)$/)
    })
    expect(this.#wrong).toEqual([])
    if (isLost) {
      const { completed, failed } = store.counts
      const hasEnded = completed + failed > before.completed + before.failed
      store.losses = hasEnded && store.careful === undefined ? 1 : store.losses + 1
    }
    if (counts === undefined) return false
    expect(counts).toEqual(store.counts)
    return true
  }

  async #each({ item, index, attempt, signal }: ItemContext): Promise<unknown> {
    const { concurrency } = this.#plan
    const { clock, store } = this.#world
    const { losses, careful, begun, rows } = store
    if (rows.get(index)?.status !== 'waiting') this.#wrong.push(`item ${index} ran, and is ${rows.get(index)?.status}`)
    if (index > begun) this.#wrong.push(`item ${index} ran, and only ${begun} are allowed`)
    if (losses >= 2 && careful !== undefined && careful !== index)
      this.#wrong.push(`item ${index} ran beside ${careful}`)
    if (++this.#live > concurrency) this.#wrong.push(`${this.#live} items ran at once`)
    const { ends, ms } = item as Behaviour
    const end = ends[Math.min(attempt, ends.length) - 1]
    await new Promise<void>((resume) => {
      clock.timer(end === 'slow' ? 1_000 : ms, resume)
      signal.addEventListener('abort', () => resume())
    })
    this.#live--
    if (end !== 'ok') throw new Error(end)
    return index
  }

  #checkPiece({ counts, running, added, ended }: BatchPiece): void {
    const { total = Number.POSITIVE_INFINITY, completed, failed, skipped } = counts
    expect(total - running - completed - failed - skipped).toBeGreaterThanOrEqual(0)
    expect(Math.max(added.length, ended.length)).toBeLessThanOrEqual(1_000)
  }

  #checkRows(): void {
    const { counts, rows } = this.#world.store
    const found = { completed: 0, failed: 0, skipped: 0, waiting: 0 }
    for (const { status } of rows.values()) found[status]++
    expect({ completed: counts.completed, failed: counts.failed }).toEqual({
      completed: found.completed,
      failed: found.failed,
    })
    expect(counts.skipped).toBeGreaterThanOrEqual(found.skipped)
    if (!this.#plan.isList) expect(counts.skipped).toBe(found.skipped)
  }

  #checkEnd(): void {
    const { counts, rows } = this.#world.store
    const { total, completed, failed, skipped } = counts
    expect(total).toBe(completed + failed + skipped)
    expect([...rows.values()].filter(({ status }) => status === 'waiting')).toEqual([])
    if (!this.#isDrained) expect(rows.size).toBe(this.#plan.items.length)
    expect(this.#world.clock.pendingTimers()).toBeLessThanOrEqual(100)
  }
}
