import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { serveWork, type ToCode, type ToEngine, type Wire, wireWork } from '../context/wire.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import { exitEnd } from '../model/exit.ts'
import type { Program } from '../model/program.ts'
import type { Work } from '../port/executor.ts'
import { OutputBudget, readLines } from './output-lines.ts'
import type { ProcessGuard } from './process-guard.ts'
import { processHandle, signalGroup } from './process-handle.ts'

/**
 * A shell script that waits for a line on pipe 3, and then becomes the program. The engine writes the line when the
 * guard process knows the process group. If the pipe ends before that, the engine's process has died, and the script
 * exits.
 */
const GATE = 'read -r go <&3 || exit 125; exec 3<&-; exec "$@"'
/**
 * How long output is still read after the process has ended. Without a limit, a process that has left its group could
 * keep the pipes open for ever.
 */
const LAST_OUTPUT_MS = 500
/**
 * The error of a failed program has the last lines of its standard error as its message: at most this many lines, and
 * this many characters.
 */
const ERROR_LINES = 20
const ERROR_CHARACTERS = 2_000

/** What a child process runs. */
export interface ChildCode extends Program {
  /** True: the code is a module that reports over IPC. False: the code is any program. */
  readonly isModule: boolean
  readonly maxOutput: number
}

/** One program that runs for one attempt, as the leader of a process group. */
export class ChildProgram {
  readonly #code: ChildCode
  readonly #work: Work
  readonly #guard: ProcessGuard
  readonly #lastErrors: string[] = []
  readonly #errorBudget: OutputBudget
  readonly #closing = new AbortController()
  /** Aborted when the program should be killed: its time to stop is over, or its executor is closed. */
  readonly #killSignal: AbortSignal
  #ended: Promise<TaskEnd> | undefined

  constructor(code: ChildCode, work: Work, guard: ProcessGuard) {
    this.#code = code
    this.#errorBudget = new OutputBudget(code.maxOutput)
    this.#work = work
    this.#guard = guard
    this.#killSignal = AbortSignal.any([work.killSignal, this.#closing.signal])
  }

  /** Runs the program to its end. */
  run(): Promise<TaskEnd> {
    this.#ended = this.#run()
    return this.#ended
  }

  /** Kills the program and all of its group. */
  async kill(): Promise<void> {
    this.#closing.abort()
    await this.#ended?.catch(() => {})
  }

