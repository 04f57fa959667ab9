import { JobchartError } from 'jobchart'
import { createAgent } from 'jobchart/agents'
import { describe, expect, test } from 'vitest'
import { all, LEASE_MS, open } from './bench.ts'

describe('an engine that is away', () => {
  test('at the start is tried until it answers', async () => {
    const { clock, agent, submit, code } = await open()
    const one = agent()
    one.connection.mode = 'away'
    let isStarted = false
    const start = one.start().then(() => {
      isStarted = true
    })
    await clock.advance(60_000)
    expect(isStarted).toBe(false)
    one.connection.mode = 'up'
    await clock.advance(30_000)
    await start
    await submit()
    expect(code.runs.length).toBe(1)
  })

  test('is tried less and less often, at most every 30 s', async () => {
    const { clock, agent } = await open()
    let tries = 0
    const { connection } = agent()
    const one = createAgent({
      clock,
      functions: [{ name: 'a', run: () => 1 }],
      transport: {
        ...connection.transport,
        register: async () => {
          tries++
          throw new Error('connection refused')
        },
      },
    })
    const start = one.start().catch((error: unknown) => error)
    await clock.advance(60 * 60_000)
    // 3,600 s in delays of 15 s on average.
    expect(tries).toBeGreaterThan(150)
    expect(tries).toBeLessThan(400)
    await one.stop()
    expect(await start).toMatchObject({ code: 'ENGINE_STOPPED' })
  })

  test('for longer than a lease, and then starts again, gets the end of the task that has gone on', async () => {
    const { clock, agent, engine, submit, view, code } = await open()
    await agent().start()
    const id = await submit()
    await engine.stop({ timeout: 0 })
    await clock.advance(3 * LEASE_MS)
    expect(code.last.context.signal.aborted).toBe(false)
    code.last.finish('made meanwhile')
    await clock.advance(1_000)
    await engine.start()
    await clock.advance(LEASE_MS)
    expect(code.runs.length).toBe(1)
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'made meanwhile' } })
  })

  test('and has forgotten the agent is told again who it is', async () => {
    const { clock, agent, replace, submit, code } = await open()
    const one = agent()
    await one.start()
    await submit(1)
    await replace()
    await clock.advance(2 * LEASE_MS)
    expect(code.last.context.signal.reason).toMatchObject({ code: 'STALE_CLAIM' })
    code.last.finish()
    await submit(2)
    await clock.advance(LEASE_MS)
    expect(code.last.context.input).toBe(2)
  })

  test('while a task reports gets the reports later, once and in order', async () => {
    const { clock, agent, submit, view, session } = await open()
    const one = agent({
      functions: [
        {
          name: '@viewer/extract',
          run: async ({ step, item, log, progress }) => {
            one.connection.mode = 'away'
            log('one')
            progress(1)
            const first = await step('first', () => 1)
            await item('page', { output: first })
            log('two')
            progress(2)
            return first
          },
        },
      ],
    })
    await one.start()
    const id = await submit()
    await clock.advance(10_000)
    expect((await view(id)).status).toBe('working')
    one.connection.mode = 'up'
    await clock.advance(60_000)
    expect(await view(id)).toMatchObject({ status: 'done', progress: { completed: 2 } })
    expect((await all(session.logs(id))).map(({ text }) => text)).toEqual(['one', 'two'])
    expect(one.connection.count('step')).toBe(1)
  })

  test('for longer than a lease loses the task: the code stops, and what it reports does not count', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent({ id: 'a1' })
    await one.start()
    const id = await submit()
    const first = code.last
    one.connection.mode = 'away'
    await clock.advance(2 * LEASE_MS)
    await agent({ id: 'a2' }).start()
    await clock.settle()
    expect(code.runs.length).toBe(2)
    one.connection.mode = 'up'
    await clock.advance(LEASE_MS)
    expect(first.context.signal.reason).toMatchObject({ code: 'STALE_CLAIM' })
    await expect(first.context.step('late', () => 1)).rejects.toMatchObject({ code: 'STALE_CLAIM' })
    first.finish('late')
    await clock.settle()
    expect((await view(id)).status).toBe('working')
    code.last.finish('in time')
    await clock.settle()
    expect((await view(id)).output).toMatchObject({ output: 'in time' })
    expect(one.running()).toEqual([])
  })

  test('when the task ends, and lets its lease end before it hears of that, refuses the late end', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    one.connection.mode = 'away'
    code.last.finish('late')
    await clock.advance(2 * LEASE_MS)
    expect((await view(id)).status).toBe('working')
    one.connection.mode = 'up'
    await clock.advance(LEASE_MS)
    // The agent has claimed the task again.
    expect(code.runs.length).toBe(2)
    expect((await view(id)).status).toBe('working')
  })

  test('lets a step fail once the task is told to stop', async () => {
    const { clock, agent, submit, session, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    await session.send(id, { type: 'LEAVE' })
    await clock.settle()
    one.connection.mode = 'away'
    const step = code.last.context.step('late', () => 1).catch((error: unknown) => error)
    await clock.settle()
    expect(await step).toMatchObject({ message: 'fetch failed' })
  })
})

