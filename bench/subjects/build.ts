import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** What a jobchart subject uses of a build of jobchart. */
export type Build = Pick<
  typeof import('jobchart') & typeof import('jobchart/sqlite'),
  'createEngine' | 'defineJob' | 'memoryStorage' | 'queueExecutor' | 'sqliteStorage'
>

/**
 * Loads the build of this folder, or of another checkout that was built (`npm run build`) and has its own node_modules.
 *
 * @param folder  of the other checkout, absolute; absent: this build.
 * @throws {Error}  there is no build in the folder.
 */
export async function loadBuild(folder?: string): Promise<Build> {
  if (folder === undefined) return { ...(await import('jobchart')), ...(await import('jobchart/sqlite')) }
  const part = async (path: string): Promise<object> => {
    const file = join(folder, 'dist', path)
    if (!existsSync(file)) throw new Error(`"${file}" does not exist: build that folder first (npm run build)`)
    return await import(pathToFileURL(file).href)
  }
  // The other build has the same API as far as it is used here.
  return { ...(await part('index.js')), ...(await part('sqlite/index.js')) } as Build
}
