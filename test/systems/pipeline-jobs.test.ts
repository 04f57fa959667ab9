import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createEngine, type JobView, memoryStorage, type Session } from 'jobchart'
import { pipelineJobs, type RunType } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { explore, virtualClock } from 'jobchart/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { type Going, types, workspaces } from './pipeline-types.ts'
import { answerOf, ENDLESS, namedPipe, testFolder } from './workspace.ts'

const { present } = workspaces

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

async function workspace({ storage = memoryStorage(), clock = virtualClock() } = {}) {
  const { going, ...system } = types()
  const { profileCollaborate, profileImport } = workspaces
  const jobs = [...Object.values(system), profileCollaborate, profileImport]
  const slow = { poll: '1m', sweep: '1m', heartbeat: '1m' } as const
  const engine = await createEngine({ jobs, policy: workspaces.policy, storage, clock, ...slow })
  endings.push(async () => {
    for (const { exit } of going) exit(0)
    const stopped = engine.stop({ timeout: 0 })
    await clock.advance(10_000)
    await stopped
  })
  const person = (id: string, role: string, tenant = 'acme') => engine.as({ id, role, tenant })
  const define = (options: Partial<Parameters<typeof workspaces.pipeline>[0]> = {}, who: Session = mia) =>
    who.pipelines.define(workspaces.pipeline({ id: 'flights', job: system.run, input: {}, ...options }))
  const mia = person('mia', 'Member')
  return {
    ...{ engine, clock, going, ...system, profileImport, profileCollaborate, mia, define, person },
    ...{ max: person('max', 'Member'), olga: person('olga', 'Owner'), nora: person('nora', 'Owner', 'other') },
    last: () => going.at(-1) as Going,
    row: async (job: JobView) => present(await engine.system.get(job.id)),
  }
}

const T0 = Date.UTC(2026, 0, 1)
const iso = (ms: number) => new Date(T0 + ms).toISOString()

