import { closeSync, fdatasyncSync, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Names of file systems. The key is the type that statfs(2) reports. */
const FILESYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x6969, 'nfs'],
])

/** SQLite's default page size. */
const PAGE_BYTES = 4_096
const SYNCS = 50

/**
 * The name of the file system of a folder.
 *
 * @throws {Error}  the file system is in memory, so waiting for the disk would cost nothing.
 */
export function filesystemOf(folder: string): string {
  const { type } = statfsSync(folder)
  const name = FILESYSTEMS.get(type) ?? `type 0x${type.toString(16)}`
  if (name === 'tmpfs' || name === 'ramfs') throw new Error(`"${folder}" is in memory (${name}); give --dir on a disk`)
  return name
}

/**
 * Appends pages to a file, each followed by an fdatasync, and each after a pause: a disk that has been idle takes longer.
 * Returns how many milliseconds each page took, without the pause.
 */
export async function fdatasyncMs(folder: string, pauseMs: number): Promise<readonly number[]> {
  const file = join(folder, 'fdatasync')
  const page = Buffer.alloc(PAGE_BYTES, 'x')
  const fd = openSync(file, 'w')
  try {
    const tookMs: number[] = []
    while (tookMs.length < SYNCS) {
      if (pauseMs > 0) await sleep(pauseMs)
      const begin = performance.now()
      writeSync(fd, page)
      fdatasyncSync(fd)
      tookMs.push(performance.now() - begin)
    }
    return tookMs
  } finally {
    closeSync(fd)
    unlinkSync(file)
  }
}
