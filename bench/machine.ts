import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import Database from 'better-sqlite3'
import { filesystemOf } from './disk.ts'

/** The machine and the versions that figures were measured with. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryGiB: number
  readonly system: string
  /** The file system of the folder of the databases. */
  readonly filesystem: string
  /**
   * How many processes wanted a core, on average, in the minute before the run. If it is above 0.1, something else was
   * running.
   */
  readonly loadBefore: number
  readonly node: string
  /** The commit of this build, as `git describe` names it. Absent outside a clone. */
  readonly source?: string
  /** The other build of jobchart that is measured: its folder and its commit. */
  readonly against?: string
  readonly packages: { readonly [name: string]: string }
  /** The version of SQLite in each driver. */
  readonly sqlite: { readonly 'node:sqlite': string; readonly 'better-sqlite3': string }
}

/**
 * Reads the machine and the versions.
 *
 * @param folder  the folder of the databases.
 * @param against  the folder of another build of jobchart, if one is measured.
 */
export function readMachine(folder: string, against: string | undefined): Machine {
  const source = describeSource(import.meta.dirname)
  const names = ['xstate', 'p-queue', 'plainjob', 'better-sqlite3']
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    filesystem: filesystemOf(folder),
    loadBefore: loadavg()[0] ?? 0,
    node: process.versions.node,
    ...(source === undefined ? {} : { source }),
    ...(against === undefined ? {} : { against: `${against} (${describeSource(against) ?? 'no clone'})` }),
    packages: Object.fromEntries([
      ['jobchart', versionIn(new URL('../package.json', import.meta.url))],
      ...names.map((name) => [name, versionIn(findPackageJSON(name, import.meta.url) ?? '')]),
    ]),
    sqlite: { 'node:sqlite': process.versions.sqlite ?? 'none', 'better-sqlite3': peerSqliteVersion() },
  }
}

function versionIn(file: string | URL): string {
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version?: unknown }
  return String(version)
}

function peerSqliteVersion(): string {
  const database = new Database(':memory:')
  try {
    return String(database.prepare('SELECT sqlite_version()').pluck().get())
  } finally {
    database.close()
  }
}

function describeSource(cwd: string): string | undefined {
  try {
    const options = { cwd, encoding: 'utf8', stdio: 'pipe', timeout: 5_000 } as const
    return execFileSync('git', ['describe', '--always', '--dirty'], options).trim()
  } catch {
    return undefined
  }
}