  async #run(): Promise<TaskEnd> {
    const { command, args = [], cwd, stdin, isModule } = this.#code
    // Imported here, so that it is loaded only when a program starts.
    const { execa } = await import('execa')
    const child = execa('/bin/sh', ['-c', GATE, 'sh', command, ...args], {
      env: this.#environment(),
      ...(cwd === undefined ? {} : { cwd }),
      ...{ detached: true, cleanup: false, reject: false, buffer: false, ipc: isModule, serialization: 'json' },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe'],
    })
    const { nodeChildProcess: node, pid } = child
    if (pid === undefined) return notStarted(command, cwd, (await child).originalMessage)
    const exited = new Promise<Exited>((resolve) => node.once('exit', (code, signal) => resolve({ code, signal })))
    const lines = this.#readOutput(node)
    let reported: TaskEnd | undefined
    try {
      reported = await this.#guarded(node, pid, exited)
    } finally {
      // Kills the processes of the group that still run. A process that has left the group may keep the pipes open, so the last
      // output is awaited only for a short time.
      signalGroup(pid, 'SIGKILL')
      await exited
      await Promise.race([lines, delay(LAST_OUTPUT_MS, undefined, { ref: false })])
      for (const pipe of node.stdio) if (pipe !== null && pipe !== undefined && 'destroy' in pipe) pipe.destroy()
      this.#guard.release(pid)
    }
    return reported ?? this.#exitEnd(await exited)
  }

  // Stores the handle of the process group before the program begins, so that the group is found after any crash. Returns
  // the end that a module has reported, if it has.
  async #guarded(node: ChildProcess, group: number, exited: Promise<Exited>): Promise<TaskEnd | undefined> {
    const { signal, channel } = this.#work
    const killSignal = this.#killSignal
    await this.#guard.guard(group)
    const told = this.#code.isModule ? await wireWork(this.#work) : undefined
    await channel.started(await processHandle(group))
    // A module gets its stop as a message over the wire.
    const stop = () => this.#code.isModule || signalGroup(group, 'SIGTERM')
    const kill = () => signalGroup(group, 'SIGKILL')
    const reported = told === undefined ? undefined : serveWork(this.#work, told, wireOf(node))
    signal.addEventListener('abort', stop)
    killSignal.addEventListener('abort', kill)
    try {
      // A program that is stopped before it begins does not begin. A module begins, and gets the stop by its `signal`.
      if (killSignal.aborted) kill()
      if (signal.aborted) stop()
      this.#open(node)
      await exited
      if (reported === undefined) return undefined
      // If the module has reported an end, that end counts, whatever the exit code of its process. The last messages
      // may arrive after the exit, so they are awaited.
      if (node.connected) await once(node, 'disconnect')
      return await Promise.race([reported, Promise.resolve(undefined)])
    } finally {
      signal.removeEventListener('abort', stop)
      killSignal.removeEventListener('abort', kill)
    }
  }

  // Called when the output has been read, so that the error has the last lines.
  #exitEnd({ code, signal }: Exited): TaskEnd {
    const lines = [...this.#lastErrors, ...this.#errorBudget.lastDropped].slice(-ERROR_LINES)
    const stderr = lines.join('\n').slice(-ERROR_CHARACTERS)
    const bySignal = signal === null ? {} : { signal }
    return exitEnd({ exitCode: code ?? 128 + signalNumber(signal), ...bySignal, stderr })
  }

  #open(node: ChildProcess): void {
    const [input, , , gate] = node.stdio
    for (const pipe of [input, gate]) pipe?.on('error', () => {})
    if (gate !== undefined && gate !== null && 'end' in gate) gate.end('go\n')
    if (input !== undefined && input !== null && 'end' in input) input.end(this.#code.stdin)
  }

  async #readOutput({ stdout, stderr }: ChildProcess): Promise<void> {
    const { channel } = this.#work
    const read = async (stream: Readable | null, name: 'stdout' | 'stderr', budget: OutputBudget) => {
      if (stream === null) return
      await readLines(stream, budget, (text) => {
        channel.log(text, { stream: name })
        if (name === 'stderr' && this.#lastErrors.push(text) > ERROR_LINES) this.#lastErrors.shift()
      })
    }
    // Each stream has its own budget, so that much output on one does not keep an error on the other out of the log.
    const budget = new OutputBudget(this.#code.maxOutput)
    await Promise.all([read(stdout, 'stdout', budget), read(stderr, 'stderr', this.#errorBudget)])
  }

  #environment() {
    const { job, task, attempt, idempotencyKey } = this.#work
    return {
      ...{ JOBCHART_JOB: job.id, JOBCHART_TASK: task, JOBCHART_ATTEMPT: `${attempt}` },
      JOBCHART_IDEMPOTENCY_KEY: idempotencyKey,
      ...this.#code.env,
    }
  }
}

interface Exited {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

function wireOf(node: ChildProcess): Wire<ToCode, ToEngine> {
  return {
    post: (message) => {
      if (node.connected) node.send(message, () => {})
    },
    listen: (listener) => node.on('message', (message) => listener(message as ToEngine)),
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal]
}

function notStarted(command: string, cwd: string | undefined, why: string | undefined): TaskEnd {
  const where = cwd === undefined ? '' : ` in "${cwd}"`
  const message = `"${command}" could not be started${where}: ${why ?? 'the system gives no reason'}`
  return { ok: false, error: { name: 'ExitError', message, code: 'NOT_STARTED' } }
}