describe('a connection that loses answers', () => {
  test('stores each line once, although the agent sends it again', async () => {
    const { clock, agent, submit, session, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    one.connection.mode = 'deaf'
    code.last.context.log('first')
    await clock.advance(5_000)
    expect(one.connection.count('log')).toBeGreaterThan(1)
    one.connection.mode = 'up'
    code.last.context.log('second')
    code.last.finish('over')
    await clock.advance(5_000)
    const lines = []
    for await (const { text } of session.logs(id)) lines.push(text)
    expect(lines).toEqual(['first', 'second'])
  })

  test('lets the agent repeat what may be repeated, and not an event', async () => {
    const { clock, agent, submit, view } = await open()
    const outcomes: unknown[] = []
    const one = agent({
      functions: [
        {
          name: '@viewer/extract',
          run: async ({ step, item, send }) => {
            one.connection.mode = 'deaf'
            const up = () => {
              one.connection.mode = 'up'
            }
            clock.timer(5_000, up)
            outcomes.push(await step('first', () => 'recorded'))
            one.connection.mode = 'deaf'
            outcomes.push(await send({ type: 'SAY', value: 'heard' }).catch((error: JobchartError) => error.code))
            clock.timer(5_000, up)
            await item('page')
            one.connection.mode = 'deaf'
            clock.timer(5_000, up)
            return 'made'
          },
        },
      ],
    })
    await one.start()
    const id = await submit()
    await clock.advance(120_000)
    expect(outcomes).toEqual(['recorded', 'OUTCOME_UNKNOWN'])
    expect(one.connection.count('event')).toBe(1)
    expect(one.connection.count('step')).toBeGreaterThan(1)
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'made', said: 'heard' } })
    expect(one.running()).toEqual([])
  })

  test('of a claim does not lose the task', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent()
    await one.start()
    one.connection.mode = 'deaf'
    const id = await submit()
    await clock.advance(3 * LEASE_MS)
    one.connection.mode = 'up'
    await clock.advance(3 * LEASE_MS)
    code.last.finish('made')
    await clock.settle()
    expect(await view(id)).toMatchObject({ status: 'done' })
  })

  test('and never answers is given up after a while', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    one.connection.mode = 'silent'
    code.last.finish('made')
    await clock.advance(5_000)
    one.connection.mode = 'up'
    await clock.advance(20_000)
    expect((await view(id)).status).toBe('working')
    await clock.advance(6_000)
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'made' } })
    expect(code.runs.length).toBe(1)
  })

  test('and does not answer a heartbeat loses no lease', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    for (let round = 0; round < 4; round++) {
      await clock.advance(LEASE_MS / 3 - 1)
      one.connection.mode = 'silent'
      await clock.advance(2)
      one.connection.mode = 'up'
      await clock.advance(LEASE_MS - 1)
    }
    code.last.finish('made')
    await clock.settle()
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'made' } })
  })
})

describe('a connection that loses a request', () => {
  test.each([2, 3, 4])('of heartbeat %i loses no lease', async (lost) => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent()
    const { heartbeat } = one.connection.transport
    let beats = 0
    const losing: typeof heartbeat = (...given) => (++beats === lost ? new Promise(() => {}) : heartbeat(...given))
    Object.assign(one.connection.transport, { heartbeat: losing })
    await one.start()
    const id = await submit()
    await clock.advance(3 * LEASE_MS)
    code.last.finish('made')
    await clock.settle()
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'made' } })
  })
})

