import { defineJob, type JobEvent } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, Work } from './bench.ts'

const plain = defineJob({ type: 'plain', execute: () => 'done' })

test.each([
  [
    'throws',
    () => {
      throw new Error('listener')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('listener')
    },
  ],
])('I42 a listener that %s harms nobody, and reaches onListenerError', async (_, listener) => {
  const bench = new Bench()
  const told: unknown[][] = []
  const { ada, engine } = await bench.start({
    jobs: [plain],
    onListenerError: (error, event) => told.push([error, event]),
  })
  const others: string[] = []
  engine.on('job.transitioned', (event) => others.push(`before ${event.to}`))
  engine.on('job.transitioned', listener)
  engine.on('job.transitioned', (event) => others.push(`after ${event.to}`))
  const { id } = await ada.submit(plain, 1)
  expect((await ada.result(id)).output).toBe('done')
  expect(others).toEqual(['before running', 'after running', 'before completed', 'after completed'])
  expect(told).toEqual(
    [1, 2].map(() => [new Error('listener'), expect.objectContaining({ jobId: id, type: 'job.transitioned' })]),
  )
})

test('I42 a listener that never resolves blocks nothing', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [plain] })
  engine.on('job.created', () => new Promise(() => {}))
  const { id } = await ada.submit(plain, 1)
  expect((await ada.result(id)).status).toBe('completed')
  await engine.idle()
  await engine.stop()
  expect(bench.clock.pendingTimers()).toBe(0)
})

test.each([
  [
    'throws',
    () => {
      throw new Error('last resort')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('last resort')
    },
  ],
])('I61 an onListenerError that %s harms nobody', async (_, onListenerError) => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [plain], onListenerError })
  engine.on('job.created', () => {
    throw new Error('listener')
  })
  engine.on('job.created', async () => {
    throw new Error('listener')
  })
  const { id } = await ada.submit(plain, 1)
  expect((await ada.result(id)).status).toBe('completed')
})

test('a listener may call the engine', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [plain] })
  const seen: string[] = []
  engine.on('job.created', async ({ jobId, jobSequence }) => {
    seen.push((await ada.get(jobId)).id)
    if (jobSequence === 1 && seen.length < 3) await ada.submit(plain, 'from a listener')
  })
  await ada.submit(plain, 1)
  await bench.clock.settle()
  expect(new Set(seen).size).toBe(3)
})

test('a listener hears one type until it is removed; removing it twice is harmless', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [plain] })
  const seen: string[] = []
  const listener = (event: JobEvent) => seen.push(event.type)
  const off = engine.on('job.created', listener)
  const offToo = engine.on('job.created', listener)
  await ada.submit(plain, 1)
  off()
  off()
  await ada.submit(plain, 1)
  expect(seen).toEqual(['job.created', 'job.created', 'job.created'])
  offToo()
  await ada.submit(plain, 1)
  expect(seen).toHaveLength(3)
})

test('a listener that removes itself during a call skips no other listener', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [plain] })
  const seen: string[] = []
  const off = engine.on('job.created', () => {
    seen.push('first')
    off()
  })
  engine.on('job.created', () => seen.push('second'))
  await ada.submit(plain, 1)
  expect(seen).toEqual(['first', 'second'])
})

test('an event carries the fields that never change after submit, so that policies can filter by it', async () => {
  const bench = new Bench()
  const { ada, heard } = await bench.start({ jobs: [plain] })
  const { id } = await ada.submit(plain, 's3cret', { pipeline: 'p', labels: { team: 'red' } })
  await bench.clock.settle()
  for (const event of heard) {
    expect(event).toMatchObject({
      jobId: id,
      jobType: 'plain',
      tenant: 'default',
      createdBy: 'ada',
      pipeline: 'p',
      labels: { team: 'red' },
      at: '2026-01-01T00:00:00.000Z',
    })
    expect('inputs' in event || JSON.stringify(event).includes('s3cret')).toBe(false)
  }
})

test('I42 a listener of its progress cannot harm a job’s code', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  engine.on('job.progress', () => {
    throw new Error('listener')
  })
  const { id } = await ada.submit(type, 1)
  work.run().context.progress({ completed: 1 })
  await bench.clock.settle()
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('completed')
  expect(await codeOf(ada.cancel(id))).toBe('ALREADY_SETTLED')
})