describe('the acceptance cases', () => {
  test('W1 a job is QUEUED without times, then RUNNING with a start', async () => {
    const program = workspaces.defineJob({ type: 'PIPELINE_RUN', run: { command: '/bin/sh', args: ['-c', ENDLESS] } })
    const engine = await createEngine({ jobs: [program], policy: workspaces.policy, storage: memoryStorage() })
    endings.push(() => engine.stop({ timeout: 0 }))
    const mia = engine.as({ id: 'mia', tenant: 'acme', role: 'Member' })
    const created = present(await mia.submit(program))
    expect(created).toMatchObject({ status: 'QUEUED', exitCode: null, startTime: null, endTime: null })
    expect(created.created).not.toBe(null)
    const running = present(
      await entered(engine.as({ id: 'olga', tenant: 'acme', role: 'Owner' }), created.id, 'RUNNING'),
    )
    expect(running).toMatchObject({ exitCode: null, endTime: null })
    expect(running.startTime).not.toBe(null)
  })

  test.each([
    ['exit 0', 'COMPLETE', 0],
    ['exit 3', 'ERROR', 3],
    ['kill -9 $$', 'ERROR', 137],
  ])('W2 a program that does "%s" is %s with exit code %d', async (script, status, exitCode) => {
    const program = workspaces.defineJob({ type: 'PIPELINE_RUN', run: { command: '/bin/sh', args: ['-c', script] } })
    const engine = await createEngine({ jobs: [program], policy: workspaces.policy, storage: memoryStorage() })
    endings.push(() => engine.stop({ timeout: 0 }))
    const mia = engine.as({ id: 'mia', tenant: 'acme', role: 'Member' })
    expect(present(await mia.result((await mia.submit(program)).id))).toMatchObject({ status, exitCode })
  })

  test.each([
    ['exit 0', 0],
    ['exit 143', 143],
    ['exit 1', 1],
  ])('W3, W6 a program that is stopped and then does "%s" is STOPPED; it is told once', async (script, exitCode) => {
    const { path, read } = namedPipe('ready')
    const code = `trap 'echo told; ${script}' TERM; echo ready > "${path}"; while :; do sleep 0.05; done`
    const program = workspaces.defineJob({ type: 'PIPELINE_RUN', run: { command: '/bin/sh', args: ['-c', code] } })
    const engine = await createEngine({ jobs: [program], policy: workspaces.policy, storage: memoryStorage() })
    endings.push(() => engine.stop({ timeout: 0 }))
    const mia = engine.as({ id: 'mia', tenant: 'acme', role: 'Member' })
    const { id } = await mia.submit(program)
    await read()
    expect((await mia.actions(id)).commands).toContain('stop')
    const asked = await mia.cancel(id)
    expect(asked.status).toBe('RUNNING')
    const again = await answerOf(mia.cancel(id))
    expect(['ok', 'ALREADY_SETTLED']).toContain(again)
    const ended = await mia.result(id)
    expect(present(ended)).toMatchObject({ status: 'STOPPED', exitCode })
    expect(present(ended).endTime).not.toBe(null)
    const lines: string[] = []
    for await (const { text } of mia.logs(id)) lines.push(text)
    expect(lines.filter((text) => text === 'told')).toHaveLength(1)
    expect((await mia.history(id)).at(-1)).toMatchObject({ to: 'STOPPED', reason: 'manual' })
  })

  test('W3, W6 while it stops, stop is accepted again and no longer offered, and nothing more is sent', async () => {
    const { mia, run, row, last, clock } = await workspace()
    const job = await mia.submit(run, {})
    await clock.settle()
    const first = await mia.cancel(job.id)
    const second = await mia.cancel(job.id)
    expect([first.status, second.status]).toEqual(['RUNNING', 'RUNNING'])
    expect((await mia.actions(job.id)).commands).toEqual([])
    expect(last().signal.aborted).toBe(true)
    last().exit(0)
    await clock.settle()
    expect(await row(job)).toMatchObject({ status: 'STOPPED', exitCode: 0 })
    expect((await mia.history(job.id)).filter(({ command }) => command === 'stop')).toHaveLength(1)
  })

  test('W5 a stop of a QUEUED or ended job is refused, and changes nothing', async () => {
    const { mia, run, last, clock, define } = await workspace()
    await define()
    const first = await mia.pipelines.run('flights')
    await clock.settle()
    const waiting = await mia.pipelines.run('flights', { overlap: 'queue' })
    expect(waiting.status).toBe('QUEUED')
    expect(await answerOf(mia.cancel(waiting.id))).toBe('INVALID_STATE')
    expect((await mia.get(waiting.id)).status).toBe('QUEUED')
    last().exit(0)
    await clock.settle()
    last().exit(3)
    await clock.settle()
    const stopped = await mia.submit(run, {})
    await clock.settle()
    await mia.cancel(stopped.id)
    last().exit(143)
    await clock.settle()
    for (const [id, status] of [
      [first.id, 'COMPLETE'],
      [waiting.id, 'ERROR'],
      [stopped.id, 'STOPPED'],
    ] as const) {
      expect((await mia.get(id)).status).toBe(status)
      expect(await answerOf(mia.cancel(id))).toBe('ALREADY_SETTLED')
    }
  })

  test('W8 a time-out of 60 s tells the run to stop at 60 s, and it ends as STOPPED', async () => {
    const { mia, run, row, last, clock } = await workspace()
    const job = await mia.submit(run, { timeout: 60 })
    await clock.advance(59_999)
    expect(last().signal.aborted).toBe(false)
    await clock.advance(1)
    expect([(await row(job)).status, last().signal.aborted]).toEqual(['RUNNING', true])
    last().exit(143)
    await clock.settle()
    expect(await row(job)).toMatchObject({ status: 'STOPPED', exitCode: 143 })
    expect((await mia.history(job.id)).at(-1)).toMatchObject({ reason: 'timeout' })
  })

  test('W9 a time-out of 0 is 300 s, counted from the start and not from the submit', async () => {
    const { mia, row, last, clock, define } = await workspace()
    await define()
    await mia.pipelines.run('flights', { input: { timeout: 100_000 } })
    await clock.settle()
    const holder = last()
    const job = await mia.pipelines.run('flights', { overlap: 'queue' })
    await clock.advance(400_000)
    expect((await row(job)).status).toBe('QUEUED')
    holder.exit(0)
    await clock.settle()
    expect(await row(job)).toMatchObject({ status: 'RUNNING', startTime: iso(400_000) })
    await clock.advance(299_999)
    expect(last().signal.aborted).toBe(false)
    await clock.advance(1)
    expect(last().signal.aborted).toBe(true)
  })

  test('W10 each retry of an ERROR is a linked job in the same commit, up to maxRetries', async () => {
    const { mia, last, clock, define } = await workspace()
    await define({ input: { maxRetries: 2 } })
    const first = await mia.pipelines.run('flights')
    for (let tries = 0; tries < 3; tries++) {
      await clock.settle()
      last().exit(3)
    }
    await clock.settle()
    const { items } = await mia.list({ pipeline: 'flights', order: 'oldest' })
    expect(items.map(({ status, trigger, retryOf }) => [status, trigger, retryOf])).toEqual([
      ['ERROR', 'manual', undefined],
      ['ERROR', 'retry', first.id],
      ['ERROR', 'retry', items[1]?.id],
    ])
  })

  test('W10 a stopped run, by hand or by its time-out, is not tried again', async () => {
    const { mia, last, clock, define } = await workspace()
    await define({ input: { maxRetries: 2, timeout: 60 } })
    await mia.pipelines.run('flights')
    await clock.advance(60_000)
    last().exit(1)
    await clock.settle()
    const { items } = await mia.list({ pipeline: 'flights' })
    expect(items.map(({ status }) => status)).toEqual(['STOPPED'])
  })

  test('W12, W14 a manual run is refused while another job of the pipeline is RUNNING or QUEUED', async () => {
    const { mia, verify, clock, define } = await workspace()
    await define()
    await mia.pipelines.run('flights')
    expect(await answerOf(mia.pipelines.run('flights'))).toBe('ALREADY_RUNNING')
    await clock.settle()
    expect(await answerOf(mia.pipelines.run('flights'))).toBe('ALREADY_RUNNING')
    expect(await answerOf(mia.submit(verify, {}, { pipeline: 'flights' }))).toBe('ALREADY_RUNNING')
  })

  test('W13 a due run is skipped while another job runs, and the next one runs', async () => {
    const { mia, last, clock, define } = await workspace()
    await define({ schedule: '0 0 * * * *', input: { timeout: 10_000 } })
    const manual = await mia.pipelines.run('flights')
    await clock.advance(3_600_000)
    expect(await mia.count({ pipeline: 'flights' })).toBe(1)
    const skipped = { type: 'run.skipped', reason: 'running', trigger: 'schedule', blocker: manual.id }
    expect((await mia.pipelines.history('flights')).at(-1)).toMatchObject({ ...skipped, dueAt: iso(3_600_000) })
    last().exit(0)
    await clock.advance(3_600_000)
    const { items } = await mia.list({ pipeline: 'flights' })
    expect(items.map(({ trigger, status }) => [trigger, status])).toEqual([
      ['schedule', 'RUNNING'],
      ['manual', 'COMPLETE'],
    ])
  })

  test('W16 a new pipeline is configured by itself, and runs when that has succeeded', async () => {
    const { mia, config, last, clock, define } = await workspace()
    expect((await define({ config })).status).toBe('provisioning')
    await clock.settle()
    const { items } = await mia.list({ pipeline: 'flights' })
    expect(items.map(({ type, status }) => [type, status])).toEqual([['PIPELINE_CONFIG', 'RUNNING']])
    expect(await answerOf(mia.pipelines.run('flights'))).toBe('INVALID_STATE')
    last().exit(0)
    await clock.settle()
    expect((await mia.pipelines.get('flights')).status).toBe('ready')
    expect(await answerOf(mia.pipelines.run('flights'))).toBe('ok')
  })

  test.each(['fails', 'is stopped', 'is deleted'])(
    'W16 a config job that %s leaves the pipeline FAILED',
    async (how) => {
      const { mia, config, last, clock, define } = await workspace()
      await define({ config })
      await clock.settle()
      const [job] = (await mia.list({ pipeline: 'flights' })).items
      if (job === undefined) throw new Error('no config job')
      if (how === 'fails') last().exit(1)
      else if (how === 'is deleted') await mia.delete(job.id)
      else {
        await mia.cancel(job.id)
        last().exit(143)
      }
      await clock.settle()
      expect((await mia.pipelines.get('flights')).status).toBe('failed')
      expect(await answerOf(mia.pipelines.run('flights'))).toBe('INVALID_STATE')
      // An unchanged definition does nothing; a changed one configures the pipeline again.
      if (how === 'is deleted') last().exit(143)
      await clock.settle()
      expect((await define({ config })).status).toBe('failed')
      expect((await define({ config, labels: { team: 'data' } })).status).toBe('provisioning')
      await clock.settle()
      last().exit(0)
      await clock.settle()
      expect((await mia.pipelines.get('flights')).status).toBe('ready')
      const told = (await mia.pipelines.history('flights')).map((event) => ('to' in event ? event.to : event.type))
      expect(told).toEqual([
        ...['pipeline.defined', 'provisioning', 'failed'],
        ...['pipeline.changed', 'provisioning', 'ready'],
      ])
    },
  )

  test('W18 a workspace is set up by exactly one job of the engine itself, without a pipeline', async () => {
    const { engine, init, olga } = await workspace()
    const views = await Promise.all([0, 1, 2].map(() => workspaces.openWorkspace(engine, 'acme', init as RunType, {})))
    expect(new Set(views.map(({ id }) => id)).size).toBe(1)
    const { items } = await olga.list({ type: 'WORKSPACE_INIT' })
    expect(items.map(({ createdBy, pipeline }) => [createdBy, pipeline])).toEqual([['system', undefined]])
  })

  test('W19 PROFILE_IMPORT waits for days, and the first pipeline of its creator completes it', async () => {
    const { mia, max, profileImport, row, clock, define } = await workspace()
    const job = await mia.submit(profileImport)
    const other = await max.submit(profileImport)
    await clock.advance(3 * 86_400_000)
    expect(await row(job)).toMatchObject({ status: 'QUEUED', startTime: null, endTime: null })
    await define()
    const done = { status: 'COMPLETE', exitCode: null, startTime: iso(3 * 86_400_000), endTime: iso(3 * 86_400_000) }
    expect(await row(job)).toMatchObject(done)
    expect((await row(other)).status).toBe('QUEUED')
  })

  test('W19 a user task of somebody else is completed by its assignee, and by no other member', async () => {
    const { mia, max, olga, profileCollaborate, profileImport, row, define } = await workspace()
    const invitation = await olga.submit(profileCollaborate, undefined, { assignee: 'mia' })
    const profile = await olga.submit(profileImport, undefined, { assignee: 'mia' })
    expect((await mia.list({ view: 'assigned' })).items).toHaveLength(2)
    expect(await answerOf(max.send(invitation.id, { type: 'done' }))).toBe('FORBIDDEN')
    expect(await answerOf(mia.send(invitation.id, { type: 'done' }))).toBe('ok')
    await define()
    expect((await row(profile)).status).toBe('COMPLETE')
  })

  test('W20 a user task cannot be stopped, and may be dismissed; nothing runs for it', async () => {
    const { mia, profileCollaborate, going, clock } = await workspace()
    const { id } = await mia.submit(profileCollaborate)
    await clock.settle()
    expect(await answerOf(mia.send(id, { type: 'stop' as 'done' }))).toBe('INVALID_INPUT')
    expect(await answerOf(mia.cancel(id))).toBe('INVALID_INPUT')
    await mia.delete(id)
    expect(await answerOf(mia.get(id))).toBe('JOB_NOT_FOUND')
    expect(going).toEqual([])
  })

  test('W20 a user task of somebody else is dismissed by its assignee, and by no other member', async () => {
    const { mia, max, olga, nora, run, profileCollaborate } = await workspace()
    const { id } = await olga.submit(profileCollaborate, undefined, { assignee: 'mia' })
    expect([(await mia.actions(id)).delete, (await max.actions(id)).delete]).toEqual([true, false])
    expect(await answerOf(max.delete(id))).toBe('FORBIDDEN')
    expect(await answerOf(nora.delete(id))).toBe('JOB_NOT_FOUND')
    expect(await answerOf(mia.delete(id))).toBe('ok')
    // A run is still deleted by its creator or an administrator alone.
    const job = await olga.submit(run, {}, { assignee: 'mia' })
    expect(await answerOf(mia.delete(job.id))).toBe('FORBIDDEN')
  })

  test('W21 a user task blocks no pipeline, and no pipeline blocks it', async () => {
    const { mia, profileCollaborate, clock, define } = await workspace()
    await define()
    const task = await mia.submit(profileCollaborate, undefined, { pipeline: 'flights' })
    const run = await mia.pipelines.run('flights')
    await clock.settle()
    expect((await mia.get(run.id)).status).toBe('RUNNING')
    expect((await mia.send(task.id, { type: 'done' })).status).toBe('COMPLETE')
    expect(await answerOf(mia.submit(profileCollaborate, undefined, { pipeline: 'flights' }))).toBe('ok')
  })

  test('W22 a pipeline runs after the success of another, or of a deployment, and after nothing else', async () => {
    const { mia, deploy, verify, last, clock, define } = await workspace()
    await define({ id: 'first', input: { timeout: 60 } })
    await define({ id: 'after', triggeredBy: ['first', deploy as RunType] })
    // Another job of the pipeline is no run of it.
    await mia.submit(verify, {}, { pipeline: 'first' })
    await clock.advance(1)
    last().exit(0)
    await clock.advance(1)
    const runs = async () => (await mia.list({ pipeline: 'after' })).items.map(({ trigger }) => trigger)
    for (const code of [3, 0]) {
      await mia.pipelines.run('first')
      await clock.advance(1)
      last().exit(code)
      await clock.advance(1)
    }
    expect(await runs()).toEqual(['dependency'])
    last().exit(0)
    await clock.advance(1)
    await mia.pipelines.run('first')
    await clock.advance(60_000)
    last().exit(0)
    await clock.advance(1)
    expect(await runs()).toEqual(['dependency'])
    await mia.submit(deploy, {})
    await clock.advance(1)
    last().exit(0)
    await clock.advance(1)
    expect(await runs()).toEqual(['dependency', 'dependency'])
  })

  test('W24 PIPELINE_VERIFY names PIPELINE_VERFIY, and a type of another name is kept', async () => {
    const { mia, deploy, clock } = await workspace()
    const job = await mia.submit('PIPELINE_VERIFY', {})
    await clock.settle()
    expect(present(job).type).toBe('PIPELINE_VERFIY')
    expect((await mia.list({ type: 'PIPELINE_VERIFY' })).items.map(({ id }) => id)).toEqual([job.id])
    expect(present(await mia.submit(deploy, {})).type).toBe('WORKSPACE_DEPLOY')
  })

  test('W13, W25 NONE hears nothing, ALERTS of errors and skipped runs, ALL of starts and ends too', async () => {
    const { mia, max, olga, person, clock, define, last } = await workspace()
    const [ann, bea] = [person('ann', 'Member'), person('bea', 'Member')]
    await define({ schedule: '0 0 * * * *', input: { timeout: 100_000 } })
    await define({ id: 'other' })
    await olga.notifications.subscribe({ level: 'all' })
    await max.notifications.subscribe({ pipeline: 'flights', level: 'alerts' })
    await ann.notifications.subscribe({ level: 'all' })
    await ann.notifications.subscribe({ pipeline: 'flights', level: 'none' })
    await mia.pipelines.run('flights')
    await clock.advance(3_600_000)
    for (const code of [0, 3]) {
      last().exit(code)
      await clock.settle()
      if (code === 0) await mia.pipelines.run('flights')
      await clock.settle()
    }
    const toldTo = async (session: Session) =>
      (await session.notifications.list()).items.map(({ rule }) => rule).toReversed()
    expect(await toldTo(olga)).toEqual([
      ...['JOB_STARTED', 'RUN_SKIPPED', 'JOB_ENDED COMPLETE', 'JOB_STARTED', 'JOB_ENDED ERROR'],
    ])
    expect(await toldTo(max)).toEqual(['RUN_SKIPPED', 'JOB_ENDED ERROR'])
    expect(await toldTo(ann)).toEqual([])
    expect(await toldTo(bea)).toEqual([])
  })

  test('W26 a scheduled run belongs to the owner, who may stop it; another member may not', async () => {
    const { mia, max, olga, nora, clock, define } = await workspace()
    await define({ schedule: '0 0 * * * *' })
    await clock.advance(3_600_000)
    const [run] = (await mia.list({ pipeline: 'flights' })).items
    expect(run).toMatchObject({ createdBy: 'mia', trigger: 'schedule', status: 'RUNNING' })
    const id = run?.id ?? ''
    expect(await answerOf(max.cancel(id))).toBe('FORBIDDEN')
    expect(await answerOf(nora.cancel(id))).toBe('JOB_NOT_FOUND')
    expect(await answerOf(olga.cancel(id))).toBe('ok')
    expect(await answerOf(mia.cancel(id))).toBe('ok')
  })

  test('W27 six fields fire at each hour of a work day until 17:00; five fields are refused', async () => {
    const { mia, define } = await workspace()
    const friday = '2026-11-27T16:30:00Z'
    const times = await mia.pipelines.preview({ cron: '0 0 9-17 * * MON-FRI', fields: 6 }, { count: 3, after: friday })
    expect(times).toEqual(['2026-11-27T17:00:00.000Z', '2026-11-30T09:00:00.000Z', '2026-11-30T10:00:00.000Z'])
    await expect(async () => await define({ schedule: '0 9-17 * * MON-FRI' })).rejects.toThrow('should have six fields')
    expect(await answerOf(define({ schedule: '0 0 9-17 * * MON-FRI' }))).toBe('ok')
  })
})

