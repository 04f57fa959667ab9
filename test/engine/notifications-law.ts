import fc from 'fast-check'
import { type Delivery, defineJob, type Notifier, type NotifyRule, rolePolicy, task } from 'jobchart'
import type { EventDraft } from 'jobchart/port'
import { expect } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, type Host, Work } from './bench.ts'

/** What happens. `host` is one of the two engines; `back` counts back from the newest job or run. */
type Happening =
  | { readonly do: 'submit' | 'crash' | 'lose' | 'refuse' | 'follow'; readonly host: number }
  | { readonly do: 'send'; readonly host: number; readonly back: number; readonly type: 'go' | 'back' | 'end' }
  | { readonly do: 'finish' | 'fail'; readonly back: number }
  | { readonly do: 'delete'; readonly host: number; readonly back: number }
  | { readonly do: 'advance'; readonly ms: number }

const host = fc.nat({ max: 1 })
const back = fc.nat({ max: 2 })
// Mostly commands and crashes of few jobs, so that a job comes to `working`, and loses its task, more than once.
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('crash', 'lose', 'refuse', 'follow'), host }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('submit'), host }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('send'),
      host,
      back,
      type: fc.constantFrom('go', 'go', 'go', 'back', 'back', 'back', 'end'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('finish', 'fail'), back }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete'), host, back }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance'), ms: fc.constantFrom(100, 3_000, 11_000) }) },
)

const channels = ['mail', 'inApp']
const rules: readonly NotifyRule[] = [
  { on: { outcome: 'success' }, channels, audience: 'creator' },
  { on: { outcome: 'failure' }, channels, audience: 'creator' },
  { on: { status: 'working' }, channels, audience: 'creator' },
  { on: { event: 'task.lost' }, channels, audience: 'creator' },
]

/** What each rule is told of. Written apart from the engine's own code. */
const TOLD: { readonly [rule: string]: (event: EventDraft) => boolean } = {
  success: (event) => 'outcome' in event && event.outcome === 'success',
  failure: (event) => 'outcome' in event && event.outcome === 'failure',
  working: (event) => event.type === 'job.transitioned' && event.to === 'working' && event.from !== 'working',
  'task.lost': ({ type }) => type === 'task.lost',
}

const anything = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value: unknown) => ({ value: value as Record<string, never> }),
  },
} as const

/** Two engines on one disk. Its machine may come to `working` any number of times, and its task may be lost. */
async function holds(happenings: readonly Happening[]): Promise<void> {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'resting',
    states: {
      resting: { on: { go: 'working', end: 'over' } },
      working: { on: { back: 'resting' }, invoke: { src: 'work', onDone: 'over', onError: 'broken' } },
      over: { type: 'final', tags: 'success' },
      broken: { type: 'final', tags: 'failure' },
    },
  })
  const type = defineJob({
    type: 'w',
    lifecycle: machine.provide({ actors: { work: task({ killGrace: '1s' }, work.obedient) } }),
    commands: { go: anything, back: anything, end: anything },
    notify: rules,
  })
  const delivered: [delivery: Delivery, key: string][] = []
  const notifier: Notifier = {
    channels: ['mail'],
    addresses: ({ people = [] }) => people.map((id) => ({ id, address: `${id}@example.org`, role: 'editor' })),
    deliver: (delivery, { idempotencyKey }) => delivered.push([delivery, idempotencyKey]),
  }
  const start = () => bench.start({ jobs: [type], notifier, policy: rolePolicy() })
  const hosts: Host[] = [await start(), await start()]
  const jobs: string[] = []
  const deleted = new Set<string>()
  const followed: number[] = []
  const of = (index: number) => hosts[index] as Host
  const newest = <Item>(items: readonly Item[], count: number) => items.at(-1 - (count % Math.max(1, items.length)))
  const quietly = (call: Promise<unknown> | undefined) => call?.catch(() => {})

  for (const each of [{ do: 'submit', host: 0 } as const, ...happenings]) {
    switch (each.do) {
      case 'submit':
        quietly(
          of(each.host)
            .ada.submit(type)
            .then(({ id }) => jobs.push(id)),
        )
        break
      case 'send':
        quietly(of(each.host).ada.send(newest(jobs, each.back) ?? 'none', { type: each.type }))
        break
      case 'finish':
        newest(work.runs, each.back)?.finish('done')
        break
      case 'fail':
        newest(work.runs, each.back)?.fail(new Error('it failed'))
        break
      case 'delete': {
        const id = newest(jobs, each.back)
        if (id === undefined) break
        deleted.add(id)
        quietly(of(each.host).ada.delete(id))
        break
      }
      case 'crash':
        await of(each.host).crash()
        hosts[each.host] = await start()
        break
      case 'lose':
        of(each.host).faults.plan('commit', 'unheard')
        break
      case 'refuse':
        of(each.host).faults.plan('commit', 'refused')
        break
      case 'follow':
        quietly(followOn(of(each.host), followed))
        break
      case 'advance':
        await bench.clock.advance(each.ms)
    }
    await bench.clock.settle()
  }
  for (const { faults } of hosts) faults.heal()
  for (let round = 0; round < 12; round++) await bench.clock.advance(10_000)

  const stored = (await (await bench.probe()).notifications({ reader: { tenant: '', person: '' }, limit: 10_000 }))
    .notifications
  const found = stored.map(({ jobId, rule }) => `${jobId} ${rule}`)
  expect(new Set(found).size, 'once per job and rule').toBe(found.length)
  const log = await bench.log()
  const kept = new Set((await (await bench.probe()).many(jobs)).map(({ id }) => id))
  const expected = new Set(
    log.flatMap(({ jobId, jobType, events }) => {
      if (jobType !== 'w' || !kept.has(jobId)) return []
      return rules.flatMap((_, index) => {
        const name = Object.keys(TOLD)[index] ?? ''
        return events.some((event) => TOLD[name]?.(event)) ? [`${jobId} ${name}`] : []
      })
    }),
  )
  expect([...found].filter((each) => kept.has(each.split(' ')[0] ?? '')).sort(), 'all that happened').toEqual(
    [...expected].sort(),
  )
  const keys = new Map<string, Set<string>>()
  for (const [{ event, rule }, key] of delivered) {
    const name = `${event.jobId} ${rule}`
    keys.set(name, (keys.get(name) ?? new Set()).add(key))
  }
  for (const [name, all] of keys) expect(all.size, `${name} is delivered under one key`).toBe(1)
  for (const name of expected) expect(keys.has(name), `${name} is delivered`).toBe(true)
  expect(new Set(followed).size, 'followed once each').toBe(followed.length)
  expect(followed).toEqual([...followed].sort((a, b) => a - b))
  await bench.end()
}

/** Follows notifications from the last one that was seen. */
async function followOn({ ada }: Host, seen: number[]): Promise<void> {
  const after = seen.at(-1) ?? 0
  for await (const { id } of ada.notifications.events({ after })) {
    // Another follower has come meanwhile, and goes on from here.
    if ((seen.at(-1) ?? 0) >= id) return
    seen.push(id)
  }
}

const runs = fc.array(happening, { minLength: 10, maxLength: 30, size: 'max' })

/** Checks the law for random sequences of happenings. */
export async function checkNotifications(numRuns: number): Promise<void> {
  await fc.assert(fc.asyncProperty(runs, holds), { numRuns })
}
