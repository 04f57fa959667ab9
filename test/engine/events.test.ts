import fc from 'fast-check'
import { defineJob, type Policy, type SessionPrincipal, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, emit } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'
import { follow, told } from './following.ts'

const LIFE = ['job.created queued', 'task.started', 'job.transitioned running', 'job.transitioned completed']

function lifeOf(name: string): readonly string[] {
  return LIFE.map((each) => `${name}: ${each}`)
}

const quick = defineJob({ type: 'w', execute: () => 1 })

describe('a stream', () => {
  test('gives the events of visible jobs, in the order of the log', async () => {
    const bench = new Bench()
    const { ada, bob, admin } = await bench.start({ jobs: [quick] })
    const [own, all] = [follow(ada.events()), follow(admin.events())]
    await ada.submit(quick, 1)
    await bob.submit(quick, 2)
    await bench.clock.settle()
    expect(told(own.events)).toEqual(lifeOf('w'))
    expect(all.events).toHaveLength(8)
    const sequences = all.events.map(({ sequence }) => sequence)
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b))
    expect(own.events.every((event) => event.type !== 'reset' && event.createdBy === 'ada')).toBe(true)
  })

  test('begins with the first commit after the call, even before its first read', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick] })
    await ada.submit(quick, 'before')
    await bench.clock.settle()
    const stream = ada.events()
    const { id } = await ada.submit(quick, 'after')
    const seen = follow(stream)
    await bench.clock.settle()
    expect(told(seen.events)).toEqual(lifeOf('w'))
    expect(new Set(seen.events.map((event) => event.type !== 'reset' && event.jobId))).toEqual(new Set([id]))
  })

  test('resumes after a sequence without a gap, from any point', async () => {
    const bench = new Bench()
    const { ada, bob } = await bench.start({ jobs: [quick] })
    for (let n = 0; n < 3; n++) await Promise.all([ada.submit(quick, n), bob.submit(quick, n)])
    await bench.clock.settle()
    const whole = follow(ada.events({ after: 0 }))
    await bench.clock.settle()
    expect(whole.events).toHaveLength(12)
    for (const [index, { sequence }] of whole.events.entries()) {
      const rest = follow(ada.events({ after: sequence }))
      await bench.clock.settle()
      expect(rest.events).toEqual(whole.events.slice(index + 1))
      await rest.stop()
    }
  })

  test('ends when its signal is aborted, its loop is left, or it is returned while it waits', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick] })
    const before = bench.clock.pendingTimers()
    const abort = new AbortController()
    const [aborted, returned] = [follow(ada.events({ signal: abort.signal })), follow(ada.events())]
    await bench.clock.settle()
    abort.abort()
    await returned.stop()
    await bench.clock.settle()
    expect([aborted.end(), returned.end()]).toEqual(['done', 'done'])
    await ada.submit(quick, 1)
    for await (const event of ada.events({ after: 0 })) {
      expect(event.type).toBe('job.created')
      break
    }
    await bench.clock.settle()
    expect(aborted.events).toEqual([])
    expect(bench.clock.pendingTimers()).toBe(before)
  })

  test('gives nothing if its signal is already aborted', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick] })
    await ada.submit(quick, 1)
    const seen = follow(ada.events({ after: 0, signal: AbortSignal.abort() }))
    await bench.clock.settle()
    expect([seen.events, seen.end()]).toEqual([[], 'done'])
  })

  test('ends with ENGINE_STOPPED when its engine stops', async () => {
    const bench = new Bench()
    const { ada, engine } = await bench.start({ jobs: [quick] })
    const seen = follow(ada.events())
    await bench.clock.settle()
    await engine.stop()
    await bench.clock.settle()
    expect(seen.end()).toBe('ENGINE_STOPPED')
    expect(await codeOf(ada.events().next())).toBe('ENGINE_STOPPED')
  })

  test('narrowed by a job type, given itself or by its name, has its events alone', async () => {
    const bench = new Bench()
    const other = defineJob({ type: 'other', execute: () => 1 })
    const { ada } = await bench.start({ jobs: [quick, other] })
    const seen = [follow(ada.events({ type: other })), follow(ada.events({ type: 'other' }))]
    await ada.submit(quick, 1)
    const { id } = await ada.submit(other, 1)
    await bench.clock.settle()
    for (const { events } of seen)
      expect(new Set(events.map((event) => 'jobId' in event && event.jobId))).toEqual(new Set([id]))
  })

  test.each([
    ['a number below zero', { after: -1 }],
    ['a number that is none', { after: Number.NaN }],
    ['an option that is none', { since: 4 }],
    ['a label that is no text', { labels: { a: 1 } }],
    ['the type of events in place of that of jobs', { type: 'job.created' }],
  ])('is refused at its first read: %s', async (_, options) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick] })
    expect(await codeOf(ada.events(options as never).next())).toBe('INVALID_INPUT')
  })

  test('begins with a reset if it resumes after a number that the log has not reached', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [quick] })
    await ada.submit(quick, 1)
    await bench.clock.settle()
    const seen = follow(ada.events({ after: 1_000 }))
    await bench.clock.settle()
    await ada.submit(quick, 2)
    await bench.clock.settle()
    expect(told(seen.events)).toEqual(['reset', ...lifeOf('w')])
    expect(seen.events[0]?.sequence).toBe(4)
  })

  test('can be narrowed by the same filters as a list', async () => {
    const bench = new Bench()
    const other = defineJob({ type: 'other', execute: () => 2 })
    const { ada, admin, bob } = await bench.start({ jobs: [quick, other] })
    const streams = {
      type: follow(admin.events({ type: 'other' })),
      creator: follow(admin.events({ createdBy: 'bob' })),
      labels: follow(admin.events({ labels: { team: 'red' } })),
      pipeline: follow(admin.events({ pipeline: 'p' })),
      foreign: follow(ada.events({ createdBy: 'bob' })),
    }
    await ada.submit(other, 1)
    await bob.submit(quick, 1, { labels: { team: 'red', size: 'l' } })
    await ada.submit(quick, 1, { pipeline: 'p' })
    await bench.clock.settle()
    const counts = Object.entries(streams).map(([name, { events }]) => [name, events.length])
    expect(Object.fromEntries(counts)).toEqual({ type: 4, creator: 4, labels: 4, pipeline: 4, foreign: 0 })
  })
})

