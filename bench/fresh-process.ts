import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Measured } from './measure.ts'

/** One measurement, as the arguments of measure.ts. */
export interface Measurement {
  readonly kind: string
  readonly name: string
  readonly jobs: number
  /** A folder with another build of jobchart, if that is measured. */
  readonly against?: string
}

/** The folder and the time limit of a measurement. */
export interface Bounds {
  /** Absolute path; the measurement makes a folder of its own inside. */
  readonly folder: string
  /** Milliseconds after which the process is killed. */
  readonly timeoutMs: number
  /** Kills the process when aborted. */
  readonly signal: AbortSignal
}

const SCRIPT = fileURLToPath(new URL('measure.ts', import.meta.url))

/**
 * Measures in a separate process, so that no figure depends on earlier ones.
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
  // measure.ts of this folder prints it, so its shape is known.
  return JSON.parse(printed) as Measured
}

/** The line of an uncaught error with its message, out of the source and stack that Node prints. */
function reasonIn(stderr: string): string | undefined {
  return stderr.split('\n').find((line) => /^\w*Error\b/.test(line))
}
