import { globSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'

/** The HTML files of packages, by path. */
export async function pagesOf(...packages: readonly string[]): Promise<readonly string[]> {
  return packages.flatMap((name) => {
    const folder = dirname(findPackageJSON(name, import.meta.url) ?? '')
    return globSync('**/*.html', { cwd: folder })
      .sort()
      .map((file) => join(folder, file))
  })
}
