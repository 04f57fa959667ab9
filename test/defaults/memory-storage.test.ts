import fc from 'fast-check'
import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { expect, test } from 'vitest'

// Its guarantees S1 to S15 are checked by the conformance suite; here is what is its own.

test('two memory storages share nothing', async () => {
  const type = defineJob({ type: 'w', execute: () => 1 })
  const start = () => createEngine({ jobs: [type], storage: memoryStorage(), clock: virtualClock() })
  const [one, two] = await Promise.all([start(), start()])
  await one.system.submit(type, 1)
  expect((await one.system.list()).items).toHaveLength(1)
  expect((await two.system.list()).items).toHaveLength(0)
})

test('S11 any JSON is read back deep-equal', async () => {
  const type = defineJob({ type: 'w', execute: ({ input }) => input })
  const clock = virtualClock()
  const { system } = await createEngine({ jobs: [type], storage: memoryStorage(), clock })
  // Of the values that JSON itself gives back, those that are no attack: the hostile tests hold the others.
  const json = fc
    .jsonValue({ noUnicodeString: false, maxDepth: 4 })
    .map((value): unknown => JSON.parse(JSON.stringify(value)))
    .filter((value) => !/\\ud|__proto__|constructor|prototype/.test(JSON.stringify(value)))
  await fc.assert(
    fc.asyncProperty(json, async (value) => {
      const { id } = await system.submit(type, value)
      await clock.settle()
      const { input, output } = await system.get(id)
      expect({ input, output }).toEqual({ input: value, output: value })
    }),
    { numRuns: 60 },
  )
})
