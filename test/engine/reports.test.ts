import { defineJob, type JobEvent, memoryStorage, type Progress } from 'jobchart'
import type { LogLine } from 'jobchart/port'
import { expect, test } from 'vitest'
import { Bench, codeOf, type Host, textsOf, Work } from './bench.ts'

function completedOf(heard: readonly JobEvent[]): readonly number[] {
  return heard.flatMap((event) => (event.type === 'job.progress' ? [event.progress.completed] : []))
}

async function running(bench: Bench, retries = 0): Promise<Host & { readonly work: Work; readonly id: string }> {
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: retries, backoff: 0 }, execute: work.execute })
  const host = await bench.start({ jobs: [type] })
  const { id } = await host.ada.submit(type, 1)
  return { ...host, work, id }
}

test('progress is stored and published at once, then at most once in 250 ms with the newest value', async () => {
  const bench = new Bench()
  const { ada, work, id, heard } = await running(bench)
  const { progress } = work.run().context
  progress({ completed: 0, total: 100 })
  await bench.clock.settle()
  expect((await ada.get(id)).progress).toEqual({ completed: 0, failed: 0, running: 0, total: 100 })
  for (let completed = 1; completed <= 100; completed++) {
    progress({ completed, running: 2 })
    await bench.clock.advance(10)
  }
  const seen = completedOf(heard)
  expect(seen).toEqual([0, 25, 50, 75, 100])
  expect((await ada.get(id)).progress).toEqual({ completed: 100, failed: 0, running: 2, total: 100 })
})

test('the last value is written in the changeset of the end', async () => {
  const bench = new Bench()
  const { ada, work, id, faults } = await running(bench)
  const { progress } = work.run().context
  progress({ completed: 1, total: 3 })
  await bench.clock.settle()
  progress({ completed: 2 })
  progress({ completed: 3 })
  const commits = faults.calls('commit')
  work.run().finish()
  await bench.clock.settle()
  expect(faults.calls('commit')).toBe(commits + 1)
  expect(await ada.get(id)).toMatchObject({ status: 'completed', progress: { completed: 3, total: 3 } })
})

test('I40 listeners get the stored numbers, including the last progress', async () => {
  const bench = new Bench()
  const { work, heard } = await running(bench)
  work.run().context.progress({ completed: 1, total: 3 })
  await bench.clock.settle()
  work.run().context.progress({ completed: 3 })
  work.run().finish()
  await bench.clock.settle()
  const stored = (await bench.log()).flatMap((row) =>
    row.events.map(({ type }, index) => `${row.sequence + index} ${type}`),
  )
  expect(heard.map(({ sequence, type }) => `${sequence} ${type}`)).toEqual(stored)
})

test('I44 progress never falls within an attempt, whatever the order of the reports', async () => {
  const bench = new Bench()
  const { ada, work, id, heard } = await running(bench)
  for (const completed of [3, 1, 7, 2, 0]) {
    work.run().context.progress({ completed, total: 10 - completed, failed: completed })
    await bench.clock.advance(300)
  }
  const seen = completedOf(heard)
  expect(seen).toEqual([...seen].sort((a, b) => a - b))
  expect((await ada.get(id)).progress).toEqual({ completed: 7, failed: 7, running: 0, total: 10 })
})

test('I44 progress is not in the history, has no event number of the job, and raises no revision', async () => {
  const bench = new Bench()
  const { ada, work, id, heard } = await running(bench)
  const before = await bench.row(id)
  work.run().context.progress({ completed: 1 })
  await bench.clock.settle()
  expect(heard.at(-1)?.type).toBe('job.progress')
  expect(heard.at(-1) !== undefined && 'jobSequence' in (heard.at(-1) ?? {})).toBe(false)
  const { revision, eventCount } = await bench.row(id)
  expect([revision, eventCount]).toEqual([before.revision, before.eventCount])
  expect((await ada.history(id)).map(({ to }) => to)).toEqual(['queued', 'running'])
})

