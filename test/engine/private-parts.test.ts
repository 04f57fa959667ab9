import { defineJob, type Policy, type Private, rolePolicy, type Session } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

const machine = createMachine({
  context: { secret: 1 },
  initial: 'draft',
  states: {
    draft: {
      initial: 'typing',
      meta: { status: 'Draft' },
      states: { typing: { on: { go: 'checking' } }, checking: {} },
    },
  },
})
const chart = defineJob({ type: 'chart', lifecycle: machine, commands: { go: z.object({}) } })
const failing = defineJob({
  type: 'failing',
  execute: () => {
    throw new TypeError('broken here')
  },
})

async function hostWith(policy: Policy) {
  const bench = new Bench()
  return { bench, ...(await bench.start({ jobs: [chart, failing], policy })) }
}

const opening = (...open: readonly Private[]) => rolePolicy({ open })

describe('the state of a job', () => {
  test('is shown to the system, and to others where the policy opens it', async () => {
    for (const [policy, expected] of [
      [opening('state'), { draft: 'typing' }],
      [opening('context'), undefined],
    ] as const) {
      const { ada, engine } = await hostWith(policy)
      const submitted = await ada.submit(chart, {})
      expect(submitted.state).toEqual(expected)
      expect((await ada.get(submitted.id)).state).toEqual(expected)
      expect((await ada.list()).items[0]?.state).toEqual(expected)
      const sent = await ada.send(submitted.id, { type: 'go' })
      expect(sent.state).toEqual(expected && { draft: 'checking' })
      const all = await engine.system.get(submitted.id)
      expect([all.state, all.context, all.tasks]).toEqual([{ draft: 'checking' }, { secret: 1 }, []])
    }
  })

  test('is a copy that belongs to the caller', async () => {
    const { engine, ada } = await hostWith(opening())
    const { id } = await ada.submit(chart, {})
    const { state } = await engine.system.get(id)
    Object.assign(state as object, { draft: 'gone' })
    expect((await engine.system.get(id)).state).toEqual({ draft: 'typing' })
  })

  test('is hidden together with the status, which it would reveal', async () => {
    const { admin, ada } = await hostWith(rolePolicy({ open: ['state'], redact: ['status'] }))
    const { id } = await ada.submit(chart, {})
    expect(await ada.get(id)).toMatchObject({ state: { draft: 'typing' } })
    const shown = await admin.get(id)
    expect([shown.state, shown.status, shown.redacted]).toEqual([undefined, undefined, ['status']])
  })
})

describe('the stack of an error', () => {
  const stackOf = async (session: Session, id: string) => {
    const seen: unknown[] = [(await session.get(id)).error?.stack, (await session.list()).items[0]?.error?.stack]
    for await (const event of session.events({ job: id, after: 0 })) {
      if (event.type === 'job.transitioned' && event.outcome !== undefined) {
        seen.push(event.error?.stack)
        break
      }
    }
    return seen
  }

  test('is shown to the system, and to others where the policy opens it', async () => {
    const there = Array.from({ length: 3 }, () => expect.stringContaining('private-parts.test.ts'))
    for (const [policy, expected] of [
      [opening('stack'), there],
      [opening('state'), Array(3).fill(undefined)],
    ] as const) {
      const { ada, engine } = await hostWith(policy)
      const { id } = await ada.submit(failing, 1)
      await engine.idle()
      expect(await stackOf(ada, id)).toEqual(expected)
      expect(await stackOf(engine.system, id)).toEqual(there)
      expect((await ada.get(id)).error).toMatchObject({ name: 'TypeError', message: 'broken here' })
    }
  })

  test('is hidden with the error, and with an input that it may repeat', async () => {
    for (const field of ['error', 'input', 'stack']) {
      const { ada, admin, engine } = await hostWith(rolePolicy({ open: ['stack'], redact: [field] }))
      const { id } = await ada.submit(failing, 1)
      await engine.idle()
      expect((await admin.get(id)).error?.stack).toBeUndefined()
      expect((await ada.get(id)).error?.stack).toContain('broken here')
    }
  })
})
