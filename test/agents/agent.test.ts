import { NonRetryableError } from 'jobchart'
import { createAgent } from 'jobchart/agents'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { all, LEASE_MS, open } from './bench.ts'

describe('the code of a task', () => {
  test('gets the same context as in the process of the engine', async () => {
    const { clock, agent, session, submit, view } = await open()
    const seen: unknown[] = []
    await agent({
      functions: [
        {
          name: '@viewer/extract',
          run: async ({
            input,
            attempt,
            job,
            idempotencyKey,
            signal,
            progress,
            log,
            item,
            step,
            send,
            inbox,
            reported,
          }) => {
            seen.push(input, attempt, job.type, idempotencyKey, signal.aborted, reported)
            progress({ completed: 1, total: 2 })
            log('began')
            await item('page 1', { status: 'failed', message: 'blank', output: [1] })
            seen.push(await step('read', ({ key }) => key.endsWith('/work/1:read')))
            seen.push(await send({ type: 'SAY', value: 'half' }), await send({ type: 'NEVER' }))
            for await (const message of inbox) return [message]
            return 'nothing came'
          },
        },
      ],
    }).start()
    const id = await submit({ file: 'a.zip' })
    await session.send(id, { type: 'TELL', value: 'go on' })
    await clock.settle()
    expect(await view(id)).toMatchObject({
      status: 'done',
      output: { output: [{ type: 'TOLD', value: 'go on' }], said: 'half' },
      progress: { completed: 1, total: 2 },
    })
    expect(seen).toEqual([{ file: 'a.zip' }, 1, 'extraction', `${id}/work/1`, false, undefined, true, true, false])
    expect((await all(session.logs(id))).map(({ text }) => text)).toEqual(['began'])
    expect(await all(session.items(id))).toMatchObject([{ key: 'page 1', status: 'failed', output: [1] }])
  })

  test('of a later attempt gets the recorded steps and the progress, and does not run a step again', async () => {
    const { clock, agent, submit, view } = await open()
    const seen: unknown[] = []
    await agent({
      functions: [
        {
          name: '@viewer/extract',
          run: async ({ step, attempt, progress, reported }) => {
            seen.push(await step('once', () => attempt), reported?.completed)
            progress(attempt)
            if (attempt < 3) throw new Error('again')
            return null
          },
        },
      ],
    }).start()
    const id = await submit()
    await clock.advance(1_000)
    expect((await view(id)).status).toBe('done')
    expect(seen).toEqual([1, undefined, 1, 1, 1, 2])
  })

  test('gets its input as its schema parses it, and fails if the input or the output does not fit', async () => {
    const { clock, agent, submit, view } = await open()
    const input = z.object({ pages: z.coerce.number() }).nullable()
    const run = ({ input: given }: { input: z.infer<typeof input> }) => given?.pages ?? 'none'
    const functions = [{ name: '@viewer/extract', input, output: z.number(), run }]
    await agent({ functions: functions as never, concurrency: 5 }).start()
    const ids = await Promise.all([submit({ pages: '3' }), submit({ sheets: 3 }), submit(null)])
    await clock.advance(1_000)
    const [good, misfit, bad] = await Promise.all(ids.map(view))
    expect(good?.output).toEqual({ output: 3, said: null })
    expect(misfit).toMatchObject({ status: 'failed', error: { code: 'INVALID_INPUT' } })
    expect(misfit?.error?.message).toMatch(/^input does not fit its schema: pages/)
    expect(bad?.error?.message).toMatch(/^output does not fit its schema/)
  })

  test('of the version for which a task asks runs, and the first one if it asks for none', async () => {
    const { clock, agent, submit, view } = await open()
    const versions = ['2', '2.1', '3'].map((version) => ({ name: '@viewer/extract', version, run: () => version }))
    await agent({ functions: versions, concurrency: 5 }).start()
    const ids = await Promise.all([
      submit({ version: '2.1' }),
      submit({ version: '3' }),
      submit(),
      submit({ version: '4' }),
    ])
    await clock.advance(1_000)
    const views = await Promise.all(ids.map(view))
    expect(views.map(({ status, output }) => [status, output])).toEqual([
      ['done', { output: '2.1', said: null }],
      ['done', { output: '3', said: null }],
      ['done', { output: '2', said: null }],
      ['working', undefined],
    ])
  })

  test('that throws is retried; a final error is not; an ExitError is the exit of a program', async () => {
    const { clock, agent, submit, view, code } = await open()
    await agent().start()
    const first = await submit()
    code.last.fail(Object.assign(new TypeError('odd'), { code: 'ODD' }))
    await clock.advance(100)
    code.last.fail(new NonRetryableError('never'))
    await clock.advance(100)
    expect(code.runs.length).toBe(2)
    expect(await view(first)).toMatchObject({
      status: 'failed',
      error: { name: 'NonRetryableError', message: 'never' },
    })
    const second = await submit()
    for (let attempt = 1; attempt <= 3; attempt++) {
      code.last.fail(Object.assign(new Error('tar: no such file'), { name: 'ExitError', exitCode: 2 }))
      await clock.advance(100)
    }
    expect(await view(second)).toMatchObject({
      status: 'failed',
      exitCode: 2,
      error: { name: 'ExitError', message: 'tar: no such file' },
    })
  })

  test('that returns what cannot be stored fails, and is not retried', async () => {
    const { clock, agent, submit, view, code } = await open()
    await agent().start()
    const id = await submit()
    code.last.finish(new Map())
    await clock.advance(1_000)
    expect(code.runs.length).toBe(1)
    expect(await view(id)).toMatchObject({ status: 'failed', error: { code: 'NOT_STORABLE' } })
  })

  test('whose output the chart does not take fails with that error', async () => {
    const { clock, agent, submit, view, code } = await open()
    await agent().start()
    const id = await submit()
    for (let attempt = 1; attempt <= 3; attempt++) {
      code.last.finish('not wanted')
      await clock.advance(100)
    }
    expect(await view(id)).toMatchObject({ status: 'failed', error: { code: 'INVALID_STATE' } })
  })

  test('that does not await its calls never ends the process', async () => {
    const { clock, agent, submit, session, view } = await open()
    await agent({
      functions: [
        {
          name: '@viewer/extract',
          run: ({ send, item }) => {
            void send({ type: 'LEAVE' })
            void item('')
            return 'done'
          },
        },
      ],
    }).start()
    const id = await submit()
    await clock.settle()
    expect((await view(id)).status).toBe('done')
    expect((await all(session.logs(id))).map(({ text }) => text).sort()).toEqual([
      'item "": an item should have a key of 1 to 2,000 characters',
      'what was sent: a task of job type "extraction" may not send "LEAVE"',
    ])
  })

  test('that returns while a step still runs fails, and the step is told to stop', async () => {
    const { clock, agent, submit, view } = await open()
    let isStopped = false
    await agent({
      functions: [
        {
          name: '@viewer/extract',
          run: ({ step }) => {
            void step(
              'long',
              ({ signal }) =>
                new Promise<null>((resolve) =>
                  signal.addEventListener('abort', () => {
                    isStopped = true
                    resolve(null)
                  }),
                ),
            )
            return 'done'
          },
        },
      ],
    }).start()
    const id = await submit()
    await clock.settle()
    expect(await view(id)).toMatchObject({ status: 'failed', error: { code: 'STEP_NOT_AWAITED' } })
    expect(isStopped).toBe(true)
  })
})

