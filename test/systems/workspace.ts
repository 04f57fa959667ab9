import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type AnyJobType,
  createEngine,
  type Engine,
  type EngineOptions,
  type Executor,
  JobchartError,
  memoryStorage,
} from 'jobchart'
import { type TaskExecutionRow, taskExecutions } from 'jobchart/presets'
import type { VirtualClock } from 'jobchart/testing'
import { afterEach } from 'vitest'
import { z } from 'zod'

export const executions = taskExecutions()

/** Executions of a script of the shell. */
export const shell = executions.defineJob({
  type: 'shell',
  input: z.object({ script: z.string(), args: z.array(z.string()).default([]) }),
  run: ({ script, args }) => ({ command: '/bin/sh', args: ['-c', script, 'sh', ...args] }),
})

/** A script that goes on until it is stopped. */
export const ENDLESS = 'exec sleep 1000'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

/** A folder that is removed when the test ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-executions-'))
  endings.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A named pipe, by which a script and a test wait for each other. */
export function namedPipe(name: string, folder = testFolder()) {
  const path = join(folder, name)
  execFileSync('mkfifo', [path])
  return { path, read: () => readFile(path, 'utf8'), write: (text: string) => writeFile(path, text) }
}

export interface WorkspaceOptions {
  readonly jobs?: readonly AnyJobType[]
  readonly storage?: EngineOptions['storage']
  readonly clock?: VirtualClock
  readonly executors?: { readonly [name: string]: Executor }
  readonly sweep?: number
}

/** The people of two workspaces, acme and other, on one engine, which is stopped when the test ends. */
export async function workspace({ jobs = [shell], storage = memoryStorage(), ...options }: WorkspaceOptions = {}) {
  const engine = await createEngine({ jobs, storage, policy: executions.policy, ...options })
  endings.push(() => engine.stop({ timeout: 0 }))
  const person = (id: string, role: string, tenant = 'acme') => engine.as({ id, role, tenant })
  const olga = person('olga', 'Owner')
  return {
    engine,
    person,
    olga,
    adam: person('adam', 'Administrator'),
    mia: person('mia', 'Member'),
    max: person('max', 'Member'),
    nora: person('nora', 'Owner', 'other'),
    row: async (id: string, options?: { readonly details: boolean }): Promise<TaskExecutionRow> =>
      executions.present(await olga.get(id), options),
    /** Resolves with the row when the job has the status. */
    entered: (id: string, status: string) => entered(engine, id, status),
  }
}

async function entered(engine: Engine, id: string, status: string): Promise<TaskExecutionRow> {
  const heard = Promise.withResolvers<void>()
  const stop = engine.on('job.transitioned', ({ jobId, to }) => {
    if (jobId === id && to === status) heard.resolve()
  })
  const now = await engine.system.get(id)
  if (now.status !== status) await heard.promise
  stop()
  return executions.present(await engine.system.get(id))
}

/** What a call comes to: `ok`, or the code of its refusal. */
export async function answerOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    if (error instanceof JobchartError) return error.code
    throw error
  }
}

/** Whether a process runs. One that has ended may wait to be reaped. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch (error) {
    // Where there is no /proc, the signal tells.
    return (error as NodeJS.ErrnoException).syscall === 'open' && !existsSync('/proc/self')
  }
}
