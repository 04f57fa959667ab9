import { defineJob, type JobView, type Policy, type Verdict } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, textsOf, Work } from './bench.ts'

/** A policy that redacts from every read, and from the answers to commands. */
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

test('I58 redacting the input takes what may repeat it: output, error, message', async () => {
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

test('I58 redacting the input takes the history’s messages', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  const history = await ada.history(id)
  expect(history.at(-1)?.to).toBe('failed')
  expect(JSON.stringify(history)).not.toContain('s3cret')
})

test('I58 redacting the input takes the lines of the log', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [secretive], policy: redacting('input') })
  const { id } = await ada.submit(secretive, 's3cret')
  await bench.clock.settle()
  expect(await textsOf(engine.system.logs(id))).toEqual(['read s3cret'])
  const lines = await textsOf(ada.logs(id)).catch(() => [])
  expect(lines.join()).not.toContain('s3cret')
})

test('I52 the answer to a repeated submit shows no more of the first job than a look at it', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 's3cret' })
  const { ada } = await bench.start({ jobs: [type], policy: redacting('output') })
  const { id } = await ada.submit(type, 1, { idempotencyKey: 'k' })
  await bench.clock.settle()
  const again = await ada.submit(type, 1, { idempotencyKey: 'k' })
  expect([again.id, again.status]).toEqual([id, 'completed'])
  expect(JSON.stringify(again)).not.toContain('s3cret')
})

test('the fields that stay private are in no view', async () => {
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