describe('claims', () => {
  test('are no more than the concurrency, and the next task begins when one has ended', async () => {
    const { clock, agent, submit, code } = await open()
    const one = agent({ concurrency: 2 })
    await one.start()
    const ids = [await submit(1), await submit(2), await submit(3)]
    expect(code.runs.map(({ context }) => context.input)).toEqual([1, 2])
    expect(one.running()).toMatchObject([
      { job: { id: ids[0], type: 'extraction' }, function: '@viewer/extract', attempt: 1, state: 'held' },
      { job: { id: ids[1] } },
    ])
    code.runs[0]?.finish()
    await clock.settle()
    expect(code.runs.map(({ context }) => context.input)).toEqual([1, 2, 3])
  })

  test('are kept by heartbeats, however long the task takes', async () => {
    const { clock, agent, submit, view, code } = await open()
    await agent().start()
    const id = await submit()
    await clock.advance(10 * LEASE_MS)
    code.last.finish('late')
    await clock.settle()
    expect(code.runs.length).toBe(1)
    expect(await view(id)).toMatchObject({ status: 'done', output: { output: 'late' } })
  })

  test('of a function that the agent no longer has are given back, and are not claimed again and again', async () => {
    const { clock, agent, engine, submit, view, code } = await open()
    const one = agent({ functions: [{ name: 'other', run: () => 1 }] })
    await one.start()
    // Another program uses the same id.
    await engine.asAgent({ id: 'a1' }).agents.register({ functions: [{ name: '@viewer/extract' }] })
    const id = await submit()
    await clock.advance(60_000)
    await agent({ id: 'a2' }).start()
    await clock.settle()
    expect(one.connection.count('release')).toBeLessThan(3)
    code.last.finish(1)
    await clock.settle()
    expect(await view(id)).toMatchObject({ status: 'done' })
  })
})

