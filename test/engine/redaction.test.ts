import { defineJob, type JobView, type Policy, rolePolicy, type SessionEvent, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, errorOf, textsOf, Work } from './bench.ts'

/** A policy that redacts in every read, and in the answers to commands. */
function redacting(...fields: readonly string[]): Policy {
  return {
    authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: fields }),
    scope: ({ tenant }) => [{ tenant }],
  }
}

const secretive = defineJob({
  type: 'secretive',
  execute: ({ input, log, progress }) => {
    log(`read ${String(input)}`)
    progress({ completed: 1, total: 1 })
    throw new Error(`cannot open ${String(input)}`)
  },
  describe: (snapshot) => (snapshot.status === 'done' ? { message: 'lost s3cret', exitCode: 3 } : {}),
})

test('a redacted field is left out of every view, and named', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], policy: redacting('labels', 'createdBy') })
  const { id } = await ada.submit(type, 1, { labels: { team: 'red' } })
  const views: JobView[] = [await ada.get(id), ...(await ada.list()).items, await ada.cancel(id), await ada.result(id)]
  expect(views).toHaveLength(4)
  for (const view of views) {
    expect(view.redacted).toEqual(['createdBy', 'labels'])
    expect('labels' in view || 'createdBy' in view).toBe(false)
    expect(view.input).toBe(1)
  }
})

test('I58 redacting the input also removes output, error and message, which may repeat it', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  const view = await ada.get(id)
  expect(view).toMatchObject({ status: 'failed', exitCode: 3 })
  expect(JSON.stringify(view)).not.toContain('s3cret')
  expect(JSON.stringify(await ada.list())).not.toContain('s3cret')
})

test('every field that is left out is named, also one that is left out with the input', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  expect((await ada.get(id)).redacted).toEqual(['error', 'input', 'message', 'output'])
})

test('I58 redacting the input removes the messages of the history', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  const history = await ada.history(id)
  expect(history.at(-1)?.to).toBe('failed')
  expect(JSON.stringify(history)).not.toContain('s3cret')
})

test('I58 redacting the input removes the lines of the log', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  expect(await textsOf(engine.system.logs(id))).toEqual(['read s3cret'])
  const lines = await textsOf(ada.logs(id)).catch(() => [])
  expect(lines.join()).not.toContain('s3cret')
})

test('I52 the answer to a repeated submit shows no more of the first job than get would', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 's3cret' })
  const { ada } = await bench.start({ jobs: [type], policy: redacting('output') })
  const { id } = await ada.submit(type, 1, { idempotencyKey: 'k' })
  await bench.clock.settle()
  const again = await ada.submit(type, 1, { idempotencyKey: 'k' })
  expect([again.id, again.status]).toEqual([id, 'completed'])
  expect(JSON.stringify(again)).not.toContain('s3cret')
})

test('private fields are in no view', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive] })
  const { id } = await ada.submit(secretive, 's3cret', { idempotencyKey: 'k' })
  await bench.clock.settle()
  const view = await ada.get(id)
  for (const field of ['context', 'state', 'tasks', 'timers', 'revision', 'counter', 'idempotencyKey', 'eventCount']) {
    expect(field in view).toBe(false)
  }
  expect(Object.keys(view.error ?? {})).toEqual(['name', 'message'])
})

test('an empty redaction shows all, and names nothing', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive], policy: redacting() })
  const { id } = await ada.submit(secretive, 'x')
  const view = await ada.get(id)
  expect('redacted' in view).toBe(false)
  expect(view.input).toBe('x')
  expect(await codeOf(ada.history(id))).toBe('ok')
})

describe('a field that is redacted', () => {
  const instant = defineJob({ type: 'w', execute: () => 1 })

  test('cannot be filtered by, even if only some of the jobs redact it', async () => {
    const bench = new Bench()
    const { admin } = await bench.start({ jobs: [instant], policy: rolePolicy({ redact: ['status', 'type'] }) })
    const refusal = await errorOf(admin.list({ status: 'completed' }))
    expect(refusal).toMatchObject({ code: 'FORBIDDEN', issues: [{ path: ['status'] }] })
    expect(refusal.message).toContain('"status"')
    expect(await codeOf(admin.count({ status: 'completed' }))).toBe('FORBIDDEN')
    expect(await codeOf(admin.events({ type: 'w' }).next())).toBe('FORBIDDEN')
    expect(await codeOf(admin.pipelines.list({ type: 'w' }))).toBe('FORBIDDEN')
  })

  test('can be filtered by among own jobs, where it is shown', async () => {
    const bench = new Bench()
    const { admin, ada } = await bench.start({ jobs: [instant], policy: rolePolicy({ redact: ['status'] }) })
    await ada.submit(instant, 1)
    const { id } = await admin.submit(instant, 1)
    await bench.clock.settle()
    const mine = { view: 'mine', status: 'completed' } as const
    expect((await admin.list(mine)).items).toMatchObject([{ id, status: 'completed' }])
    expect(await admin.count(mine)).toBe(1)
  })

  test('cannot be filtered by among own jobs where it is redacted for them too', async () => {
    const bench = new Bench()
    const policy: Policy = {
      authorize: () => ({ redact: ['labels'] }),
      scope: ({ tenant, id }) => [
        { tenant, redact: ['labels'] },
        // Not all own jobs have this type.
        { tenant, createdBy: id, type: 'other' },
      ],
    }
    const { ada } = await bench.start({ jobs: [instant], policy })
    expect(await codeOf(ada.list({ view: 'mine', labels: { team: 'red' } }))).toBe('FORBIDDEN')
  })

  test('that is the end time of the job cannot be read off another time', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada, admin } = await bench.start({ jobs: [type], policy: rolePolicy({ redact: ['endedAt'] }) })
    const { id } = await ada.submit(type, 1)
    await bench.clock.advance(7_000)
    work.run().finish()
    await bench.clock.settle()
    const { endedAt = '' } = await ada.get(id)
    expect(endedAt).not.toBe('')
    const events: SessionEvent[] = []
    const stream = admin.events({ after: 0, job: id })
    for (let count = 0; count < 4; count++) events.push((await stream.next()).value)
    expect(events.at(-1)).toMatchObject({ to: 'completed', outcome: 'success', redacted: ['endedAt', 'updatedAt'] })
    const history = await admin.history(id)
    expect(history.map(({ to, at }) => [to, at !== undefined])).toEqual([
      ['queued', true],
      ['running', true],
      ['completed', false],
    ])
    const view = await admin.get(id)
    expect(view).toMatchObject({ status: 'completed', redacted: ['endedAt', 'updatedAt'] })
    expect(JSON.stringify([view, history, events])).not.toContain(endedAt)
  })
})
