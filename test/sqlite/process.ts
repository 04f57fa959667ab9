import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./holder.ts', import.meta.url))

/** Options of a holder. */
interface HolderOptions {
  readonly uid?: number
  readonly gid?: number
  /** Maximum file size, in blocks of 512 bytes. */
  readonly fileBlocks?: number
  /** Maximum number of open files. */
  readonly handles?: number
  readonly env?: NodeJS.ProcessEnv
}

/** Starts the holder, which is killed after its test. Resolves with its first line of output. */
export async function holder(...args: readonly string[]): Promise<{ said: string; child: ChildProcess }> {
  return await holderAs({}, ...args)
}

/** The same for a process with a limited file size or a limited number of open files. */
export async function holderAs(
  { fileBlocks, handles, ...user }: HolderOptions,
  ...given: readonly string[]
): Promise<{ said: string; child: ChildProcess }> {
  const args = [PROGRAM, ...given]
  // A POSIX shell counts the size of a file in blocks of 512 bytes.
  const limit = fileBlocks === undefined ? (handles === undefined ? '' : `-n ${handles}`) : `-f ${fileBlocks}`
  const limited = ['-c', `ulimit ${limit} && exec "$@"`, 'sh', process.execPath, ...args]
  const [program, its] = limit === '' ? [process.execPath, args] : (['sh', limited] as const)
  const child = spawn(program, its, { ...user, stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child, 'spawn')
  onTestFinished(() => killed(child))
  const { stdout } = child
  if (stdout === null) throw new Error('the holder has no output')
  // A failing holder prints nothing. Its output ends, and its error is shown among this test's.
  const said = await new Promise<string>((resolve) => {
    stdout.once('data', (data) => resolve(String(data))).once('end', () => resolve(''))
  })
  return { said, child }
}

/** `kill -9`. Resolves when the process is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
