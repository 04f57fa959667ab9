import { expect, test } from 'vitest'
import { errorRecord, recordOf, withError } from '../../src/model/error-event.ts'

const type = 'xstate.error.actor.w'

test('an error is recorded with those of its fields that are JSON, and is an Error again for a chart', () => {
  const thrown = Object.assign(new RangeError('far'), { status: 503, at: new Date(0), detail: { n: [1] }, code: 7 })
  const record = JSON.parse(JSON.stringify(errorRecord(thrown)))
  expect(record).toMatchObject({ name: 'RangeError', message: 'far', code: 7, status: 503, detail: { n: [1] } })
  expect(record).not.toHaveProperty('at')
  const { error } = withError({ type, error: record })
  expect(error).toBeInstanceOf(RangeError)
  expect(error).toMatchObject({ name: 'RangeError', message: 'far', code: 7, status: 503, stack: thrown.stack })
  expect(Object.keys(error as object)).not.toContain('stack')
})

test('a field of an error that a chart keeps is stored as it was given', () => {
  const record = errorRecord(new Error('no'))
  const { error } = withError({ type, error: record })
  expect(recordOf(error as object)).toBe(record)
  expect(recordOf(new Error('another'))).toBeUndefined()
})

test.each([
  [{ type: 'FAILED', error: { name: 'Error', message: 'm', stack: 's' } }],
  [{ type, error: 'text' }],
  [{ type, error: { reason: 'full' } }],
  [{ type, error: null }],
])('what was no error stays what it is: %j', (event) => {
  expect(withError(event)).toBe(event)
})

test('an error whose fields cannot be read is recorded without them', () => {
  const hostile = Object.defineProperty(new Error('m'), 'field', {
    enumerable: true,
    get: () => {
      throw new Error('no look')
    },
  })
  expect(errorRecord(hostile)).toMatchObject({ name: 'Error', message: 'm' })
})

test('fields too large for a record are left out, and the others are kept', () => {
  const record = errorRecord(Object.assign(new Error('m'), { body: 'x'.repeat(100_000), status: 502 }))
  expect(record).toMatchObject({ name: 'Error', message: 'm', status: 502 })
  expect(record).not.toHaveProperty('body')
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`f${index}`, 'x'.repeat(1_000)]))
  expect(JSON.stringify(errorRecord(Object.assign(new Error('m'), many))).length).toBeLessThan(75_000)
})

function again(error: Error): Error & { readonly [field: string]: unknown } {
  return withError({ type, error: JSON.parse(JSON.stringify(errorRecord(error))) }).error as never
}

test('a cause is kept at least ten levels deep, each with its code and its own fields', () => {
  const chain = Array.from({ length: 15 }, (_, index) => index).reduceRight<Error | undefined>(
    (cause, index) => Object.assign(new TypeError(`level ${index}`, { cause }), { code: 400 + index, at: { index } }),
    undefined,
  )
  let error: unknown = again(chain as Error)
  for (let index = 0; index < 15; index++) {
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ message: `level ${index}`, code: 400 + index, at: { index } })
    expect(Object.keys(error as object)).toEqual(['code', 'at'])
    error = (error as Error).cause
  }
  expect(error).toBeUndefined()
})

test('a cause that is not an error is kept as it is; one that is not JSON is left out', () => {
  expect(again(new Error('m', { cause: { status: 404, in: [1] } })).cause).toEqual({ status: 404, in: [1] })
  expect(again(new Error('m', { cause: 'text' })).cause).toBe('text')
  expect(again(new Error('m', { cause: new Map() }))).not.toHaveProperty('cause')
})

test('the errors of an AggregateError are kept, also within a cause, and in a field of its own', () => {
  const gathered = new AggregateError([new RangeError('one'), 'two', new Error('three', { cause: 3 })], 'all')
  const error = again(new Error('outer', { cause: gathered }))
  expect(error.cause).toBeInstanceOf(AggregateError)
  const [one, two, three] = (error.cause as AggregateError).errors
  expect([one, two, three.message, three.cause]).toEqual([expect.any(RangeError), 'two', 'three', 3])
  expect(again(Object.assign(new Error('m'), { inner: new TypeError('i') })).inner).toBeInstanceOf(TypeError)
  expect(again(Object.assign(new Error('m'), { errors: { path: new TypeError('i') } })).errors).toEqual({
    path: expect.any(TypeError),
  })
})

test('a cause that leads back to its error, or is very large, is cut', () => {
  const circle = new Error('circle')
  circle.cause = circle
  expect(again(circle)).toMatchObject({ cause: { cause: { message: 'circle' } } })
  const many = new AggregateError(Array.from({ length: 10_000 }, (_, index) => new Error(`e${index}`)))
  const record = errorRecord(many)
  expect(JSON.stringify(record).length).toBeLessThan(600_000)
  expect((record as { errors: unknown[] }).errors.length).toBeGreaterThan(10)
})