test.each([
  ['negative', { completed: -1 }],
  ['NaN', { completed: Number.NaN }],
  ['no number', Number.NaN],
  ['infinite', Number.POSITIVE_INFINITY],
  ['text', { completed: '3' }],
  ['a text alone', '3'],
  ['missing', {}],
  ['null', null],
  ['nothing', undefined],
])('progress that is not a valid number is ignored, and one line of the log says so: %s', async (_, report) => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  for (let time = 0; time < 3; time++) work.run().context.progress(report as unknown as Progress)
  await bench.clock.settle()
  expect('progress' in (await ada.get(id))).toBe(false)
  expect(await textsOf(ada.logs(id))).toEqual([expect.stringContaining('progress should be finite numbers from 0')])
  work.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed' })
})

test('invalid parts of a report are ignored, and the others are taken', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  work.run().context.progress({ completed: 5, total: Number.POSITIVE_INFINITY, running: -1 })
  await bench.clock.settle()
  expect((await ada.get(id)).progress).toEqual({ completed: 5, failed: 0, running: 0 })
  expect(await textsOf(ada.logs(id))).toEqual([
    'progress should be finite numbers from 0; ignored: running -1, total Infinity',
  ])
})

test('a number means completed, and a total that was not reported is absent', async () => {
  const bench = new Bench()
  const { ada, work, id, heard } = await running(bench)
  work.run().context.progress(50)
  await bench.clock.settle()
  const counts = { completed: 50, failed: 0, running: 0 }
  expect([(await ada.get(id)).progress, heard.at(-1)]).toEqual([counts, expect.objectContaining({ progress: counts })])
  await bench.clock.advance(300)
  work.run().context.progress({ completed: 51, total: 100 })
  await bench.clock.settle()
  work.run().context.progress(52)
  await bench.clock.advance(300)
  expect((await ada.get(id)).progress).toEqual({ completed: 52, failed: 0, running: 0, total: 100 })
})

test('running counts of an ended attempt are shown as 0', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench, 1)
  const shown = async () => (await ada.get(id)).progress?.running
  work.run().context.progress({ completed: 9, running: 3, total: 20 })
  await bench.clock.settle()
  expect(await shown()).toBe(3)
  work.run().fail(new Error('again'))
  await bench.clock.advance(1_000)
  expect([await shown(), work.run().context.reported]).toEqual([0, { completed: 9, failed: 0, running: 0, total: 20 }])
  work.run().context.progress({ completed: 10, running: 4 })
  await bench.clock.advance(300)
  expect(await shown()).toBe(4)
  work.run().finish()
  await bench.clock.settle()
  expect(await shown()).toBe(0)
})

test('after a crash running is 0, before the next attempt reports and while nobody runs the job', async () => {
  const bench = new Bench()
  const { ada, work, id, crash } = await running(bench)
  work.run().context.progress({ completed: 9, running: 3 })
  await bench.clock.settle()
  expect((await ada.get(id)).progress?.running).toBe(3)
  await crash()
  const jobs = [defineJob({ type: 'w', execute: work.execute })]
  const looking = await bench.start({ jobs, work: false })
  expect((await looking.ada.list()).items[0]?.progress).toEqual({ completed: 9, failed: 0, running: 0 })
  const next = await bench.start({ jobs })
  expect(next.engine.running()).toEqual([id])
  expect((await next.ada.get(id)).progress).toEqual({ completed: 9, failed: 0, running: 0 })
})

test('I44 a new attempt starts its own counts, and the old one’s reports are stale', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench, 1)
  work.run().context.progress({ completed: 5, total: 9 })
  work.run().fail(new Error('again'))
  await bench.clock.advance(1_000)
  work.run(1).context.progress({ completed: 1, total: 9 })
  await bench.clock.advance(1_000)
  work.run(0).context.progress({ completed: 8 })
  work.run(0).context.log('from beyond')
  await bench.clock.advance(1_000)
  expect((await ada.get(id)).progress?.completed).toBe(1)
  expect(await textsOf(ada.logs(id))).toEqual([])
})

test('I44 code that is stopping reports no progress of an ended job, and its log lines are kept', async () => {
  const bench = new Bench()
  const { ada, work, id, heard } = await running(bench)
  work.run().context.progress({ completed: 1 })
  await ada.cancel(id)
  const before = (await ada.get(id)).progress
  work.run().context.progress({ completed: 2 })
  work.run().context.log('cleaning up')
  await bench.clock.advance(1_000)
  work.run().context.progress({ completed: 3 })
  work.run().finish()
  await bench.clock.settle()
  expect([before?.completed, completedOf(heard), (await ada.get(id)).progress]).toEqual([1, [1], before])
  expect(await textsOf(ada.logs(id))).toEqual(['cleaning up'])
})

