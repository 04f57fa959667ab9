import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The exports of a jobchart build that a subject uses. */
export type Build = Pick<
  typeof import('jobchart') & typeof import('jobchart/sqlite'),
  'createEngine' | 'defineJob' | 'memoryStorage' | 'queueExecutor' | 'sqliteStorage'
>

/**
 * Loads the build of this folder, or of another checkout that was built (`npm run build`) and has its own node_modules.
 *
 * @param folder  absolute path of the other checkout; absent: this build.
 * @throws {Error}  there is no build in the folder.
 */
export async function loadBuild(folder?: string): Promise<Build> {
  if (folder === undefined) return { ...(await import('jobchart')), ...(await import('jobchart/sqlite')) }
  const part = async (path: string): Promise<object> => {
    const file = join(folder, 'dist', path)
    if (!existsSync(file)) throw new Error(`"${file}" does not exist: build that folder first (npm run build)`)
    return await import(pathToFileURL(file).href)
  }
  // The exports used here are the same in the other build.
  return { ...(await part('index.js')), ...(await part('sqlite/index.js')) } as Build
}
