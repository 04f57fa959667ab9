import { spawnSync } from 'node:child_process'

/**
 * Examples run on the built package, like a user's program. It is built once before any test starts, because each of
 * two builds at the same time would remove the other's output.
 */
export function setup(): void {
  const build = spawnSync(process.execPath, ['.ci/build.mjs'], { stdio: 'inherit' })
  if (build.status !== 0) throw new Error('the build failed; run `npm run build` to see why')
}
