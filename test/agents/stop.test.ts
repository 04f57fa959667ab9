import { describe, expect, test } from 'vitest'
import { open } from './bench.ts'

describe('stop', () => {
  test('claims no more tasks, and waits for those that run', async () => {
    const { clock, agent, submit, view, code } = await open()
    const one = agent({ concurrency: 2 })
    await one.start()
    const first = await submit(1)
    const stopped = one.stop()
    const second = await submit(2)
    await clock.advance(5_000)
    code.last.finish('made')
    await clock.settle()
    await stopped
    expect((await view(first)).status).toBe('done')
    expect((await view(second)).status).toBe('working')
    expect(code.runs.length).toBe(1)
  })

  test('tells code to stop after the timeout; an output still counts, an error gives the task back', async () => {
    const { clock, agent, submit, view, session, code } = await open()
    const one = agent({ concurrency: 2 })
    await one.start()
    const [first, second] = [await submit(1), await submit(2)]
    const stopped = one.stop({ timeout: '2s' })
    await clock.advance(1_999)
    expect(code.last.context.signal.aborted).toBe(false)
    await clock.advance(1)
    const [made, broken] = code.runs
    expect(made?.context.signal.reason).toMatchObject({ code: 'ENGINE_STOPPED' })
    made?.finish('made')
    broken?.fail(broken.context.signal.reason)
    await clock.settle()
    await stopped
    expect((await view(first)).status).toBe('done')
    const [task] = (await session.get(second)).tasks ?? []
    expect(task).toMatchObject({ status: 'available' })
    await agent({ id: 'a2' }).start()
    await clock.settle()
    expect(code.last.context).toMatchObject({ input: 2, attempt: 1 })
  })

  test('gives back what does not end, within the grace, and another agent runs it', async () => {
    const { clock, agent, submit, code } = await open()
    const one = agent()
    await one.start()
    await submit(1)
    const ignoring = code.last
    const stopped = one.stop({ timeout: 0 })
    await clock.advance(3_000)
    await stopped
    expect(ignoring.killSignal.aborted).toBe(true)
    await agent({ id: 'a2' }).start()
    await clock.settle()
    expect(code.runs.length).toBe(2)
    ignoring.finish('late')
    await clock.settle()
    expect(code.last.context.attempt).toBe(1)
  })

  test('ends although the engine is away, and without a test that moves the clock', async () => {
    const { agent, submit } = await open()
    const one = agent()
    await one.start()
    await submit(1)
    one.connection.mode = 'away'
    await one.stop({ timeout: '1s' })
    await one.stop()
  })

  test('leaves no timer, and the agent can be started again', async () => {
    const { clock, agent, engine, submit, code } = await open()
    const one = agent()
    await one.stop()
    await one.start()
    await submit(1)
    code.last.finish()
    await clock.settle()
    await one.stop()
    await one.start()
    await one.start()
    await submit(2)
    expect(code.last.context.input).toBe(2)
    code.last.finish()
    await clock.settle()
    await one.stop()
    await engine.stop()
    expect(clock.pendingTimers()).toBe(0)
  })
})
