import { JobchartError } from './error.ts'
import { anything, checkOptions, required } from './option-checks.ts'
import type { TaskJob } from './task-job.ts'

/** A program of the operating system. */
export interface Program {
  /** The path of an executable file, or a name that is looked up in `PATH`. No shell is involved. */
  readonly command: string
  readonly args?: readonly string[]
  /** Environment variables for the program, added to those of this process. */
  readonly env?: { readonly [name: string]: string }
  /** The working directory. Default: that of this process. */
  readonly cwd?: string
  /** Text for its standard input, which is then closed. Default: empty. */
  readonly stdin?: string
}

/** The argument of a function that returns a part of a program, e.g. its `args`. */
export interface ProgramContext<Input = unknown> {
  readonly input: Input
  readonly job: TaskJob
  /** The number of the attempt: 1 for the first. */
  readonly attempt: number
}

/** The `run` option: a program, in which each part is a value, or a function that returns the value for an attempt. */
export type ProgramOptions<Input = unknown> = {
  readonly [Part in keyof Program]: Program[Part] | ((context: ProgramContext<Input>) => Program[Part])
}

/** Makes the program of one attempt. */
export type MakeProgram = (context: ProgramContext<never>) => Program

const OPTIONS = {
  command: required(anything, 'the path or the name of a program'),
  args: anything,
  env: anything,
  cwd: anything,
  stdin: anything,
}

const FORM = "{ command: 'node', args: ['work.js'] } (for a function, use execute, or task() in a machine)"

/**
 * Parses the options of a program.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` a part is invalid. A part that a function returns is checked at each
 *   attempt, and throws `INVALID_INPUT` then.
 */
export function parseProgram<Input>(options: ProgramOptions<Input>): MakeProgram {
  checkOptions('run', options, OPTIONS, { prefix: 'run.', form: FORM })
  for (const [part, value] of Object.entries(options)) {
    if (typeof value !== 'function') check(part, value, 'INVALID_DEFINITION')
  }
  return (context) => {
    const parts = Object.entries(options).flatMap(([part, value]) => {
      if (value === undefined) return []
      const made: unknown = typeof value === 'function' ? value(context as ProgramContext<never>) : value
      check(part, made, 'INVALID_INPUT')
      return made === undefined ? [] : [[part, made] as const]
    })
    // Each part was checked above, so the cast is safe.
    return Object.fromEntries(parts) as unknown as Program
  }
}

function check(part: string, value: unknown, code: 'INVALID_DEFINITION' | 'INVALID_INPUT'): void {
  if (value === undefined && part !== 'command') return
  const [expected, fits] = KINDS[part] ?? ['nothing', () => false]
  if (!fits(value)) throw new JobchartError(code, `run.${part} should be ${expected}; found ${shown(value)}`)
}

const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0')

const KINDS: { readonly [part: string]: readonly [string, (value: unknown) => boolean] } = {
  command: ['a text', (value) => isText(value) && value !== ''],
  args: ['a list of texts', (value) => Array.isArray(value) && value.every(isText)],
  env: [
    'an object of texts',
    (value) => typeof value === 'object' && value !== null && Object.values(value).every(isText),
  ],
  cwd: ['a text', isText],
  stdin: ['a text', (value) => typeof value === 'string'],
}

function shown(value: unknown): string {
  return Array.isArray(value) ? `a list with ${value.map((each) => typeof each).join(', ')}` : typeof value
}
