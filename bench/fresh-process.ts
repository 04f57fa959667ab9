import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Measured } from './measure.ts'

/** Which measurement to make, as the arguments of measure.ts. */
export interface Measurement {
  readonly kind: string
  readonly name: string
  readonly jobs: number
  /** The folder of another build of jobchart, if that one is measured. */
  readonly against?: string
}

/** Where a measurement may write, and when it is ended. */
export interface Bounds {
  /** Absolute path. The measurement makes a folder of its own in it. */
  readonly folder: string
  /** After this many milliseconds, the process is killed. */
  readonly timeoutMs: number
  /** Kills the process when aborted. */
  readonly signal: AbortSignal
}

const SCRIPT = fileURLToPath(new URL('measure.ts', import.meta.url))

/**
 * Makes a measurement in a process of its own, so that no figure depends on earlier measurements.
 *
 * @throws {Error}  the process failed, was killed, or printed no figures.
 */
export async function measureInFreshProcess(measurement: Measurement, bounds: Bounds): Promise<Measured> {
  const { kind, name, jobs, against } = measurement
  const { folder, timeoutMs, signal } = bounds
  const printed = await new Promise<string>((resolve, reject) => {
    const options = { timeout: timeoutMs, signal, killSignal: 'SIGKILL' } as const
    const args = [SCRIPT, kind, name, String(jobs), folder, ...(against === undefined ? [] : [against])]
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (signal.aborted) reject(error)
      else if (error.killed === true) reject(new Error(`killed after ${timeoutMs / 1_000} s`))
      else reject(new Error(reasonIn(stderr) ?? error.message))
    })
  })
  // The cast is safe, because measure.ts of this folder printed the text.
  return JSON.parse(printed) as Measured
}

/** Finds the line with the message of an uncaught error. Node prints it between lines of source and the stack. */
function reasonIn(stderr: string): string | undefined {
  return stderr.split('\n').find((line) => /^\w*Error\b/.test(line))
}
