import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^jobchart$/, replacement: source('index.ts') },
      { find: /^jobchart\/sqlite$/, replacement: source('sqlite/index.ts') },
      { find: /^jobchart\/presets$/, replacement: source('presets/index.ts') },
      { find: /^jobchart\/testing$/, replacement: source('testing/index.ts') },
    ],
  },
  test: {
    globalSetup: 'test/global-setup.ts',
    projects: [
      { extends: true, test: { name: 'all', include: ['test/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'engine on sqlite',
          include: ['test/engine/*.test.ts'],
          // It makes files of its own.
          exclude: ['test/engine/events-memory.test.ts'],
          env: { JOBCHART_DISK: 'sqlite' },
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
