/**
 * The rules that the types of a job's schemas, machine and commands enforce. Compiled by `npm run typecheck`, never
 * run.
 */
import {
  type AgentRef,
  type AnyJobType,
  type Assignment,
  agentTask,
  type CreateEngineOptions,
  createEngine,
  defineJob,
  type InputOf,
  type JobId,
  type OutputOf,
  type Session,
  type SubmitOptions,
  type SubmittedJob,
  task,
} from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { expectTypeOf, test } from 'vitest'
import { createMachine, setup } from 'xstate'
import { z } from 'zod'

declare const ada: Session

const plain = defineJob({ type: 'plain', execute: async () => ({ rows: 1 }) })
const greet = defineJob({ type: 'greet', input: z.object({ name: z.string() }), execute: ({ input }) => input.name })
const optional = defineJob({
  type: 'o',
  input: z.object({ n: z.number() }).optional(),
  execute: ({ input }) => input?.n,
})

interface Order {
  readonly sku: string
  readonly count?: number | undefined
}
const lifecycle = setup({
  types: {
    context: {} as Order,
    input: {} as Order,
    output: {} as { parcel: string },
    events: {} as
      | { type: 'approve'; note: string }
      | { type: 'cancel'; reason?: string | undefined }
      | { type: 'tick' },
  },
}).createMachine({
  context: ({ input }) => input,
  on: { approve: {}, cancel: {} },
  output: { parcel: '1' },
})
const input = z.object({ sku: z.string(), count: z.number().optional() })
const commands = {
  approve: z.object({ note: z.string() }),
  cancel: { schema: z.object({ reason: z.string().optional() }), by: { relation: 'creator' } },
} as const
const order = defineJob({ type: 'order', input, lifecycle, commands })

test('submitMany takes the input of the type of each job', async () => {
  await ada.submitMany([{ type: greet, input: { name: 'a' } }, { type: plain }, { type: optional }])
  await ada.submitMany(['a', 'b'].map((name) => ({ type: greet, input: { name }, pipeline: 'p' })))
  await ada.submitMany([{ type: 'greet', input: 1 }])
  await ada.submitMany([] as readonly SubmittedJob[])
  await ada.submitMany([{ type: greet as AnyJobType, input: 1 }], { atomic: true })
  // @ts-expect-error the name is a text
  await ada.submitMany([{ type: greet, input: { name: 1 } }])
  // @ts-expect-error the input is needed
  await ada.submitMany([{ type: plain }, { type: greet }])
  // @ts-expect-error no such option
  await ada.submitMany([{ type: plain, label: 'x' }])
})

test('submit takes the input of the type, which may be left out if it may be undefined', async () => {
  await ada.submit(plain)
  await ada.submit(plain, undefined, { pipeline: 'nightly' })
  await ada.submit(plain, { anything: true })
  await ada.submit(optional)
  await ada.submit(optional, { n: 1 })
  await ada.submit(greet, { name: 'world' })
  await ada.submit(greet, { name: 'world' }, { pipeline: 'nightly', overlap: 'queue' })
  await ada.submit('greet', { name: 'world' })
  await ada.submit(plain as AnyJobType)
  // @ts-expect-error the input is missing
  await ada.submit(greet)
  // @ts-expect-error a field is missing
  await ada.submit(greet, {})
  // @ts-expect-error a field is of another type
  await ada.submit(greet, { name: 5 })
  // @ts-expect-error the machine's input is missing
  await ada.submit(order)
  // @ts-expect-error the input has no such field
  await ada.submit(optional, { m: 1 })
})

test('options are known by their names and their values', async () => {
  expectTypeOf<SubmitOptions['overlap']>().toEqualTypeOf<'reject' | 'queue' | 'replace' | undefined>()
  // @ts-expect-error not an overlap rule
  await ada.submit(plain, undefined, { overlap: 'wait' })
  // @ts-expect-error there is no such option
  await ada.submit(plain, undefined, { pipline: 'nightly' })
  // @ts-expect-error there is no such option
  await createEngine({ jobs: [plain], storag: undefined })
  // @ts-expect-error jobs are missing
  expectTypeOf({}).toExtend<CreateEngineOptions>()
  // @ts-expect-error there is no such option
  defineJob({ type: 't', execute: () => 1, retries: 3 })
  // @ts-expect-error not a number
  defineJob({ type: 't', execute: () => 1, retry: { limit: '3' } })
  // @ts-expect-error one of the two
  defineJob({ type: 't' })
  // @ts-expect-error not a recovery rule
  task({ recovery: 'again' }, () => 1)
})

test('omitted options have their defaults', () => {
  expectTypeOf<InputOf<typeof plain>>().toBeUnknown()
  expectTypeOf<OutputOf<typeof plain>>().toEqualTypeOf<{ rows: number }>()
  const bare = defineJob({ type: 'bare', lifecycle: createMachine({}) })
  expectTypeOf<InputOf<typeof bare>>().toBeUnknown()
  expectTypeOf<OutputOf<typeof bare>>().toBeUnknown()
  defineJob({
    type: 't',
    execute: ({ input, attempt, signal }) => {
      expectTypeOf(input).toBeUnknown()
      expectTypeOf(attempt).toBeNumber()
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
    },
  })
})

