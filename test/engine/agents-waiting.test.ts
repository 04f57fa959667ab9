import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, test } from 'vitest'

const extract = defineJob({ type: 'extract', agent: { function: 'extract' } })

async function open() {
  const clock = virtualClock()
  const engine = await createEngine({ jobs: [extract], storage: memoryStorage(), clock })
  onTestFinished(async () => await engine.stop({ timeout: 0 }))
  const agent = async (id: string) => {
    const { agents } = engine.asAgent({ id })
    await agents.register({ functions: [{ name: 'extract' }] })
    return agents
  }
  return { clock, engine, agent }
}

describe('a call of an agent that waits', () => {
  test('ends at once if it was aborted before it began to wait, and takes no task', async () => {
    const { clock, engine, agent } = await open()
    const [one, other] = [await agent('a1'), await agent('a2')]
    const abort = new AbortController()
    const claim = one.claim({ wait: '60s' }, { signal: abort.signal })
    const beat = one.heartbeat({ claims: [], wait: '60s' }, { signal: abort.signal })
    abort.abort(new Error('closed'))
    await expect(claim).rejects.toThrow('closed')
    await expect(beat).rejects.toThrow('closed')
    const { id } = await engine.system.submit(extract)
    await clock.settle()
    expect((await other.claim()).map(({ job }) => job.id)).toEqual([id])
  })

  test('ends if the engine stops before it began to wait', async () => {
    const { engine, agent } = await open()
    const one = await agent('a1')
    const calls = [one.claim({ wait: '60s' }), one.heartbeat({ claims: [], wait: '60s' })]
    const ends = Promise.allSettled(calls)
    await engine.stop()
    expect((await ends).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  test('brings no task if the agent was revoked meanwhile, and another agent gets the task', async () => {
    const { clock, engine, agent } = await open()
    const [one, other] = [await agent('a1'), await agent('a2')]
    const claim = one.claim({ wait: '60s' }).catch((error: unknown) => error)
    await clock.settle()
    await engine.system.agents.revoke('a1')
    const { id } = await engine.system.submit(extract)
    expect(await claim).toMatchObject({ code: 'FORBIDDEN' })
    const [task] = await other.claim({ wait: '1s' })
    expect(task).toMatchObject({ job: { id }, attempt: 1 })
  })
})
