import { type Work as ClaimedWork, defineJob, type Executor, type Json, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench } from './bench.ts'

test('a custom executor runs the tasks that name it, and its report ends the task', async () => {
  const bench = new Bench()
  const seen: ClaimedWork[] = []
  const rows: Executor = {
    room: () => 5,
    start: async (work) => {
      seen.push(work)
      return { ok: true, output: { counted: (work.input as { readonly path: string }).path.length } }
    },
    close: async () => {},
  }
  const here = () => Promise.reject(new Error('it does not run here'))
  const lifecycle = createMachine({
    context: ({ input }: { readonly input: string }) => ({ path: input }),
    initial: 'counting',
    states: {
      counting: {
        invoke: {
          src: 'count',
          input: ({ context }: { readonly context: { readonly path: string } }) => ({ path: context.path }),
          onDone: 'done',
        },
      },
      done: {
        type: 'final',
        output: ({ event }: { readonly event: object }) => ('output' in event ? event.output : 0),
      },
    },
    output: ({ event }: { readonly event: object }) => ('output' in event ? event.output : 0),
  } as never).provide({
    actors: { count: task({ executor: 'rows', function: 'count-rows', version: '7' }, here) },
  } as never)
  const counted = defineJob({ type: 'counted', lifecycle })
  const { ada } = await bench.start({ jobs: [counted], executors: { rows } })
  const { id } = await ada.submit(counted, 'a.csv')
  await bench.clock.settle()
  const wanted = { job: { id, type: 'counted' }, function: 'count-rows', version: '7', attempt: 1 }
  expect(seen).toMatchObject([wanted])
  const input: Json | undefined = seen[0]?.input
  expect(input).toEqual({ path: 'a.csv' })
  expect(await ada.get(id)).toMatchObject({ status: 'done', output: { counted: 5 } })
})

test.each([{ function: '' }, { version: 'x'.repeat(201) }, { function: 5 as never }])(
  'a task that names %j is refused',
  (names) => {
    expect(() => task(names, () => 1)).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
  },
)

const circle: { self?: unknown } = {}
circle.self = circle

test.each([
  [undefined, 'INVALID_DEFINITION'],
  [null, 'INVALID_DEFINITION'],
  ['done', 'INVALID_DEFINITION'],
  [{}, 'INVALID_DEFINITION'],
  [{ ok: 'yes' }, 'INVALID_DEFINITION'],
  [{ ok: true, output: 5n }, 'NOT_STORABLE'],
  [{ ok: true, output: new Date(0) }, 'NOT_STORABLE'],
  [{ ok: true, output: circle }, 'NOT_STORABLE'],
  [{ ok: true, output: 'x'.repeat(1_100_000) }, 'PAYLOAD_TOO_LARGE'],
  [{ ok: false, error: Object.assign(new Error('no disk'), { code: 'EIO' }) }, 'EIO'],
])('the answer of an executor ends its job, even if it is not an end or cannot be stored', async (given, code) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const careless: Executor = { room: () => 1, start: async () => given as never, close: async () => {} }
  const { ada, engine } = await bench.start({ jobs: [type], executors: { default: careless } })
  const { id } = await ada.submit(type)
  await engine.idle()
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code } })
})

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 'many', undefined])(
  'an executor with %s places gets no tasks, and explain says so',
  async (places) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const odd: Executor = { room: () => places as number, start: async () => ({ ok: true }), close: async () => {} }
    const { ada, engine } = await bench.start({ jobs: [type], executors: { default: odd } })
    const { id } = await ada.submit(type)
    await bench.clock.advance(5_000)
    expect(engine.running()).toEqual([])
    expect(await ada.explain(id)).toEqual([{ kind: 'busy', task: 'execute', executor: 'default' }])
  },
)
