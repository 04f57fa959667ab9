import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, onTestFinished } from 'vitest'
import { thawFile } from './files.ts'
import type { Announcement, Command, LifeOptions } from './life-options.ts'

const PROGRAM = fileURLToPath(new URL('./child.ts', import.meta.url))
/** Compiled sources are shared between children, because compiling takes most of a start. */
const COMPILED = join(tmpdir(), `jobchart-compiled-${process.pid}`)
afterAll(() => rmSync(COMPILED, { recursive: true, force: true }))

/** A start takes a fifth of a second; on a busy machine it may take a hundred times as long. */
const SILENCE_MS_MAX = 100_000

/** How a process ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

interface Waiter {
  readonly at: string
  readonly resolve: (said: Announcement) => void
  readonly reject: (error: Error) => void
}

/** A folder for one test. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-crash-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** One run of the child, from its start to its end. It is killed after its test. */
export class Life {
  readonly ended: Promise<End>
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #said: Announcement[] = []
  #waiters: Waiter[] = []
  #end: End | undefined

  constructor(options: LifeOptions, program = PROGRAM) {
    this.#folder = options.folder
    this.#child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILED },
    })
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#end = { code, signal }
        this.#giveUp()
        resolve(this.#end)
      }
      // Closed: it has exited, and all its output has been read.
      this.#child.once('close', end)
      this.#child.on('error', () => {
        if (this.#child.pid === undefined) end(null, null)
      })
    })
    if (this.#child.stdout !== null) createInterface(this.#child.stdout).on('line', (line) => this.#hear(line))
    onTestFinished(async () => {
      await this.kill()
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /**
   * Waits until the child prints a place; each place is returned once. Fails if the child ends first, or does not print
   * it within a generous time.
   */
  async said(at: string): Promise<Announcement> {
    const index = this.#said.findIndex((each) => each.at === at)
    const [known] = index < 0 ? [] : this.#said.splice(index, 1)
    if (known !== undefined) return known
    const timer = setTimeout(() => this.#giveUp(), SILENCE_MS_MAX)
    try {
      return await new Promise((resolve, reject) => {
        this.#waiters.push({ at, resolve, reject })
        if (this.#end !== undefined) this.#giveUp()
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Printed places that no call has waited for. */
  saidSoFar(at: string): readonly Announcement[] {
    return this.#said.filter((each) => each.at === at)
  }

  tell(command: Command): void {
    this.#child.send(command)
  }

  /** `kill -9`. Resolves when the process is gone. */
  async kill(): Promise<End> {
    if (this.#end === undefined) this.#child.kill('SIGKILL')
    return await this.ended
  }

  /** Suspends the process at any point, resumes it, or tells it to end. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR2'): void {
    this.#child.kill(signal)
  }

  /** Thaws a suspended process. */
  thaw(): void {
    writeFileSync(thawFile(this.#folder, this.pid), '')
  }

  /** Lets it run the remaining jobs, and stop. */
  async finish(): Promise<End> {
    this.tell({ do: 'finish' })
    return await this.ended
  }

  #hear(line: string): void {
    const said = JSON.parse(line) as Announcement
    const index = this.#waiters.findIndex(({ at }) => at === said.at)
    const [waiter] = index < 0 ? [] : this.#waiters.splice(index, 1)
    if (waiter === undefined) this.#said.push(said)
    else waiter.resolve(said)
  }

  #giveUp(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const { at, reject } of waiters) {
      const how = this.#end === undefined ? `in ${SILENCE_MS_MAX} ms` : `before it ended: ${JSON.stringify(this.#end)}`
      reject(new Error(`the process did not say "${at}" ${how}. It said ${JSON.stringify(this.#said)}`))
    }
  }
}
