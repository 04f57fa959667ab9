import { spawnSync } from 'node:child_process'

/**
 * Examples run on the built package, as a user's program does. It is built once, before any test starts: two builds at
 * the same time would each remove what the other has written.
 */
export function setup(): void {
  const build = spawnSync(process.execPath, ['.ci/build.mjs'], { stdio: 'inherit' })
  if (build.status !== 0) throw new Error('the build failed; run `npm run build` to see why')
}
