import { existsSync, statfsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

// `npm test` runs the quick tests. `npm run test:long` runs the long ones, whose files are named `*.long.test.ts`.
const LONG = 'test/**/*.long.test.ts'
const LONG_TEST_TIMEOUT_MS = 1_800_000
/** The tests of the engine run in memory, and once more on SQLite files. */
const ON_SQLITE = { JOBCHART_DISK: 'sqlite' }

/**
 * The quick tests keep their files in memory, because most of them would spend their time waiting for a disk. The long
 * tests use a disk.
 */
const IN_MEMORY = hasRoom('/dev/shm') ? { TMPDIR: '/dev/shm' } : {}

function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize > 2 ** 30
}

export default defineConfig({
  resolve: {
    alias: [
      { find: /^jobchart$/, replacement: source('index.ts') },
      { find: /^jobchart\/sqlite$/, replacement: source('sqlite/index.ts') },
      { find: /^jobchart\/presets$/, replacement: source('presets/index.ts') },
      { find: /^jobchart\/port$/, replacement: source('port/index.ts') },
      { find: /^jobchart\/agents$/, replacement: source('agents/index.ts') },
      { find: /^jobchart\/executors$/, replacement: source('executors/index.ts') },
      { find: /^jobchart\/testing$/, replacement: source('testing/index.ts') },
    ],
  },
  test: {
    globalSetup: 'test/global-setup.ts',
    // All cores; the default leaves one of them idle.
    maxWorkers: '100%',
    projects: [
      { extends: true, test: { name: 'quick', include: ['test/**/*.test.ts'], exclude: [LONG], env: IN_MEMORY } },
      {
        extends: true,
        test: {
          name: 'quick on sqlite',
          include: ['test/engine/*.test.ts'],
          // events-memory makes SQLite files by itself.
          exclude: [LONG, 'test/engine/events-memory.test.ts'],
          env: { ...ON_SQLITE, ...IN_MEMORY },
        },
      },
      { extends: true, test: { name: 'long', include: [LONG], testTimeout: LONG_TEST_TIMEOUT_MS } },
      {
        extends: true,
        test: {
          name: 'long on sqlite',
          include: ['test/engine/*.long.test.ts'],
          env: ON_SQLITE,
          testTimeout: LONG_TEST_TIMEOUT_MS,
        },
      },
      {
        extends: true,
        resolve: { alias: [{ find: /^xstate$/, replacement: 'xstate-oldest' }] },
        test: {
          name: 'long on the oldest xstate',
          include: ['test/fidelity/*.test.ts'],
          env: { JOBCHART_XSTATE: 'xstate-oldest' },
        },
      },
    ],
    reporters: ['verbose'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    coverage: {
      provider: 'v8',
      include: ['src/model/**/*.ts', 'src/engine/**/*.ts'],
      reporter: ['text'],
      thresholds: { 'src/model/**': { branches: 95 }, 'src/engine/**': { branches: 95 } },
    },
  },
})
