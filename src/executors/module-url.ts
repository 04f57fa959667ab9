import { pathToFileURL } from 'node:url'

// In the source the runners stand beside this file. What is built has this file in a chunk at the root of `dist`.
const runner = (name: string) =>
  new URL(import.meta.url.endsWith('.ts') ? `./${name}.ts` : `./executors/${name}.js`, import.meta.url)

/** Runs the code of one task in a child process. */
export const CHILD_RUNNER = runner('child-runner')

/** Runs the code of one task in a thread. */
export const THREAD_RUNNER = runner('thread-runner')

/** The address of a module that was given as a URL, as its text, or as the name of a file. */
export function moduleUrl(module: URL | string): string {
  if (module instanceof URL) return module.href
  return URL.canParse(module) ? module : pathToFileURL(module).href
}
