import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The exports of a build of jobchart that the benchmark uses. */
export type Build = Pick<
  typeof import('jobchart') & typeof import('jobchart/sqlite'),
  'createEngine' | 'defineJob' | 'memoryStorage' | 'queueExecutor' | 'sqliteStorage'
>

/**
 * Loads this build of jobchart, or that of another checkout. The other checkout must be built (`npm run build`) and
 * have its own node_modules.
 *
 * @param folder  absolute path of the other checkout. Absent: this build.
 * @throws {Error}  there is no build in the folder.
 */
export async function loadBuild(folder?: string): Promise<Build> {
  if (folder === undefined) return { ...(await import('jobchart')), ...(await import('jobchart/sqlite')) }
  const part = async (path: string): Promise<object> => {
    const file = join(folder, 'dist', path)
    if (!existsSync(file)) throw new Error(`"${file}" does not exist: build that folder first (npm run build)`)
    return await import(pathToFileURL(file).href)
  }
  // The cast assumes that these exports have the same types in the other build.
  return { ...(await part('index.js')), ...(await part('sqlite/index.js')) } as Build
}
