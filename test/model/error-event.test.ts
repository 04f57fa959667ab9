import { expect, test } from 'vitest'
import { errorRecord, recordOf, withError } from '../../src/model/error-event.ts'

const type = 'xstate.error.actor.w'

test('an error is recorded with its own fields as far as they are JSON, and is an Error again for a chart', () => {
  const thrown = Object.assign(new RangeError('far'), { status: 503, at: new Date(0), detail: { n: [1] }, code: 7 })
  const record = JSON.parse(JSON.stringify(errorRecord(thrown)))
  expect(record).toMatchObject({ name: 'RangeError', message: 'far', code: '7', status: 503, detail: { n: [1] } })
  expect(record).not.toHaveProperty('at')
  const { error } = withError({ type, error: record })
  expect(error).toBeInstanceOf(RangeError)
  expect(error).toMatchObject({ name: 'RangeError', message: 'far', status: 503, stack: thrown.stack })
  expect(Object.keys(error as object)).not.toContain('stack')
})

test('what a chart keeps of it is stored as it was given', () => {
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
