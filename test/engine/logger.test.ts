import { defineJob, type Logger, type Policy, rolePolicy } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, Work } from './bench.ts'

type Line = Readonly<Record<string, unknown>> & { readonly level: string; readonly text: string }

/** A logger that keeps its lines. It is an object with methods, as pino's is. */
class KeptLog implements Logger {
  readonly lines: Line[] = []

  debug(fields: object, message: string): void {
    this.#keep('debug', fields, message)
  }
  info(fields: object, message: string): void {
    this.#keep('info', fields, message)
  }
  warn(fields: object, message: string): void {
    this.#keep('warn', fields, message)
  }
  error(fields: object, message: string): void {
    this.#keep('error', fields, message)
  }

  #keep(level: string, fields: object, text: string): void {
    this.lines.push({ level, text, ...fields })
  }

  of(level: string): readonly Line[] {
    return this.lines.filter((line) => line.level === level)
  }
}

const SECRET = 'hunter2'

describe('a logger', () => {
  test('hears of a failed job by its ids and its error with the stack, without its input', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const type = defineJob({
      type: 'load',
      retry: { limit: 1, backoff: '1s' },
      execute: () => {
        throw Object.assign(new TypeError('no table'), { code: 'E42' })
      },
    })
    const { ada, engine } = await bench.start({ jobs: [type], logger })
    const { id } = await ada.submit(type, { password: SECRET }, { pipeline: 'p', labels: { note: SECRET } })
    await bench.clock.advance(5_000)
    await engine.idle()
    const ids = { jobId: id, jobType: 'load', tenant: 'default', pipeline: 'p' }
    const err = {
      name: 'TypeError',
      message: 'no table',
      code: 'E42',
      stack: expect.stringContaining('logger.test.ts'),
    }
    expect(logger.of('error')).toEqual([{ level: 'error', text: 'a job failed', ...ids, status: 'failed', err }])
    expect(logger.of('warn')).toMatchObject([
      { text: 'an attempt failed and will be retried', ...ids, attempt: 1, err },
    ])
    expect(JSON.stringify(logger.lines)).not.toContain(SECRET)
  })

  test('hears of a job that failed at its start', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const machine = createMachine({
      context: () => {
        throw new Error('no context')
      },
    })
    const type = defineJob({ type: 'm', lifecycle: machine })
    const { ada } = await bench.start({ jobs: [type], logger })
    const { id } = await ada.submit(type, {})
    expect(logger.of('error')).toMatchObject([{ text: 'a job failed', jobId: id, err: { message: 'no context' } }])
  })

  test('hears nothing of jobs that succeed or are cancelled', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type], logger })
    await ada.submit(type, 1)
    const { id } = await ada.submit(type, 2)
    work.run(0).finish(1)
    await ada.cancel(id)
    await bench.clock.settle()
    expect(logger.lines.filter(({ level }) => level !== 'info')).toEqual([])
  })

  test('hears of an abandoned task, a lost engine and a lost attempt', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', killGrace: '100ms', execute: work.execute })
    const one = await bench.start({ jobs: [type] })
    const lost = await one.ada.submit(type, 1)
    await one.crash()
    const logger = new KeptLog()
    const two = await bench.start({ jobs: [type], logger })
    await bench.clock.advance(30_000)
    expect(logger.of('warn')).toMatchObject([
      { text: expect.stringMatching(/engine/), instance: expect.any(String) },
      { text: 'an attempt was lost', jobId: lost.id, task: 'execute', attempt: 1 },
    ])
    await two.ada.cancel(lost.id)
    await bench.clock.advance(30_000)
    expect(logger.of('warn').at(-1)).toMatchObject({
      text: 'a task ignored its stop and was abandoned',
      jobId: lost.id,
    })
  })

  test('hears that the storage fails, and that the engine works again', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada, engine, faults } = await bench.start({ jobs: [type], logger })
    faults.plan('commit', 'refused')
    expect(await codeOf(ada.submit(type, 1))).toBe('STORAGE_UNAVAILABLE')
    await bench.clock.advance(30_000)
    await engine.stop()
    expect(logger.lines.map(({ level, text, status }) => [level, text, status])).toEqual([
      ['info', 'the engine works', 'ok'],
      ['error', 'the storage fails', 'degraded'],
      ['info', 'the engine works', 'ok'],
      ['info', 'the engine has stopped', 'stopped'],
    ])
    expect(logger.of('error')).toMatchObject([{ err: { code: 'STORAGE_UNAVAILABLE' } }])
  })

  test('hears that too much code ignored its stop, which is not a stop of the engine', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const work = new Work()
    const type = defineJob({ type: 'w', killGrace: 1_000, execute: work.execute })
    const { ada } = await bench.start({ jobs: [type], logger, maxAbandoned: 1 })
    const { id } = await ada.submit(type, 1)
    await ada.cancel(id)
    await bench.clock.advance(5_000)
    expect(logger.lines.filter(({ status }) => status !== undefined)).toEqual([
      { level: 'info', text: 'the engine works', status: 'ok' },
      { level: 'error', text: 'too much code ignored its stop; restart the process', status: 'exhausted' },
    ])
  })

  test('hears of a policy and of a listener that fail, beside the callbacks of the options', async () => {
    const bench = new Bench()
    const logger = new KeptLog()
    const rules = rolePolicy()
    const policy: Policy = {
      authorize: (who, action, target) => {
        if (action === 'get') throw new Error('no rules')
        return rules.authorize(who, action, target)
      },
      scope: (...asked) => rules.scope(...asked),
    }
    const heard: unknown[] = []
    const keep = (error: unknown) => heard.push((error as Error).message)
    const type = defineJob({ type: 'w', execute: new Work().execute })
    const options = { policy, logger, onPolicyError: keep, onListenerError: keep }
    const { ada, engine } = await bench.start({ jobs: [type], ...options })
    engine.on('job.created', () => {
      throw new Error('no ears')
    })
    const { id } = await ada.submit(type, { password: SECRET })
    await codeOf(ada.get(id))
    engine.on('pipeline.defined', () => {
      throw new Error('no eyes')
    })
    await ada.pipelines.define({ id: 'p', job: type })
    const told = logger.lines.findIndex(({ event }) => event === 'pipeline.defined')
    const [line] = logger.lines.splice(told, 1)
    expect(line).toMatchObject({ text: 'a listener failed', jobType: 'w', pipeline: 'p', err: { message: 'no eyes' } })
    expect(line).not.toHaveProperty('jobId')
    expect(logger.of('error')).toMatchObject([
      { text: 'a listener failed', event: 'job.created', jobId: id, err: { message: 'no ears' } },
      ...Array.from({ length: logger.of('error').length - 1 }, () => ({
        text: 'the policy failed',
        action: 'get',
        principal: 'ada',
        tenant: 'default',
        err: { message: 'no rules' },
      })),
    ])
    expect(new Set(heard)).toEqual(new Set(['no ears', 'no rules', 'no eyes']))
    expect(JSON.stringify(logger.lines)).not.toContain(SECRET)
  })

  test('that throws or rejects harms nothing', async () => {
    const bench = new Bench()
    const broken = () => {
      throw new Error('no log')
    }
    const type = defineJob({ type: 'w', execute: () => Promise.reject(new Error('broken')) })
    // The rejection would end the process.
    const logger = { debug: broken, info: broken, warn: broken, error: () => Promise.reject(new Error('no log')) }
    const { ada, engine } = await bench.start({ jobs: [type], logger })
    const { id } = await ada.submit(type, 1)
    await engine.idle()
    expect(await ada.get(id)).toMatchObject({ outcome: 'failure' })
    expect(engine.health.status).toBe('ok')
  })
})
