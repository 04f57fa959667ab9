import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PROGRAM = fileURLToPath(new URL('./frozen-child.ts', import.meta.url))

/** What a program with frozen prototypes says of values: the code of each call with one. */
export async function codesInFrozen(texts: readonly string[]): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-frozen-'))
  try {
    const args = [PROGRAM, join(folder, 'jobs.db'), ...texts]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 })
    const { codes, isPolluted } = JSON.parse(stdout) as {
      readonly codes: readonly string[]
      readonly isPolluted: boolean
    }
    if (isPolluted) throw new Error('what all objects share was changed')
    return codes
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