describe('over two engines on one storage', () => {
  test('the other engine’s commits arrive at the next poll, and own commits at once', async () => {
    const bench = new Bench()
    const [first, second] = [await bench.start({ jobs: [quick] }), await bench.start({ jobs: [quick], work: false })]
    const seen = follow(first.admin.events())
    const names = new Map<string, string>()
    names.set((await second.bob.submit(quick, 1)).id, 'bob')
    await bench.clock.settle()
    expect(seen.events).toEqual([])
    names.set((await first.ada.submit(quick, 2)).id, 'ada')
    await bench.clock.settle()
    const order = told(seen.events, names)
    expect(order.indexOf('bob: job.created queued')).toBeLessThan(order.indexOf('ada: job.created queued'))
    expect(order).toContain('ada: job.transitioned completed')
    await bench.clock.advance(200)
    expect(told(seen.events, names).filter((each) => each.startsWith('bob'))).toEqual(lifeOf('bob'))
    const sequences = seen.events.map(({ sequence }) => sequence)
    expect(sequences).toEqual(sequences.map((_, index) => index + 1))
  })

  test('I40 every visible event arrives once and in order under random actions', async () => {
    const act = fc.oneof(
      fc.record({ do: fc.constant('submit' as const), host: fc.nat(1), who: fc.constantFrom('ada', 'bob') }),
      fc.record({ do: fc.constant('read' as const), count: fc.nat(5) }),
      fc.record({ do: fc.constant('advance' as const), ms: fc.nat(400) }),
      fc.record({ do: fc.constant('leave' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40, size: 'max' }), async (acts) => {
        const bench = new Bench()
        const hosts = [await bench.start({ jobs: [quick] }), await bench.start({ jobs: [quick] })]
        const seen: { readonly sequence: number; readonly jobId?: string | undefined }[] = []
        let stream = hosts[0]?.ada.events({ after: 0 })
        // One read at a time, because a read may wait for the next event.
        let isLooking = false
        const look = () => {
          if (isLooking) return
          isLooking = true
          void stream?.next().then(({ value, done }) => {
            isLooking = false
            if (done !== true) seen.push(value)
          })
        }
        for (const each of acts) {
          if (each.do === 'submit') void hosts[each.host]?.[each.who as 'ada'].submit(quick, 1)
          else if (each.do === 'advance') await bench.clock.advance(each.ms)
          else if (each.do === 'leave') {
            await stream?.return?.()
            await bench.clock.settle()
            stream = hosts[1]?.ada.events({ after: seen.at(-1)?.sequence ?? 0 })
          } else {
            for (let n = 0; n < each.count; n++) {
              look()
              await bench.clock.settle()
            }
          }
        }
        await bench.clock.advance(1_000)
        await stream?.return?.()
        const rest = follow(
          hosts[1]?.ada.events({ after: seen.at(-1)?.sequence ?? 0 }) ?? ([][Symbol.iterator]() as never),
        )
        await bench.clock.settle()
        const log = await bench.log()
        const own = log
          .filter(({ createdBy }) => createdBy === 'ada')
          .flatMap(({ sequence, events }) => events.map((_, index) => sequence + index))
        expect([...seen, ...rest.events].map(({ sequence }) => sequence)).toEqual(own)
        await rest.stop()
        await bench.end()
      }),
      { numRuns: 60 },
    )
  })
})