test('the code of a task for agents is named by texts, or by functions of the input', async () => {
  const extract = defineJob({
    type: 'extract',
    input: z.object({ tool: z.string() }),
    output: z.array(z.string()),
    agent: {
      function: ({ input, labels }) => {
        expectTypeOf(input).toEqualTypeOf<{ tool: string }>()
        expectTypeOf(labels).toEqualTypeOf<{ readonly [name: string]: string }>()
        return input.tool
      },
      version: ({ input }) => (input.tool === '' ? undefined : '2.1'),
    },
    limits: { concurrency: 2, key: ({ input }) => input.tool },
  })
  expectTypeOf<InputOf<typeof extract>>().toEqualTypeOf<{ tool: string }>()
  expectTypeOf<OutputOf<typeof extract>>().toEqualTypeOf<string[]>()
  const bare = defineJob({ type: 'bare', agent: {} })
  expectTypeOf<OutputOf<typeof bare>>().toBeUnknown()
  const { id } = await ada.submit(bare)
  await ada.cancel(id, { reason: 'late' })
  const work = agentTask({
    input: z.object({ n: z.number() }),
    output: z.string(),
    function: ({ input }) => `f${input.n}`,
  })
  setup({ actors: { work } }).createMachine({
    invoke: {
      src: 'work',
      input: { n: 1 },
      onDone: { actions: ({ event }) => expectTypeOf(event.output).toBeString() },
    },
  })
  // @ts-expect-error the input of the task has no such field
  agentTask({ input: z.object({ n: z.number() }), function: ({ input }) => input.tool })
  // @ts-expect-error not a text
  agentTask({ function: () => 5 })
  // @ts-expect-error a date is not JSON
  agentTask({ output: z.date() })
  // @ts-expect-error there is no such option
  defineJob({ type: 't', agent: { functoin: 'x' } })
  // @ts-expect-error one of the two
  defineJob({ type: 't', agent: {}, execute: () => 1 })
  // @ts-expect-error one of the two
  defineJob({ type: 't', agent: {}, lifecycle: createMachine({}) })
})

test('a job is assigned to one agent, or to one pool', async () => {
  const { id } = await ada.submit(plain, undefined, { assignment: { agent: 'a1' } })
  await ada.submit(plain, undefined, { assignment: { pool: 'gpu' } })
  await ada.retry(id, { assignment: { pool: 'gpu' } })
  await ada.retry(id, { assignment: null })
  // @ts-expect-error one of the two
  await ada.submit(plain, undefined, { assignment: { agent: 'a1', pool: 'gpu' } })
  // @ts-expect-error one of the two
  await ada.submit(plain, undefined, { assignment: {} })
  const { assignment, agent } = await ada.get(id)
  expectTypeOf(assignment).toEqualTypeOf<Assignment | undefined>()
  expectTypeOf(agent).toEqualTypeOf<AgentRef | undefined>()
})

test('a job of a function takes the command cancel, and no other', async () => {
  const { id } = await ada.submit(plain)
  expectTypeOf(id).toEqualTypeOf<JobId<typeof plain>>()
  await ada.send(id, { type: 'cancel' })
  await ada.send(id, { type: 'cancel', reason: 'late' })
  await ada.send(id, { type: 'cancel', reason: undefined })
  await ada.cancel(id, { reason: 'late' })
  // @ts-expect-error misspelt
  await ada.send(id, { type: 'cancle' })
  // @ts-expect-error a field of another type
  await ada.send(id, { type: 'cancel', reason: 5 })
  // @ts-expect-error there is no such field
  await ada.send(id, { type: 'cancel', why: 'late' })
  // A job known only by its id takes any command, which is checked when it is sent.
  await ada.send(`${id}`, { type: 'anything', at: 'all' })
  const any = await ada.submit(plain as AnyJobType)
  await ada.send(any.id, { type: 'anything', at: 'all' })
})

test('a job of a machine takes the commands that are declared, with their fields', async () => {
  const { id } = await ada.submit(order, { sku: 'book' })
  await ada.send(id, { type: 'approve', note: 'fine' })
  await ada.send(id, { type: 'cancel' })
  await ada.send(id, { type: 'cancel', reason: 'late' })
  // @ts-expect-error a field is missing
  await ada.send(id, { type: 'approve' })
  // @ts-expect-error a field of another type
  await ada.send(id, { type: 'approve', note: 5 })
  // @ts-expect-error an event of the machine that is not a command
  await ada.send(id, { type: 'tick' })
  const silent = defineJob({ type: 'silent', lifecycle: createMachine({}) })
  // @ts-expect-error this command has no fields
  await ada.send((await ada.submit(silent)).id, { type: 'cancel' })
  const empty = defineJob({ type: 'e', lifecycle: createMachine({ on: { go: {} } }), commands: { go: z.object({}) } })
  await ada.send((await ada.submit(empty)).id, { type: 'go' })
})

