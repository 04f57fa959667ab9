import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'sqlite/index': 'src/sqlite/index.ts',
    'presets/index': 'src/presets/index.ts',
    'port/index': 'src/port/index.ts',
    'agents/index': 'src/agents/index.ts',
    'executors/index': 'src/executors/index.ts',
    'executors/child-runner': 'src/executors/child-runner.ts',
    'executors/thread-runner': 'src/executors/thread-runner.ts',
    'testing/index': 'src/testing/index.ts',
    'testing/executor-code': 'src/testing/executor-code.ts',
  },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  // What is marked as internal is the engine's own: see `JobType`.
  dts: { compilerOptions: { stripInternal: true } },
  sourcemap: true,
  clean: true,
  // `node:sqlite` has no name without the protocol; stripped, only the built package would fail.
  removeNodeProtocol: false,
  // Dependencies and peers are external by themselves; development ones would be copied into the bundle.
  external: ['vitest', 'fast-check'],
})
