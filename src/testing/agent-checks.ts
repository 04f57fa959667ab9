/** The checks of `agentConformance`. */
import assert from 'node:assert/strict'
import { type ErrorCode, JobchartError } from 'jobchart'
import type { AgentTransport, ClaimKey } from '../port/agent.ts'
import { type AgentBench, LEASE_MS, VALUE } from './agent-bench.ts'

type Check = (bench: AgentBench) => Promise<void>

/** The checks by name. Each name begins with the number of the guarantee. */
export const agentChecks: { readonly [name: string]: Check } = {
  'AG1 every report arrives with its values': async (bench) => {
    const { agent, task, claim } = await bench.claimed(VALUE)
    assert.deepEqual(task.input, VALUE)
    assert.deepEqual([task.function, task.task, task.attempt, task.leaseMs], ['work', 'work', 1, LEASE_MS])
    await agent.started(claim)
    await agent.progress(claim, { completed: 1, total: 3 })
    await agent.log(claim, [{ text: 'one' }, { text: 'two', stream: 'stderr' }])
    await agent.item(claim, 'part', { status: 'failed', message: 'broken', output: VALUE })
    await agent.step(claim, 'first', VALUE)
    await agent.step(claim, 'second')
    await agent.event(claim, { type: 'SAY', value: VALUE })
    await agent.done(claim, VALUE)
    const session = await bench.session()
    const { output, progress } = await session.get(task.job.id)
    assert.deepEqual(output, { output: VALUE, said: VALUE })
    assert.deepEqual([progress?.completed, progress?.total], [1, 3])
    const lines = await all(session.logs(task.job.id))
    assert.deepEqual(
      lines.map(({ text, stream }) => [text, stream]),
      [
        ['one', undefined],
        ['two', 'stderr'],
      ],
    )
    const items = await all(session.items(task.job.id))
    assert.deepEqual(
      items.map(({ key, status, message, output: result }) => [key, status, message, result]),
      [['part', 'failed', 'broken', VALUE]],
    )
  },

  'AG1 a later attempt gets the recorded steps': async (bench) => {
    const { agent, claim } = await bench.claimed()
    await agent.step(claim, 'first', VALUE)
    await agent.step(claim, 'second')
    await agent.fail(claim, { name: 'Error', message: 'again' })
    const { steps, attempt } = await bench.claim(agent)
    assert.equal(attempt, 2)
    assert.deepEqual(steps, [{ name: 'first', result: VALUE }, { name: 'second' }])
  },

  'AG1 a report under a token that is not valid changes nothing': async (bench) => {
    const { agent, task, claim } = await bench.claimed()
    const other = await bench.agent('second')
    for (const [who, key] of [
      [agent, { ...claim, token: claim.token + 1 }],
      [agent, { ...claim, job: 'missing' }],
      [other, claim],
    ] as const) {
      for (const report of reportsOf(who, key)) await refused(report(), 'STALE_CLAIM')
    }
    assert.equal((await (await bench.session()).get(task.job.id)).status, 'working')
    await agent.done(claim, 1)
    for (const report of reportsOf(agent, claim)) await refused(report(), 'STALE_CLAIM')
  },

  'AG2 a task goes to one agent, and only to one that has its function': async (bench) => {
    const able = [await bench.agent('first'), await bench.agent('second')]
    const unable = await bench.agent('third', { functions: [{ name: 'other' }] })
    const waiting = [...able, unable].map((agent) => agent.claim({ wait: '5s' }))
    const id = await bench.submit()
    const [first = [], second = [], third = []] = await bench.passing(Promise.all(waiting))
    assert.deepEqual(
      [...first, ...second].map(({ job }) => job.id),
      [id],
    )
    assert.deepEqual(third, [])
  },

  'AG2 a claim that waits resolves without time passing when a task comes': async (bench) => {
    const agent = await bench.agent('first')
    const waiting = agent.claim({ wait: '60s' })
    const id = await bench.submit()
    assert.deepEqual(
      (await waiting).map(({ job }) => job.id),
      [id],
    )
  },

  'AG2 a claim takes no more than it asks for, and nothing if there is nothing': async (bench) => {
    const agent = await bench.agent('first')
    assert.deepEqual(await agent.claim(), [])
    assert.deepEqual(await bench.passing(agent.claim({ wait: '2s' })), [])
    for (let count = 0; count < 5; count++) await bench.submit()
    assert.equal((await bench.passing(agent.claim({ max: 3, wait: '2s' }))).length, 3)
  },

  'AG3 heartbeats keep a claim, and without them it is lost': async (bench) => {
    const { agent, claim, task } = await bench.claimed()
    for (let beat = 0; beat < 4; beat++) {
      await bench.clock.advance(LEASE_MS / 2)
      assert.equal((await agent.heartbeat({ claims: [claim] })).claims[0]?.state, 'held')
    }
    await agent.step(claim, 'still held')
    await bench.clock.advance(2 * LEASE_MS)
    await refused(agent.done(claim, 1), 'STALE_CLAIM')
    assert.equal((await agent.heartbeat({ claims: [claim] })).claims[0]?.state, 'gone')
    const again = await bench.claim(agent)
    assert.deepEqual([again.job.id, again.attempt], [task.job.id, 2])
    assert.ok(again.token > claim.token)
  },

  'AG4 a heartbeat that waits brings a message at once': async (bench) => {
    const { agent, claim, task } = await bench.claimed()
    const waiting = agent.heartbeat({ claims: [claim], wait: '3s' })
    await (await bench.session()).send(task.job.id, { type: 'TELL', value: VALUE })
    const told = { type: 'TOLD', value: VALUE }
    assert.deepEqual((await waiting).claims, [{ ...claim, state: 'held', messages: [told] }])
    const known = await agent.heartbeat({ claims: [{ ...claim, messages: 1 }] })
    assert.deepEqual(known.claims[0]?.messages, [])
  },

  'AG4 a heartbeat that waits brings a stop at once, with its reason': async (bench) => {
    const { agent, claim, task } = await bench.claimed()
    const waiting = agent.heartbeat({ claims: [claim], wait: '3s' })
    await (await bench.session()).send(task.job.id, { type: 'LEAVE' })
    const [told] = (await waiting).claims
    assert.deepEqual([told?.state, told?.reason?.code], ['stopping', 'TASK_STOPPED'])
    const known = await bench.passing(agent.heartbeat({ claims: [{ ...claim, state: 'stopping' }], wait: '1s' }))
    assert.equal(known.claims[0]?.state, 'stopping')
    await agent.fail(claim, null)
  },

  'AG5 what the chart does not take is refused, and the claim stays valid': async (bench) => {
    const { agent, claim, task } = await bench.claimed()
    await refused(agent.event(claim, { type: 'NEVER' }), 'INVALID_STATE')
    await agent.done(claim, 1)
    assert.equal((await (await bench.session()).get(task.job.id)).status, 'done')
  },

  'AG5 a refusal has its code, its message and its issues': async (bench) => {
    const agent = await bench.connected('first')
    await refused(agent.claim(), 'FORBIDDEN')
    const error = await refused(agent.register({ functions: [] }), 'INVALID_INPUT')
    assert.match(error.message, /functions/)
    assert.deepEqual(error.issues?.[0]?.path, ['functions'])
  },

  'AG1 the items of a batch arrive with their values, and can be read': async (bench) => {
    const { agent, task, claim } = await bench.claimedBatch()
    const error = { name: 'Error', message: 'broken' }
    const counts = { total: 3, completed: 0, failed: 0, skipped: 0 }
    const begun = { counts, running: 2, begun: 2 }
    const added = [1, 2, 3].map((index) => ({ index, key: `item-${index}`, input: VALUE }))
    await agent.items(claim, { ...begun, added, ended: [] })
    const completed = { index: 1, status: 'completed', attempts: 1, output: VALUE } as const
    const failed = { index: 2, status: 'failed', attempts: 2, error } as const
    const after = { counts: { ...counts, completed: 1, failed: 1 }, running: 0, begun: 2 }
    // The second call repeats the first one, as after a lost answer.
    await agent.items(claim, { ...after, added: [], ended: [completed, failed] })
    await agent.items(claim, { ...after, added: [], ended: [completed, failed] })
    // The progress of a batch is the counts of its items, so this is ignored.
    await agent.progress(claim, { completed: 7, total: 9 })
    const recorded = await agent.recordedItems(claim, { from: 1, to: 2 })
    assert.deepEqual(
      recorded.map(({ index, key, status }) => [index, key, status]),
      [
        [1, 'item-1', 'completed'],
        [2, 'item-2', 'failed'],
      ],
    )
    assert.deepEqual(await agent.itemKeys(claim, ['item-3', 'no such item']), [{ key: 'item-3', index: 3 }])
    const session = await bench.session()
    const items = await all(session.items(task.job.id))
    assert.deepEqual(
      items.map(({ key, status, output, error: said }) => [key, status, output, said?.message]),
      [
        ['item-1', 'completed', VALUE, undefined],
        ['item-2', 'failed', undefined, 'broken'],
        ['item-3', 'waiting', undefined, undefined],
      ],
    )
    const { progress } = await session.get(task.job.id)
    assert.deepEqual([progress?.total, progress?.completed, progress?.failed], [3, 1, 1])
  },

  'AG1 lines that are sent twice under one number are added once': async (bench) => {
    const { agent, task, claim } = await bench.claimed()
    await agent.log(claim, [{ text: 'one' }], 1)
    await agent.log(claim, [{ text: 'one' }], 1)
    await agent.log(claim, [{ text: 'one' }], 2)
    const lines = await all((await bench.session()).logs(task.job.id))
    assert.deepEqual(
      lines.map(({ text }) => text),
      ['one', 'one'],
    )
  },

  'AG6 calls take effect in their order': async (bench) => {
    const { agent, claim, task } = await bench.claimed()
    const texts = Array.from({ length: 20 }, (_, index) => `line ${index}`)
    for (const text of texts) await agent.log(claim, [{ text }])
    for (const value of texts) await agent.event(claim, { type: 'SAY', value })
    await agent.done(claim, null)
    const session = await bench.session()
    assert.deepEqual(
      (await all(session.logs(task.job.id))).map(({ text }) => text),
      texts,
    )
    assert.deepEqual((await session.get(task.job.id)).output, { output: null, said: 'line 19' })
  },

  'AG6 calls are answered while another call of the agent waits': async (bench) => {
    const { agent, claim } = await bench.claimed()
    const waiting = agent.claim({ wait: '60s' })
    await agent.step(claim, 'meanwhile')
    await agent.done(claim, null)
    await bench.submit()
    assert.equal((await waiting).length, 1)
  },

  'AG7 an aborted call ends, and takes no task': async (bench) => {
    const [agent, other] = [await bench.agent('first'), await bench.agent('second')]
    const abort = new AbortController()
    const waiting = agent.claim({ wait: '60s' }, { signal: abort.signal })
    const beating = agent.heartbeat({ claims: [], wait: '60s' }, { signal: abort.signal })
    abort.abort(new Error('stopped'))
    await assert.rejects(waiting)
    await assert.rejects(beating)
    await assert.rejects(agent.claim({}, { signal: abort.signal }))
    const id = await bench.submit()
    assert.equal((await bench.claim(other)).job.id, id)
  },
}

/** Every report on a claim. */
function reportsOf(agent: AgentTransport, claim: ClaimKey): readonly (() => Promise<void>)[] {
  return [
    () => agent.started(claim),
    () => agent.progress(claim, 1),
    () => agent.log(claim, [{ text: 'late' }]),
    () => agent.item(claim, 'late'),
    () => agent.step(claim, 'late'),
    () => agent.event(claim, { type: 'SAY', value: 'late' }),
    () => agent.done(claim),
    () => agent.fail(claim, null),
    () => agent.exit(claim, 0),
    () => agent.release(claim),
  ]
}

async function refused(call: Promise<unknown>, code: ErrorCode): Promise<JobchartError> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof JobchartError, `the call should be refused with ${code}`)
  assert.equal(error.code, code)
  return error
}

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}
