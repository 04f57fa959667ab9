import assert from 'node:assert/strict'
import { IN_APP_CHANNELS } from '../model/notification-rule.ts'
import { callback, checkOptions, required } from '../model/option-checks.ts'
import type { Addressed, Delivery, Notifier } from '../port/notifier.ts'
import type { RegisterTest } from './storage-conformance.ts'

/** A delivery as the outside has received it. */
export interface ReceivedDelivery {
  readonly address: string
  /** Equal for deliveries that the receiver takes for the same one, e.g. the `Message-ID` of a mail. */
  readonly id: string
}

/** Arguments of each check: a notifier, and the outside that it delivers to. */
export interface NotifierUnderTest {
  readonly notifier: Notifier
  /** A tenant, and the ids of at least two persons who have an address on every channel. */
  readonly tenant: string
  readonly people: readonly string[]
  /** All that the outside has received, in any order. */
  readonly received: () => readonly ReceivedDelivery[] | PromiseLike<readonly ReceivedDelivery[]>
  /** `refuse`: the outside refuses deliveries. `stall`: it does not answer. `accept`: it works again. */
  readonly behave: (how: 'accept' | 'refuse' | 'stall') => unknown
  /** Called after each check. Removes files and other things that the notifier leaves. */
  readonly dispose?: () => unknown
}

/** Options of the suite. */
export interface NotifierConformanceOptions {
  /** The `test` function of your runner. */
  readonly test: RegisterTest
}

type Check = (under: NotifierUnderTest) => Promise<void>

/**
 * Checks a notifier against the guarantees of its port. The name of each check begins with its number.
 *
 * ```ts
 * notifierConformance(() => ({ notifier: myNotifier(), tenant, people, received, behave }), { test })
 * ```
 */
export function notifierConformance(
  make: () => NotifierUnderTest | Promise<NotifierUnderTest>,
  options: NotifierConformanceOptions,
): void {
  checkOptions(
    'notifierConformance',
    options,
    { test: required(callback) },
    { form: 'notifierConformance(make, { test })' },
  )
  for (const [name, check] of Object.entries(checks)) {
    options.test(name, async () => {
      const under = await make()
      try {
        assert.ok(under.people.length >= 2, 'people should be the ids of at least two persons')
        await check(under)
      } finally {
        await under.dispose?.()
      }
    })
  }
}

const checks: { readonly [name: string]: Check } = {
  'N1 the channels are names, each once, and none is in-app': async ({ notifier: { channels } }) => {
    assert.ok(channels.length > 0)
    assert.equal(new Set(channels).size, channels.length)
    for (const channel of channels) assert.ok(channel !== '' && !IN_APP_CHANNELS.includes(channel), channel)
  },

  'N2 each person who is asked for has one address, and no other person does': async (under) => {
    const [first = '', second = ''] = under.people
    const one = await addressesOf(under, [first, 'a person without an address'])
    assert.deepEqual(idsOf(one), [first])
    assert.deepEqual(idsOf(await addressesOf(under, [first, second])), [first, second].sort())
    assert.deepEqual(await addressesOf(under, []), [])
  },

  'N3 a delivery that resolves was received, and one that was refused rejects': async (under) => {
    const deliver = await delivererOf(under)
    await deliver(0, 'a')
    assert.equal((await under.received()).length, 1)
    await under.behave('refuse')
    await assert.rejects(deliver(0, 'b'))
    await under.behave('accept')
    await deliver(0, 'b')
    assert.equal((await under.received()).length, 2)
  },

  'N4 the receiver can know two deliveries of one key as one, and others apart': async (under) => {
    const deliver = await delivererOf(under)
    await deliver(0, 'a')
    await deliver(0, 'a')
    assert.equal(new Set((await under.received()).map(({ id }) => id)).size, 1)
    await deliver(0, 'b')
    assert.equal(new Set((await under.received()).map(({ id }) => id)).size, 2)
  },

  'N5 an aborted delivery rejects, before and while the outside answers': async (under) => {
    const deliver = await delivererOf(under)
    const before = new AbortController()
    before.abort(new Error('stopped'))
    await assert.rejects(deliver(0, 'a', before.signal))
    await under.behave('stall')
    const meanwhile = new AbortController()
    const delivery = deliver(0, 'b', meanwhile.signal)
    meanwhile.abort(new Error('stopped'))
    await assert.rejects(delivery)
    await under.behave('accept')
    await deliver(0, 'c')
  },

  'N6 deliveries at the same time each come to their own address': async (under) => {
    const deliver = await delivererOf(under)
    const keys = Array.from({ length: 10 }, (_, index) => `key ${index}`)
    await Promise.all(keys.map((key, index) => deliver(index % 2, key)))
    const received = await under.received()
    assert.equal(new Set(received.map(({ id }) => id)).size, 10)
    const counts = Map.groupBy(received, ({ address }) => address)
    assert.deepEqual(
      [...counts.values()].map(({ length }) => length),
      [5, 5],
    )
  },
}

async function addressesOf(
  { notifier, tenant }: NotifierUnderTest,
  people: readonly string[],
): Promise<readonly Addressed[]> {
  const [channel = ''] = notifier.channels
  return await notifier.addresses({ channel, tenant, people }, { signal: new AbortController().signal })
}

function idsOf(found: readonly Addressed[]): readonly string[] {
  return found.map(({ id }) => id).sort()
}

/** Delivers to the first or second person under a key. */
async function delivererOf(under: NotifierUnderTest) {
  const { notifier, tenant, people } = under
  const [channel = ''] = notifier.channels
  const found = await addressesOf(under, people.slice(0, 2))
  const event = { type: 'job.transitioned', jobId: 'a job', jobType: 'conformance', at: '2027-01-01T02:00:00.000Z' }
  return async (index: number, idempotencyKey: string, signal = new AbortController().signal): Promise<void> => {
    const to = found.find(({ id }) => id === people[index])
    assert.ok(to !== undefined, 'each of the people should have an address')
    const { id: person, address } = to
    const delivery: Delivery = { channel, tenant, person, address, rule: 'failure', level: 'alerts', event }
    await notifier.deliver(delivery, { signal, idempotencyKey })
  }
}
