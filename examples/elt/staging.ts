import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'

/**
 * Rows on disk between two states of the pipeline. The chart's context holds only this reference, never the rows.
 *
 * - `path`  absolute path of a JSON file with one array.
 * - `rows`  the array's length.
 * - `sha256`  of the file's bytes, in hex.
 */
export const stagedFile = z.object({ path: z.string(), rows: z.number().int(), sha256: z.string() })
export type StagedFile = z.infer<typeof stagedFile>

/** Folder of a run's staged rows. */
export function stagingFolder(folder: string, run: string): string {
  return join(folder, 'staging', run)
}

/**
 * Writes rows atomically: to a temporary file, flushed to the disk, then renamed. After a crash the same call writes
 * the same bytes again.
 */
export async function writeStaged(path: string, rows: readonly unknown[]): Promise<StagedFile> {
  const text = JSON.stringify(rows)
  const unfinished = `${path}.unfinished`
  await mkdir(dirname(path), { recursive: true })
  await writeFile(unfinished, text, { flush: true })
  await rename(unfinished, path)
  return { path, rows: rows.length, sha256: sha256(text) }
}

/**
 * Reads rows that an earlier state staged.
 *
 * @throws {Error}  the file is missing, or is not the one that was written.
 */
export async function readStaged<Row>(file: StagedFile, row: z.ZodType<Row>): Promise<readonly Row[]> {
  const text = await readFile(file.path, 'utf8')
  const found = sha256(text)
  if (found !== file.sha256) {
    throw new Error(
      `${file.path} has changed since it was written: expected ${file.sha256}, found ${found}. Start a new run.`,
    )
  }
  return z.array(row).parse(JSON.parse(text))
}

/** Removes a run's staged rows. A second call does nothing. */
export async function removeStaging(folder: string, run: string): Promise<void> {
  await rm(stagingFolder(folder, run), { recursive: true, force: true })
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
