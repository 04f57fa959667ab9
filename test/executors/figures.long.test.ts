import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./figures.ts', import.meta.url))

/** What a figure says, measured in a fresh process; it is printed. */
async function figureOf(what: string) {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, what])
  console.log(`${what}: ${stdout.trim()}`)
  return JSON.parse(stdout) as { readonly [name: string]: number | object | string }
}

test.each(['hung in a thread', 'hung in a child'])(
  '%s: the place of hung code is free soon after its grace',
  async (what) => {
    const { freed, middle, running } = await figureOf(what)
    // How soon depends on what else the machine does. On a quiet one half of them are free within 10 to 25 ms, as is printed.
    expect([freed, running]).toEqual([100, 0])
    expect(middle).toBeLessThan(1_000)
  },
)

test('of 1,000 programs nothing is left: no process, no zombie, no open handle', async () => {
  expect(await figureOf('thousand')).toEqual({ succeeded: 1_000, left: [], handles: [] })
})

test.each(['flood of long lines', 'flood of short lines'])(
  '%s: 200 MB of output take less than 50 MB',
  async (what) => {
    const { outcome, moreMb } = await figureOf(what)
    expect(outcome).toBe('success')
    expect(moreMb).toBeLessThan(50)
  },
)

test('kill -9 of the engine 50 times: no program survives a second, and every job recovers', async () => {
  expect(await figureOf('kills')).toMatchObject({ rounds: 50, survivors: 0, jobs: 5, recovered: 5 })
})