describe('news of the engine', () => {
  test('stops the code at once when the chart leaves, and the agent takes the next task', async () => {
    const { clock, agent, submit, session, code, view } = await open()
    await agent().start()
    const id = await submit(1)
    await submit(2)
    await session.send(id, { type: 'LEAVE' })
    await clock.settle()
    const { signal } = code.last.context
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toMatchObject({ code: 'TASK_STOPPED' })
    code.last.fail(signal.reason)
    await clock.settle()
    expect(code.last.context.input).toBe(2)
    expect((await view(id)).status).toBe('left')
  })

  test('reaches a task that was claimed while a heartbeat waited', async () => {
    const { clock, agent, submit, session, code } = await open()
    await agent({ concurrency: 2 }).start()
    await submit(1)
    await clock.advance(1_000)
    const id = await submit(2)
    await session.send(id, { type: 'LEAVE' })
    await clock.settle()
    expect(code.runs.map(({ context }) => context.signal.aborted)).toEqual([false, true])
  })

  test('gives each message once, in order', async () => {
    const { clock, agent, submit, session, view } = await open()
    await agent({
      functions: [
        {
          name: '@viewer/extract',
          run: async ({ inbox }) => {
            const values: unknown[] = []
            for await (const { value } of inbox) if (values.push(value) === 5) break
            return values
          },
        },
      ],
    }).start()
    const id = await submit()
    for (let value = 1; value <= 5; value++) {
      await session.send(id, { type: 'TELL', value })
      await clock.advance(value * 50)
    }
    expect((await view(id)).output).toMatchObject({ output: [1, 2, 3, 4, 5] })
  })

  test('says that an attempt takes too long', async () => {
    const { clock, agent, submit, code } = await open()
    await agent().start()
    await submit()
    await clock.advance(10 * 60_000 + 1)
    expect(code.last.context.signal.reason).toMatchObject({ code: 'TIMEOUT' })
  })

  test('kills code that ignores its stop: the job goes on without it, and its room stays taken', async () => {
    const { clock, agent, submit, session, code, view } = await open()
    const one = agent()
    await one.start()
    const id = await submit(1)
    await submit(2)
    await session.send(id, { type: 'LEAVE' })
    await clock.advance(4_000)
    expect(code.last.killSignal.aborted).toBe(false)
    await clock.advance(3_000)
    expect(code.last.killSignal.aborted).toBe(true)
    expect((await session.explain(id)).map(({ kind }) => kind)).not.toContain('running')
    await clock.advance(10 * LEASE_MS)
    expect(code.runs.length).toBe(1)
    code.last.finish()
    await clock.settle()
    expect(code.runs.length).toBe(2)
    expect(await view(id)).toMatchObject({ status: 'left' })
  })
})

describe('createAgent', () => {
  test.each([
    [{ functions: [] }, 'functions should be a list of at least one function'],
    [{ functions: [{ name: 'a' }] }, 'functions.0.run should be a function'],
    [{ functions: [{ name: 'a', run: () => 1, retry: 1 }] }, 'functions.0.retry is not an option'],
    [{ concurrency: 0 }, 'concurrency should be a whole number from 1'],
    [{ concurrency: 1_001 }, 'concurrency should be at most 1000'],
    [{ wait: 1 }, 'wait is not an option of createAgent'],
    [{ transport: {} }, 'transport should be an AgentTransport'],
    [{ claimWait: 'soon' }, 'claimWait should be a duration'],
    [{ claimWait: '5m' }, "claimWait should be from '100ms' to '1m'"],
    [{ claimWait: 60_001 }, "claimWait should be from '100ms' to '1m'"],
    [{ claimWait: 0 }, "claimWait should be from '100ms' to '1m'"],
    [{ pools: 'linux' }, 'pools should be a list of texts'],
    [{ logger: {} }, 'logger should be a logger'],
  ])('refuses %o', async (wrong, message) => {
    const { agent } = await open()
    const { connection } = agent()
    const options = { transport: connection.transport, functions: [{ name: 'a', run: () => 1 }], ...wrong }
    expect(() => createAgent(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
    expect(() => createAgent(options as never)).toThrow(message)
  })
})