describe('rights', () => {
  test('FORBIDDEN for a caller who may see nothing at all', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs: [quick] })
    expect(await codeOf(engine.as({ id: 'vic', role: 'viewer' }).events().next())).toBe('FORBIDDEN')
  })

  test('I53 rights are checked again every 5 seconds, and a change gives a reset', async () => {
    const bench = new Bench()
    const { engine, bob } = await bench.start({ jobs: [quick] })
    let role = 'admin'
    const seen = follow(engine.as(() => ({ id: 'ada', role })).events())
    await bob.submit(quick, 1)
    await bench.clock.settle()
    expect(seen.events).toHaveLength(4)
    role = 'editor'
    await bench.clock.advance(5_000)
    await bob.submit(quick, 2)
    await bench.clock.advance(10_000)
    expect(told(seen.events.slice(4))).toEqual(['reset'])
    role = ''
    await bench.clock.advance(5_000)
    expect(seen.end()).toBe('FORBIDDEN')
  })

  test('I53 no event is sent under rights older than 5 seconds, however slow the reader is', async () => {
    const bench = new Bench()
    const { engine, bob } = await bench.start({ jobs: [quick] })
    let role = 'admin'
    const stream = engine.as(() => ({ id: 'ada', role })).events()
    for (let n = 0; n < 3; n++) await bob.submit(quick, n)
    await bench.clock.settle()
    expect((await stream.next()).value?.type).toBe('job.created')
    role = 'editor'
    // Rights are only asked for when someone reads, so the first read afterwards asks.
    await bench.clock.advance(5_000)
    expect((await stream.next()).value?.type).toBe('reset')
    void stream.next()
    await bench.clock.settle()
    await stream.return?.()
  })

  test('a principal that can no longer be resolved ends the stream', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs: [quick] })
    let who: SessionPrincipal = { id: 'ada', role: 'editor' }
    const seen = follow(engine.as(() => who).events())
    await bench.clock.settle()
    who = { id: '' }
    await bench.clock.advance(5_000)
    expect(seen.end()).toBe('INVALID_INPUT')
  })

  test('hidden events are left out, and redacted fields are removed', async () => {
    const bench = new Bench()
    const failing = defineJob({
      type: 'f',
      execute: ({ input }) => {
        throw new Error(`cannot open ${String(input)}`)
      },
    })
    const policy: Policy = {
      authorize: (_, action, { createdBy }): Verdict => {
        if (action === 'submit') return 'allow'
        return createdBy === 'bob' ? 'hide' : { redact: ['input', 'labels'] }
      },
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada, bob } = await bench.start({ jobs: [failing], policy })
    const seen = follow(ada.events())
    await bob.submit(failing, 's3cret')
    const { id } = await ada.submit(failing, 's3cret', { labels: { team: 's3cret' } })
    await bench.clock.settle()
    expect(new Set(seen.events.map((event) => event.type !== 'reset' && event.jobId))).toEqual(new Set([id]))
    expect(told(seen.events).at(-1)).toBe('f: job.transitioned failed')
    expect(JSON.stringify(seen.events)).not.toContain('s3cret')
    expect(seen.events.every((event) => 'redacted' in event && event.redacted?.includes('input'))).toBe(true)
  })

  test('fields that are safe are shown also where the input is redacted', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'f',
      safe: ['error'],
      execute: () => {
        throw new Error('out of paper')
      },
    })
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: ['input'] }),
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada } = await bench.start({ jobs: [type], policy })
    const seen = follow(ada.events())
    const { id } = await ada.submit(type, 1)
    await bench.clock.settle()
    expect(seen.events.at(-1)).toMatchObject({ to: 'failed', error: { message: 'out of paper' } })
    expect(await ada.get(id)).toMatchObject({
      error: { message: 'out of paper' },
      redacted: ['input', 'message', 'output'],
    })
  })

  test('I58 stacks are not sent, and emitted payloads only where the policy opens them', async () => {
    const bench = new Bench()
    const lifecycle = createMachine({
      entry: emit({ type: 'rang', secret: 's3cret' }),
      initial: 'a',
      states: { a: { type: 'final' } },
    })
    const ringing = defineJob({ type: 'r', lifecycle, commands: {} })
    const failing = defineJob({ type: 'f', execute: () => Promise.reject(new Error('no')) })
    for (const open of [undefined, ['emitted'] as const]) {
      const policy: Policy = {
        authorize: (): Verdict => (open === undefined ? 'allow' : { redact: [], open }),
        scope: ({ tenant }) => [{ tenant }],
      }
      const { ada, engine } = await bench.start({ jobs: [ringing, failing], policy })
      const [seen, system] = [follow(ada.events()), follow(engine.system.events())]
      await ada.submit(ringing, {})
      await ada.submit(failing, {})
      await bench.clock.settle()
      const emitted = seen.events.find(({ type }) => type === 'job.emitted')
      expect(emitted).toMatchObject({ type: 'job.emitted', jobType: 'r' })
      expect(JSON.stringify(emitted).includes('s3cret')).toBe(open !== undefined)
      expect(JSON.stringify(system.events)).toContain('s3cret')
      expect(JSON.stringify(seen.events)).not.toContain('stack')
    }
  })
})

