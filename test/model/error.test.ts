import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JobchartError, jobError, jobNotFound } from '../../src/model/error.ts'
import { storableCopy } from '../../src/model/storable.ts'

const fails = (): never => {
  throw new Error('no look')
}

test('an Error keeps its name, message, code and stack', () => {
  const error = Object.assign(new RangeError('too far'), { code: 'E_FAR' })
  expect(jobError(error)).toEqual({ name: 'RangeError', message: 'too far', code: 'E_FAR', stack: error.stack })
})

test('an Error without a code has none', () => {
  expect(jobError(new Error('plain'))).not.toHaveProperty('code')
})

test('a numeric code is stored as text, and a code of any other kind is left out', () => {
  expect(jobError({ message: 'm', code: 137 })).toEqual({ name: 'Error', message: 'm', code: '137' })
  expect(jobError({ message: 'm', code: { deep: 1 } })).toEqual({ name: 'Error', message: 'm' })
})

test.each([
  ['a string', 'broken', 'broken'],
  ['null', null, 'null'],
  ['undefined', undefined, 'undefined'],
  ['a number', 0, '0'],
  ['a BigInt', 5n, '5'],
  ['a symbol', Symbol('why'), 'Symbol(why)'],
  ['an object without a message', { reason: 'full' }, '{"reason":"full"}'],
  ['an object whose message is no text', { message: 5 }, '{"message":5}'],
  ['an object that JSON cannot show', { size: 1n }, 'an object that cannot be shown was thrown'],
  ['an object that JSON leaves out', { toJSON: () => undefined }, 'an object without a message was thrown'],
])('if %s is thrown, the message shows it', (_, thrown, message) => {
  expect(jobError(thrown)).toEqual({ name: 'Error', message })
})

test('an empty name becomes Error', () => {
  expect(jobError({ name: '', message: 'm' }).name).toBe('Error')
})

test('a message is cut at 2,000 characters, a stack at 4,000, a name and a code at 200', () => {
  const thrown = { name: 'n'.repeat(9_999), message: 'm'.repeat(1e6), code: 'c'.repeat(9_999), stack: 's'.repeat(1e6) }
  const { name, message, code, stack } = jobError(thrown)
  expect([name.length, message.length, code?.length, stack?.length]).toEqual([200, 2_000, 200, 4_000])
})

test('a lone surrogate, also one made by the cut, does not prevent the failure from being stored', () => {
  const cut = `${'x'.repeat(1_999)}😀`
  for (const message of ['\ud800', cut]) {
    const record = jobError(new Error(message))
    expect(() => storableCopy(record, 'error')).not.toThrow()
    expect(record.message.endsWith('\ufffd')).toBe(true)
  }
})

test.each([
  ['an object whose getters throw', Object.defineProperty({}, 'message', { get: fails })],
  ['an Error whose stack throws', Object.defineProperty(new Error('m'), 'stack', { get: fails })],
  ['a proxy whose traps throw', new Proxy({}, { get: fails, getPrototypeOf: fails, ownKeys: fails, has: fails })],
  ['a revoked proxy', revokedProxy()],
  ['a function that cannot be shown', Object.assign(() => 1, { toString: fails })],
  [
    'a function with a prototype that gives no text',
    Object.assign(() => 1, { toString: () => ({}), valueOf: () => ({}) }),
  ],
])('%s can be thrown without harm', (_, thrown) => {
  const record = jobError(thrown)
  expect(record.message).not.toBe('')
  expect(() => storableCopy(record, 'error')).not.toThrow()
})

test('law: any thrown value becomes a record that can be stored', () => {
  const text = fc.string({ unit: 'binary', size: 'max', maxLength: 500 })
  const part = fc.oneof(text, fc.anything({ maxDepth: 1 }), fc.constantFrom('\ud800', 'x'.repeat(10_000)))
  const errors = fc.record({ name: part, message: part, code: part, stack: part }, { requiredKeys: [] })
  const anything = fc.anything({
    maxDepth: 2,
    withBigInt: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
  })
  fc.assert(
    fc.property(fc.oneof(errors, anything), (thrown) => {
      const record = jobError(thrown)
      storableCopy(record, 'error')
      expect(record.name).not.toBe('')
    }),
    { numRuns: 300 },
  )
})

test('a JobchartError as JSON has its message, and neither its stack nor its cause', () => {
  const issues = [{ message: 'is taken', path: ['id'] }]
  const error = new JobchartError('INVALID_INPUT', 'the id is taken', { issues, cause: new Error('secret') })
  expect(JSON.parse(JSON.stringify([{ error }]))).toEqual([
    { error: { name: 'JobchartError', code: 'INVALID_INPUT', message: 'the id is taken', issues } },
  ])
})

test('a JobchartError carries its code, and only the fields that it was given', () => {
  const cause = new Error('disk')
  const error = new JobchartError('STORAGE_UNAVAILABLE', 'not written', { cause, jobId: 'j1', path: 'a.b', issues: [] })
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'JobchartError', code: 'STORAGE_UNAVAILABLE', jobId: 'j1', path: 'a.b', cause })
  expect(new JobchartError('POISON', 'again')).not.toHaveProperty('cause')
})

test('I52 the answer for a missing job differs from another only by the requested id', () => {
  const [one, other] = [jobNotFound('one'), jobNotFound('other')]
  expect(one.message.replace('one', 'other')).toBe(other.message)
  expect(one).toMatchObject({ code: 'JOB_NOT_FOUND', jobId: 'one' })
})

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
