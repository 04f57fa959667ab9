import { pathToFileURL } from 'node:url'
import { either, type OptionRule, text } from '../model/option-checks.ts'

// In the source, the runners are beside this file. In the build, this file is part of a chunk at the root of `dist`,
// and the runners are in `dist/executors`.
const runner = (name: string) =>
  new URL(import.meta.url.endsWith('.ts') ? `./${name}.ts` : `./executors/${name}.js`, import.meta.url)

/** The URL of the program of a child process, which runs the code of one task. */
export const CHILD_RUNNER = runner('child-runner')

/** The URL of the code of a worker thread, which runs the code of one task at a time. */
export const THREAD_RUNNER = runner('thread-runner')

/** The rule for an option that names a module. */
export const moduleRule: OptionRule = {
  expected: "the URL of a module, e.g. new URL('./work.js', import.meta.url)",
  fits: either(text(4_096), { expected: 'a URL', fits: (value) => value instanceof URL }).fits,
}

/** The URL of a module that is given as a URL object, as the text of a URL, or as a file name. */
export function moduleUrl(module: URL | string): string {
  if (module instanceof URL) return module.href
  return URL.canParse(module) ? module : pathToFileURL(module).href
}