describe('the events of one job', () => {
  test('I52 a hidden job and a missing job get the same refusal', async () => {
    const bench = new Bench()
    const { ada, bob } = await bench.start({ jobs: [quick] })
    const { id } = await ada.submit(quick, 1)
    const absent = '019b7654-0000-7000-8000-000000000000'
    const errors = await Promise.all(
      [id, absent].map((job) =>
        bob
          .events({ job })
          .next()
          .catch((error) => error),
      ),
    )
    const shown = errors.map((error, index) =>
      JSON.stringify({ text: error.message, ...error }).replaceAll([id, absent][index] ?? '', ''),
    )
    expect(errors[0]?.code).toBe('JOB_NOT_FOUND')
    expect(shown[0]).toBe(shown[1])
  })

  test('only its own events arrive, the last one says how it ended, and the stream ends with its deletion', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.obedient })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await ada.submit(type, 2)
    const seen = follow(ada.events({ job: id, after: 0 }))
    await bench.clock.settle()
    await ada.cancel(id, { reason: 'late' })
    await bench.clock.settle()
    expect(seen.events.at(-2)).toMatchObject({ to: 'cancelled', outcome: 'cancelled', reason: 'late' })
    expect(seen.end()).toBe('open')
    await ada.delete(id)
    await bench.clock.settle()
    expect([told(seen.events).at(-1), seen.end()]).toEqual(['w: job.deleted', 'done'])
    expect(seen.events.every((event) => event.type !== 'reset' && event.jobId === id)).toBe(true)
  })
})

