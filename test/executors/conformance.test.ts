import { queueExecutor } from 'jobchart'
import { childProcess, workerThreads } from 'jobchart/executors'
import { executorConformance } from 'jobchart/testing'
import { describe, expect, test } from 'vitest'

const heap = { NODE_OPTIONS: '--max-old-space-size=64' }

describe('queueExecutor', () => {
  executorConformance(() => queueExecutor({ concurrency: 2 }), {
    test,
    runs: 'functions',
  })
})

describe('childProcess with a module', () => {
  executorConformance(({ module }) => childProcess({ module, concurrency: 2, env: heap }), { test, runs: 'modules' })
})

describe('childProcess with programs', () => {
  executorConformance(() => childProcess({ concurrency: 2, maxOutput: 1_000_000 }), { test, runs: 'programs' })
})

describe('workerThreads', () => {
  executorConformance(
    ({ module }) => workerThreads({ module, concurrency: 2, resourceLimits: { maxOldGenerationSizeMb: 64 } }),
    {
      test,
      runs: 'modules',
      skip: {
        'E6 processes that the code has started are ended with it':
          'a thread does not own the processes that it starts',
        'E9 a crash is an error of the task': 'a crash of native code takes the whole process',
      },
    },
  )
})

test('a check to skip that does not exist is refused', () => {
  const skip = { 'E6 what the code has started is ended with it': 'a thread does not own it' }
  expect(() => executorConformance(() => queueExecutor(), { test, runs: 'functions', skip })).toThrow(
    /^skip\.E6 what .* is not an option of executorConformance/,
  )
})
