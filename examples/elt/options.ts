import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** Options of the command line. */
export type Options = {
  /** Absolute path of the folder for jobs.db and warehouse.db. */
  readonly folder: string
  /** Approximate duration of the load, in seconds; 0 for as fast as possible. */
  readonly paceSeconds: number
}

export const usage = `Usage: npm start -- [--pace SECONDS] [--data FOLDER]

  --pace SECONDS  about how long the load takes (default 15; 0: as fast as it goes)
  --data FOLDER   where jobs.db and warehouse.db are (default .jobchart/elt)
  --help          show this`

/** The arguments are invalid; the message says which. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * Parses the command line.
 *
 * @param args  arguments without the program's name.
 * @returns 'help' if help was requested.
 * @throws {UsageError}
 */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { pace, data, help } = parse(args)
  if (help) return 'help'
  if (data === '') throw new UsageError('--data: expected a folder, found nothing.')
  return { folder: resolve(data), paceSeconds: readSeconds(pace) }
}

function parse(args: readonly string[]): { pace: string; data: string; help: boolean } {
  try {
    return parseArgs({
      args: [...args],
      options: {
        pace: { type: 'string', default: '15' },
        data: { type: 'string', default: '.jobchart/elt' },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** @throws {UsageError}  not a number from 0 to 3600. */
function readSeconds(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(seconds <= 3600)) throw new UsageError(`--pace: expected seconds from 0 to 3600, found "${text}".`)
  return seconds
}
