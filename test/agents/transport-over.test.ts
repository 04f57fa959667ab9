import { JobchartError } from 'jobchart'
import { type AgentAnswer, type AgentRequest, answerAgent, transportOver } from 'jobchart/agents'
import type { AgentTransport } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { open } from './bench.ts'

const claim = { job: 'j1', token: 7 }

describe('transportOver', () => {
  test('sends the name of the call, and its arguments by name', async () => {
    const sent: AgentRequest[] = []
    const transport = transportOver(async (request): Promise<AgentAnswer> => {
      sent.push(request)
      return { ok: true }
    })
    const { signal } = new AbortController()
    await transport.register({ functions: [{ name: 'a' }] }, { signal })
    await transport.claim({ max: 2, wait: '30s' }, { signal })
    await transport.claim()
    await transport.heartbeat({ claims: [claim] }, { signal })
    await transport.step(claim, 'read')
    await transport.item(claim, 'page', { status: 'failed' })
    await transport.done(claim, null)
    await transport.fail(claim, { message: 'odd' }, { isFinal: true })
    expect(sent).toEqual([
      { call: 'register', registration: { functions: [{ name: 'a' }] } },
      { call: 'claim', options: { max: 2, wait: '30s' } },
      { call: 'claim' },
      { call: 'heartbeat', beat: { claims: [claim] } },
      { call: 'step', claim, name: 'read' },
      { call: 'item', claim, key: 'page', report: { status: 'failed' } },
      { call: 'done', claim, output: null },
      { call: 'fail', claim, error: { message: 'odd' }, options: { isFinal: true } },
    ])
  })

  test('rejects with the typed error of a refusal', async () => {
    const issues = [{ message: 'too small', path: ['max'] }]
    const transport = transportOver(async () => ({
      ok: false,
      code: 'INVALID_INPUT',
      message: 'wrong',
      issues,
      jobId: 'j1',
    }))
    const error = await transport.claim().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(JobchartError)
    expect(error).toMatchObject({ code: 'INVALID_INPUT', message: 'wrong', issues, jobId: 'j1' })
  })

  test.each([undefined, null, 'Bad Gateway', {}, { ok: 'yes' }, []])(
    'rejects an answer that is none, %o, with an error after which the agent tries again',
    async (answer) => {
      const transport = transportOver(async () => answer as never)
      const error = await transport.claim().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(Error)
      expect(error).not.toBeInstanceOf(JobchartError)
    },
  )
})

describe('answerAgent', () => {
  test.each([
    undefined,
    null,
    'claim',
    {},
    { call: 'steal' },
    { call: 'constructor' },
    { call: '__proto__' },
    { call: 'list' },
    { call: 'enroll', options: {} },
    { call: 'claim', wait: '1s' },
    { call: 'done', claim, signal: {} },
  ])('refuses %o', async (request) => {
    const { engine } = await open()
    const { agents } = engine.asAgent({ id: 'a1' })
    expect(await answerAgent(agents, request)).toMatchObject({ ok: false, code: 'INVALID_INPUT' })
  })

  test('refuses arguments of the wrong kind as the engine does', async () => {
    const { engine } = await open()
    const { agents } = engine.asAgent({ id: 'a1' })
    await agents.register({ functions: [{ name: 'a' }] })
    for (const request of [
      { call: 'register' },
      { call: 'claim', options: { max: 'many' } },
      { call: 'heartbeat', beat: [] },
      { call: 'started' },
      { call: 'log', claim, lines: 'x' },
      { call: 'fail', claim, error: null, options: { isFinal: 1 } },
      { call: 'exit', claim, exitCode: '0' },
    ]) {
      expect(await answerAgent(agents, request)).toMatchObject({ ok: false, code: 'INVALID_INPUT' })
    }
    expect(await answerAgent(agents, { call: 'done', claim })).toMatchObject({ ok: false, code: 'STALE_CLAIM' })
  })

  test('does not show errors that are not typed', async () => {
    const fails = async () => Promise.reject(new Error('SELECT secret'))
    const broken = { register: fails, claim: fails } as unknown as AgentTransport
    expect(await answerAgent(broken, { call: 'claim' })).toEqual({
      ok: false,
      code: 'OUTCOME_UNKNOWN',
      message: 'the engine could not answer',
    })
  })

  test('refuses a session in place of its calls of an agent', async () => {
    const session = { agents: {} } as never
    await expect(answerAgent(session, { call: 'claim' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('session.agents'),
    })
  })
})
