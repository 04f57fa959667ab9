/** The types of storable values. Compiled by `npm run typecheck`, never run. */
import { defineJob, type Json, type NotStorable, type StepRun, type Storable, type TaskContext, task } from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { expectTypeOf, test } from 'vitest'
import { setup } from 'xstate'
import { z } from 'zod'

interface Row {
  readonly name: string
  readonly note?: string
  readonly size: number | null | undefined
  readonly tags: readonly ('a' | 'b')[]
  readonly pair: readonly [number, string]
  readonly rows: Row[]
  readonly rest: unknown
}

class WithPrivateField {
  #count = 0
  readonly name = ''
  get count() {
    return this.#count
  }
}

class WithMethod {
  readonly name = ''
  rename() {}
}

declare const row: Row
declare const anything: ReturnType<typeof JSON.parse>
declare const unknown: unknown

test('JSON types compile: interfaces, aliases, optional fields, readonly lists, and unknown', () => {
  defineJob({ type: 't', execute: () => {} })
  defineJob({ type: 't', execute: async () => {} })
  defineJob({ type: 't', execute: () => null })
  defineJob({ type: 't', execute: () => undefined })
  defineJob({ type: 't', execute: () => row })
  defineJob({ type: 't', execute: async () => [row] as const })
  defineJob({ type: 't', execute: () => ({ row, list: [row, null] }) })
  defineJob({ type: 't', execute: () => anything })
  defineJob({ type: 't', execute: async () => ({ anything, unknown }) })
  defineJob({ type: 't', execute: (): unknown => new Date() })
  defineJob({ type: 't', execute: (): object => ({}) })
  defineJob({ type: 't', execute: (): Json => [1, { a: null }] })
  defineJob({ type: 't', execute: (): Record<string, unknown> => ({}) })
  defineJob({
    type: 't',
    execute: () => {
      throw new Error('always')
    },
  })
  defineJob({ type: 't', execute: () => z.object({ n: z.number() }).brand('row').parse({ n: 1 }) })
  defineJob({ type: 't', execute: ({ input }) => input })
  expectTypeOf<Storable<Json>>().toEqualTypeOf<Json>()
})

test('an output that is not JSON does not compile', () => {
  // @ts-expect-error a Date
  defineJob({ type: 't', execute: () => new Date() })
  // @ts-expect-error a Date in a promise
  defineJob({ type: 't', execute: async () => new Date() })
  // @ts-expect-error a Date beside null
  defineJob({ type: 't', execute: () => (Math.random() > 0.5 ? null : new Date()) })
  // @ts-expect-error a Date deep inside
  defineJob({ type: 't', execute: async () => ({ row, rows: [{ at: new Date() }] }) })
  // @ts-expect-error a Date that may be absent
  defineJob({ type: 't', execute: (): { at?: Date } => ({}) })
  // @ts-expect-error a bigint
  defineJob({ type: 't', execute: () => 1n })
  // @ts-expect-error a Map
  defineJob({ type: 't', execute: () => new Map([['a', 1]]) })
  // @ts-expect-error a Set
  defineJob({ type: 't', execute: async () => [new Set([1])] })
  // @ts-expect-error a symbol
  defineJob({ type: 't', execute: () => Symbol('a') })
  // @ts-expect-error a function
  defineJob({ type: 't', execute: () => () => 1 })
  // @ts-expect-error an object with a method
  defineJob({ type: 't', execute: () => ({ rename: () => {} }) })
  // @ts-expect-error an instance with a method
  defineJob({ type: 't', execute: () => new WithMethod() })
  // @ts-expect-error an instance with a private field
  defineJob({ type: 't', execute: () => new WithPrivateField() })
  // @ts-expect-error an error
  defineJob({ type: 't', execute: () => new RangeError('late') })
  // @ts-expect-error bytes
  defineJob({ type: 't', execute: () => new Uint8Array(8) })
  // @ts-expect-error an object with toJSON
  defineJob({ type: 't', execute: () => new URL('http://127.0.0.1') })
  // @ts-expect-error a promise that nobody awaited
  defineJob({ type: 't', execute: () => ({ row: Promise.resolve(row) }) })
  // @ts-expect-error a Map beside unknown
  defineJob({ type: 't', execute: () => ({ unknown, map: new Map() }) })
})