test('a slow reader learns of the deletion; a reader who may no longer see the job learns nothing', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [quick] })
  let role = 'editor'
  const deleted = await ada.submit(quick, 1)
  const hidden = await ada.submit(quick, 2)
  await bench.clock.settle()
  const [own, lost] = [deleted, hidden].map(({ id }) => {
    return engine.as(() => ({ id: 'ada', role })).events({ job: id, after: 0 })
  })
  expect([(await own?.next())?.value?.type, (await lost?.next())?.value?.type]).toEqual(['job.created', 'job.created'])
  await ada.delete(deleted.id)
  await bench.clock.advance(5_000)
  const seen = own && follow(own)
  await bench.clock.settle()
  expect([told(seen?.events ?? []), seen?.end()]).toEqual([[...lifeOf('w').slice(1), 'w: job.deleted'], 'done'])
  role = ''
  const rest = lost && follow(lost)
  await bench.clock.settle()
  expect([rest?.events, rest?.end()]).toEqual([[], 'JOB_NOT_FOUND'])
})

describe('progress', () => {
  const slow = new Work()
  const type = defineJob({ type: 'w', execute: slow.execute })

  test('I44 the last value comes before the transition that ends the attempt', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [type] })
    const seen = follow(ada.events())
    const { id } = await ada.submit(type, 1)
    for (let completed = 1; completed <= 50; completed++) slow.run().context.progress({ completed, total: 50 })
    await bench.clock.settle()
    slow.run().finish()
    await bench.clock.settle()
    const [last, end] = seen.events.slice(-2)
    expect(last).toMatchObject({ type: 'job.progress', jobId: id, progress: { completed: 50, total: 50 } })
    expect(last !== undefined && 'jobSequence' in last).toBe(false)
    expect(end).toMatchObject({ type: 'job.transitioned', to: 'completed' })
    // At most one event in 250 ms.
    expect(seen.events.filter(({ type }) => type === 'job.progress').length).toBeLessThan(4)
  })

  test('a slow reader gets the newest progress of a job, and none after its end', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [type] })
    const stream = ada.events()
    await ada.submit(type, 1)
    for (let completed = 1; completed <= 20; completed++) {
      slow.run().context.progress({ completed, total: 20 })
      await bench.clock.advance(250)
    }
    slow.run().finish()
    await bench.clock.settle()
    const seen = follow(stream)
    await bench.clock.settle()
    const progress = seen.events.filter(({ type }) => type === 'job.progress')
    expect(progress).toMatchObject([{ progress: { completed: 20 } }])
    expect(told(seen.events).at(-1)).toBe('w: job.transitioned completed')
    await seen.stop()
  })
})

test('a reader who falls behind the buffer continues from the storage, and misses nothing', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    on: { poke: { actions: emit({ type: 'poked' }) }, cancel: '.over' },
    initial: 'a',
    states: { a: {}, over: { type: 'final' } },
  })
  const poked = defineJob({ type: 'p', lifecycle, commands: { poke: z.object({}), cancel: z.object({}) } })
  const { ada } = await bench.start({ jobs: [poked] })
  const stream = ada.events()
  const { id } = await ada.submit(poked, {})
  expect((await stream.next()).value?.type).toBe('job.created')
  for (let n = 0; n < 2_500; n++) await ada.send(id, { type: 'poke' })
  const seen = follow(stream)
  await bench.clock.settle()
  expect(seen.events.length).toBeGreaterThanOrEqual(2_500)
  const sequences = seen.events.map(({ sequence }) => sequence)
  expect(sequences).toEqual(sequences.map((_, index) => index + 2))
  await seen.stop()
})

test('I42 a reader who throws ends its own stream, and harms no other', async () => {
  const bench = new Bench()
  const { ada, admin } = await bench.start({ jobs: [quick] })
  const broken = (async () => {
    for await (const { type } of ada.events()) throw new Error(`cannot show ${type}`)
  })()
  const seen = follow(admin.events())
  const { id } = await ada.submit(quick, 1)
  await expect(broken).rejects.toThrow('cannot show')
  await bench.clock.settle()
  expect((await ada.get(id)).outcome).toBe('success')
  expect(seen.events).toHaveLength(4)
})

test('a stream says where to resume, even before its first event', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [quick] })
  await ada.submit(quick, 1)
  await bench.clock.settle()
  const stream = ada.events()
  const { sequence } = stream
  expect([sequence, ada.events({ after: 2 }).sequence]).toEqual([4, 2])
  await stream.return?.()
  await ada.submit(quick, 2)
  await bench.clock.settle()
  const again = ada.events({ after: sequence })
  const first = await again.next()
  expect([first.value?.sequence, again.sequence]).toEqual([5, 5])
  await again.return?.()
})
