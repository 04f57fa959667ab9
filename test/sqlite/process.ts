import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./holder.ts', import.meta.url))

/** Starts the holder; it does not outlive its test. Resolves with what it says first. */
export async function holder(...args: readonly string[]): Promise<{ said: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child, 'spawn')
  onTestFinished(() => killed(child))
  const { stdout } = child
  if (stdout === null) throw new Error('the holder has no output')
  // A holder that fails says nothing: then its output ends, and its error stands in this test's.
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