test('unknown and wrong options of a pipeline and of a type are refused by name', () => {
  const jobs = pipelineJobs()
  const run = jobs.defineJob({ type: 'run', execute: () => {} })
  const pipeline = (options: object) => () => jobs.pipeline({ id: 'p', job: run, ...options })
  expect(pipeline({ dependsOn: ['other'] })).toThrow('dependsOn')
  expect(pipeline({ overlp: 'queue' })).toThrow('overlp')
  expect(pipeline({ triggeredBy: 'other' })).toThrow('triggeredBy')
  const type = (options: object) => () => jobs.defineJob({ type: 'other', execute: () => {}, ...options })
  expect(type({ timeout: '5m' })).toThrow('timeout: should be seconds: a number from 0')
  expect(type({ retry: { limit: 2 } })).toThrow('maxRetries')
})

describe('a run', () => {
  test.each([
    ['executes', 'ERROR', undefined],
    ['stops', 'STOPPED', 'manual'],
  ])('whose process dies while it %s is %s without an exit code', async (how, status, reason) => {
    const file = join(testFolder(), 'jobs.db')
    const dying = fork(join(import.meta.dirname, 'dying-run.ts'), [file, how])
    endings.push(() => dying.kill('SIGKILL'))
    const [id] = (await once(dying, 'message')) as [string]
    dying.kill('SIGKILL')
    await once(dying, 'exit')
    const { going, run } = types()
    const engine = await createEngine({ jobs: [run], policy: workspaces.policy, storage: sqliteStorage(file) })
    endings.push(() => {
      for (const { exit } of going) exit(0)
      return engine.stop()
    })
    const mia = engine.as({ id: 'mia', role: 'Member', tenant: 'acme' })
    const ended = present(await mia.result(id))
    expect(ended).toMatchObject({ status, exitCode: null })
    expect((await mia.history(id)).at(-1)?.reason).toBe(reason)
    const others = (await mia.list({ pipeline: 'flights' })).items.filter((job) => job.id !== id)
    expect(others.map(({ trigger }) => trigger)).toEqual(how === 'stops' ? [] : ['retry'])
  })

  test('its charts have no dead end, and no cell where an event is lost', () => {
    const { run } = types()
    const map = explore(run)
    expect(map.deadEnds).toEqual([])
    expect(explore(workspaces.profileImport).deadEnds).toEqual([])
  })
})

async function entered(session: Session, id: string, status: string): Promise<JobView> {
  for await (const event of session.events({ job: id, after: 0 })) {
    if ('to' in event && event.to === status) return await session.get(id)
  }
  throw new Error(`the job never became ${status}`)
}
