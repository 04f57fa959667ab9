import { defineJob, type JobId, type Policy, type Session, type Verdict } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, type HostOptions, Work } from './bench.ts'

/** A job that runs on one engine, with another engine beside it. */
async function running(options: Omit<HostOptions, 'jobs'> = {}) {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: '1s', execute: work.execute })
  const here = await bench.start({ jobs: [type], ...options })
  const elsewhere = await bench.start({ jobs: [type], work: false })
  const { id } = await here.ada.submit(type, 1)
  await bench.clock.advance(100)
  return { bench, work, type, here, elsewhere, id }
}

/** Follows a log; what has come, and how it ended. */
function following(
  session: Session,
  id: JobId,
  options: { readonly after?: number; readonly signal?: AbortSignal } = {},
) {
  const lines: string[] = []
  const read = async () => {
    for await (const { text } of session.logs(id, { follow: true, ...options })) lines.push(text)
  }
  let end: string | undefined
  void codeOf(read()).then((code) => {
    end = code
  })
  return { lines, end: () => end }
}

test('a follower that gives up while the policy is asked gets no error', async () => {
  const abort = new AbortController()
  const policy: Policy = {
    authorize: (_, action) => (action === 'logs' ? new Promise<Verdict>(() => {}) : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { bench, here, id } = await running({ policy })
  const follower = following(here.ada, id, { signal: abort.signal })
  await bench.clock.settle()
  expect(follower.end()).toBe(undefined)
  abort.abort(new Error('enough'))
  await bench.clock.settle()
  expect([follower.lines, follower.end()]).toEqual([[], 'ok'])
})

test('followed lines arrive at once on the same engine and with the next poll on another, until the job’s end', async () => {
  const { bench, work, here, elsewhere, id } = await running()
  const own = following(here.ada, id)
  const other = following(elsewhere.ada, id)
  const { context, finish } = work.run()
  context.log('one')
  await bench.clock.settle()
  expect([own.lines, other.lines]).toEqual([['one'], []])
  await bench.clock.advance(100)
  expect(other.lines).toEqual(['one'])
  context.log('two')
  context.log('three')
  finish()
  await bench.clock.settle()
  expect([own.lines, own.end()]).toEqual([['one', 'two', 'three'], 'ok'])
  await bench.clock.advance(100)
  expect([other.lines, other.end()]).toEqual([['one', 'two', 'three'], 'ok'])
})

test('following the log of an ended job ends after its lines; following that of a waiting job waits', async () => {
  const { bench, work, type, here, id } = await running({ concurrency: 1 })
  const next = await here.ada.submit(type, 2)
  const waiting = following(here.ada, next.id)
  work.run().context.log('first')
  work.run().finish()
  await bench.clock.settle()
  const past = following(here.ada, id)
  await bench.clock.settle()
  expect([past.lines, past.end(), waiting.end()]).toEqual([['first'], 'ok', undefined])
  work.run().context.log('second')
  work.run().finish()
  await bench.clock.settle()
  expect([waiting.lines, waiting.end()]).toEqual([['second'], 'ok'])
})

test('following a log may begin after the number of a line', async () => {
  const { bench, work, here, id } = await running()
  for (const text of ['one', 'two', 'three']) work.run().context.log(text)
  await bench.clock.settle()
  const late = following(here.ada, id, { after: 2 })
  await bench.clock.settle()
  expect(late.lines).toEqual(['three'])
  work.run().finish()
  await bench.clock.settle()
})

test('following a log goes on while code that was told to stop still writes', async () => {
  const { bench, work, here, id } = await running()
  const log = following(here.ada, id)
  await here.ada.cancel(id)
  work.run().context.log('stopping')
  await bench.clock.settle()
  expect([log.lines, log.end()]).toEqual([['stopping'], undefined])
  work.run().finish()
  await bench.clock.settle()
  expect(log.end()).toBe('ok')
})

test('following a log ends without an error when its signal is aborted, also before the first read, and when the loop is left', async () => {
  const { bench, work, here, id } = await running()
  const give = new AbortController()
  const log = following(here.ada, id, { signal: give.signal })
  await bench.clock.settle()
  give.abort()
  await bench.clock.settle()
  const late = following(here.ada, id, { signal: give.signal })
  await bench.clock.settle()
  expect([log.end(), late.end()]).toEqual(['ok', 'ok'])
  work.run().context.log('line')
  await bench.clock.settle()
  for await (const { text } of here.ada.logs(id, { follow: true })) {
    expect(text).toBe('line')
    break
  }
})

test('nothing is given after its signal was aborted, also of lines that were read before', async () => {
  const { bench, work, here, id } = await running()
  for (const text of ['one', 'two', 'three']) work.run().context.log(text)
  await bench.clock.settle()
  const give = new AbortController()
  const seen: string[] = []
  for await (const { text } of here.ada.logs(id, { follow: true, signal: give.signal })) {
    seen.push(text)
    give.abort()
  }
  expect(seen).toEqual(['one'])
  work.run().finish()
  await bench.clock.settle()
})

test('following a log ends with the deletion of its job, on the same engine and on another', async () => {
  const { bench, work, here, elsewhere, id } = await running()
  const logs = [following(here.ada, id), following(elsewhere.ada, id)]
  await bench.clock.settle()
  await here.ada.delete(id)
  await bench.clock.advance(100)
  expect(logs.map((log) => log.end())).toEqual(['ok', 'ok'])
  work.run().finish()
  await bench.clock.settle()
})

test('following a log ends with ENGINE_STOPPED when its engine stops, and can go on at another engine after the last number', async () => {
  const { bench, work, here, elsewhere, id } = await running()
  const log = following(here.ada, id)
  work.run().context.log('one')
  await bench.clock.settle()
  const stopped = here.engine.stop({ timeout: 0 })
  await bench.clock.settle()
  await stopped
  await bench.clock.settle()
  expect([log.lines, log.end()]).toEqual([['one'], 'ENGINE_STOPPED'])
  const more = following(elsewhere.ada, id, { after: 1 })
  await bench.clock.settle()
  await elsewhere.ada.cancel(id)
  await bench.clock.settle()
  expect([more.lines, more.end()]).toEqual([[], 'ok'])
})

test('rights are checked at each read of a followed log: a caller who loses them gets no more lines', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { engine, ada } = await bench.start({ jobs: [type] })
  let role = 'admin'
  const boss = engine.as(() => ({ id: 'boss', role }))
  const { id } = await ada.submit(type, 1)
  const log = following(boss, id)
  work.run().context.log('seen')
  await bench.clock.settle()
  role = 'editor'
  work.run().context.log('not seen')
  await bench.clock.settle()
  expect([log.lines, log.end()]).toEqual([['seen'], 'ok'])
  expect(await codeOf(boss.get(id))).toBe('JOB_NOT_FOUND')
  work.run().finish()
  await bench.clock.settle()
})

test('following is refused for a missing job, a hidden job, and an invalid option', async () => {
  const { bench, work, here, id } = await running()
  const calls = [
    following(here.ada, 'absent' as JobId),
    following(here.bob, id),
    following(here.ada, id, { follow: 1 } as never),
  ]
  await bench.clock.settle()
  expect(calls.map((call) => call.end())).toEqual(['JOB_NOT_FOUND', 'JOB_NOT_FOUND', 'INVALID_INPUT'])
  work.run().finish()
  await bench.clock.settle()
})