describe('a refusal', () => {
  test('at the start rejects, and the agent can be started again', async () => {
    const { agent, engine, clock, submit, code } = await open()
    const { credential, id } = await engine.system.agents.enroll({ id: 'e1', pools: ['linux'] })
    const served = await engine.authenticateAgent(credential)
    const one = agent({ transport: served.agents, pools: ['windows'] })
    await expect(one.start()).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(one.start()).rejects.toThrow('may not join pool "windows"')
    const two = agent({ transport: served.agents, pools: ['linux'] })
    await two.start()
    expect((await engine.system.agents.list()).items).toMatchObject([{ id, pools: ['linux'] }])
    await submit()
    await clock.settle()
    expect(code.runs.length).toBe(1)
  })

  test('is not tried again by a report', async () => {
    const { clock, agent, submit, code } = await open()
    const one = agent()
    await one.start()
    await submit()
    await expect(code.last.context.item('')).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    await expect(code.last.context.step('x', () => 'y'.repeat(2_000_000))).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
    })
    await clock.advance(60_000)
    expect([one.connection.count('item'), one.connection.count('step')]).toEqual([1, 0])
  })

  test('of all calls, because the agent was revoked, is logged and does not end the program', async () => {
    const { clock, agent, submit, code, session } = await open()
    const logged: string[] = []
    const log = (_: object, message: string) => logged.push(message)
    const one = agent({ concurrency: 2, logger: { debug: log, info: log, warn: log, error: log } })
    const transport = one.connection.transport
    const forbidden = async (): Promise<never> => {
      throw new JobchartError('FORBIDDEN', 'the agent was revoked')
    }
    await one.start()
    await submit()
    await session.agents.revoke('a1')
    Object.assign(transport, { register: forbidden, claim: forbidden, heartbeat: forbidden })
    await clock.advance(10 * 60_000)
    expect(logged).toContain('a call of the agent was refused')
    expect(logged.length).toBeLessThan(200)
    expect(code.runs.length).toBe(1)
  })
})

describe('log lines and progress', () => {
  test('are sent in few calls', async () => {
    const { clock, agent, submit, session, view } = await open()
    const one = agent({
      functions: [
        {
          name: '@viewer/extract',
          run: ({ log, progress }) => {
            for (let line = 1; line <= 2_500; line++) log(`line ${line}`)
            for (let part = 1; part <= 2_500; part++) progress(part)
          },
        },
      ],
    })
    await one.start()
    const id = await submit()
    await clock.advance(1_000)
    expect(one.connection.count('log')).toBe(3)
    expect(one.connection.count('progress')).toBeLessThan(3)
    const lines = await all(session.logs(id))
    expect([lines.length, lines.at(-1)?.text]).toEqual([2_500, 'line 2500'])
    expect((await view(id)).progress).toMatchObject({ completed: 2_500 })
  })

  test('that the engine does not take are bounded, and the log says how many are missing', async () => {
    const { clock, agent, submit, session, code } = await open()
    const one = agent()
    await one.start()
    const id = await submit()
    one.connection.mode = 'away'
    for (let line = 1; line <= 2_000; line++) code.last.context.log('x'.repeat(10_000))
    await clock.advance(2_000)
    one.connection.mode = 'up'
    await clock.advance(60_000)
    const lines = await all(session.logs(id))
    expect(lines.length).toBeLessThan(500)
    expect(lines.at(-1)?.text).toBe(
      `${2_000 - lines.length + 1} lines are missing here: the engine did not take them fast enough`,
    )
    code.last.context.log('after')
    await clock.advance(1_000)
    expect((await all(session.logs(id))).at(-1)?.text).toBe('after')
  })

  test('of progress that is no number gives one line in the log', async () => {
    const { clock, agent, submit, session, code } = await open()
    await agent().start()
    const id = await submit()
    code.last.context.progress(Number.NaN)
    code.last.context.progress(-1)
    await clock.settle()
    expect((await all(session.logs(id))).map(({ text }) => text)).toEqual([
      'progress should be finite numbers from 0; ignored: completed NaN',
    ])
  })
})