test('the compiler’s error says what to do', () => {
  type Fix<Value> = Storable<Value> extends NotStorable<infer Text> ? Text : never
  expectTypeOf<Fix<Date>>().toEqualTypeOf<'a Date is not JSON: use date.toISOString()'>()
  expectTypeOf<Fix<bigint>>().toEqualTypeOf<'a bigint is not JSON: use String(value)'>()
  expectTypeOf<Fix<Map<string, 1>>>().toEqualTypeOf<'a Map is not JSON: use Object.fromEntries(map), or [...map]'>()
  expectTypeOf<Fix<ReadonlySet<1>>>().toEqualTypeOf<'a Set is not JSON: use [...set]'>()
  expectTypeOf<Fix<Buffer>>().toEqualTypeOf<"bytes are not JSON: use Buffer.from(bytes).toString('base64')">()
  expectTypeOf<Fix<Promise<1>>>().toEqualTypeOf<'a promise is not JSON: await it'>()
  expectTypeOf<
    Fix<WithPrivateField>
  >().toEqualTypeOf<'an instance of a class is not JSON: use a plain object of its fields'>()
  expectTypeOf<Storable<{ readonly at: Date; readonly n: 1 }>>().toEqualTypeOf<{
    readonly at: NotStorable<'a Date is not JSON: use date.toISOString()'>
    readonly n: 1
  }>()
})

test('steps, items and tasks take JSON only', () => {
  defineJob({
    type: 't',
    execute: async ({ step, item }) => {
      expectTypeOf(await step('a', ({ key }) => ({ key, row }))).toEqualTypeOf<{ key: string; row: Row }>()
      expectTypeOf(await step('a', async () => {})).toBeVoid()
      expectTypeOf(await step('a', () => (Math.random() > 0.5 ? row : undefined))).toEqualTypeOf<Row | undefined>()
      await item('a')
      await item('a', {})
      await item('a', { status: 'failed', message: 'late' })
      await item('a', { output: row })
      await item('a', { output: unknown })
      // @ts-expect-error a Date
      await step('a', () => new Date())
      // @ts-expect-error a Map deep inside
      await step('a', async () => ({ rows: [new Map<string, Row>()] }))
      // @ts-expect-error a Date
      await item('a', { output: new Date() })
      // @ts-expect-error a bigint deep inside
      await item('a', { output: { rows: [1n] } })
      // @ts-expect-error not a status
      await item('a', { status: 'done' })
    },
  })
  expectTypeOf(task({ input: z.object({ n: z.number() }) }, ({ input }) => ({ row, n: input.n }))).not.toBeAny()
  // @ts-expect-error a Date
  task({}, () => new Date())
  // @ts-expect-error a Map in a promise
  task({ input: z.object({ n: z.number() }) }, async ({ input }) => new Map([['n', input.n]]))
  // @ts-expect-error a Date from the output schema
  task({ output: z.date() }, () => new Date())
})

test('a function that wraps a step names the type of its function', () => {
  const twice = async <Result>({ step }: TaskContext, run: StepRun<Result>): Promise<Result> => {
    await step('first', run)
    return await step('second', run)
  }
  defineJob({
    type: 't',
    execute: async (context) => {
      expectTypeOf(await twice(context, () => row)).toEqualTypeOf<Row>()
      // @ts-expect-error a Date
      await twice(context, () => new Date())
    },
  })
})

test('schemas of stored values give JSON', () => {
  const at = z.object({ at: z.coerce.date() })
  const text = z.object({ at: z.coerce.date().transform((date) => date.toISOString()) })
  const lifecycle = setup({}).createMachine({ on: { move: {} } })
  defineJob({ type: 't', input: text, output: text, execute: () => ({ at: new Date().toISOString() }) })
  // @ts-expect-error an input with a Date
  defineJob({ type: 't', input: at, execute: () => 1 })
  // @ts-expect-error an output with a Date
  defineJob({ type: 't', output: at, execute: () => ({ at: '2027-01-01' }) })
  defineJob({ type: 't', input: text, lifecycle, commands: { move: text } })
  // @ts-expect-error an input with a Date
  defineJob({ type: 't', input: at, lifecycle })
  // @ts-expect-error a command with a Date
  defineJob({ type: 't', lifecycle, commands: { move: at } })
  // @ts-expect-error the same with `by`
  defineJob({ type: 't', lifecycle, commands: { move: { schema: at, by: { roles: ['lead'] } } } })
})

test('a machine gives JSON as its output', () => {
  const machine = setup({ types: { output: {} as { at: Date } } }).createMachine({ output: { at: new Date() } })
  // @ts-expect-error a Date
  defineJob({ type: 't', lifecycle: machine })
})

test('members’ jobs have the same checks', () => {
  const members = memberJobs()
  members.defineJob({ type: 't', execute: async () => row })
  // @ts-expect-error a Date
  members.defineJob({ type: 't', execute: async () => ({ at: new Date() }) })
})
