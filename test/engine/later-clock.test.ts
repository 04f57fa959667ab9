/** An engine starts beside a running one, and its wall clock is far ahead. */
import { defineJob } from 'jobchart'
import type { AgentTransport } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, Work } from './bench.ts'

const LEASE_MS = 30_000
const HEARTBEAT_MS = 2_000
const HOUR_MS = 3_600_000

const far = defineJob({ type: 'far', agent: { function: 'f' } })
const timed = defineJob({
  type: 'timed',
  lifecycle: createMachine({
    initial: 'a',
    states: { a: { after: { 10000: 'b' } }, b: { after: { 10000: 'c' } }, c: {} },
  }),
})
const work = new Work()
const slow = defineJob({ type: 'slow', timeout: '10s', execute: work.obedient })
const jobs = [far, timed, slow]

async function started() {
  const bench = new Bench()
  const one = await bench.start({ jobs })
  const { agents } = one.engine.asAgent({ id: 'a1' })
  await agents.register({ functions: [{ name: 'f' }] })
  await bench.clock.advance(60_000)
  return { bench, ...one, agents }
}

async function claimOf(agents: AgentTransport) {
  const [task] = await agents.claim()
  if (task === undefined) throw new Error('there is no task')
  const claim = { job: task.job.id, token: task.token }
  await agents.started(claim)
  return claim
}

/** Time passes, and the agent sends heartbeats as `createAgent` does. */
async function beating({ bench, agents }: Awaited<ReturnType<typeof started>>, claim: object, ms: number) {
  for (let passed = 0; passed < ms; passed += LEASE_MS / 3) {
    await agents.heartbeat({ claims: [claim as never] })
    await bench.clock.advance(LEASE_MS / 3)
  }
}

describe.each([HOUR_MS, 30 * 24 * HOUR_MS])('beside an engine whose clock is %i ms ahead', (ahead) => {
  test('a lease that an agent renews does not end', async () => {
    const host = await started()
    const { bench, ada, agents } = host
    const { id } = await ada.submit(far)
    const claim = await claimOf(agents)
    bench.clock.jump(ahead)
    await bench.start({ jobs })
    await beating(host, claim, 5 * LEASE_MS)
    expect(await ada.get(id)).toMatchObject({ status: 'running' })
    expect(await codeOf(agents.done(claim))).toBe('ok')
  })

  test.each([0, 1, HEARTBEAT_MS - 1, HEARTBEAT_MS, 10_000])(
    'a lease that is granted %i ms later does not end',
    async (ms) => {
      const host = await started()
      const { bench, ada, agents } = host
      await ada.submit(far)
      bench.clock.jump(ahead)
      await bench.start({ jobs })
      await bench.clock.advance(ms)
      const claim = await claimOf(agents)
      await bench.clock.advance(LEASE_MS / 3)
      await beating(host, claim, 5 * LEASE_MS)
      expect(await codeOf(agents.done(claim))).toBe('ok')
    },
  )

  test('a lease that an agent does not renew ends after a term', async () => {
    const host = await started()
    const { bench, ada, agents } = host
    const { id } = await ada.submit(far)
    await claimOf(agents)
    bench.clock.jump(ahead)
    await bench.start({ jobs })
    await bench.clock.advance(LEASE_MS - 1)
    expect((await ada.get(id)).status).toBe('running')
    await bench.clock.advance(2 * HEARTBEAT_MS + 1)
    expect((await ada.get(id)).status).toBe('queued')
  })

  test('the first engine follows to within a heartbeat: its timers and timeouts take their time', async () => {
    const { bench, ada } = await started()
    bench.clock.jump(ahead)
    await bench.start({ jobs })
    await bench.clock.advance(HEARTBEAT_MS)
    const timer = await ada.submit(timed)
    const run = await ada.submit(slow)
    const states = async () => [(await ada.get(timer.id)).status, (await ada.get(run.id)).status]
    await bench.clock.advance(10_000 - HEARTBEAT_MS - 1)
    expect(await states()).toEqual(['a', 'running'])
    await bench.clock.advance(HEARTBEAT_MS + 1_001)
    expect(await states()).toEqual(['b', 'failed'])
    await bench.clock.advance(10_000 - HEARTBEAT_MS - 1_001)
    expect(await states()).toEqual(['b', 'failed'])
    await bench.clock.advance(HEARTBEAT_MS + 1_001)
    expect(await states()).toEqual(['c', 'failed'])
  })
})

test('a lease ends although engines start again and again beside it', async () => {
  const { bench, ada, agents } = await started()
  const { id } = await ada.submit(far)
  await claimOf(agents)
  bench.clock.jump(HOUR_MS)
  for (let passed = 0; passed < 2 * LEASE_MS; passed += LEASE_MS / 3) {
    const other = await bench.start({ jobs })
    await bench.clock.advance(LEASE_MS / 3)
    await other.crash()
  }
  expect((await ada.get(id)).status).toBe('queued')
})

test('an engine whose clock is behind runs at the time of the others', async () => {
  const host = await started()
  const { bench, ada, agents } = host
  await ada.submit(far)
  const claim = await claimOf(agents)
  bench.clock.jump(-HOUR_MS)
  const two = await bench.start({ jobs })
  const { id } = await two.ada.submit(timed)
  await beating(host, claim, LEASE_MS)
  expect((await ada.get(id)).status).toBe('c')
  expect(await codeOf(agents.done(claim))).toBe('ok')
})

test('an engine that cannot read the heartbeats of others goes on with its own', async () => {
  const bench = new Bench()
  const { faults } = await bench.start({ jobs, sweep: '1h' })
  const before = faults.calls('beat')
  faults.plan('lastBeat', ...Array<'refused'>(100).fill('refused'))
  await bench.clock.advance(10 * HEARTBEAT_MS)
  expect(faults.calls('beat') - before).toBe(10)
})
