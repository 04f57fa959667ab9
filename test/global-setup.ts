import { spawnSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Examples run on the built package, as a user's program does. It is built once, before any test starts: two builds at
 * the same time would each remove what the other has written.
 */
export function setup(): void {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const sources = globSync(['src/**/*.ts', 'tsup.config.ts', 'package.json'], { cwd: root })
  if (sources.every((file) => builtAt(root) > changedAt(`${root}/${file}`))) return
  const build = spawnSync(process.execPath, ['node_modules/tsup/dist/cli-default.js', '--silent'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (build.status !== 0) throw new Error('the build failed; run `npm run build` to see why')
}

function builtAt(root: string): number {
  const files = ['index', 'sqlite/index', 'presets/index', 'port/index', 'testing/index'].map((file) =>
    changedAt(`${root}/dist/${file}.d.ts`),
  )
  return Math.min(...files)
}

function changedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