test('results have the type’s output', async () => {
  const { id } = await ada.submit(plain)
  expectTypeOf((await ada.result(id)).output).toEqualTypeOf<{ rows: number } | undefined>()
  expectTypeOf((await ada.get(id)).output).toEqualTypeOf<{ rows: number } | undefined>()
  const sent = await ada.submit(order, { sku: 'book' })
  expectTypeOf((await ada.result(sent.id)).output).toEqualTypeOf<{ parcel: string } | undefined>()
  const parsed = defineJob({ type: 't', output: z.object({ n: z.coerce.number() }), execute: () => ({ n: '5' }) })
  expectTypeOf((await ada.result((await ada.submit(parsed)).id)).output).toEqualTypeOf<{ n: number } | undefined>()
  expectTypeOf((await ada.result('an id')).output).toBeUnknown()
})

test('a machine takes what the input schema gives', async () => {
  // Without a schema, submit takes the machine's own input type.
  const bare = defineJob({ type: 'bare', lifecycle })
  expectTypeOf<InputOf<typeof bare>>().toEqualTypeOf<Order>()
  defineJob({ type: 't', input: z.string().transform((sku) => ({ sku })), lifecycle })
  defineJob({ type: 't', input: z.object({ anything: z.number() }), lifecycle: createMachine({}) })
  defineJob({ type: 't', input: z.object({ sku: z.string(), more: z.string() }), lifecycle })
  // @ts-expect-error a field is missing
  defineJob({ type: 't', input: z.object({ count: z.number() }), lifecycle })
  // @ts-expect-error a field is of another type
  defineJob({ type: 't', input: z.object({ sku: z.number() }), lifecycle })
  // @ts-expect-error the type after parsing counts
  defineJob({ type: 't', input: z.object({ sku: z.string() }).transform(({ sku }) => sku), lifecycle })
  // @ts-expect-error it may be undefined
  defineJob({ type: 't', input: input.optional(), lifecycle })
})

test('a machine takes each command as an event', () => {
  defineJob({ type: 't', input, lifecycle, commands: { approve: z.object({ note: z.string(), more: z.number() }) } })
  defineJob({ type: 't', lifecycle: createMachine({ on: { go: {} } }), commands: { go: z.object({ n: z.number() }) } })
  // @ts-expect-error a field is missing
  defineJob({ type: 't', input, lifecycle, commands: { approve: z.object({}) } })
  // @ts-expect-error a field is of another type
  defineJob({ type: 't', input, lifecycle, commands: { approve: z.object({ note: z.number() }) } })
  // @ts-expect-error the machine has no such event
  defineJob({ type: 't', input, lifecycle, commands: { aprove: z.object({ note: z.string() }) } })
  // @ts-expect-error the same with `by`
  defineJob({ type: 't', input, lifecycle, commands: { aprove: { schema: z.object({}), by: { roles: ['lead'] } } } })
  // @ts-expect-error the cancel command is not among the commands
  defineJob({ type: 't', input, lifecycle, commands, cancel: 'stop' })
})

test('an output schema takes what the machine gives', () => {
  defineJob({ type: 't', input, output: z.object({ parcel: z.string() }), lifecycle })
  defineJob({ type: 't', output: z.object({ parcel: z.string() }), lifecycle: createMachine({}) })
  // @ts-expect-error a field of another type
  defineJob({ type: 't', input, output: z.object({ parcel: z.number() }), lifecycle })
})

test('a pipeline takes the input of its job type', async () => {
  await ada.pipelines.define({ id: 'nightly', job: plain })
  await ada.pipelines.define({ id: 'nightly', job: 'plain' })
  await ada.pipelines.define({ id: 'nightly', job: 'greet', input: { name: 'world' } })
  await ada.pipelines.define({ id: 'nightly', job: greet, input: { name: 'world' } })
  // @ts-expect-error the input is missing
  await ada.pipelines.define({ id: 'nightly', job: greet })
  // @ts-expect-error a field of another type
  await ada.pipelines.define({ id: 'nightly', job: greet, input: { name: 5 } })
})

test('members’ jobs are typed in the same way', async () => {
  const load = memberJobs().defineJob({
    type: 'Load',
    input: z.object({ file: z.string() }),
    execute: ({ input }) => input.file.length,
  })
  const { id } = await ada.submit(load, { file: 'roads' })
  expectTypeOf((await ada.result(id)).output).toEqualTypeOf<number | undefined>()
  await ada.send(id, { type: 'cancel', reason: 'late' })
  // @ts-expect-error misspelt
  await ada.send(id, { type: 'cancle' })
  // @ts-expect-error the input is missing
  await ada.submit(load)
})
