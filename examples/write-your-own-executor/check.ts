/**
 * Checks the executor against the guarantees of its port, as its tests would with their own runner's `test`.
 *
 *     npm run example -- --test examples/write-your-own-executor/check.ts
 */
import { test } from 'node:test'
import { executorConformance } from 'jobchart/testing'
import { spaced } from './executor.ts'

executorConformance(() => spaced({ concurrency: 2, everyMs: 10 }), { test, runs: 'functions' })
