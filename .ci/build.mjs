// Builds dist/, unless it is newer than all its sources.
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const changedAt = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0

function isUpToDate() {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
  // The declarations are written last. If a build was interrupted, they are missing.
  const built = Object.values(exports).flatMap(({ types }) => types ?? [])
  const sources = globSync(['src/**/*.ts', 'tsup.config.ts', 'tsconfig.json', 'package.json'])
  return Math.min(...built.map(changedAt)) > Math.max(...sources.map(changedAt))
}

if (!isUpToDate()) {
  console.log('Building jobchart, which is done again only when its source has changed …')
  const started = performance.now()
  const tsup = ['node_modules/tsup/dist/cli-default.js', '--silent']
  // The warnings of a build that succeeds are for those who change the build: `npm run build` shows them.
  const { status, stdout, stderr } = spawnSync(process.execPath, tsup, { encoding: 'utf8' })
  if (status !== 0) {
    console.error(`${stdout}${stderr}`)
    console.error('The build failed.')
    process.exit(status ?? 1)
  }
  console.log(`Built in ${((performance.now() - started) / 1_000).toFixed(1)} s.\n`)
}
