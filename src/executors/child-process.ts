import { fileURLToPath } from 'node:url'
import { RunningWork } from '../context/running-work.ts'
import { JobchartError } from '../model/error.ts'
import { anything, checkOptions, text, wholeNumber } from '../model/option-checks.ts'
import type { Program } from '../model/program.ts'
import type { Executor, Work } from '../port/executor.ts'
import { type ChildCode, ChildProgram } from './child-program.ts'
import { inheritedOptions } from './exec-argv.ts'
import { CHILD_RUNNER, moduleRule, moduleUrl } from './module-url.ts'
import { ProcessGuard } from './process-guard.ts'
import { isGroupGone } from './process-handle.ts'

/** The options of {@link childProcess}. */
export interface ChildProcessOptions {
  /** How many processes run at the same time: a whole number from 1. Default 10. */
  readonly concurrency?: number
  /**
   * The program of every task that names no program of its own: a file name, or a name that is looked up in `PATH`. No
   * shell reads it.
   */
  readonly command?: string
  /** The arguments of `command`, or a function that returns them for a task. */
  readonly args?: readonly string[] | ((work: Work) => readonly string[])
  /**
   * A module, which may be given instead of `command`. A Node process of its own runs the default export of the module,
   * or the export that the task's `function` names. The export is called with the context of a task. The URL must be
   * absolute: `new URL('./work.js', import.meta.url)`.
   */
  readonly module?: URL | string
  /** Environment variables, added to those of this process. */
  readonly env?: { readonly [name: string]: string }
  /** The working directory of the process. Default: that of this process. */
  readonly cwd?: string
  /**
   * How many characters of an attempt's standard output are kept as log lines. As many are kept of its standard error.
   * A line counts as at least 100 characters. The rest is read and dropped. Default 2 MiB.
   */
  readonly maxOutput?: number
}

const OPTIONS = {
  concurrency: wholeNumber(1),
  command: text(4_096),
  args: anything,
  module: moduleRule,
  env: anything,
  cwd: text(4_096),
  maxOutput: wholeNumber(0),
}

/**
 * Runs each task in a process of its own, which leads a process group of its own.
 *
 * - The lines that the process prints go to the job's log, with their `stream`.
 * - Exit code 0 becomes a done event with the output `{ exitCode: 0 }`. Any other exit code becomes an error event with
 *   an `ExitError`. If a signal ended the process, its exit code is 128 plus the number of the signal.
 * - To stop a task, SIGTERM is sent to the whole group; a module gets the stop by its `signal` instead. After the
 *   task's `killGrace`, SIGKILL is sent. When the process has ended, the rest of its group is killed.
 * - When the engine's process ends, even by SIGKILL, a guard process kills all groups.
 *
 * Processes that leave their group (`setsid`) cannot be stopped or killed. POSIX only.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function childProcess(options: ChildProcessOptions = {}): Executor {
  checkOptions('childProcess', options, OPTIONS)
  const { concurrency = 10, module, command } = options
  if (module !== undefined && command !== undefined) {
    throw new JobchartError('INVALID_DEFINITION', 'childProcess should have a command or a module, not both')
  }
  const guard = new ProcessGuard()
  const running = new RunningWork<ChildProgram>(concurrency)
  return {
    runs: module === undefined ? 'programs' : 'modules',
    room: () => running.room,
    start: async (work) => {
      if (process.platform === 'win32') throw new JobchartError('INVALID_DEFINITION', NO_GROUPS)
      const child = new ChildProgram(codeOf(options, work), work, guard)
      return await running.during(child, () => child.run())
    },
    close: async () => {
      await Promise.all(running.all.map((child) => child.kill()))
    },
    reportsStart: true,
    kills: true,
    isGone: isGroupGone,
  }
}

const NO_GROUPS = 'childProcess needs process groups, which Windows does not have'
const MAX_OUTPUT = 2 * 1_048_576

function codeOf(options: ChildProcessOptions, work: Work): ChildCode {
  const { module, env, maxOutput = MAX_OUTPUT } = options
  const cwd = options.cwd === undefined ? {} : { cwd: options.cwd }
  if (module !== undefined) {
    const args = [...inheritedOptions(), fileURLToPath(CHILD_RUNNER), moduleUrl(module)]
    return { command: process.execPath, args, env: { ...env }, ...cwd, isModule: true, maxOutput }
  }
  const program = work.program() ?? programOf(options, work)
  return { ...cwd, ...program, env: { ...env, ...program.env }, isModule: false, maxOutput }
}

function programOf({ command, args = [] }: ChildProcessOptions, work: Work): Program {
  if (command !== undefined) return { command, args: typeof args === 'function' ? args(work) : args }
  const hint = 'give one to childProcess, or to the job type with `run`'
  throw new JobchartError('INVALID_DEFINITION', `task "${work.task}" names no program; ${hint}`)
}
