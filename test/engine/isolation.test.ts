import { type Description, defineJob, JobchartError, task } from 'jobchart'
import { expect, test } from 'vitest'
import { type AnyStateMachine, createMachine } from 'xstate'
import { Bench, codeOf, type Host, Work } from './bench.ts'

// I36, I50: a fault in one job ends that job, or leaves it unchanged. It never delays another one.

const plain = defineJob({ type: 'plain', execute: () => 'done' })

/** Its `describe` is user code that fails at one event. */
function describing(work: Work, at: string, describe: () => Description) {
  return defineJob({
    type: 'describing',
    execute: work.execute,
    describe: (_, event) => (event.type === at ? describe() : undefined),
  })
}

const broken: readonly (readonly [string, () => Description])[] = [
  [
    'throws',
    () => {
      throw new Error('describe')
    },
  ],
  ['gives no object', () => 7 as unknown as Description],
  ['gives what is no text', () => ({ message: 7n, exitCode: Number.NaN, reason: {} }) as unknown as Description],
  ['gives a lone surrogate', () => ({ message: '\ud800', reason: '\ud800' })],
]

for (const at of ['xstate.init', 'task.started', 'xstate.done.actor.execute', 'cancel']) {
  test.each(broken)(
    `I36 a describe that %s at ${at} ends or moves its own job, and delays no other`,
    async (_, describe) => {
      const bench = new Bench()
      const work = new Work()
      const type = describing(work, at, describe)
      const face = await bench.start({ jobs: [type, plain], work: false })
      // Submitted before the other job and with a higher priority, so that every claim meets it first.
      const [first] = await Promise.allSettled([face.ada.submit(type, 1, { priority: 5 })])
      if (first.status === 'rejected') {
        expect(first.reason).toBeInstanceOf(JobchartError)
        expect(first.reason).not.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
      }
      const other = await face.ada.submit(plain, 2)
      await bench.start({ jobs: [type, plain], concurrency: 1 })
      await bench.clock.advance(2_000)
      if (first.status === 'fulfilled' && work.runs.length > 0) {
        if (at === 'cancel') expect(await codeOf(face.ada.cancel(first.value.id))).toBe('ok')
        work.run().finish()
        await bench.clock.advance(2_000)
        expect((await face.ada.get(first.value.id)).phase).toBe('settled')
      }
      await bench.clock.advance(2_000)
      expect((await face.ada.get(other.id)).status).toBe('completed')
    },
  )
}

/** A job type of the same name and version, whose chart has other states. */
function renamed(work: Work, state: string) {
  const machine: AnyStateMachine = createMachine({
    initial: state,
    states: { [state]: { invoke: { src: 'work', onDone: 'done' } }, done: { type: 'final' } },
  })
  const type = defineJob({ type: 'renamed', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  // A damaged row. A changed chart would be refused at the start.
  return { ...type, hash: 'the same' }
}

async function withStaleJobs(
  bench: Bench,
): Promise<{ readonly host: Host; readonly available: string; readonly claimed: string }> {
  const before = renamed(new Work(), 'working')
  const one = await bench.start({ jobs: [before, plain], concurrency: 1 })
  const claimed = await one.ada.submit(before, undefined, { priority: 5 })
  const available = await one.ada.submit(before, undefined, { priority: 5 })
  await one.crash()
  const host = await bench.start({ jobs: [renamed(new Work(), 'busy'), plain] })
  return { host, available: available.id, claimed: claimed.id }
}

test('I50 a job whose state its chart no longer knows does not block the engine’s start or other jobs', async () => {
  const bench = new Bench()
  const { host } = await withStaleJobs(bench)
  const face = await bench.start({ jobs: [plain], work: false })
  const { id } = await face.ada.submit(plain, 1)
  await bench.clock.advance(3_000)
  expect((await host.ada.get(id)).status).toBe('completed')
})

test('I50 a command to a job whose state its chart no longer knows is refused by a typed error', async () => {
  const bench = new Bench()
  const { host, available, claimed } = await withStaleJobs(bench)
  for (const id of [available, claimed]) {
    expect(await codeOf(host.ada.get(id))).toBe('ok')
    expect(await codeOf(host.ada.send(id, { type: 'anything' }))).toBe('INVALID_INPUT')
  }
})

test('I50 the end of a task that its chart no longer knows is not retried forever', async () => {
  const bench = new Bench()
  const work = new Work()
  const plainMachine = (src: string) =>
    createMachine({ initial: 'a', states: { a: { invoke: { src, onDone: 'b' } }, b: { type: 'final' } } })
  const typeOf = (src: string) => {
    const actors = { [src]: task({ retry: { limit: 1 } }, work.execute) }
    return { ...defineJob({ type: 'moved', lifecycle: plainMachine(src).provide({ actors }) }), hash: 'the same' }
  }
  const one = await bench.start({ jobs: [typeOf('old')] })
  await one.ada.submit(typeOf('old'), undefined)
  await one.crash()
  const two = await bench.start({ jobs: [typeOf('new'), plain] })
  const { id } = await two.ada.submit(plain, 1)
  await bench.clock.advance(3_000)
  expect((await two.ada.get(id)).status).toBe('completed')
  const commits = two.faults.calls('commit') + two.faults.calls('get')
  await bench.clock.advance(10_000)
  // It may be read again at a sweep each second, but not more often.
  expect(two.faults.calls('commit') + two.faults.calls('get') - commits).toBeLessThan(40)
})

test('a job type whose code cannot be called is refused when it is defined', () => {
  const define = () => defineJob({ type: 'w', execute: 'no function' as unknown as () => void })
  expect(define).toThrow('execute should be a function; found "no function"')
})
