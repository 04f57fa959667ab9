import {
  defineJob,
  type Notifications,
  type NotificationView,
  type NotifyRule,
  type Policy,
  rolePolicy,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, Work } from './bench.ts'

const inApp = { channels: ['inApp'] } as const

/** A type whose work ends when the test says so, with these rules. */
function notifying(work: Work, notify: readonly NotifyRule[], type = 'w') {
  return defineJob({ type, execute: work.execute, notify })
}

async function started(notify: readonly NotifyRule[], policy: Policy = rolePolicy({ member: ['editor'] })) {
  const bench = new Bench()
  const work = new Work()
  const type = notifying(work, notify)
  const host = await bench.start({ jobs: [type], policy })
  return { bench, work, type, ...host }
}

async function rulesOf(notifications: Notifications): Promise<readonly string[]> {
  return (await notifications.list()).items.map(({ rule }) => rule)
}

describe('rules', () => {
  test('an outcome, a status and an event notify the creator, newest first', async () => {
    const { ada, bob, work, type, bench } = await started([
      { on: { outcome: 'success' }, ...inApp, audience: 'creator' },
      { on: { outcome: 'failure' }, ...inApp, audience: 'creator' },
      { on: { status: 'running' }, ...inApp, audience: 'creator' },
      { on: { event: 'task.started' }, ...inApp, audience: 'creator' },
    ])
    const { id } = await ada.submit(type)
    await bench.clock.settle()
    work.runs[0]?.finish('done')
    await bench.clock.settle()
    const { items } = await ada.notifications.list()
    expect(items.map(({ rule, event }) => [rule, event.type])).toEqual([
      ['success', 'job.transitioned'],
      ['running', 'job.transitioned'],
      ['task.started', 'task.started'],
    ])
    expect(items[0]).toMatchObject({
      level: 'all',
      channels: ['inApp'],
      isRead: false,
      event: { jobId: id, jobType: 'w', createdBy: 'ada', to: 'completed', outcome: 'success' },
    })
    expect(await rulesOf(bob.notifications)).toEqual([])
  })
})
