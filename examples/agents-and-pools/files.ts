/** Real files from packages: Word documents, which are zip archives, and images. Their ids are their names. */
import { readFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { dirname, extname, join } from 'node:path'
import type { ToolFile } from 'jobchart/presets'

const folders = {
  '.docx': join(folderOf('mammoth'), 'test/test-data'),
  '.png': join(folderOf('vega-datasets'), 'data'),
}
const types = {
  '.docx': 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  '.png': 'image/png',
}

/** Reads a file. */
export function contentOf(id: string): Promise<Buffer> {
  return readFile(join(folders[kindOf(id)], id))
}

/** What a job's input says of a file. */
export async function fileOf(id: string): Promise<ToolFile> {
  return { id, name: id, type: types[kindOf(id)], size: (await contentOf(id)).length }
}

function folderOf(name: string): string {
  return dirname(findPackageJSON(name, import.meta.url) ?? '')
}

function kindOf(id: string): keyof typeof folders {
  const kind = extname(id)
  if (kind === '.docx' || kind === '.png') return kind
  throw new Error(`${id} is neither a document nor an image`)
}