test('I44 after its end a job takes neither progress nor lines, and leaves no timer', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  work.run().finish()
  await bench.clock.advance(1_000)
  const before = await bench.contents()
  const timers = bench.clock.pendingTimers()
  work.run().context.progress({ completed: 1 })
  work.run().context.log('from beyond')
  await bench.clock.settle()
  expect(bench.clock.pendingTimers()).toBe(timers)
  await bench.clock.advance(1_000)
  expect(await bench.contents()).toBe(before)
  expect(await textsOf(ada.logs(id))).toEqual([])
})

test('lines of the log keep their order, and the lines of one turn are one commit', async () => {
  const bench = new Bench()
  const { ada, work, id, faults } = await running(bench)
  const commits = faults.calls('commit')
  for (let line = 1; line <= 50; line++) work.run().context.log(`line ${line}`)
  await bench.clock.settle()
  expect(faults.calls('commit')).toBe(commits + 1)
  work.run().context.log('with the end')
  work.run().finish()
  await bench.clock.settle()
  const texts = [...Array.from({ length: 50 }, (_, index) => `line ${index + 1}`), 'with the end']
  expect(await textsOf(ada.logs(id))).toEqual(texts)
  expect(await textsOf(ada.logs(id, { after: 49 }))).toEqual(texts.slice(49))
  expect(await textsOf(ada.logs(id, { after: 51 }))).toEqual([])
})

test('a line is cut at 10,000 characters, made well-formed, and made text', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  const { log } = work.run().context
  log('x'.repeat(10_001))
  log('a\ud800b')
  ;(log as (text: unknown) => void)({ toString: () => 'shown' })
  await bench.clock.settle()
  expect(await textsOf(ada.logs(id))).toEqual(['x'.repeat(10_000), 'a\ufffdb', 'shown'])
})

test('the newest lines of a long log are kept, and one line says that others were dropped', async () => {
  const bench = new Bench(memoryStorage({ logLines: 3 }))
  const { ada, work, id } = await running(bench)
  for (let line = 1; line <= 5; line++) work.run().context.log(`line ${line}`)
  await bench.clock.settle()
  const lines: Pick<LogLine, 'number' | 'text'>[] = []
  for await (const { number, text } of ada.logs(id)) lines.push({ number, text })
  expect(lines.map(({ number }) => number)).toEqual([2, 3, 4, 5])
  expect(lines[0]?.text).toContain('2 earlier lines were dropped')
  expect(await textsOf(ada.logs(id, { after: 2 }))).toEqual(['line 3', 'line 4', 'line 5'])
})

test('a log of more lines than one read is read to its end', async () => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  for (let line = 1; line <= 1_203; line++) work.run().context.log(String(line))
  await bench.clock.settle()
  expect(await textsOf(ada.logs(id))).toEqual(Array.from({ length: 1_203 }, (_, index) => String(index + 1)))
})

test.each([
  ['negative', -1],
  ['no whole number', 1.5],
  ['NaN', Number.NaN],
  ['text', '1'],
])('an invalid position in the log is refused: %s', async (_, after) => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench)
  work.run().context.log('one')
  await bench.clock.settle()
  expect(await codeOf(textsOf(ada.logs(id, { after: after as number })))).toBe('INVALID_INPUT')
})

// Progress is stored beside the record from which an end is decided.
test.each([0, 1])('a result shows the progress of the attempt that reported it: %i', async (reporting) => {
  const bench = new Bench()
  const { ada, work, id } = await running(bench, 1)
  const result = ada.result(id)
  for (const attempt of [0, 1]) {
    if (attempt === reporting) work.run().context.progress({ completed: 1, total: 2 })
    await bench.clock.settle()
    if (attempt === 0) work.run().fail(new Error('once more'))
    else work.run().finish('done')
    await bench.clock.settle()
  }
  expect(await result).toMatchObject({ status: 'completed', progress: { completed: 1, total: 2 } })
  expect(await result).toEqual(await ada.get(id))
})
